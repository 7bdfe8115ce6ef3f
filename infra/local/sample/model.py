"""What a sample store is, in the form that is cheap to make a million times: hours are shared, not copied."""

from dataclasses import dataclass
from datetime import date

# Minutes of the local day; 1440 is 24:00. None as opening time is one of the bad rows.
Hours = tuple[int | None, int | None]


@dataclass(frozen=True, eq=False, slots=True)
class Week:
    """Weekly rows (weekday, opens, closes). Shared by many stores and compared by identity, to be a cheap key."""

    rows: tuple[tuple[int, int | None, int | None], ...]


@dataclass(frozen=True, eq=False, slots=True)
class Exceptions:
    """Exception rows (date, opens, closes); both times None: closed. Shared and compared as weeks are."""

    rows: tuple[tuple[date, int | None, int | None], ...]


@dataclass(frozen=True, slots=True)
class Store:
    """One store with its schedule."""

    id: int
    name: str
    city: str | None
    timezone: str | None  # None: the country's default
    active: bool
    week: Week
    exceptions: Exceptions
    updated_minutes: int  # how long before the sample's first day it was last changed


def minutes(text: str) -> int:
    """`09:30` to 570."""
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)


def clock(value: int) -> str:
    """570 to `09:30`."""
    return f"{value // 60:02d}:{value % 60:02d}"
