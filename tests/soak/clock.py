"""The clock that a soak moves from slot to slot: one file that libfaketime reads in every process that is to go by it.

Functions observe only inside their slot, by the system's clock. A clock that only they go by does not do: requests to
AWS are signed with a time, which S3 takes up to 15 minutes from its own and the others up to 5, here as on AWS
(RequestTimeTooSkewed), and an execution's StartTime, which bounds for how long observe tries, would be another clock's.
So the local AWS itself is started with this clock, and its functions, being its children, have it from there.
Waiting goes by the monotonic clock, which stays the machine's: pauses and time limits take as long as ever.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from infra.local.errors import StackError
from infra.local.servers.packages import install

_LIBRARY = "/usr/lib/*/faketime/libfaketimeMT.so.1"
# What the library leaves there of a process that was killed.
_SHARED = Path("/dev/shm")


class Clock:
    """A clock that goes as fast as the machine's, from wherever it was set to."""

    def __init__(self, file: Path):
        self._file = file
        self._library = _library()
        self._offset = timedelta()

    @property
    def environment(self) -> dict[str, str]:
        """What a process is started with that is to go by this clock."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
            "PYTHONPATH": str(Path(__file__).with_name("preload")),
        }

    def set(self, instant: datetime) -> None:
        """Makes it that instant now, for all processes at once."""
        self._offset = instant - datetime.now(UTC)
        partial = self._file.with_suffix(".partial")
        partial.write_text(f"{self._offset.total_seconds():+.6f}\n")
        partial.replace(self._file)

    def now(self) -> datetime:
        """What time it is by this clock."""
        return datetime.now(UTC) + self._offset

    @staticmethod
    def tidy_up() -> None:
        """Removes the shared memory of processes that were killed before they could."""
        for file in [*_SHARED.glob("faketime_shm_*"), *_SHARED.glob("sem.faketime_sem_*")]:
            if not Path(f"/proc/{file.name.rpartition('_')[2]}").exists():
                file.unlink(missing_ok=True)


def _library() -> Path:
    if not (found := _found()):
        install("soak", ["libfaketime"], "libfaketime, which moves the clock of processes, is missing")
        found = _found()
    if not found:
        raise StackError(f"soak: there is no {_LIBRARY}, even after installing")
    return found[0]


def _found() -> list[Path]:
    return sorted(Path("/").glob(_LIBRARY.lstrip("/")))
