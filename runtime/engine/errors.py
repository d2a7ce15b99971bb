"""Why the engine refuses or fails a request."""

from __future__ import annotations

from packer.errors import InputError, MachineError


class PromptTooLongError(InputError):
    """The prompt does not fit into the context; ``num_tokens`` against ``context_tokens``."""

    def __init__(self, num_tokens: int, context_tokens: int) -> None:
        """Build the sentence from the two numbers."""
        super().__init__(
            f"the conversation is {num_tokens} tokens long and the context holds {context_tokens}, reply included; "
            "shorten it, start a new chat, or start the program with a larger --ctx-size"
        )
        self.num_tokens = num_tokens
        self.context_tokens = context_tokens


class ReplyTooLongError(InputError):
    """Prompt and the reply that was asked for do not fit into the context together; all three in tokens."""

    def __init__(self, num_prompt_tokens: int, max_tokens: int, context_tokens: int) -> None:
        """Build the sentence from the numbers."""
        super().__init__(
            f"the conversation is {num_prompt_tokens} tokens long and a reply of up to {max_tokens} is asked for, "
            f"{num_prompt_tokens + max_tokens} in all; the context holds {context_tokens}: ask for at most "
            f"{context_tokens - num_prompt_tokens}, shorten the conversation, or start the program with a larger "
            "--ctx-size"
        )


class QueueFullError(MachineError):
    """Too many requests wait already."""


class EngineStoppedError(MachineError):
    """The program is shutting down."""


class ModelUnavailableError(MachineError):
    """The model could not be loaded, so nothing can be generated."""


class GenerationFailedError(MachineError):
    """The model failed while it worked on this request; others are not affected."""
