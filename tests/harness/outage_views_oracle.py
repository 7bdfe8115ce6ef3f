"""What each view of outages should contain, computed a second time in plain Python from the rows of the tables' files.

It shares nothing with the views' SQL. Time that was lost comes from the stores' rows, not from the outages.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from statistics import mean

from infra.vocabulary import RATED
from tests.harness.views_oracle import SLOT, Row, Rows, Tables, bounds, grouped, looks, monday, rounded

BAD = ("unavailable", "unlisted")
WHO = ("name", "city", "region", "chain", "owner")
_BOUNDS = ("began_after", "began_by", "ended_after", "ended_by")


def outages_of(tables: Tables) -> Rows:
    """The last row of each outage, with minutes."""
    outages = grouped(tables["outages"], lambda row: (row["country"], row["outage_id"]))
    return [_with_minutes(max(rows, key=lambda row: row["day"])) for _, rows in outages]


def down_now(tables: Tables, now: datetime) -> Rows:
    """The bad stores of the last slot of each country that has rows of stores."""
    newest: dict[str, datetime] = {}
    for row in tables["store_availability"]:
        newest[row["country"]] = max(row["slot"], newest.get(row["country"], row["slot"]))
    rows = [row for row in tables["current_outages"] if row["slot"] == newest[row["country"]] and row["status"] in BAD]
    copied = ("country", "day", "slot", "store_id", *WHO, "status", "reason", "bad_looks", "unseen_looks", "is_new")
    found = []
    for row in rows:
        after, by, slot = row["since_after"], row["since_by"], row["slot"]
        others = [rounded(one["since_by"]) for one in rows if one["country"] == row["country"]]
        found.append(
            {name: row[name] for name in copied}
            | {"age_minutes": _minutes(slot, now), "lost_minutes": row["lost_seconds"] / 60}
            | {"place": 1 + sum(other < rounded(by) for other in others)}
            | {"since_after": after and rounded(after), "since_by": rounded(by)}
            | {"minutes_at_least": max(_minutes(by, slot), 0.0)}
            | {"minutes_at_most": _minutes(after, slot + SLOT) if after else None}
        )
    return found


def mean_time_to_recover(tables: Tables) -> Rows:
    """By week, region, chain and kind of the outages, each as it stood when the week ended."""
    names = ("country", "week", "region", "chain", "kind")
    told = grouped(tables["outages"], lambda row: (row["country"], monday(row["day"]), row["outage_id"]))
    weeks = [_with_minutes(max(rows, key=lambda row: row["day"])) | {"week": week} for (_, week, _), rows in told]
    found = []
    for key, rows in grouped(weeks, lambda row: tuple(row[name] for name in names)):
        own = sorted((row for row in rows if row["minutes"] is not None), key=lambda row: row["minutes"])
        least, most = ([row[name] for row in own] for name in ("minutes_at_least", "minutes_at_most"))
        found.append(
            dict(zip(names, key, strict=True))
            | {"ended": sum(not row["is_open"] for row in rows), "still_open": sum(row["is_open"] for row in rows)}
            | {"measured": len(own)}
            | {"minutes_at_least": sum(least) if own else None, "minutes_at_most": sum(most) if own else None}
            | {"mean_at_least": mean(least) if own else None, "mean_at_most": mean(most) if own else None}
            | {"mean_minutes": (sum(least) + sum(most)) / 2 / len(own) if own else None}
            | {"median_minutes": own[(len(own) - 1) // 2]["minutes"] if own else None}
        )
    return found


def worst_chains(tables: Tables) -> Rows:
    """By week and chain, ranked twice."""
    outages = grouped(tables["outages"], lambda row: (row["country"], row["outage_id"]))
    firsts = [min(rows, key=lambda row: row["day"]) for _, rows in outages]
    begun = Counter((row["country"], monday(row["day"]), row["chain"]) for row in firsts)
    found = []
    for (country, week), of_week in grouped(looks(tables), lambda row: (row["country"], monday(row["day"]))):
        ranked: Rows = []
        for chain, own in grouped(of_week, lambda row: row["chain"]):
            seen = [row for row in own if row["status"] in RATED]
            if chain is None or not seen:
                continue
            bad = [row for row in seen if row["status"] in BAD]
            days = len({(row["store_id"], row["day"]) for row in seen})
            stores = len({row["store_id"] for row in seen})
            lost = sum(row["scheduled_seconds"] for row in bad) / 60
            ranked.append(
                {"country": country, "week": week, "chain": chain, "stores": stores, "is_small": stores < 10}
                | {"store_days": days, "outages": begun[country, week, chain]}
                | {"lost_minutes": lost, "lost_minutes_per_store_day": lost / days}
                | {"available": len(seen) - len(bad), "not_available": len(bad)}
                | {"availability": (len(seen) - len(bad)) / len(seen)}
                | bounds(own)
            )
        for row in ranked:
            more = sum(other["lost_minutes"] > row["lost_minutes"] for other in ranked)
            lower = sum(other["availability"] < row["availability"] for other in ranked)
            found.append(row | {"place_by_lost_time": 1 + more, "place_by_availability": 1 + lower})
    return found


def flapping_stores(tables: Tables) -> Rows:
    """By week and store. Lost time and good looks come from the stores' rows."""
    found = []
    weeks = grouped(tables["outages"], lambda row: (row["country"], monday(row["day"]), row["store_id"]))
    looked = dict(
        grouped(tables["store_availability"], lambda row: (row["country"], monday(row["day"]), row["store_id"]))
    )
    for (country, week, store), rows in weeks:
        own = [row for row in rows if monday(f"{row['began_by']:%Y-%m-%d}") == week]
        flaps = {row["outage_id"]: row["flaps"] for row in own}
        if not sum(flaps.values()):
            continue
        first, last = min(row["began_by"] for row in own), max(row["ended_after"] for row in own)
        # An outage that began in the week before is none of these; its bad looks come before the first.
        within = [
            row
            for row in looked[country, week, store]
            if row["observed_at"] is not None and first <= row["observed_at"] <= last
        ]
        latest = max(own, key=lambda row: (row["began_by"], row["day"]))
        found.append(
            {"country": country, "week": week, "store_id": store}
            | {name: latest[name] for name in WHO}
            | {"outages": len(flaps), "flaps": sum(flaps.values())}
            | {"lost_minutes": sum(row["scheduled_seconds"] for row in within if row["status"] in BAD) / 60}
            | {"first_bad": rounded(first), "last_bad": rounded(last)}
            | {"good_looks": sum(row["status"] == "available" for row in within)}
        )
    return found


VIEWS: dict[str, Callable[[Tables], Rows]] = {
    "outages_of": outages_of,
    "mean_time_to_recover": mean_time_to_recover,
    "worst_chains": worst_chains,
    "flapping_stores": flapping_stores,
}


def _with_minutes(outage: Row) -> Row:
    """A row of the table as the engine reads it, with its durations in minutes."""
    least, most = outage["seconds_at_least"], outage["seconds_at_most"]
    return (
        outage
        | {name: outage[name] and rounded(outage[name]) for name in _BOUNDS}
        | {"lost_minutes": outage["lost_seconds"] / 60}
        | {"minutes_at_least": None if least is None else least / 60}
        | {"minutes_at_most": None if most is None else most / 60}
        | {"minutes": None if least is None or most is None else (least + most) / 120}
    )


def _minutes(start: datetime, end: datetime) -> float:
    return (rounded(end) - rounded(start)) // timedelta(seconds=1) / 60
