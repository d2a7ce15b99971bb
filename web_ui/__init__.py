"""The chat page: one Flask blueprint and its static files. Speaks to the program through the HTTP API alone."""

from web_ui.page import create_blueprint

__all__ = ["create_blueprint"]
