"""What the tables of outages should contain, computed a second time in plain Python from all rows at once.

It knows nothing of days that are computed one after the other. It shares nothing with the functions or with the views.
"""

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from infra.local.zones import ZoneInfo
from tests.harness.open_hours import Hours, HoursUnknownError, JudgedHours
from tests.harness.oracle import LABELS, SLOT, Country
from tests.harness.schedule_texts import read_texts
from tests.harness.views_oracle import Row, Rows, Tables, grouped

WHOSE = ("name", "city", "timezone", *LABELS)
MOST_REASONS = 20
_KINDS = {"available": "good", "unavailable": "bad", "unlisted": "bad", "closed": "off", "unexpected": "off"}


class History:
    """All looks at one store. A look is a row of store_availability."""

    def __init__(self, rows: Rows, hours: JudgedHours) -> None:
        self.store_id: str = rows[0]["store_id"]
        self.hours = hours
        self.looks = {row["slot"]: row for row in sorted(rows, key=lambda row: row["slot"])}

    def kind(self, slot: datetime) -> str:
        """good, bad, off (closed or unexpected) or unseen (unknown or missed)."""
        return kind_of(self.looks[slot]) if slot in self.looks else "unseen"

    def nearest(self, slot: datetime) -> Row:
        """The store's row of the slot, or else the nearest before it, or else the first."""
        return self.looks[self.hours.judged_in(slot)]

    def outages(self) -> "Iterator[Outage]":
        """Every outage from its first bad look to the good look that ends it, in order."""
        good: Row | None = None
        bad: Rows = []
        for row in self.looks.values():
            match kind_of(row):
                case "bad":
                    bad.append(row)
                case "good":
                    if bad:
                        yield Outage(self, good, bad, row)
                    good, bad = row, []
        if bad:
            yield Outage(self, good, bad, None)


@dataclass(frozen=True)
class Outage:
    """An outage: the last good look before it if there is one, its bad looks, and the good look that ended it."""

    history: History
    good: Row | None
    bad: Rows
    end: Row | None

    @property
    def outage_id(self) -> str:
        """The store, and the slot of the first bad look."""
        return f"{self.history.store_id}/{self.bad[0]['slot']:%Y%m%dT%H%MZ}"

    def days(self) -> list[date]:
        """The days in which it had a bad look or ended."""
        return sorted({row["slot"].date() for row in [*self.bad, *([self.end] if self.end else [])]})

    def told(self, day: date) -> Row:
        """The outage as it was known at the end of a day."""
        day_end = datetime.combine(day + timedelta(days=1), time())
        end = self.end if self.end and self.end["slot"] < day_end else None
        return Outage(self.history, self.good, [row for row in self.bad if row["slot"] < day_end], end)._row(day_end)

    def _row(self, day_end: datetime) -> Row:
        last, reasons = self.bad[-1], self._reasons()
        began_after = self._began_after()
        began_by, ended_after = self.bad[0]["observed_at"], last["observed_at"]
        ended_by = self.end and self.end["observed_at"]
        at_least = self._open_seconds(began_by, ended_after)
        at_most = None
        if began_after and ended_by and at_least is not None:
            until = self._open_seconds(ended_after, ended_by)
            if until is not None:
                before = int((whole(began_by) - whole(began_after)).total_seconds())
                at_most = before + at_least + until
        return {
            "outage_id": self.outage_id,
            "store_id": self.history.store_id,
            **{name: last[name] for name in WHOSE},
            "began_after": began_after,
            "began_by": began_by,
            "ended_after": ended_after,
            "ended_by": ended_by,
            "is_open": self.end is None,
            "bad_looks": len(self.bad),
            "unlisted_looks": sum(row["status"] == "unlisted" for row in self.bad),
            "unseen_looks": self._unseen(),
            "lost_seconds": sum(row["scheduled_seconds"] for row in self.bad),
            "seconds_at_least": at_least,
            "seconds_at_most": at_most,
            "kind": self._kind(day_end),
            "first_reason": next(iter(reasons), None),
            "reasons": _as_text(reasons),
            "flaps": self._flaps(),
        }

    def _opened(self) -> datetime | None:
        """When the hours of the first bad look opened, if that was after the last good look."""
        good = whole(self.good["observed_at"]) if self.good else None
        return self.history.hours.opened(whole(self.bad[0]["observed_at"]), good)

    def _began_after(self) -> datetime | None:
        good = self.good["observed_at"] if self.good else None
        try:
            return self._opened() or good
        except HoursUnknownError:
            return good

    def _kind(self, day_end: datetime) -> str | None:
        last = whole(self.bad[-1]["observed_at"])
        end = whole(self.end["observed_at"]) if self.end else day_end
        try:
            at_opening = self._opened() is not None
            at_closing = self.history.hours.open_seconds(last, end) < (end - last).total_seconds()
        except HoursUnknownError:
            return None
        if at_opening:
            return "whole_shift" if at_closing else "late_opening"
        return "early_closing" if at_closing else "mid_shift"

    def _open_seconds(self, begin: datetime, end: datetime) -> int | None:
        try:
            return self.history.hours.open_seconds(whole(begin), whole(end))
        except HoursUnknownError:
            return None

    def _unseen(self) -> int:
        found, slot = 0, self.bad[0]["slot"]
        while slot < self.bad[-1]["slot"]:
            found += self.history.kind(slot) == "unseen"
            slot += SLOT
        return found

    def _reasons(self) -> Counter[str]:
        """The looks of each reason, in the order in which the reasons first appeared."""
        found: Counter[str] = Counter()
        for row in self.bad:
            reason = row["reason"]
            if reason is not None and (reason in found or len(found) < MOST_REASONS):
                found[reason] += 1
        return found

    def _flaps(self) -> int:
        first = self.bad[0]["slot"]
        before = [self.history.kind(first - n * SLOT) for n in range(1, 5)]
        return (before[:2] == ["good", "bad"]) + (before[1:] == ["bad", "good", "bad"])


def histories(tables: Tables, country: Country) -> list[History]:
    """The looks at every store of a country's tables, with the schedules that judged them."""
    schedules = dict(grouped(tables["store_schedules"], lambda row: (row["day"], row["store_id"])))
    hours: dict[tuple[Any, ...], Hours] = {}

    def judged_by(row: Row) -> Hours | None:
        own = [
            schedule
            for schedule in schedules.get((row["day"], row["store_id"]), [])
            if schedule["valid_from"] <= row["schedule_as_of"]
            and (schedule["valid_until"] is None or row["schedule_as_of"] < schedule["valid_until"])
        ]
        assert len(own) <= 1, own
        if not own or own[0]["problem"] is not None:
            return None
        key = tuple(own[0][name] for name in ("timezone", "weekly", "exceptions"))
        if key not in hours:
            hours[key] = Hours(country, read_texts(own[0]))
        return hours[key]

    rows = [row for row in tables["store_availability"] if row["status"] != "orphan"]
    return [
        History(own, JudgedHours({row["slot"]: judged_by(row) for row in own}))
        for _, own in grouped(rows, lambda row: row["store_id"])
    ]


def outages(found: list[History]) -> dict[str, Rows]:
    """The rows of the table `outages` on each day that has any, in the order of their ids."""
    days: dict[str, Rows] = defaultdict(list)
    for history in found:
        for outage in history.outages():
            for day in outage.days():
                days[f"{day}"].append(outage.told(day))
    return {day: ordered(rows, "outage_id") for day, rows in sorted(days.items())}


def outages_of(days: dict[str, Rows]) -> Rows:
    """Each outage once, as its last day tells it."""
    last = {row["outage_id"]: row | {"day": day} for day, rows in sorted(days.items()) for row in rows}
    return list(last.values())


def missed_looks(found: list[History], tables: Tables, days: Iterable[str]) -> dict[str, Rows]:
    """The rows of the table `missed_looks` on each of the days that has any, from the country's first tick on. A slot's
    stores are those of the nearest tick with rows before it, or else after it."""
    seen = sorted({row["slot"] for row in tables["store_availability"] if row["status"] != "orphan"})
    first = min(row["slot"] for row in tables["country_ticks"])
    told: dict[str, Rows] = {}
    for day in days:
        slots = [datetime.fromisoformat(day) + number * SLOT for number in range(96)]
        rows: Rows = []
        for slot in [slot for slot in slots if slot >= first and slot not in seen]:
            nearest = seen[max(bisect_left(seen, slot) - 1, 0)]
            own = [history for history in found if nearest in history.looks]
            rows += [row for history in own if (row := _missed(history, slot))]
        if rows:
            told[day] = ordered(rows, "store_id", "slot")
    return told


def _missed(history: History, slot: datetime) -> Row | None:
    """A store's row if it was scheduled in a slot that nobody looked at."""
    try:
        seconds = history.hours.of(slot).seconds(slot)
    except HoursUnknownError:
        return None
    if not seconds:
        return None
    row = history.nearest(slot)
    local = slot.replace(tzinfo=UTC).astimezone(ZoneInfo(row["timezone"]))
    return (
        {"slot": slot, "store_id": history.store_id}
        | {name: row[name] for name in WHOSE}
        | {"local_date": local.date(), "local_hour": local.hour, "scheduled_seconds": seconds}
    )


def ordered(rows: Rows, *names: str) -> Rows:
    """Rows in the order of some of their columns."""
    return sorted(rows, key=lambda row: tuple(row[name] for name in names))


def kind_of(row: Row) -> str:
    """What a look says of an outage: good, bad, off or unseen."""
    return _KINDS.get(row["status"], "unseen")


def whole(instant: datetime) -> datetime:
    """The instant without the parts of its second."""
    return instant.replace(microsecond=0)


def _as_text(reasons: Counter[str]) -> str | None:
    """A JSON object, the most frequent first. Sorting keeps the order of those that are as frequent."""
    first = sorted(reasons.items(), key=lambda entry: -entry[1])
    return json.dumps(dict(first), ensure_ascii=False, separators=(",", ":")) if first else None
