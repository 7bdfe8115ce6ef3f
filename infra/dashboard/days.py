"""Turns the marks for days and weeks in a dataset's query into Jinja, which Superset fills with the time range.

Every condition compares a bare column with text, so that engines read only the partitions that it names. The arithmetic is
left to the engine, which does it while it plans the query: Jinja has no dates.
"""

import re
from collections.abc import Callable

_MARK = re.compile(r"\$\{(days|recent|hours|twice|weeks|last_week)(?: (\d+))?(?: -(\d+))?(?: ([a-z]\w*))?\}")
_COUNTED = ("days", "recent", "hours", "twice", "weeks")
_NOW = "cast(current_timestamp at time zone 'UTC' as timestamp(3))"
_FROM = "{{ from_dttm[:10] }}"
_TO = "{{ to_dttm[:10] }}"
# The range's end is exclusive, and so its day belongs to the range unless the end is midnight.
_AT_MIDNIGHT = "to_dttm[11:19] in ('', '00:00:00')"
_END = f"date '{_TO}'{{% if not ({_AT_MIDNIGHT}) %}} + interval '1' day{{% endif %}}"


def marks(sql: str) -> int:
    """In how many places a query names its days."""
    return sum(1 for mark in _MARK.finditer(sql) if _is_whole(mark))


def template(sql: str) -> str:
    """The query as Superset keeps it. Marks that are not whole stay as they are, for the check to find."""
    return _MARK.sub(lambda mark: _condition(mark) if _is_whole(mark) else mark[0], sql)


def _is_whole(mark: re.Match[str]) -> bool:
    return (mark[1] in _COUNTED) == (mark[2] is not None) and (mark[1] == "hours" or mark[3] is None)


def _condition(mark: re.Match[str]) -> str:
    kinds: dict[str, Callable[[str, int], str]] = {
        "days": _days, "recent": _recent, "twice": _twice, "weeks": _weeks, "last_week": _last_week,
    }  # fmt: skip
    table, count = f"{mark[4]}." if mark[4] else "", int(mark[2] or 0)
    if mark[1] == "hours":
        return _hours(table, count, int(mark[3] or 0))
    return kinds[mark[1]](f"{table}{'week' if 'week' in mark[1] else 'day'}", count)


def _recent(day: str, count: int) -> str:
    """The last days, today among them. Without an upper end, so that no clock's zone hides today."""
    first = _text(f"current_date - interval '{count - 1}' day")
    return f"{day} >= {first}"


def _hours(table: str, count: int, before: int) -> str:
    """The slots of the last hours, or as many some hours before. The engine leaves out files and parts by both columns."""
    first, last = (f"{_NOW} - interval '{ago}' hour" for ago in (before + count, before))
    days, slots = f"{table}day >= {_text(_date(first))}", f"{table}slot >= {first}"
    if not before:
        return f"{days} and {slots}"
    return f"{days} and {table}day <= {_text(_date(last))} and {slots} and {table}slot <= {last}"


def _days(day: str, count: int) -> str:
    """The days of the time range; without a range the last ones."""
    until = f"{day} {{{{ '<' if {_AT_MIDNIGHT} else '<=' }}}} '{_TO}'"
    return (
        f"{{% if from_dttm %}}{day} >= '{_FROM}'{{% if to_dttm %}} and {until}{{% endif %}}"
        f"{{% elif to_dttm %}}{until}{{% else %}}{_recent(day, count)}{{% endif %}}"
    )


def _twice(day: str, count: int) -> str:
    """The days of the time range, and as many before it; without a range of two ends the last ones, twice."""
    length = f"date_diff('day', date '{_FROM}', {_END})"
    first, end = _text(f"date_add('day', -{length}, date '{_FROM}')"), _text(_END)
    return (
        f"{{% if from_dttm and to_dttm %}}{day} >= {first} and {day} < {end}"
        f"{{% else %}}{_recent(day, 2 * count)}{{% endif %}}"
    )


def _weeks(week: str, count: int) -> str:
    """The weeks that lie in the time range as a whole; without a range of two ends the last ones that are over."""
    first, this = f"date_trunc('week', current_date) - interval '{7 * count}' day", "date_trunc('week', current_date)"
    last = _text(f"{_END} - interval '7' day")
    return (
        f"{{% if from_dttm and to_dttm %}}{week} >= '{_FROM}' and {week} <= {last}"
        f"{{% else %}}{week} >= {_text(first)} and {week} < {_text(this)}{{% endif %}}"
    )


def _last_week(week: str, _: int) -> str:
    """The last week that is over when the time range ends; without an end when the query runs."""
    end = f"{{% if to_dttm %}}{_END}{{% else %}}current_date{{% endif %}}"
    last = _text(f"date_trunc('week', {end}) - interval '7' day")
    return f"{week} = {last}"


def _date(instant: str) -> str:
    return f"cast({instant} as date)"


def _text(day: str) -> str:
    return f"cast({day} as varchar)"
