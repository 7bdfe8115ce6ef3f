"""The one error that commands end with in words: everything else is a defect and keeps its traceback."""


class StackError(Exception):
    """Something failed that the user can act on: the message says what, where to look and what to do."""
