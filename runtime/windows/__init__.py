"""What only Windows has: its console and dialogs, and how it describes the machine. Imported there alone."""
