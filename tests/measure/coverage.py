"""How often the intervals of availability_interval hold the truth, in worlds where the truth is known."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from tests.measure import intervals
from tests.measure.worlds import SLOT, Counts, Floats, Ints, Rng

SIZES = (5, 20, 100, 1000, 10_000)
PERIODS = {"day": 1, "week": 7, "month": 30, "quarter": 91}
# Stores that are drawn at once. More would only need more memory.
_AT_ONCE = 2_500_000


class Where(NamedTuple):
    """What a group of stores is of."""

    reliability: str
    lengths: str
    size: int
    period: str


@dataclass
class Held:
    """How many intervals there were, and how many of them held the truth."""

    all: Counter[Where] = field(default_factory=Counter)
    inside: Counter[Where] = field(default_factory=Counter)

    def add(self, where: Where, ends: tuple[Floats, Floats], truth: Floats | float) -> None:
        """Counts intervals."""
        self.all[where] += len(ends[0])
        self.inside[where] += int(np.sum((ends[0] <= truth) & (truth <= ends[1])))

    def share(self, **named: str | int) -> float:
        """The share that held the truth, of the intervals with these fields."""
        found = [where for where in self.all if all(getattr(where, name) == value for name, value in named.items())]
        return sum(self.inside[where] for where in found) / sum(self.all[where] for where in found)

    def extremes(self, **named: str | int) -> tuple[float, float]:
        """The same in the kind of world where it is least, and where it is most."""
        worlds = {where[:2] for where in self.all}
        shares = [self.share(reliability=reliability, lengths=lengths, **named) for reliability, lengths in worlds]
        return min(shares), max(shares)


def groups_apart(rng: Rng, stores: int, size: int) -> Ints:
    """Groups of stores, none in two of them."""
    return rng.permutation(stores)[: stores // size * size].reshape(-1, size)


def groups_drawn(rng: Rng, stores: int, size: int, groups: int) -> Iterator[Ints]:
    """Groups that are drawn with replacement, as if from endless stores like these, in batches."""
    batch = max(_AT_ONCE // size, 1)
    for first in range(0, groups, batch):
        yield rng.integers(0, stores, (min(batch, groups - first), size))


def hold_alike(rng: Rng, pool: Counts, world: tuple[str, str], groups: int, held: Held, naive: Held) -> None:
    """Counts how often `low` and `high` of some stores hold the availability of the pool that they are drawn from.

    And how often an interval does that takes looks for independent.
    """
    for period, days in PERIODS.items():
        found = pool.between(0, days)
        truth = 1 - float(found.bad.sum() / found.looks.sum())
        for size in SIZES:
            where = Where(*world, size, period)
            for chosen in groups_drawn(rng, len(found.looks), size, groups):
                looks, bad = found.looks[chosen], found.bad[chosen]
                held.add(where, intervals.alike(looks, bad), truth)
                naive.add(where, intervals.independent(looks, bad), truth)


def hold_period(rng: Rng, pool: Counts, world: tuple[str, str], held: Held, long_run: Held) -> None:
    """Counts how often `period_low` and `period_high` hold what the stores' availability was in the period.

    And how often `low` and `high` hold what these very stores have in the long run.
    """
    for period, found in _windows(pool):
        for size in (size for size in SIZES if size <= len(found.looks)):
            where = Where(*world, size, period)
            group = found.of(groups_apart(rng, len(found.looks), size))
            looks = group.looks.sum(axis=1)
            held.add(where, intervals.period(group), 1 - group.lost.sum(axis=1) / SLOT / looks)
            expected = (group.unavailability * group.looks).sum(axis=1) / looks
            long_run.add(where, intervals.alike(group.looks, group.bad), 1 - expected)


def hold_common(rng: Rng, pool: Counts, size: int, minutes: float, repetitions: int) -> tuple[float, float]:
    """The same two shares for weeks in which one failure of so many minutes hits all stores while they are open.

    It is looked at as one outage is: all stores see it once less or more together.
    """
    week = pool.between(0, PERIODS["week"])
    slots = minutes * 60 / SLOT
    extra = np.floor(slots + rng.random(repetitions)).astype(np.int64)[:, None]
    chosen = week.of(np.concatenate(list(groups_drawn(rng, len(week.looks), size, repetitions))))
    hit = Counts(
        chosen.unavailability,
        chosen.looks,
        np.minimum(chosen.bad + extra, chosen.looks),
        chosen.runs + (extra > 0),
        chosen.singles + (extra == 1),
        np.minimum(chosen.lost + minutes * 60, chosen.looks * SLOT),
    )
    alike, period = Held(), Held()
    where = Where("", "", size, "week")
    alike.add(where, intervals.alike(hit.looks, hit.bad), 1 - float(week.bad.sum() / week.looks.sum()))
    period.add(where, intervals.period(hit), 1 - hit.lost.sum(axis=1) / SLOT / hit.looks.sum(axis=1))
    return alike.share(), period.share()


def _windows(pool: Counts) -> Iterator[tuple[str, Counts]]:
    """All days, weeks and so on of the pool, none overlapping."""
    for period, days in PERIODS.items():
        for first in range(0, pool.looks.shape[1] - days + 1, days):
            yield period, pool.between(first, days)
