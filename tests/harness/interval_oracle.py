"""What the view availability_interval should contain, computed a second time in plain Python from the stores' rows.

It shares nothing with the view's SQL, nor with the simulation that shows that the intervals hold.
"""

from datetime import date
from math import exp, log, sqrt

from infra.vocabulary import RATED
from tests.harness.views_oracle import SLOT, Row, Rows, Tables, grouped, latest, monday

_NORMAL = 1.96


def availability_interval(tables: Tables) -> Rows:
    """By period, and by country, region and chain."""
    rated = [row for row in tables["store_availability"] if row["status"] in RATED]
    found = []
    for period, first_of in (("day", str), ("week", monday), ("month", _month), ("quarter", _quarter)):
        told = [row | {"since": first_of(row["day"])} for row in rated]
        for (country, since), rows in grouped(told, lambda row: (row["country"], row["since"])):
            stores = [_store(own) for _, own in grouped(rows, lambda row: row["store_id"])]
            named = {"country": country, "period": period, "since": since}
            found.append(named | {"scope": "country", "region": None, "chain": None} | _shares(stores))
            for region, own in grouped(stores, lambda store: store["region"]):
                found.append(named | {"scope": "region", "region": region, "chain": None} | _shares(own))
            for chain, own in grouped(stores, lambda store: store["chain"]):
                found.append(named | {"scope": "chain", "region": None, "chain": chain} | _shares(own))
    return found


def _store(rows: Rows) -> Row:
    """A store's looks, and its bad ones in runs of neighbouring slots."""
    runs: list[int] = []
    before = None
    for slot in sorted(row["slot"] for row in rows if row["status"] != "available"):
        if before is not None and slot - before == SLOT:
            runs[-1] += 1
        else:
            runs.append(1)
        before = slot
    return latest(rows, "region", "chain") | {"looks": len(rows), "runs": runs}


def _shares(stores: Rows) -> Row:
    """The columns of one group of stores."""
    runs = [run for store in stores for run in store["runs"]]
    looks, bad = sum(store["looks"] for store in stores), sum(runs)
    low, high = _alike([(store["looks"], sum(store["runs"])) for store in stores]) if len(stores) > 1 else (None, None)
    period_low, period_high = _period(looks, runs)
    return {
        "stores": len(stores),
        "looks": looks,
        "bad_looks": bad,
        "bad_runs": len(runs),
        "availability": 1 - bad / looks,
        "low": low,
        "high": high,
        "period_low": period_low,
        "period_high": period_high,
    }


def _alike(stores: list[tuple[int, int]]) -> tuple[float, float]:
    """The interval of stores like these, from each one's looks and bad looks: on the scale of log odds."""
    count, looks, bad = len(stores), sum(store[0] for store in stores), sum(store[1] for store in stores)
    share = bad / looks
    unshown = 1 - 0.05 ** (1 / count)
    if bad == 0:
        return 1 - unshown, 1.0
    if bad == looks:
        return 0.0, unshown
    variance = count / (count - 1) * sum((own_bad - share * own) ** 2 for own, own_bad in stores) / looks**2
    variance = max(variance, share * (1 - share) / looks)
    freedom = min(count - 1, bad**2 / sum(own_bad**2 for _, own_bad in stores))
    margin = _student(freedom) * sqrt(variance) / (share * (1 - share))
    good = log((1 - share) / share)
    return min(_odds(good - margin), 1 - unshown), max(_odds(good + margin), unshown)


def _period(looks: int, runs: list[int]) -> tuple[float, float]:
    """The interval of the period: each end of a long run is off by less than a slot, short outages come by chance."""
    short = runs.count(1)
    ends = _NORMAL**2 * (len(runs) - short) / 4
    more = _poisson(short + 1, _NORMAL) - short
    fewer = short - _poisson(short, -_NORMAL) if short else 0.0
    available = 1 - sum(runs) / looks
    return max(available - sqrt(ends + more**2) / looks, 0.0), min(available + sqrt(ends + fewer**2) / looks, 1.0)


def _student(freedom: float) -> float:
    """Wallace's formula."""
    normal = _NORMAL * (8 * freedom + 3) / (8 * freedom + 1)
    return sqrt(freedom * (exp(normal**2 / freedom) - 1))


def _poisson(count: int, quantile: float) -> float:
    """Byar's formula."""
    return count * (1 - 1 / (9 * count) + quantile / (3 * sqrt(count))) ** 3


def _odds(log_odds: float) -> float:
    """The share that has these log odds. Those of a share near 0 are too small for exp."""
    return 1 / (1 + exp(-log_odds)) if log_odds > -700 else 0.0


def _month(day: str) -> str:
    return f"{day[:7]}-01"


def _quarter(day: str) -> str:
    found = date.fromisoformat(day)
    return f"{found.replace(month=(found.month - 1) // 3 * 3 + 1, day=1)}"
