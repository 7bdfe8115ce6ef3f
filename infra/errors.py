"""The error that ends a deployment with a message. Any other exception is a bug and keeps its traceback."""


class DeployError(Exception):
    """A failure that the user can act on. The message says what failed, where, and what to do."""
