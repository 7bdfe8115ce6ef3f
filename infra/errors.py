"""The one error that a deployment ends with in words: everything else is a defect and keeps its traceback."""


class DeployError(Exception):
    """Something failed that the user can act on: the message says what, where to look and what to do."""
