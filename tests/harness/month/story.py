"""What happens in the month: outages of every kind at the stores, and ticks that are missed, fail, or see only a part."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from tests.harness.month.stores import FIRST, LAST, MonthStore, moment
from tests.harness.open_hours import Interval, union
from tests.harness.oracle import SLOT

SEED = 12
# The country's first tick is so late on its first day, and fails. The first one with rows comes half an hour later.
FIRST_TICK = timedelta(hours=3, minutes=30)
MISSED_DAY = date(2026, 10, 14)
REASONS = ("kitchen_closed", "no_driver", "tablet_offline", 'said "não"', None)


@dataclass(frozen=True)
class Down:
    """A time in which a store is not shown as online."""

    start: datetime
    end: datetime
    listed: str  # always, never, or every other slot
    reasons: tuple[str | None, ...]  # one a slot, over and over

    def is_listed(self, slot: datetime) -> bool:
        """Whether the store has a document meanwhile."""
        return self.listed == "always" or (self.listed == "changing" and slot.minute in (0, 30))

    def reason(self, slot: datetime) -> str | None:
        """What the document says in a slot."""
        return self.reasons[int((slot - moment(1)) / SLOT) % len(self.reasons)]


@dataclass(frozen=True)
class Tick:
    """A country tick: whether it fails, when each half of the stores is looked at, and which half cannot be."""

    slot: datetime
    failed: bool
    looks: tuple[datetime, datetime]
    unseen: tuple[str | None, str | None]  # the reason, by half


def ticks(days: Sequence[int]) -> Iterator[Tick]:
    """The ticks of some days of the month. A slot without one was missed."""
    begin = moment(days[0]) + FIRST_TICK
    for slot in (moment(day) + number * SLOT for day in days for number in range(96)):
        rng = random.Random(f"{SEED} {slot}")
        looks = [_look(slot, rng) for _ in range(2)]
        unseen: tuple[str | None, str | None] = (None, None)
        if rng.random() < 0.015:
            unseen = rng.choice(((None, "live_view_incomplete"), ("late", "late")))
        if moment(4, 10) <= slot < moment(4, 11, 15):
            unseen = ("live_view_unavailable", None)
        if slot >= begin and not _missed(slot, rng):
            failed = slot < begin + 2 * SLOT or moment(26, 8) <= slot < moment(26, 8, 45) or rng.random() < 0.005
            yield Tick(slot, failed, (looks[0], looks[1]), unseen)


def _look(slot: datetime, rng: random.Random) -> datetime:
    """Most looks come soon, some at once, and all within ten minutes."""
    return slot + timedelta(seconds=600 * rng.random() ** 3 if rng.random() < 0.9 else 0)


def _missed(slot: datetime, rng: random.Random) -> bool:
    """Single slots, two hours around a midnight, the hour in which Europe's clocks change, and a whole day."""
    around_midnight = moment(4, 23) <= slot < moment(5, 1) or moment(25, 23, 45) <= slot < moment(26, 0, 30)
    clocks_change = moment(25, 0, 45) <= slot < moment(25, 1, 30)
    return rng.random() < 0.01 or around_midnight or clocks_change or slot.date() == MISSED_DAY


def downs(store: MonthStore) -> list[Down]:
    """A store's outages, in any order. They may overlap."""
    rng = random.Random(f"{SEED} {store.store_id}")
    found = [_down(rng, *interval) for shift in _shifts(store) for interval in _in_shift(rng, shift)]
    if store.number == 13:
        # More different reasons than an outage tells.
        reasons = tuple(f"reason {n}" for n in range(25))
        found += [Down(moment(day, 2), moment(day, 20), "always", reasons) for day in (4, 25)]
    if store.number in (21, 22, 77):
        found.append(Down(moment(24, 12 + store.number % 5), moment(40), "changing", REASONS))
    if store.number % 29 == 11:
        # While their schedules are bad nobody knows whether they are open.
        found.append(_down(rng, moment(3, 12), moment(24, 18)))
    if store.number == 3:
        # Always open, and down before anybody looked.
        found.append(_down(rng, moment(1), moment(3, 9)))
    if store.number == 33:
        # Always open, and its schedule was bad in the day before.
        found.append(_down(rng, moment(25, 15), moment(25, 16)))
    if store.number in (23, 24):
        # Over the whole missed day, and over all of a missed midnight.
        found += [_down(rng, moment(12, 20), moment(15, 16)), _down(rng, moment(4, 15), moment(5, 20))]
    return found


def down_at(found: list[Down], instant: datetime) -> Down | None:
    """The outage at an instant."""
    return next((down for down in found if down.start <= instant < down.end), None)


def _shifts(store: MonthStore) -> list[Interval]:
    """The store's hours, shift by shift; those around the clock are cut into days."""
    hours = []
    for number in range((LAST - FIRST).days + 3):
        day = FIRST + timedelta(days=number - 1)
        noon = max(datetime.combine(day, datetime.min.time()) + timedelta(hours=12), moment(1))
        version = [version for version in store.versions if version.since <= noon][-1]
        hours += version.hours.on(day)
    found = []
    for start, end in union(hours):
        while end - start > timedelta(hours=26):
            found.append((start, start + timedelta(hours=24)))
            start += timedelta(hours=24)
        found.append((start, end))
    return found


def _in_shift(rng: random.Random, shift: Interval) -> list[Interval]:
    """The outages of a shift: usually none."""
    start, end = shift
    what, length = rng.random(), timedelta(seconds=int(10 ** rng.uniform(1.5, 4)))
    within = start + (end - start) * rng.random()
    before, after = start - timedelta(minutes=30), end + timedelta(minutes=30)
    if what < 0.05:
        return [(before, start + length)]
    if what < 0.10:
        return [(end - length, after)]
    if what < 0.13:
        return [(before, after)]
    if what < 0.22:
        return [(within, within + length)]
    if what < 0.26:
        return _flapping(within, 2 + int(6 * rng.random()))
    if what < 0.28:
        return [(within, within + timedelta(minutes=11))]
    if what < 0.29:
        return [(within, within + timedelta(hours=rng.uniform(26, 110)))]
    return []


def _flapping(begin: datetime, times: int) -> list[Interval]:
    """Down for a slot or two, then up for one."""
    found, slot = [], begin.replace(minute=begin.minute // 15 * 15, second=0, microsecond=0)
    for number in range(times):
        length = SLOT * (1 + number % 2)
        found.append((slot, slot + length))
        slot += length + SLOT
    return found


def _down(rng: random.Random, start: datetime, end: datetime) -> Down:
    listed = rng.choices(("always", "never", "changing"), (6, 2, 2))[0]
    reasons = rng.choices(REASONS, k=rng.choice((1, 1, 2, 3)))
    return Down(start, end, listed, tuple(reasons))
