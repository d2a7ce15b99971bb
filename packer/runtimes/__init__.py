"""Runtimes: what the launcher unpacks on one target, built once and kept as one file each."""
