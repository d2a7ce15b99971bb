"""Why the engine refuses or fails a request."""

from __future__ import annotations

from packer.errors import InputError, MachineError


class PromptTooLongError(InputError):
    """The prompt does not fit into the context; ``num_tokens`` against ``context_tokens``.

    ``keeps`` names what of it stands in the way where chats otherwise lose their oldest part.
    """

    def __init__(self, num_tokens: int, context_tokens: int, *, keeps: str = "") -> None:
        """Build the sentence from the two numbers."""
        because = f", and it can't lose its oldest part because of its {keeps}" if keeps else ""
        super().__init__(
            f"the conversation is {num_tokens} tokens long and the context holds {context_tokens}, reply included"
            f"{because}; shorten it, start a new chat, or start the program with a larger --ctx-size"
        )
        self.num_tokens = num_tokens
        self.context_tokens = context_tokens


class EmbeddingOnlyError(InputError):
    """Text is asked of a model that only embeds."""

    def __init__(self) -> None:
        """Say what it can do."""
        super().__init__("this model turns texts into vectors and can't chat; use /v1/embeddings")


class NoEmbeddingsError(InputError):
    """Vectors are asked of a model that gives none."""


class InputTooLongError(InputError):
    """A text is too long to be embedded; ``index`` is its place among the inputs, the numbers are tokens."""

    def __init__(self, index: int, num_tokens: int, max_tokens: int) -> None:
        """Build the sentence from the numbers."""
        super().__init__(f"input {index} is {num_tokens} tokens long; at most {max_tokens} can be embedded at once")


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
