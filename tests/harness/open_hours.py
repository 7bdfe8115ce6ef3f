"""When a store is open, over any time: the naive hours of `oracle`, each slot by the schedule that judged it.

Instants are naive UTC, as in the tables, in whole seconds.
"""

from bisect import bisect_right
from collections.abc import Mapping
from datetime import date, datetime, timedelta

from tests.harness.oracle import SLOT, Country, ScheduledStore, opened_on

Interval = tuple[datetime, datetime]
LONGEST_SEARCH = timedelta(hours=24)


class HoursUnknownError(Exception):
    """A slot's hours are not known: its schedule was bad, or is not in the table."""


class Hours:
    """The hours of one schedule. They are kept by date and by slot, because a month asks often."""

    def __init__(self, country: Country, store: ScheduledStore) -> None:
        self._country, self._store = country, store
        self._by_date: dict[date, list[Interval]] = {}
        self._by_slot: dict[datetime, list[Interval]] = {}

    def in_slot(self, slot: datetime) -> list[Interval]:
        """The open parts of a slot, in order and disjoint."""
        if slot not in self._by_slot:
            around = [interval for n in range(-3, 4) for interval in self.on(slot.date() + timedelta(days=n))]
            cut = [(max(start, slot), min(end, slot + SLOT)) for start, end in around]
            self._by_slot[slot] = union([(start, end) for start, end in cut if start < end])
        return self._by_slot[slot]

    def on(self, day: date) -> list[Interval]:
        """The hours that open on a local date."""
        if day not in self._by_date:
            found = opened_on(self._country, self._store, day)
            self._by_date[day] = [(start.replace(tzinfo=None), end.replace(tzinfo=None)) for start, end in found]
        return self._by_date[day]

    def seconds(self, slot: datetime) -> int:
        """How much of the slot is open."""
        return sum(int((end - start).total_seconds()) for start, end in self.in_slot(slot))

    def is_open(self, instant: datetime) -> bool:
        """Whether the store is open at an instant."""
        return any(start <= instant < end for start, end in self.in_slot(slot_of(instant)))


class JudgedHours:
    """A store's hours slot by slot: those by which its row was judged. A slot without a row has those of the nearest
    row before it; if there is none, of the first row."""

    def __init__(self, by_slot: Mapping[datetime, Hours | None]) -> None:
        self._by_slot, self._slots = by_slot, sorted(by_slot)

    def judged_in(self, slot: datetime) -> datetime:
        """The slot whose row says the hours of a slot."""
        return self._slots[max(bisect_right(self._slots, slot) - 1, 0)]

    def of(self, slot: datetime) -> Hours:
        """The hours of a slot."""
        found = self._by_slot[self.judged_in(slot)]
        if found is None:
            raise HoursUnknownError
        return found

    def open_seconds(self, begin: datetime, end: datetime) -> int:
        """The open time from one instant to another."""
        total, slot = timedelta(), slot_of(begin)
        while slot < end and begin < end:
            for start, stop in self.of(slot).in_slot(slot):
                total += max(min(stop, end) - max(start, begin), timedelta())
            slot += SLOT
        return int(total.total_seconds())

    def opened(self, at: datetime, since: datetime | None) -> datetime | None:
        """When the hours opened that contain the instant. None if that was not after `since`, or more than 24 hours
        before the instant."""
        first = at - LONGEST_SEARCH
        slot = slot_of(at)
        openings = [start for start, end in self.of(slot).in_slot(slot) if start <= at < end]
        if not openings:
            return None
        (opening,) = openings
        while opening == slot and opening >= first and (since is None or opening > since):
            slot -= SLOT
            before = self.of(slot).in_slot(slot)
            if not before or before[-1][1] < slot + SLOT:
                break
            opening = before[-1][0]
        return opening if opening >= first and (since is None or opening > since) else None


def union(intervals: list[Interval]) -> list[Interval]:
    """The intervals in order, with those joined that overlap or touch."""
    joined: list[Interval] = []
    for start, end in sorted(intervals):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return joined


def slot_of(instant: datetime) -> datetime:
    """The start of the slot of an instant."""
    return instant.replace(minute=instant.minute // 15 * 15, second=0, microsecond=0)
