"""What each worked query should answer, computed a second time in plain Python from rows or the views' oracle.

Each takes the tables' rows and the query's days, and returns rows with the query's order of columns.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.harness import outage_views_oracle as outages
from tests.harness import views_oracle as views
from tests.harness.views_oracle import Rows, Tables, grouped

Answer = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Days:
    """The queries' dates: one day, the days of a week, and three days of it."""

    day: str
    week: tuple[str, str]

    def holds(self, day: str) -> bool:
        """Whether a day is in the week."""
        return self.week[0] <= day <= self.week[1]


def availability_of_a_day(tables: Tables, days: Days) -> Answer:
    rows = [row for row in views.availability_hourly(tables) if (row["country"], row["day"]) == ("es", days.day)]
    return [
        (
            row["hour"],
            row["slots"],
            row["available"],
            row["unavailable"] + row["unlisted"],
            row["unknown"],
            row["availability"],
            row["availability_weighted"],
        )
        for row in sorted(rows, key=lambda row: row["hour"])
    ]


def city_by_daypart(tables: Tables, days: Days) -> Answer:
    rows = _of(views.availability_city_daypart(tables), "mx", days)
    found = []
    for (city, part), own in grouped(rows, lambda row: (row["city"], row["daypart"])):
        good = sum(row["available"] for row in own)
        bad = sum(row["unavailable"] + row["unlisted"] for row in own)
        found.append((city, part, good, bad, good / (good + bad) if good + bad else None))
    order = ("night", "morning", "afternoon", "evening", None)
    return sorted(found, key=lambda row: (row[0] is None, row[0] or "", order.index(row[1])))


def worst_stores_of_a_week(tables: Tables, days: Days) -> Answer:
    rows = [row for row in views.worst_stores(tables) if (row["country"], row["week"]) == ("es", days.week[0])]
    names = ("place", "store_id", "name", "city", "unavailable_minutes", "availability_weighted")
    best = sorted((row for row in rows if row["place"] <= 5), key=lambda row: (row["place"], row["store_id"]))
    return [(*(row[name] for name in names), row["p50_minutes"], row["p95_minutes"]) for row in best]


def longest_outages(tables: Tables, days: Days) -> Answer:
    rows = [
        row
        for row in outages.outages_of(tables)
        if (row["country"], row["day"]) == ("es", days.day) and not row["is_open"]
    ]
    names = ("store_id", "name", "chain", "began_by", "ended_by", "lost_minutes", "minutes_at_least", "minutes_at_most")
    longest = sorted(rows, key=lambda row: (-row["lost_minutes"], row["began_by"], row["store_id"]))[:5]
    return [tuple(row[name] for name in (*names, "kind", "first_reason")) for row in longest]


def online_out_of_hours(tables: Tables, days: Days) -> Answer:
    rows = _of(views.unexpected_stores(tables), "es", days)
    found = [
        (*key, len({row["day"] for row in own}), sum(row["ticks"] for row in own), max(row["last_slot"] for row in own))
        for key, own in grouped(rows, lambda row: (row["store_id"], row["name"], row["city"]))
    ]
    return sorted(found, key=lambda row: (-row[4], row[0]))[:5]


def reasons_of_a_week(tables: Tables, days: Days) -> Answer:
    found = []
    rows = _of(views.reasons_ranked(tables), "es", days)
    for (status, reason), own in grouped(rows, lambda row: (row["status"], row["reason"])):
        minutes = [row["scheduled_minutes"] for row in own if row["scheduled_minutes"] is not None]
        hours = sum(minutes) / 60 if minutes else None
        found.append((status, reason, sum(row["ticks"] for row in own), hours))
    return sorted(found, key=lambda row: (-row[2], row[0], row[1] is None, row[1] or ""))


def orphans_and_unlisted(tables: Tables, days: Days) -> Answer:
    rows = _of(views.orphans_and_unlisted(tables), "mx", days)
    found = [
        (
            *key,
            len({row["day"] for row in own}),
            sum(row["ticks"] for row in own),
            min(row["first_slot"] for row in own),
        )
        for key, own in grouped(rows, lambda row: (row["status"], row["store_id"], row["name"]))
    ]
    return sorted(found, key=lambda row: (-row[4], row[1]))[:5]


def missing_slots(tables: Tables, days: Days) -> Answer:
    rows = [row for row in views.expected_slots(tables, _now()) if (row["country"], row["day"]) == ("mx", days.day)]
    return [(row["slot"], row["outcome"], row["error"]) for row in rows if row["outcome"] in ("missing", "failed")]


def coverage_of_a_week(tables: Tables, days: Days) -> Answer:
    names = ("country", "day", "expected", "complete", "partial", "failed", "missing", "slots_observed", "coverage")
    rows = [row for row in views.coverage_daily(tables, _now()) if row["country"] in ("es", "mx")]
    found = [tuple(row[name] for name in names) for row in rows if days.holds(row["day"])]
    return sorted(found, key=lambda row: row[:2])


def stale_schedules(tables: Tables, days: Days) -> Answer:
    names = ("country", "slot", "outcome", "schedule_as_of")
    found = [
        (*(row[name] for name in names), row["stale_seconds"] // 60)
        for row in views.schedule_staleness(tables)
        if row["country"] in ("es", "mx") and days.holds(row["day"]) and (row["stale_seconds"] or 0) > 900
    ]
    return sorted(found)


def why_judged_so(tables: Tables, days: Days) -> Answer:
    rows = [
        row
        for row in views.judged_by(tables)
        if (row["country"], row["day"], row["store_id"]) == ("es", days.day, "110")
    ]
    names = ("status", "exceptions", "problem", "timezone", "weekly")
    found = []
    for (status, *schedule), own in grouped(rows, lambda row: tuple(row[name] for name in names)):
        seen = [row["slot"] for row in own]
        found.append((status, len(own), min(seen), max(seen), *schedule))
    return sorted(found, key=lambda row: (row[2], row[0]))


def down_now(tables: Tables, days: Days) -> Answer:
    rows = [row for row in outages.down_now(tables, _now()) if (row["country"], row["day"]) == ("mx", days.day)]
    names = ("place", "store_id", "name", "chain", "region", "owner", "status", "reason", "since_by")
    ranked = sorted(rows, key=lambda row: (row["place"], row["store_id"]))
    return [tuple(row[name] for name in (*names, "minutes_at_most", "lost_minutes")) for row in ranked]


def recovery_by_chain(tables: Tables, days: Days) -> Answer:
    told = [row for row in tables["outages"] if row["country"] == "es" and views.monday(row["day"]) == days.week[0]]
    lasts = [max(rows, key=lambda row: row["day"]) for _, rows in grouped(told, lambda row: row["outage_id"])]
    found = []
    for chain, own in grouped(lasts, lambda row: row["chain"]):
        ended = [row for row in own if not row["is_open"]]
        bounds = [
            (row["seconds_at_least"], row["seconds_at_most"]) for row in ended if row["seconds_at_most"] is not None
        ]
        least, most = (sum(bound[n] for bound in bounds) / 60 / len(bounds) if bounds else None for n in (0, 1))
        middle = None if least is None or most is None else (least + most) / 2
        found.append((chain, len(ended), len(own) - len(ended), least, middle, most))
    return sorted(found, key=lambda row: (-row[1], row[0] is None, row[0] or ""))


def late_openings_by_region(tables: Tables, days: Days) -> Answer:
    rows = [row for row in _of(outages.outages_of(tables), "es", days) if row["kind"] == "late_opening"]
    found = []
    for region, own in grouped(rows, lambda row: row["region"]):
        minutes = [row["minutes"] for row in own if row["minutes"] is not None]
        lost = sum(row["lost_minutes"] for row in own)
        average = sum(minutes) / len(minutes) if minutes else None
        found.append((region, len(own), len({row["store_id"] for row in own}), lost, average))
    return sorted(found, key=lambda row: (-row[1], row[0] is None, row[0] or ""))


def flapping_stores(tables: Tables, days: Days) -> Answer:
    rows = [row for row in outages.flapping_stores(tables) if (row["country"], row["week"]) == ("es", days.week[0])]
    names = ("store_id", "name", "chain", "owner", "outages", "flaps", "lost_minutes", "good_looks")
    ranked = sorted(rows, key=lambda row: (-row["flaps"], row["store_id"]))
    return [tuple(row[name] for name in names) for row in ranked]


ORACLES: dict[str, Callable[[Tables, Days], Answer]] = {
    "01_availability_of_a_day": availability_of_a_day,
    "02_city_by_daypart": city_by_daypart,
    "03_worst_stores_of_a_week": worst_stores_of_a_week,
    "04_longest_outages": longest_outages,
    "05_online_out_of_hours": online_out_of_hours,
    "06_reasons_of_a_week": reasons_of_a_week,
    "07_orphans_and_unlisted": orphans_and_unlisted,
    "08_missing_slots": missing_slots,
    "09_coverage_of_a_week": coverage_of_a_week,
    "10_stale_schedules": stale_schedules,
    "11_why_judged_so": why_judged_so,
    "12_down_now": down_now,
    "13_recovery_by_chain": recovery_by_chain,
    "14_late_openings_by_region": late_openings_by_region,
    "15_flapping_stores": flapping_stores,
}


def _of(rows: Iterable[dict[str, Any]], country: str, days: Days) -> Rows:
    return [row for row in rows if row["country"] == country and days.holds(row["day"])]


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def week_of(day: str) -> tuple[str, str]:
    """The Monday and the Sunday of a day's week."""
    first = views.monday(day)
    return first, f"{datetime.fromisoformat(first) + timedelta(days=6):%Y-%m-%d}"
