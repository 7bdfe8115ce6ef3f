"""What the views of outages say where the tables have gaps: no outage, a failed tick, a row that comes days later."""

from datetime import datetime, timedelta
from typing import Any

from infra import schema
from infra.local.sample import week
from tests.harness.lakes import Bench

TABLES = {table.name: table for table in schema.tables()}
NOON = datetime(2026, 3, 25, 12)
SLOT = timedelta(minutes=15)


def put(bench: Bench, name: str, day: str, *rows: dict[str, Any]) -> None:
    """Writes a day of a table."""
    bench.put(TABLES[name], day, week.file(TABLES[name], list(rows)))


def down(slot: datetime, status: str = "unavailable") -> dict[str, Any]:
    """A store that is in an outage since 11:00 at a slot."""
    since = {"since_by": datetime(2026, 3, 25, 11), "bad_looks": 1, "unseen_looks": 0, "lost_seconds": 900}
    return since | {"slot": slot, "store_id": "1", "status": status, "is_new": False, "unseen_since": 0}


def outage(ended_by: datetime | None, bad_looks: int) -> dict[str, Any]:
    """A day's row of one outage that began at noon."""
    known = {"outage_id": "1/20260325T1200Z", "store_id": "1", "began_by": NOON, "ended_after": NOON, "flaps": 0}
    told = {"ended_by": ended_by, "is_open": ended_by is None, "bad_looks": bad_looks, "lost_seconds": 900 * bad_looks}
    return known | told | {"kind": "mid_shift", "seconds_at_least": 0, "seconds_at_most": None}


def test_no_store_is_down_if_the_newest_slot_has_none(bench: Bench) -> None:
    put(bench, "current_outages", "2026-03-25", down(NOON - SLOT))
    put(
        bench,
        "country_ticks",
        "2026-03-25",
        {"slot": NOON - SLOT, "outcome": "complete"},
        {"slot": NOON, "outcome": "partial"},
    )
    assert bench.ask("select * from down_now") == []


def test_stores_stay_down_through_a_failed_tick_and_their_slot_s_age_shows(bench: Bench) -> None:
    put(bench, "current_outages", "2026-03-24", down(NOON - timedelta(days=1)))
    put(bench, "current_outages", "2026-03-25", down(NOON - SLOT), down(NOON - 2 * SLOT, "closed"))
    put(bench, "country_ticks", "2026-03-24", {"slot": NOON - timedelta(days=1), "outcome": "complete"})
    ticks = [{"slot": NOON - n * SLOT, "outcome": "complete"} for n in (2, 1)]
    put(bench, "country_ticks", "2026-03-25", *ticks, {"slot": NOON, "outcome": "failed"})
    (found,) = bench.ask("select slot, minutes_at_least, minutes_at_most, age_minutes from down_now")
    assert (found["slot"], found["minutes_at_least"], found["minutes_at_most"]) == (NOON - SLOT, 45.0, None)
    assert found["age_minutes"] > 24 * 60


def test_a_store_that_is_closed_or_unknown_at_the_slot_is_not_down(bench: Bench) -> None:
    rows = [down(NOON, status) | {"store_id": status} for status in ("closed", "unknown", "unlisted")]
    put(bench, "current_outages", "2026-03-25", *rows)
    put(bench, "country_ticks", "2026-03-25", {"slot": NOON, "outcome": "complete"})
    assert [row["store_id"] for row in bench.ask("select store_id from down_now")] == ["unlisted"]


def test_an_outage_of_days_is_told_once_by_its_last_row(bench: Bench) -> None:
    put(bench, "outages", "2026-03-25", outage(None, 2))
    # The store is closed on the 26th: no look, no row.
    put(bench, "outages", "2026-03-27", outage(None, 5))
    asked = "select day, bad_looks, is_open from outages_of where country = 'es' and day"
    assert bench.ask(f"{asked} = '2026-03-25'") == []
    assert bench.ask(f"{asked} >= '2026-03-25'") == [{"day": "2026-03-27", "bad_looks": 5, "is_open": True}]
    put(bench, "outages", "2026-03-30", outage(datetime(2026, 3, 30, 9), 5))
    assert bench.ask(f"{asked} = '2026-03-27'") == []
    assert bench.ask(f"{asked} >= '2026-03-25'") == [{"day": "2026-03-30", "bad_looks": 5, "is_open": False}]


def test_an_outage_that_is_open_when_a_week_ends_is_counted_there_and_where_it_ends(bench: Bench) -> None:
    put(bench, "outages", "2026-03-29", outage(None, 2))
    put(bench, "outages", "2026-03-30", outage(datetime(2026, 3, 30, 9), 2) | {"seconds_at_most": 3600})
    found = bench.ask("select week, ended, still_open, median_minutes from mean_time_to_recover order by week")
    assert found == [
        {"week": "2026-03-23", "ended": 0, "still_open": 1, "median_minutes": None},
        {"week": "2026-03-30", "ended": 1, "still_open": 0, "median_minutes": 30.0},
    ]


def test_unknown_stores_of_rows_without_the_count_of_unseen_ones_may_all_have_been_scheduled(bench: Bench) -> None:
    now = TABLES["availability_by_city"]
    before = schema.Table(now.name, now.description, [one for one in now.columns if one.name != "unseen"], now.keys)
    counts = {column.name: 0 for column in before.columns if column.type == "bigint"}
    row = counts | {"slot": NOON, "city": "Madrid", "available": 6, "unavailable": 2, "unknown": 2, "stores": 10}
    bench.put(now, "2026-03-25", week.file(before, [row]))
    for view in ("availability_hourly", "availability_city_daypart"):
        (found,) = bench.ask(f"select unseen, availability, availability_low, availability_high from {view}")
        assert found == {"unseen": 2, "availability": 0.75, "availability_low": 0.6, "availability_high": 0.8}


def test_an_hour_that_was_missed_as_a_whole_has_bounds_and_no_availability(bench: Bench) -> None:
    looks = [{"slot": NOON + n * SLOT, "store_id": "1", "local_hour": 13, "scheduled_seconds": 900} for n in range(4)]
    put(bench, "missed_looks", "2026-03-25", *looks)
    for view in ("availability_hourly", "availability_city_daypart"):
        (found,) = bench.ask(f"select slots, unseen, availability, availability_low, availability_high from {view}")
        assert (found["slots"], found["unseen"], found["availability"]) == (0, 4, None)
        assert (found["availability_low"], found["availability_high"]) == (0.0, 1.0)
