"""`make accuracy`: prints the tables of docs/accuracy.md, that is, how far what looks tell is from the truth.

A seed decides everything, so the same tables come out each time. It takes some minutes and needs no server.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from infra.local import cli
from infra.local.console import say
from tests.measure import intervals
from tests.measure.coverage import (
    PERIODS,
    SIZES,
    Held,
    groups_apart,
    groups_drawn,
    hold_alike,
    hold_common,
    hold_period,
)
from tests.measure.seen import bias_at_openings, by_day, late_and_early, see
from tests.measure.worlds import LENGTHS, SLOT, STORES, Counts, Floats, Rng, blocks, count, counted, look

# The world of the tables that show one: neither the best nor the worst.
_STORES, _LENGTHS = "varied", "70 % of 2 min, 25 % of 20 min, 5 % of 4 h"
_AFTER = (0, 60, 120, 200, 300, 450, 600)
_HOURS = 10.0
_HABITS = {
    "1 min late, 1 min early": (60, 60),
    "3 min late": (180, 0),
    "3 min late, 2 min early": (180, 120),
    "10 min late": (600, 0),
    "30 min late": (1800, 0),
}
Rows = Iterable[Sequence[str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options: how large, and how often."""
    parser.add_argument("--stores", type=int, default=10_000, help="stores of each world (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=2000, help="groups drawn of each size (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=12, help="decides everything (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Prints the tables."""
    alike, naive, period, long_run = Held(), Held(), Held(), Held()
    for number, world in enumerate((stores, lengths) for stores in STORES for lengths in LENGTHS):
        say("accuracy", f"stores: {world[0]}; outages: {world[1]}")
        rng = np.random.default_rng([args.seed, number])
        pool = counted(rng, args.stores, STORES[world[0]], LENGTHS[world[1]], PERIODS["quarter"])
        hold_alike(rng, pool, world, args.draws, alike, naive)
        hold_period(rng, pool, world, period, long_run)
        if world == (_STORES, _LENGTHS):
            typical = pool
    rng = np.random.default_rng([args.seed, len(STORES) * len(LENGTHS)])
    periods = ["stores", *PERIODS]
    show("Distance of period_low from the share", periods, widths(rng, typical, 200, of_period=True))
    show("Distance of low from the share", periods, widths(rng, typical, 200, of_period=False))
    show("low to high holds stores like these", periods, by_size(alike))
    show("An interval over independent looks holds stores like these", periods, by_size(naive))
    show("low to high holds the same stores in the long run", ["stores", *STORES], by_reliability(long_run))
    show("period_low to period_high holds the period", ["outages", *(f"{n:,}" for n in SIZES)], by_lengths(period))
    show(
        "A failure of all stores at once", ["minutes", "low to high", "period_low to period_high"], common(rng, typical)
    )
    show("Error of looking", ["outages", "mean", "spread", "by the formula"], looking_errors(rng, 4 * args.stores))
    head = [
        "outages",
        "min(1, L/D)",
        "hit",
        "told",
        "mean",
        "mean of told",
        "as told",
        "inside",
        "began before opening",
    ]
    show("Outages", head, outages_told(rng, args.stores // 10))
    show("Late openings", ["stores come and go", "lost", *(f"{after} s" for after in _AFTER)], at_openings(rng))
    rng = np.random.default_rng([args.seed, len(STORES) * len(LENGTHS) + 1])
    sums = told_by_day(rng, args.stores)
    show("Error of the number told", periods, farthest(rng, sums, told=1, of=0))
    show("Error of the mean length told", periods, farthest(rng, sums, told=3, of=2))
    return 0


def widths(rng: Rng, pool: Counts, groups: int, *, of_period: bool) -> Iterator[list[str]]:
    """A row a size: how far the lower end is below the share, in the middle of many groups, in percentage points."""
    for size in SIZES:
        row = [f"{size:,}"]
        for days in PERIODS.values():
            found = pool.between(0, days)
            group = found.of(np.concatenate(list(groups_drawn(rng, len(found.looks), size, groups))))
            share = 1 - group.bad.sum(axis=1) / group.looks.sum(axis=1)
            low, _ = intervals.period(group) if of_period else intervals.alike(group.looks, group.bad)
            row.append(points(float(np.median(share - low))))
        yield row


def by_size(held: Held) -> Iterator[list[str]]:
    """A row a size: the coverage in the worlds where it is least and where it is most, by period."""
    for size in SIZES:
        ranges = (held.extremes(size=size, period=period) for period in PERIODS)
        yield [f"{size:,}", *(f"{100 * least:.0f} to {100 * most:.0f} %" for least, most in ranges)]


def by_reliability(held: Held) -> Iterator[list[str]]:
    """A row a size: the coverage by kind of stores, over all periods and lengths."""
    for size in SIZES:
        yield [f"{size:,}", *(percent(held.share(reliability=stores, size=size)) for stores in STORES)]


def by_lengths(held: Held) -> Iterator[list[str]]:
    """A row a distribution of outages' lengths: the coverage by size, over all periods and kinds of stores."""
    for lengths in LENGTHS:
        yield [lengths, *(percent(held.share(lengths=lengths, size=size)) for size in SIZES)]


def common(rng: Rng, pool: Counts) -> Iterator[list[str]]:
    """A row a length of a failure that hits all of 1,000 stores in a week: the coverage."""
    for minutes in (0, 5, 20, 120):
        yield [f"{minutes}", *(percent(share) for share in hold_common(rng, pool, 1000, minutes, 1000))]


def looking_errors(rng: Rng, stores: int) -> Iterator[list[str]]:
    """A row a distribution: the error of the share of 100 stores in a week that comes from looking only."""
    for name, lengths in LENGTHS.items():
        errors, looks, squares = [], [], 0.0
        for world, after in blocks(rng, stores, STORES[_STORES], lengths, PERIODS["week"]):
            parts = (world.ends - world.begins) / SLOT % 1
            squares += float(np.sum(parts * (1 - parts)))
            found = count(world, look(world, after)).between(0, PERIODS["week"])
            group = found.of(groups_apart(rng, len(found.looks), 100))
            looks.append(group.looks.sum(axis=1))
            errors.append((group.lost.sum(axis=1) / SLOT - group.bad.sum(axis=1)) / looks[-1])
        every = np.concatenate(errors)
        formula = float(np.sqrt(squares / len(every)) / np.mean(np.concatenate(looks)))
        yield [name, f"{100 * float(every.mean()):+.3f}", points(float(every.std()), 3), points(formula, 3)]


def outages_told(rng: Rng, stores: int) -> Iterator[list[str]]:
    """A row a distribution: how many outages are told, how long, and whether their bounds hold the truth."""
    for name, lengths in LENGTHS.items():
        theory = np.mean(np.minimum(1, lengths.draw(rng, 1_000_000) / SLOT))
        found = [see(world, after) for world, after in blocks(rng, stores, STORES[_STORES], lengths, PERIODS["month"])]
        true, hit, told = (sum(getattr(one, part) for one in found) for part in ("true", "hit", "told"))
        span = np.concatenate([one.span for one in found])
        inside = np.average([one.inside for one in found], weights=[len(one.span) for one in found])
        seconds = np.average([one.told_seconds for one in found], weights=[one.told for one in found])
        before = np.mean(np.concatenate([one.began_before for one in found]))
        yield [
            name,
            *(percent(float(share)) for share in (theory, hit / true, told / true)),
            *(f"{float(value) / 60:.1f} min" for value in (lengths.mean, span.mean(), seconds)),
            *(percent(float(share)) for share in (inside, before)),
        ]


def told_by_day(rng: Rng, stores: int) -> Floats:
    """What by_day says of the world that is shown."""
    found = blocks(rng, stores, STORES[_STORES], LENGTHS[_LENGTHS], PERIODS["quarter"])
    return np.concatenate([by_day(world, after) for world, after in found], axis=1)


def farthest(rng: Rng, pool: Floats, told: int, of: int) -> Iterator[list[str]]:
    """A row a size: how far 95 of 100 groups at most are from what looks tell of all stores, of two rows of by_day."""
    usual = pool[told].sum() / pool[of].sum()
    for size in SIZES[:-1]:  # of the largest there is one group
        row = [f"{size:,}"]
        for days in PERIODS.values():
            errors = []
            for first in range(0, pool.shape[2] - days + 1, days):
                groups = groups_apart(rng, pool.shape[1], size)
                sums = pool[:, :, first : first + days].sum(axis=2)[:, groups].sum(axis=2)
                some = (sums[1] > 0) & (sums[of] > 0)
                errors.append(np.abs(sums[told][some] / sums[of][some] / usual - 1))
            error = float(np.quantile(np.concatenate(errors), 0.95))
            row.append(percent(error) if error < 1 else "> 100 %")
        yield row


def at_openings(rng: Rng) -> Iterator[list[str]]:
    """A row a habit of coming late and going early: the error of availability by the second of the look."""
    for name, (late, early) in _HABITS.items():
        comes, goes = late_and_early(rng, 1_000_000, _HOURS, late, early)
        lost = float(np.mean(comes + goes)) / (_HOURS * 3600)
        errors = (bias_at_openings(comes, goes, _HOURS, after) for after in _AFTER)
        yield [name, points(lost), *(f"{100 * error:+.2f}" for error in errors)]


def percent(share: float) -> str:
    """A share, to a tenth of a per cent."""
    return f"{100 * share:.1f} %"


def points(share: float, digits: int = 2) -> str:
    """A share in percentage points."""
    shown = f"{100 * share:.{digits}f}"
    return shown if float(shown) else f"< {10**-digits:.{digits}f}"


def show(title: str, head: Sequence[str], rows: Rows) -> None:
    """Prints a table as Markdown."""
    print(f"\n{title}\n")
    for row in (head, ["---"] * len(head), *rows):
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    sys.exit(cli.run(__name__, "make accuracy", sys.argv[1:]))
