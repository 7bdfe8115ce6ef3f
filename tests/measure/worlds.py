"""Worlds whose truth is known to the second: stores, their outages in continuous time, and what looks see of them.

Time is open time, the stores' hours laid end to end, so that a store's looks are 15 minutes apart, and an outage that
reaches closing goes on at the next opening. All stores lie on one axis, one after the other.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Rng = np.random.Generator

SLOT = 900.0
# Stores that are drawn at once. More would only need more memory.
_BLOCK = 500
# Stores begin to alternate so many lengths of an outage before the first day. By then even a long tail has settled.
_BEFORE = 1000


@dataclass(frozen=True)
class Lengths:
    """A distribution of outages' lengths, in seconds."""

    mean: float
    draw: Callable[[Rng, int], Floats]


def exponential(mean: float) -> Lengths:
    """Lengths without a memory."""
    return Lengths(mean, lambda rng, count: rng.exponential(mean, count))


def fixed(length: float) -> Lengths:
    """Lengths that are all the same."""
    return Lengths(length, lambda _, count: np.full(count, length))


def mixture(parts: Mapping[float, float]) -> Lengths:
    """Exponential lengths of several means, each with its share of the outages."""
    means, shares = np.array(list(parts)), np.array(list(parts.values()))
    return Lengths(
        float(means @ shares), lambda rng, count: rng.exponential(means[rng.choice(len(means), count, p=shares)])
    )


def lognormal(median: float, sigma: float) -> Lengths:
    """Lengths with a long tail."""
    return Lengths(median * float(np.exp(sigma**2 / 2)), lambda rng, count: rng.lognormal(np.log(median), sigma, count))


LENGTHS = {
    "exponential, 20 s": exponential(20),
    "exponential, 2 min": exponential(120),
    "exponential, 10 min": exponential(600),
    "exponential, 45 min": exponential(2700),
    "exponential, 4 h": exponential(14_400),
    "70 % of 2 min, 25 % of 20 min, 5 % of 4 h": mixture({120: 0.7, 1200: 0.25, 14_400: 0.05}),
    "lognormal, median 10 min, mean 31 min": lognormal(600, 1.5),
    "all 5 min": fixed(300),
    "all 37.5 min": fixed(2250),
}
# How reliable the stores are: the share of its hours that each is out in the long run.
STORES: dict[str, Callable[[Rng, int], Floats]] = {
    "all alike": lambda _, count: np.full(count, 0.02),
    "varied": lambda rng, count: np.minimum(rng.exponential(0.03, count), 0.6),
    "one in twenty is bad": lambda rng, count: np.where(rng.random(count) < 0.05, 0.3, 0.005),
}


@dataclass(frozen=True)
class World:
    """Stores on one axis of open time, and their outages in order; none overlap."""

    days: int
    unavailability: Floats  # by store: the share of its hours in the long run
    slots: Ints  # by store: slots that it is open, a day
    begins: Floats
    ends: Floats

    @property
    def openings(self) -> Ints:
        """The slot of the axis at which each store's each day opens, and the end of the axis."""
        return np.concatenate([[0], np.cumsum(np.repeat(self.slots, self.days))])


@dataclass(frozen=True)
class Counts:
    """Stores by days: what was seen, and the seconds of outages that there were."""

    unavailability: Floats
    looks: Ints
    bad: Ints
    runs: Ints
    singles: Ints
    lost: Floats

    def between(self, first: int, days: int) -> "Counts":
        """The sums of some days, from the first on."""
        parts = (self.looks, self.bad, self.runs, self.singles, self.lost)
        return Counts(self.unavailability, *(part[:, first : first + days].sum(axis=1) for part in parts))

    def of(self, groups: Ints) -> "Counts":
        """The same for groups of stores, a row a group."""
        return Counts(*(getattr(self, part.name)[groups] for part in fields(self)))


def draw(rng: Rng, unavailability: Floats, lengths: Lengths, days: int) -> World:
    """A world: each store alternates between good time, which is exponential, and outages."""
    slots = rng.choice(np.array([24, 32, 48, 64]), len(unavailability), p=[0.2, 0.2, 0.4, 0.2])
    spans = slots * days * SLOT
    good = lengths.mean * (1 - unavailability) / unavailability
    before = _BEFORE * lengths.mean
    expected = (spans + before) / (good + lengths.mean)
    counts = np.ceil(expected + 8 * np.sqrt(expected) + 20).astype(np.int64)
    store = np.repeat(np.arange(len(slots)), counts)
    long = lengths.draw(rng, len(store))
    ends = np.cumsum(rng.exponential(1, len(store)) * good[store] + long)
    # Each store's time begins anew.
    ends -= np.concatenate([[0], ends])[np.cumsum(counts) - counts][store] + before
    begins = ends - long
    kept = (ends > 0) & (begins < spans[store])
    store, begins, ends = store[kept], np.maximum(begins[kept], 0), np.minimum(ends[kept], spans[store[kept]])
    offsets = np.cumsum(spans) - spans
    return World(days, unavailability, slots, begins + offsets[store], ends + offsets[store])


def look(world: World, after: float) -> Bools:
    """Whether the look into each slot of the axis, so many seconds after its start, finds an outage."""
    count = int(world.openings[-1])
    first, last = (np.ceil((at - after) / SLOT).astype(np.int64) for at in (world.begins, world.ends))
    change = np.bincount(first, minlength=count + 1) - np.bincount(last, minlength=count + 1)
    found: Bools = np.cumsum(change)[:count] > 0
    return found


def count(world: World, bad: Bools) -> Counts:
    """What the looks of each day saw. A run of bad looks ends at closing, for then its slots are not neighbours."""
    openings = world.openings
    opens = np.zeros(len(bad) + 1, dtype=np.bool_)
    opens[openings] = True
    starts = bad & (opens[:-1] | ~np.concatenate([[False], bad[:-1]]))
    stops = bad & (opens[1:] | ~np.concatenate([bad[1:], [False]]))

    def by_day(found: Bools) -> Ints:
        sums = np.concatenate([[0], np.cumsum(found)])[openings]
        return np.diff(sums).reshape(-1, world.days)

    at = openings * SLOT
    begun = np.searchsorted(world.begins, at)
    lost = np.concatenate([[0], np.cumsum(world.ends - world.begins)])[begun]
    lost -= np.maximum(np.concatenate([[0], world.ends])[begun] - at, 0)
    looks = np.repeat(world.slots[:, None], world.days, axis=1)
    return Counts(
        world.unavailability,
        looks,
        by_day(bad),
        by_day(starts),
        by_day(starts & stops),
        np.diff(lost).reshape(-1, world.days),
    )


def blocks(
    rng: Rng, stores: int, reliability: Callable[[Rng, int], Floats], lengths: Lengths, days: int
) -> Iterator[tuple[World, float]]:
    """Worlds that together have so many stores, each with the second of the slot at which it is looked at."""
    for first in range(0, stores, _BLOCK):
        unavailability = reliability(rng, min(_BLOCK, stores - first))
        yield draw(rng, unavailability, lengths, days), rng.random() * SLOT


def counted(rng: Rng, stores: int, reliability: Callable[[Rng, int], Floats], lengths: Lengths, days: int) -> Counts:
    """What the looks at so many stores see, day by day."""
    found = [count(world, look(world, after)) for world, after in blocks(rng, stores, reliability, lengths, days)]
    return Counts(*(np.concatenate([getattr(one, part.name) for one in found]) for part in fields(Counts)))
