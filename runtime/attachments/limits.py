"""How large an attached file may be, and how much of its text is taken."""

MAX_FILE_BYTES = 20 << 20
MAX_TEXT_CHARACTERS = 1_000_000
