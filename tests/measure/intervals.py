"""The two intervals of the view availability_interval, for many groups of stores at once.

The arguments have a row a group and a column a store. tests/e2e/analysts/test_accuracy.py compares them with the
view's oracle.
"""

import numpy as np

from tests.measure.worlds import Counts, Floats, Ints

NORMAL = 1.96


def alike(looks_by_store: Ints, bad_by_store: Ints) -> tuple[Floats, Floats]:
    """`low` and `high`: of stores like these, in periods like this one."""
    stores = looks_by_store.shape[1]
    looks, bad = looks_by_store.sum(axis=1), bad_by_store.sum(axis=1)
    share = bad / looks
    left = bad_by_store - share[:, None] * looks_by_store
    variance = np.maximum(
        stores / (stores - 1) * (left**2).sum(axis=1) / looks**2,
        share * (1 - share) / looks,
    )
    unshown = 1 - 0.05 ** (1 / stores)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        freedom = np.minimum(stores - 1, bad.astype(np.float64) ** 2 / (bad_by_store**2).sum(axis=1))
        margin = student(freedom) * np.sqrt(variance) / (share * (1 - share))
        odds = share / (1 - share)
        low, high = 1 / (1 + odds * np.exp(margin)), 1 / (1 + odds / np.exp(margin))
    low, high = np.minimum(low, 1 - unshown), np.maximum(high, unshown)
    return (
        np.where(share == 0, 1 - unshown, np.where(share == 1, 0, low)),
        np.where(share == 0, 1, np.where(share == 1, unshown, high)),
    )


def period(counts: Counts) -> tuple[Floats, Floats]:
    """`period_low` and `period_high`: of just these stores in just this period."""
    looks, bad, runs, singles = (
        getattr(counts, name).sum(axis=1).astype(np.float64) for name in ("looks", "bad", "runs", "singles")
    )
    ends = NORMAL**2 * (runs - singles) / 4
    more = poisson(singles + 1, NORMAL) - singles
    fewer = singles - np.where(singles == 0, 0, poisson(np.maximum(singles, 1), -NORMAL))
    share = bad / looks
    return (
        np.maximum(1 - share - np.sqrt(ends + more**2) / looks, 0),
        np.minimum(1 - share + np.sqrt(ends + fewer**2) / looks, 1),
    )


def independent(looks_by_store: Ints, bad_by_store: Ints) -> tuple[Floats, Floats]:
    """What the view does not do: Wilson's interval, as if no look resembled another."""
    looks, share = looks_by_store.sum(axis=1), bad_by_store.sum(axis=1) / looks_by_store.sum(axis=1)
    middle = (share + NORMAL**2 / 2 / looks) / (1 + NORMAL**2 / looks)
    margin = NORMAL * np.sqrt(share * (1 - share) / looks + NORMAL**2 / 4 / looks**2) / (1 + NORMAL**2 / looks)
    return 1 - middle - margin, 1 - middle + margin


def student(freedom: Floats) -> Floats:
    """The quantile of Student's distribution that belongs to NORMAL, by Wallace's formula: too large below 2."""
    found: Floats = np.sqrt(freedom * (np.exp((NORMAL * (8 * freedom + 3) / (8 * freedom + 1)) ** 2 / freedom) - 1))
    return found


def poisson(count: Floats, quantile: float) -> Floats:
    """Byar's formula for the limits of a Poisson mean."""
    found: Floats = count * (1 - 1 / (9 * count) + quantile / (3 * np.sqrt(count))) ** 3
    return found
