"""Zeppelin's schedules, which are Quartz's cron expressions, as the five fields that the workbench's scheduler reads.

Quartz: second, minute, hour, day of month, month, day of week (1 is Sunday), and perhaps a year. One of the two days is
`?`. A list of numbers says the same in both languages, so each field is counted out and written anew.
https://www.quartz-scheduler.org/documentation/quartz-2.3.0/tutorials/crontrigger.html
"""

import re

_MONTHS = {
    "JAN": 1,
    "FEB": 2,
    "MAR": 3,
    "APR": 4,
    "MAY": 5,
    "JUN": 6,
    "JUL": 7,
    "AUG": 8,
    "SEP": 9,
    "OCT": 10,
    "NOV": 11,
    "DEC": 12,
}
_DAYS = {"SUN": 1, "MON": 2, "TUE": 3, "WED": 4, "THU": 5, "FRI": 6, "SAT": 7}
_LONGEST = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_ITEM = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?")


class CronError(Exception):
    """An expression that five fields cannot say. The message is why."""


def to_cron(expression: str) -> str:
    """The five fields, in the same time zone. Within the minute it may start earlier: cron starts at second 0."""
    fields = expression.upper().split()
    if not 6 <= len(fields) <= 7:
        raise CronError(f"it has {len(fields)} fields, not 6 or 7")
    second, minute, hour, day, month, weekday = fields[:6]
    if fields[6:] not in ([], ["*"]):
        raise CronError(f"it names a year ({fields[6]}), which cron cannot")
    if not re.fullmatch(r"[0-5]?\d", second):
        raise CronError(f"it runs at several seconds of a minute ({second}), or at none")
    if (day == "?") == (weekday == "?"):
        raise CronError("not exactly one of its two days is ?, so that Zeppelin did not run it either")
    for field in (day, weekday):
        if re.search(r"[LW#]", re.sub("|".join(_DAYS), "", field)):
            raise CronError(f"L, W and # ({field}) have no equal in cron")
    days = _values("*" if day == "?" else day, 1, 31, {})
    months = _values(month, 1, 12, _MONTHS)
    if min(days) > max(_LONGEST.get(at, 31) for at in months):
        raise CronError("its day is in none of its months")
    weekdays = {value - 1 for value in _values("*" if weekday == "?" else weekday, 1, 7, _DAYS)}
    minutes, hours = _values(minute, 0, 59, {}), _values(hour, 0, 23, {})
    return " ".join(
        _written(values, low, high)
        for values, low, high in ((minutes, 0, 59), (hours, 0, 23), (days, 1, 31), (months, 1, 12), (weekdays, 0, 6))
    )


def _values(field: str, low: int, high: int, names: dict[str, int]) -> set[int]:
    found: set[int] = set()
    for item in field.split(","):
        # Quartz reads /15 as */15.
        parts = _ITEM.fullmatch(f"*{item}" if item.startswith("/") else item)
        if not parts or (parts[1] == "*" and parts[2]):
            raise CronError(f"{item!r} cannot be read")
        step = int(parts[3] or 1)
        if not 1 <= step <= high:
            raise CronError(f"the step of {item!r} is not between 1 and {high}")
        first = low if parts[1] == "*" else _number(parts[1], low, high, names)
        last = _number(parts[2], low, high, names) if parts[2] else high if parts[3] or parts[1] == "*" else first
        # FRI-MON goes over the end.
        span = [*range(first, last + 1)] if first <= last else [*range(first, high + 1), *range(low, last + 1)]
        found.update(span[::step])
    return found


def _number(text: str, low: int, high: int, names: dict[str, int]) -> int:
    value = names.get(text, int(text) if re.fullmatch(r"[0-9]{1,4}", text) else -1)
    if not low <= value <= high:
        raise CronError(f"{text!r} is not between {low} and {high}")
    return value


def _written(values: set[int], low: int, high: int) -> str:
    """A field for a set: *, */step, or numbers with ranges of three and more."""
    ordered = sorted(values)
    if len(ordered) == high - low + 1:
        return "*"
    step = ordered[1] - ordered[0] if len(ordered) > 2 else 0
    if step > 1 and ordered == [*range(low, high + 1, step)]:
        return f"*/{step}"
    runs: list[list[int]] = []
    for value in ordered:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)
