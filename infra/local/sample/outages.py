"""The outages, current outages and missed looks of the sample week, from its rows of stores.

Only for the sample: it knows hours by the minute, and holds a store's whole week at once.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from itertools import accumulate
from typing import Any

from infra.local.slots import SLOT

Row = dict[str, Any]
# Whether a store is open at a minute, by the schedule that was read at an instant: (as_of, minute).
IsOpen = Callable[[datetime, datetime], bool]

_SECOND, _MINUTE, _DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
# A store that is closed, or unexpectedly online, is off. A missed slot has no status.
_KINDS = {"available": "good", "unavailable": "bad", "unlisted": "bad", "unknown": "unseen", None: "unseen"}
_WHO = ("store_id", "name", "city", "timezone", "region", "chain", "segment", "owner")
_MOST_REASONS = 20


@dataclass
class _Outage:
    """An outage as far as it is known, by the numbers of its slots."""

    good_before: int | None
    flaps: int
    bad: list[int] = field(default_factory=list)
    end: int | None = None


class StoreWeek:
    """One store's looks in all slots of the week. A slot without a row was missed."""

    def __init__(self, slots: Sequence[datetime], rows: Sequence[Row | None], is_open: IsOpen) -> None:
        self._slots = slots
        # Before the first slot, so that openings of the day before are found.
        self._origin = slots[0] - 2 * _DAY
        self._rows = rows
        self._is_open = is_open
        self._kinds = [_KINDS.get(row["status"] if row else None, "off") for row in rows]
        first = next(row for row in rows if row)
        # A missed slot has the schedule of the row before it, the first ones that of the row after them.
        self._nearest = list(accumulate(rows, lambda near, row: row or near, initial=first))[1:]

    def outages(self) -> Iterator[tuple[datetime, Row]]:
        """Each outage as told at the end of each day on which it had a bad look or ended: the day, its row."""
        for number, outage in self._told():
            slot = self._slots[number]
            last_of_day = number + 1 == len(self._slots) or self._slots[number + 1].date() != slot.date()
            ended = outage.end == number
            if ended or (last_of_day and self._slots[outage.bad[-1]].date() == slot.date()):
                midnight = datetime.combine(slot.date(), datetime.min.time())
                yield midnight, self._outage(outage, midnight + _DAY)

    def current(self) -> Iterator[Row]:
        """The outage that the store is in, at each slot."""
        for number, outage in self._told():
            if outage.end is None:
                yield self._current(outage, number)

    def missed(self) -> Iterator[Row]:
        """A row for each slot without rows in which it should have been open."""
        for slot, row, near in zip(self._slots, self._rows, self._nearest, strict=True):
            is_known = near["scheduled_seconds"] is not None
            if row is None and is_known and (seconds := int(self._open_seconds(slot, slot + SLOT))):
                yield {name: near[name] for name in _WHO} | {"slot": slot, "scheduled_seconds": seconds}

    def _told(self) -> Iterator[tuple[int, _Outage]]:
        """The outage after each slot that is in one or ends it."""
        outage: _Outage | None = None
        good: int | None = None
        for number, kind in enumerate(self._kinds):
            if kind == "bad":
                outage = outage or _Outage(good, self._flaps(number))
                outage.bad.append(number)
            if kind == "good":
                good = number
            if outage:
                outage.end = number if kind == "good" else None
                yield number, outage
                outage = None if kind == "good" else outage

    def _flaps(self, first: int) -> int:
        """How often it was good for one look only in the hour before an outage."""
        four, three, two, one = (["off"] * 4 + self._kinds[max(0, first - 4) : first])[-4:]
        return ((two, one) == ("bad", "good")) + ((four, three, two) == ("bad", "good", "bad"))

    def _outage(self, outage: _Outage, until: datetime) -> Row:
        bad = [self._row(number) for number in outage.bad]
        began_by, ended_after = (self._look(outage.bad[place]) for place in (0, -1))
        ended_by = None if outage.end is None else self._look(outage.end)
        began_after, at_opening = self._before(outage)
        at_least = self._open_seconds(began_by, ended_after)
        tail = self._open_seconds(ended_after, ended_by or until)
        at_closing = tail < ((ended_by or until).replace(microsecond=0) - ended_after.replace(microsecond=0)) / _SECOND
        at_most = None
        if ended_by and began_after:
            before = began_by.replace(microsecond=0) - began_after.replace(microsecond=0)
            at_most = int(before / _SECOND + at_least + tail)
        given = [row["reason"] for row in bad if row["reason"]]
        reasons = dict(Counter(given).most_common(_MOST_REASONS))
        return {name: bad[-1][name] for name in _WHO} | {
            "outage_id": f"{bad[0]['store_id']}/{bad[0]['slot']:%Y%m%dT%H%MZ}",
            "began_after": began_after,
            "began_by": began_by,
            "ended_after": ended_after,
            "ended_by": ended_by,
            "is_open": ended_by is None,
            "bad_looks": len(bad),
            "unlisted_looks": sum(row["status"] == "unlisted" for row in bad),
            "unseen_looks": self._unseen(outage.bad[0], outage.bad[-1]),
            "lost_seconds": sum(row["scheduled_seconds"] for row in bad),
            "seconds_at_least": int(at_least),
            "seconds_at_most": at_most,
            "kind": ("mid_shift", "early_closing", "late_opening", "whole_shift")[2 * at_opening + at_closing],
            "first_reason": given[0] if given else None,
            "reasons": json.dumps(reasons, separators=(",", ":"), ensure_ascii=False) if reasons else None,
            "flaps": outage.flaps,
        }

    def _current(self, outage: _Outage, number: int) -> Row:
        bad = [self._row(one) for one in outage.bad]
        seen = self._rows[number]
        is_bad = outage.bad[-1] == number
        return {name: bad[-1][name] for name in _WHO} | {
            "slot": self._slots[number],
            "since_after": self._before(outage)[0],
            "since_by": self._look(outage.bad[0]),
            "status": seen and seen["status"],
            "reason": bad[-1]["reason"],
            "bad_looks": len(bad),
            "unseen_looks": self._unseen(outage.bad[0], outage.bad[-1]),
            "lost_seconds": sum(row["scheduled_seconds"] for row in bad),
            "is_new": is_bad and len(bad) == 1,
            "opened_at": self._opening(self._look(number)) if is_bad else None,
            "unseen_since": self._unseen(outage.bad[-1], number + 1),
        }

    def _before(self, outage: _Outage) -> tuple[datetime | None, bool]:
        """The latest instant at which it had not begun, and whether that is when the hours opened."""
        good = None if outage.good_before is None else self._look(outage.good_before)
        opening = self._opening(self._look(outage.bad[0]))
        if opening and (good is None or opening > good):
            return opening, True
        return good, False

    def _opening(self, look: datetime) -> datetime | None:
        """When the hours opened that a look lies in; not looked for more than a day before it."""
        minute = (look - self._origin) // _MINUTE
        while self._opens[minute - 1]:
            minute -= 1
        opening = self._origin + minute * _MINUTE
        return opening if opening >= look - _DAY else None

    def _row(self, number: int) -> Row:
        row = self._rows[number]
        assert row
        return row

    def _look(self, number: int) -> datetime:
        observed_at: datetime = self._row(number)["observed_at"]
        return observed_at

    def _unseen(self, first: int, after: int) -> int:
        """The slots between two that were not seen."""
        return self._kinds[first + 1 : after].count("unseen")

    def _open_seconds(self, start: datetime, end: datetime) -> float:
        """Seconds of the store's hours between two instants, which are cut to whole seconds."""
        return self._opened(end.replace(microsecond=0)) - self._opened(start.replace(microsecond=0))

    def _opened(self, instant: datetime) -> float:
        """Seconds of its hours from the origin to an instant."""
        minutes, rest = divmod(instant - self._origin, _MINUTE)
        return self._totals[minutes] + (rest / _SECOND if rest and self._opens[minutes] else 0)

    @cached_property
    def _totals(self) -> list[int]:
        return list(accumulate((60 * is_open for is_open in self._opens), initial=0))

    @cached_property
    def _opens(self) -> list[bool]:
        """Whether it is open, for each minute from the origin to the end of the last slot; closed at the origin."""
        count = (self._slots[-1] + SLOT - self._origin) // _MINUTE
        before = (self._slots[0] - self._origin) // SLOT
        as_of = [near["schedule_as_of"] for near in [self._nearest[0]] * before + self._nearest]
        return [n > 0 and self._is_open(as_of[n // 15], self._origin + n * _MINUTE) for n in range(count)]
