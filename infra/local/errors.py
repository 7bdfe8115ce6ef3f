"""The error that ends a command with a message. Any other exception is a bug and keeps its traceback."""


class StackError(Exception):
    """A failure that the user can act on. The message says what failed, where, and what to do."""
