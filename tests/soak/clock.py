"""The clock that a soak moves from slot to slot: a file that libfaketime reads in every process that uses the clock.

Functions observe only inside their slot, by the system's clock. Moving only their clock is not enough. Requests to AWS
are signed with a time, which may differ from the service's by 15 minutes for S3 and 5 for others, here as on AWS
(RequestTimeTooSkewed). And an execution's StartTime, which limits how long observe tries, would be another clock's.
So the local AWS itself starts with this clock, and its functions, its children, inherit it.
Waiting uses the monotonic clock, which stays the machine's: pauses and time limits take as long as ever.
"""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from infra.local.errors import StackError
from infra.local.servers.packages import install

_LIBRARY = "/usr/lib/*/faketime/libfaketimeMT.so.1"
# What the library leaves behind of a killed process.
_SHARED = Path("/dev/shm")
# A process keeps what it has read for so long. Otherwise it opens the file whenever it looks at the clock, and the local
# AWS, which looks all the time, keeps a core busy.
_CACHED_SECONDS = 1


class Clock:
    """A clock that runs as fast as the machine's, from the instant it was set to."""

    def __init__(self, file: Path):
        self._file = file
        self._library = _library()
        self._offset = timedelta()

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process that uses this clock."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": str(_CACHED_SECONDS),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
            "PYTHONPATH": str(Path(__file__).with_name("preload")),
        }

    def set(self, instant: datetime) -> None:
        """Sets the clock for all processes, and waits until they have noticed."""
        self._offset = instant - datetime.now(UTC)
        partial = self._file.with_suffix(".partial")
        partial.write_text(f"{self._offset.total_seconds():+.6f}\n")
        partial.replace(self._file)
        # The library counts whole seconds. Nothing tells when each process has read the file.
        time.sleep(_CACHED_SECONDS + 1)

    def now(self) -> datetime:
        """The time of this clock."""
        return datetime.now(UTC) + self._offset

    @staticmethod
    def tidy_up() -> None:
        """Removes the shared memory of processes that were killed before they could do so."""
        for file in [*_SHARED.glob("faketime_shm_*"), *_SHARED.glob("sem.faketime_sem_*")]:
            if not Path(f"/proc/{file.name.rpartition('_')[2]}").exists():
                file.unlink(missing_ok=True)


def _library() -> Path:
    if not (found := _found()):
        install("soak", ["libfaketime"], "libfaketime, which moves the clock of processes, is missing")
        found = _found()
    if not found:
        raise StackError(f"soak: {_LIBRARY} is missing, even after installing it")
    return found[0]


def _found() -> list[Path]:
    return sorted(Path("/").glob(_LIBRARY.lstrip("/")))
