"""Parses the text columns of store_schedules back into rows as in PostgreSQL."""

import re
from datetime import date
from typing import Any

from tests.harness.oracle import LABELS, ScheduledStore

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_RANGE = r"(\d\d:\d\d(?::\d\d)?)-(\d\d:\d\d(?::\d\d)?)"


def read_texts(row: dict[str, Any]) -> ScheduledStore:
    """The store of a row, with the hours in its texts."""
    store = ScheduledStore(*(row[name] for name in ("store_id", "name", "city", "timezone", *LABELS)))
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
    assert text.count(":") == 1 or seconds  # seconds only if they are not 0
    return 3600 * hours + 60 * minutes + seconds
