"""Turns files that people attach to a message into text for the model. Knows neither HTTP nor the engine."""
