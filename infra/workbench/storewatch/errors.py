"""What can go wrong, in words for whoever reads a notebook."""


class StorewatchError(Exception):
    """Something that the message says how to mend. `__cause__` keeps what was behind it."""

    def _render_traceback_(self) -> list[str]:
        """What notebooks show: the message alone, since the lines of a driver's code help nobody there."""
        return [f"{type(self).__name__}: {self}"]


class QueryError(StorewatchError):
    """The query is wrong, or did not come to its end."""


class ScanLimitError(QueryError):
    """The query was stopped because it would have read too much."""


class AccessError(StorewatchError):
    """You may not read this."""


class UnavailableError(StorewatchError):
    """The engine or a source does not answer, or gave only a part of the answer."""
