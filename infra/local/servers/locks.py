"""File locks, so that two commands at once take turns."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local.console import say


@contextmanager
def exclusive(file: Path, subject: str) -> Iterator[None]:
    """Holds the lock on a file. The kernel frees it however its holder ends, so it is never stale."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(subject, "another command is doing this: waiting for it")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
