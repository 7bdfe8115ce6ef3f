"""What the columns of store_schedules say, read back into rows as PostgreSQL has them."""

import re
from datetime import date
from typing import Any

from e2e.oracle import ScheduledStore

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_RANGE = r"(\d\d:\d\d(?::\d\d)?)-(\d\d:\d\d(?::\d\d)?)"


def read_texts(row: dict[str, Any]) -> ScheduledStore:
    """The store of a row, with the hours that its texts tell."""
    store = ScheduledStore(row["store_id"], row["name"], row["city"], row["timezone"])
    for text in _parts(row["weekly"]):
        match = re.fullmatch(rf"(\w+) (?:closed|{_RANGE})", text)
        assert match, text
        store.weekly.append((_WEEKDAYS.index(match[1]) + 1, *_hours(match)))
    for text in _parts(row["exceptions"]):
        match = re.fullmatch(rf"(\S+) (?:closed|{_RANGE})", text)
        assert match, text
        store.exceptions.append((date.fromisoformat(match[1]), *_hours(match)))
    return store


def _hours(match: re.Match[str]) -> tuple[int | None, int | None]:
    return (_seconds(match[2]), _seconds(match[3])) if match[2] else (None, None)


def _parts(text: str | None) -> list[str]:
    assert text != ""
    return text.split("; ") if text else []


def _seconds(text: str) -> int:
    hours, minutes, seconds = (int(part) for part in f"{text}:00".split(":")[:3])
    assert text.count(":") == 1 or seconds  # seconds only where they are not 0
    return 3600 * hours + 60 * minutes + seconds
