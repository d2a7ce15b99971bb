"""The engine: takes prompts as tokens, gives replies as events.

``sequence`` holds the state of a request, ``engine`` the policy and the thread, ``model_runner`` the device calls,
``text_stream`` the way from bytes to text. None of it knows HTTP or chat templates.
"""
