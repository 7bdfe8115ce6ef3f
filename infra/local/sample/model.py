"""A sample store, in a form that is cheap to make a million times: hours are shared, not copied."""

from dataclasses import dataclass
from datetime import date

# Minutes of the local day; 1440 is 24:00. An opening time of None is one of the bad rows.
Hours = tuple[int | None, int | None]


@dataclass(frozen=True, eq=False, slots=True)
class Week:
    """Weekly rows (weekday, opens, closes). Many stores share one; compared by identity, as a cheap key."""

    rows: tuple[tuple[int, int | None, int | None], ...]


@dataclass(frozen=True, eq=False, slots=True)
class Exceptions:
    """Exception rows (date, opens, closes); both times None means closed. Shared and compared like weeks."""

    rows: tuple[tuple[date, int | None, int | None], ...]


@dataclass(frozen=True, slots=True)
class Store:
    """One store with its schedule."""

    id: int
    name: str
    city: str | None
    timezone: str | None  # None: the country's default
    region: str
    chain: str | None
    segment: str
    owner: str
    active: bool
    week: Week
    exceptions: Exceptions
    updated_minutes: int  # last change, in minutes before the sample's first day


def minutes(text: str) -> int:
    """Minutes of the day: `09:30` is 570."""
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)


def clock(value: int) -> str:
    """The reverse of `minutes`: 570 is `09:30`."""
    return f"{value // 60:02d}:{value % 60:02d}"
