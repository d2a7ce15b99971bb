"""Benchmarks: ratios against peers measured in the same run. Not part of the test suite; see docs/benchmarks.md."""
