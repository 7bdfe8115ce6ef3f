"""Whether a sample store is open at an instant, by local clock time: enough to make a plausible live view.

It is no reference for the hours' rules: around a change of the clocks it may be off by that change.
"""

from datetime import datetime, timedelta

from sample.model import Exceptions, Hours, Week
from stack.zones import ZoneInfo, ZoneInfoNotFoundError

_DAY = 24 * 60


def is_open(week: Week, exceptions: Exceptions, timezone: str, instant: datetime) -> bool | None:
    """Whether the hours cover the instant; None where rows are bad and nobody can tell."""
    try:
        local = instant.astimezone(ZoneInfo(timezone))
    except (ZoneInfoNotFoundError, ValueError):
        return None
    if any(not 1 <= weekday <= 7 or (opens is None) != (closes is None) for weekday, opens, closes in week.rows):
        return None
    now = local.hour * 60 + local.minute
    today = _hours_of(week, exceptions, local)
    yesterday = _hours_of(week, exceptions, local - timedelta(days=1))
    return any(opens <= now < _end(opens, closes) for opens, closes in today) or any(
        now < _end(opens, closes) - _DAY for opens, closes in yesterday
    )


def _hours_of(week: Week, exceptions: Exceptions, local: datetime) -> list[tuple[int, int]]:
    date = local.date()
    rows: list[Hours] = [(opens, closes) for day, opens, closes in exceptions.rows if day == date]
    if not rows:
        rows = [(opens, closes) for weekday, opens, closes in week.rows if weekday == date.isoweekday()]
    return [(opens, closes) for opens, closes in rows if opens is not None and closes is not None]


def _end(opens: int, closes: int) -> int:
    """The end in minutes since the day began: past midnight where it closes no later than it opens."""
    return closes if closes > opens else closes + _DAY
