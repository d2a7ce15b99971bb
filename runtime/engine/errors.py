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


class QueueFullError(MachineError):
    """Too many requests wait already."""


class EngineStoppedError(MachineError):
    """The program is shutting down."""


class ModelUnavailableError(MachineError):
    """The model could not be loaded, so nothing can be generated."""


class GenerationFailedError(MachineError):
    """The model failed while it worked on this request; others are not affected."""
