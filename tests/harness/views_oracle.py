"""What each view should contain, computed a second time in plain Python from the rows of the tables' files.

It shares nothing with the views' SQL. Where possible it starts from the stores' rows, not from the sums by city.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import Any

from infra.vocabulary import RATED, STATUSES

Row = dict[str, Any]
Rows = list[Row]
Tables = dict[str, Rows]  # table -> rows, each with its country and day

SLOT = timedelta(minutes=15)


def availability_hourly(tables: Tables) -> Rows:
    """By UTC hour."""
    groups = grouped(looks(tables), lambda row: (row["country"], row["day"], hour(row["slot"])))
    return [
        {"country": country, "day": day, "hour": start, "slots": slots(rows)}
        | {name: statuses(rows)[name] for name in STATUSES}
        | shares(rows)
        | bounds(rows)
        for (country, day, start), rows in groups
    ]


def availability_city_daypart(tables: Tables) -> Rows:
    """By city and part of the city's day. The city's clock is that of its first store that has one; a missed look's its own."""
    clocks: dict[Any, tuple[date, int] | None] = {}
    for place, rows in grouped(tables["store_availability"], lambda row: (row["country"], row["slot"], row["city"])):
        local = [(row["store_id"], row["local_date"], row["local_hour"]) for row in rows if row["local_date"]]
        clocks[place] = min(local)[1:] if local else None
    parts = ("night", "morning", "afternoon", "evening")

    def key(row: Row) -> tuple[Any, ...]:
        is_missed = row["status"] == "missed"
        own = row["local_date"], row["local_hour"]
        clock = own if is_missed else clocks[row["country"], row["slot"], row["city"]]
        local = (clock[0], parts[clock[1] // 6]) if clock else (None, None)
        return row["country"], row["day"], row["city"], *local

    return [
        dict(zip(("country", "day", "city", "local_date", "daypart"), found, strict=True))
        | {"slots": slots(rows)}
        | {name: statuses(rows)[name] for name in (*RATED, "unknown")}
        | shares(rows)
        | bounds(rows)
        for found, rows in grouped(looks(tables), key)
    ]


def worst_stores(tables: Tables) -> Rows:
    """By week and store, with nearest-rank percentiles over the country's stores."""
    by_week: dict[tuple[str, str], Rows] = defaultdict(list)
    for (country, week, store), own in grouped(
        looks(tables), lambda row: (row["country"], monday(row["day"]), row["store_id"])
    ):
        rows = [row for row in own if row["status"] in RATED]
        if not rows:
            continue
        seconds = sum(row["scheduled_seconds"] for row in rows)
        lost = sum(row["scheduled_seconds"] for row in rows if row["status"] != "available")
        by_week[country, week].append(
            {"country": country, "week": week, "store_id": store}
            | latest(rows, "name", "city")
            | {"scheduled_minutes": seconds / 60, "unavailable_minutes": lost / 60}
            | {"availability": statuses(rows)["available"] / len(rows)}
            | {"availability_weighted": (seconds - lost) / seconds if seconds else None}
            | bounds(own)
        )
    found = []
    for rows in by_week.values():
        minutes = sorted(row["unavailable_minutes"] for row in rows)
        ranks = {name: minutes[-(-len(minutes) * percent // 100) - 1] for name, percent in (("p50", 50), ("p95", 95))}
        for row in rows:
            place = 1 + sum(other > row["unavailable_minutes"] for other in minutes)
            found.append(row | {"place": place, "p50_minutes": ranks["p50"], "p95_minutes": ranks["p95"]})
    return found


def unexpected_stores(tables: Tables) -> Rows:
    """By day and store."""
    rows = [row for row in tables["store_availability"] if row["status"] == "unexpected"]
    return [
        {"country": country, "day": day, "store_id": store} | latest(own, "name", "city", "timezone") | span(own)
        for (country, day, store), own in grouped(rows, lambda row: (row["country"], row["day"], row["store_id"]))
    ]


def reasons_ranked(tables: Tables) -> Rows:
    """By day, status and reason."""
    rows = [row for row in tables["store_availability"] if row["status"] in ("unavailable", "unlisted", "unknown")]
    found = []
    for (country, day), own in grouped(rows, lambda row: (row["country"], row["day"])):
        counts = Counter((row["status"], row["reason"]) for row in own)
        for (status, reason), ticks in counts.items():
            same = [row for row in own if (row["status"], row["reason"]) == (status, reason)]
            seconds = [row["scheduled_seconds"] for row in same if row["scheduled_seconds"] is not None]
            found.append(
                {"country": country, "day": day, "status": status, "reason": reason, "ticks": ticks}
                | {"place": 1 + sum(other > ticks for other in counts.values())}
                | {"stores": len({row["store_id"] for row in same})}
                | {"scheduled_minutes": sum(seconds) / 60 if seconds else None}
            )
    return found


def orphans_and_unlisted(tables: Tables) -> Rows:
    """By day, status and store."""
    rows = [row for row in tables["store_availability"] if row["status"] in ("orphan", "unlisted")]
    groups = grouped(rows, lambda row: (row["country"], row["day"], row["status"], row["store_id"]))
    return [
        dict(zip(("country", "day", "status", "store_id"), key, strict=True)) | latest(own, "name", "city") | span(own)
        for key, own in groups
    ]


def expected_slots(tables: Tables, now: datetime) -> Rows:
    """From each country's first slot to the last one that has ended."""
    found = []
    for country, rows in grouped(tables["country_ticks"], lambda row: row["country"]):
        known = {row["slot"]: row for row in rows}
        slot = min(known)
        while slot + SLOT <= now:
            tick = known.get(slot, {"outcome": "missing"})
            own = {name: tick.get(name) for name in ("outcome", "stores", "coverage", "error")}
            found.append({"country": country, "day": f"{slot:%Y-%m-%d}", "slot": slot} | own)
            slot += SLOT
    return found


def coverage_daily(tables: Tables, now: datetime) -> Rows:
    """By day. Coverage comes from the stores' own rows, not from the ticks."""
    stores: dict[tuple[str, str], Rows] = dict(
        grouped(tables["store_availability"], lambda row: (row["country"], row["day"]))
    )
    # A slot that has not ended is not expected, so its rows are not counted.
    found = []
    for key, rows in grouped(expected_slots(tables, now), lambda row: (row["country"], row["day"])):
        outcomes = Counter(row["outcome"] for row in rows)
        ended = {row["slot"] for row in rows}
        own = [row for row in stores.get(key, []) if row["slot"] in ended]
        found.append(
            {"country": key[0], "day": key[1], "expected": len(rows)}
            | {name: outcomes[name] for name in ("complete", "partial", "failed", "missing")}
            | {"slots_observed": (outcomes["complete"] + outcomes["partial"]) / len(rows)}
            | {"coverage": shares(own)["coverage"]}
        )
    return found


def schedule_staleness(tables: Tables) -> Rows:
    """By slot. The engine reads times to the millisecond."""
    found = []
    for row in tables["country_ticks"]:
        as_of = row["schedule_as_of"] and rounded(row["schedule_as_of"])
        own = {name: row[name] for name in ("country", "day", "slot", "outcome")}
        seconds = None if as_of is None else int((row["slot"] - as_of).total_seconds())
        found.append(own | {"schedule_as_of": as_of, "stale_seconds": seconds})
    return found


def judged_by(tables: Tables) -> Rows:
    """By store and slot, each with the schedule that was valid at the time of its reading."""
    schedules = dict(grouped(tables["store_schedules"], lambda row: (row["country"], row["day"], row["store_id"])))
    names = ("country", "day", "slot", "store_id", "name", "city", "status", "reason")
    found = []
    for row in tables["store_availability"]:
        as_of = row["schedule_as_of"]
        own = [
            schedule
            for schedule in schedules.get((row["country"], row["day"], row["store_id"]), [])
            if schedule["valid_from"] <= as_of and not (schedule["valid_until"] and schedule["valid_until"] <= as_of)
        ]
        assert len(own) <= 1, own
        told = own[0] if own else {}
        found.append(
            {name: row[name] for name in names}
            | {name: row[name] and rounded(row[name]) for name in ("observed_at", "schedule_as_of")}
            | {name: row[name] for name in ("scheduled", "scheduled_seconds", "timezone")}
            | {name: told.get(name) for name in ("weekly", "exceptions", "problem")}
            | {name: told.get(name) and rounded(told[name]) for name in ("valid_from", "valid_until")}
        )
    return found


def is_same(found: Row, expected: Row) -> bool:
    """Whether two rows agree. Shares are compared to the digits that do not depend on the order of summing."""
    return found.keys() == expected.keys() and all(
        is_near(value, expected[name], 1e-9) for name, value in found.items()
    )


def is_near(one: Any, other: Any, within: float) -> bool:
    """Whether two values are equal, or numbers that are close."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=within)
    return one == other


def shares(rows: Rows) -> Row:
    """The contract's three shares of stores' rows."""
    counts = statuses(rows)
    rated = sum(counts[status] for status in RATED)
    seconds = {name: sum(row["scheduled_seconds"] for row in rows if row["status"] == name) for name in RATED}
    stores = len(rows) - counts["orphan"] - counts["missed"]
    return {
        "availability": counts["available"] / rated if rated else None,
        "availability_weighted": seconds["available"] / sum(seconds.values()) if sum(seconds.values()) else None,
        "coverage": 1 - counts["unknown"] / stores if stores else None,
    }


def looks(tables: Tables) -> Rows:
    """The rows of stores, and those that are missing because their slot was missed."""
    return [*tables["store_availability"], *(row | {"status": "missed"} for row in tables["missed_looks"])]


def bounds(rows: Rows) -> Row:
    """How many looks were not seen, and the availability if all of these had been bad, or good."""
    counts = statuses(rows)
    unseen = counts["missed"] + sum(row["status"] == "unknown" and row["scheduled_seconds"] != 0 for row in rows)
    whole = sum(counts[status] for status in RATED) + unseen
    return {
        "unseen": unseen,
        "availability_low": counts["available"] / whole if whole else None,
        "availability_high": (counts["available"] + unseen) / whole if whole else None,
    }


def grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> list[tuple[Any, Rows]]:
    """The rows by a key, in the order in which the keys appear."""
    groups: dict[Any, Rows] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return list(groups.items())


def statuses(rows: Rows) -> Counter[str]:
    """The number of rows per status."""
    return Counter(row["status"] for row in rows)


def slots(rows: Rows) -> int:
    """The number of slots in the rows, without missed ones."""
    return len({row["slot"] for row in rows if row["status"] != "missed"})


def latest(rows: Rows, *names: str) -> Row:
    """Some columns, with their values in the last slot."""
    last = max(rows, key=lambda row: row["slot"])
    return {name: last[name] for name in names}


def span(rows: Rows) -> Row:
    """How often, since when and until when."""
    found = [row["slot"] for row in rows]
    return {"ticks": len(found), "first_slot": min(found), "last_slot": max(found)}


def hour(slot: datetime) -> datetime:
    """The start of the slot's hour."""
    return slot.replace(minute=0)


def monday(day: str) -> str:
    """The Monday of a day's week."""
    found = date.fromisoformat(day)
    return f"{found - timedelta(days=found.isoweekday() - 1)}"


def rounded(instant: datetime) -> datetime:
    """Rounds to the millisecond, halves up."""
    return instant.replace(microsecond=0) + timedelta(milliseconds=(instant.microsecond + 500) // 1000)
