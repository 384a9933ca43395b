"""Care of a store: backup, verify, compact, its numbers, its health."""
