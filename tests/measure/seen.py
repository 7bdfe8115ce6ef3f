"""Outages as looks tell them, beside the true ones: how many, how long, and whether the bounds hold the truth."""

from dataclasses import dataclass

import numpy as np

from tests.measure.worlds import SLOT, Bools, Floats, Ints, Rng, World, look


@dataclass(frozen=True)
class Seen:
    """A world's outages as its looks tell them. The arrays have a row for each one told that is not cut off."""

    true: int  # outages that there were
    hit: int  # the ones of them that a look fell into
    told: int  # outages told: several true ones are one if no good look lies between them
    told_seconds: float  # on average, 15 minutes a bad look
    span: Floats  # from the true begin, or the opening if it began before, to the true end
    at_least: Floats
    at_most: Floats
    began_before: Bools  # began after the last look of the day before, unseen

    @property
    def inside(self) -> float:
        """The share of the true lengths inside their bounds."""
        near = 1e-6  # times are floating point numbers
        return float(np.mean((self.at_least <= self.span + near) & (self.span <= self.at_most + near)))


def see(world: World, after: float) -> Seen:
    """Looks at a world, and compares what is told with what was. The bounds are those of the table `outages`."""
    bad = look(world, after)
    openings = world.openings
    of_store = np.zeros(len(bad) + 1, dtype=np.bool_)
    of_store[openings[:: world.days]] = True
    of_day = np.zeros(len(bad) + 1, dtype=np.bool_)
    of_day[openings] = True
    first, last = _runs(bad, of_store)
    told = len(first)
    # A store's history begins and ends somewhere: there one bound is not known.
    whole = ~of_store[first] & ~of_store[last + 1]
    told_seconds = float(np.mean(last - first + 1)) * SLOT
    first, last = first[whole], last[whole]
    opening = first * SLOT
    opens = of_day[first]
    began = world.begins[np.searchsorted(world.begins, first * SLOT + after, side="right") - 1]
    ended = world.ends[np.searchsorted(world.begins, last * SLOT + after, side="right") - 1]
    at_least: Floats = (last - first).astype(np.float64) * SLOT
    at_most: Floats = at_least + np.where(opens, after, SLOT) + SLOT
    span: Floats = ended - np.where(opens, np.maximum(began, opening), began)
    hits = np.ceil((world.begins - after) / SLOT) < np.ceil((world.ends - after) / SLOT)
    return Seen(
        len(world.begins),
        int(hits.sum()),
        told,
        told_seconds,
        span,
        at_least,
        at_most,
        opens & (began < opening),
    )


def by_day(world: World, after: float) -> Floats:
    """Stores by days: outages to be told on average, outages told, their true seconds, and their seconds as told."""
    bad = look(world, after)
    openings = world.openings
    of_store = np.zeros(len(bad) + 1, dtype=np.bool_)
    of_store[openings[:: world.days]] = True
    first, last = _runs(bad, of_store)
    began = world.begins[np.searchsorted(world.begins, first * SLOT + after, side="right") - 1]
    ended = world.ends[np.searchsorted(world.ends, last * SLOT + after, side="right")]
    days = len(openings) - 1
    true = np.searchsorted(openings * SLOT, world.begins, side="right") - 1
    told = np.searchsorted(openings, first, side="right") - 1
    sums = (
        np.bincount(true, np.minimum(1, (world.ends - world.begins) / SLOT), days),
        np.bincount(told, minlength=days).astype(np.float64),
        np.bincount(told, ended - began, days),
        np.bincount(told, (last - first + 1) * SLOT, days),
    )
    return np.stack([one.reshape(-1, world.days) for one in sums])


def _runs(bad: Bools, of_store: Bools) -> tuple[Ints, Ints]:
    """The first and the last slot of each run of bad looks of a store, over its closed hours."""
    first = np.flatnonzero(bad & (of_store[:-1] | ~np.concatenate([[False], bad[:-1]])))
    last = np.flatnonzero(bad & (of_store[1:] | ~np.concatenate([bad[1:], [False]])))
    return first, last


def late_and_early(rng: Rng, shifts: int, hours: float, late: float, early: float) -> tuple[Floats, Floats]:
    """Seconds by which stores come online after opening and go offline before closing, exponential with these means."""
    span = hours * 3600
    comes = np.minimum(rng.exponential(late, shifts) if late else np.zeros(shifts), span)
    goes = np.minimum(rng.exponential(early, shifts) if early else np.zeros(shifts), span)
    return comes, goes


def bias_at_openings(comes: Floats, goes: Floats, hours: float, after: float) -> float:
    """Availability as looked at, minus the true one, of shifts that open and close where slots begin.

    Each is looked at so many seconds after the start of every slot.
    """
    span = hours * 3600
    slots = span / SLOT
    # Looks at 0, 1, 2 … slots: the ones before it comes, and the ones from when it goes.
    bad = np.ceil((comes - after) / SLOT).clip(0) + (slots - np.ceil((span - goes - after) / SLOT)).clip(0)
    true = comes + goes
    return float(np.mean(true) / span - np.mean(bad) / slots)
