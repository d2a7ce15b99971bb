"""The engine: takes prompts as tokens, gives replies as events, for many requests together.

``sequence`` holds the state of a request, ``scheduler`` the policy, ``step_costs`` what it learns about this machine,
``kv_cache`` the books of the memory, ``model_runner`` the device calls, ``worker`` the steps that bring these together,
``engine`` the queue and the thread, ``text_stream`` the way from bytes to text. None of it knows HTTP or templates.
"""
