"""Keeps chats, preferences and presets on this machine, in SQLite. Knows neither HTTP nor the engine."""
