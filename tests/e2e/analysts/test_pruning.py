"""Queries read only what they ask for. The engine's own statistics show which partitions a query on a view skips."""

import re
from datetime import datetime

import pyarrow as pa
import pytest
from pyarrow import parquet

from infra import schema
from infra.local.sample import week
from infra.local.servers import sql
from infra.vocabulary import TICKED_TABLES
from tests.harness.lakes import Bench, Lake

TABLES = {table.name: table for table in schema.tables()}
# View -> the tables that it reads once, a filter, and the days of the sample week that must be read.
DAY = "country = 'es' and day = '2026-03-25'"
WEEK = "country = 'es' and week = '2026-03-23'"
WEEKDAYS = [f"2026-03-{day}" for day in range(23, 30)]
FILTERS = {
    "availability_hourly": (("availability_by_city", "missed_looks"), DAY, ["2026-03-25"]),
    "availability_city_daypart": (("availability_by_city", "missed_looks"), DAY, ["2026-03-25"]),
    "unexpected_stores": (("store_availability",), "country = 'es' and day = '2026-03-28'", ["2026-03-28"]),
    "reasons_ranked": (("store_availability",), DAY, ["2026-03-25"]),
    "orphans_and_unlisted": (("store_availability",), DAY, ["2026-03-25"]),
    "schedule_staleness": (("country_ticks",), DAY, ["2026-03-25"]),
    "worst_stores": (("store_availability", "missed_looks"), WEEK, WEEKDAYS),
    "outages_of": (("outages",), f"{DAY} and not is_open", ["2026-03-25"]),
    "mean_time_to_recover": (("outages",), WEEK, WEEKDAYS),
    "worst_chains": (("store_availability", "missed_looks", "outages"), WEEK, WEEKDAYS),
}


def days_read(lake: Lake, statement: str) -> list[tuple[str, list[str], list[str], int]]:
    """Each table scan as the engine ran it: the table, the countries and days of its partitions, its rows."""
    plan = lake.ask(f"explain analyze {statement}").rows[0][0]
    found = []
    for scan in re.split(r"(?=Scan\w*\[table = )", plan)[1:]:
        table = re.match(r"\w+\[table = \w+:\w+[:.]([\w$]+)", scan)
        rows = re.search(r"Input: (\d+) rows?", scan)
        assert table and rows
        found.append((table[1], partition_values(scan, "country"), partition_values(scan, "day"), int(rows[1])))
    return found


def partition_values(scan: str, key: str) -> list[str]:
    """The values of a partition key that a scan was planned for; none if it has no such key."""
    listing = re.search(rf"{key}(?:_\d+)? := {key}:string:PARTITION_KEY\s+:: \[(.*)\]\n", scan)
    return re.findall(r"\[([^][]+)\]", listing[1]) if listing else []


@pytest.mark.parametrize("view", FILTERS)
def test_a_filter_on_a_view_reads_only_its_days(sample_week: Lake, view: str) -> None:
    tables, where, days = FILTERS[view]
    whole, part = (
        sample_week.ask(f"select * from {view}").stats,
        sample_week.ask(f"select * from {view} where {where}").stats,
    )
    # Fewer if a file's statistics show that it does not contain the status.
    assert part["processedRows"] < whole["processedRows"]
    assert part["processedRows"] == sum(sample_week.rows_of(table, "es", *days) for table in tables)
    assert 0 < part["physicalInputBytes"] < whole["physicalInputBytes"]


def test_the_plan_for_a_day_has_one_partition(sample_week: Lake) -> None:
    scans = days_read(sample_week, f"select * from availability_hourly where {DAY}")
    expected = sample_week.rows_of("availability_by_city", "es", "2026-03-25")
    assert scans == [("availability_by_city", ["es"], ["2026-03-25"], expected)]


def test_the_plan_for_who_is_down_now_has_the_day_that_is_named(sample_week: Lake) -> None:
    scans = days_read(sample_week, "select * from down_now where country = 'mx' and day = '2026-03-29'")
    partitions = len({row["day"] for row in sample_week.tables["current_outages"] if row["country"] == "mx"})
    assert sorted(scans) == [
        ("country_ticks", ["mx"], ["2026-03-29"], sample_week.rows_of("country_ticks", "mx", "2026-03-29")),
        ("current_outages", ["mx"], ["2026-03-29"], sample_week.rows_of("current_outages", "mx", "2026-03-29")),
        ("current_outages$partitions", [], [], partitions),
    ]


def test_open_outages_are_looked_up_by_their_id_only(sample_week: Lake) -> None:
    plan = sample_week.ask(f"explain select * from outages_of where {DAY} and is_open").rows[0][0]
    scans = re.split(r"(?=Scan\w*\[table = )", plan)[1:]
    whole = [partition_values(scan, "day") for scan in scans]
    # The days after it say whether there is a later row.
    later = [scan for scan, days in zip(scans, whole, strict=True) if days != ["2026-03-25"]]
    assert len(scans) == 2 and len(later) == 1
    assert re.findall(r"(\w+?)(?:_\d+)? := \w+:\w+:REGULAR", later[0]) == ["outage_id"]
    assert "day" in later[0].split("dynamicFilters", 1)[1].splitlines()[0]


def test_stores_that_flap_are_found_in_the_days_of_their_week(sample_week: Lake) -> None:
    scans = days_read(sample_week, f"select * from flapping_stores where {WEEK}")
    assert {table for table, *_ in scans} == {"outages", "store_availability"}
    assert all((countries, sorted(days)) == (["es"], WEEKDAYS) for _, countries, days, _ in scans)


def test_a_range_of_days_is_pruned(sample_week: Lake) -> None:
    where = "country = 'mx' and day between '2026-03-24' and '2026-03-26'"
    stats = sample_week.ask(f"select * from reasons_ranked where {where}").stats
    days = ("2026-03-24", "2026-03-25", "2026-03-26")
    assert stats["processedRows"] == sample_week.rows_of("store_availability", "mx", *days)


@pytest.mark.parametrize(
    ("period", "since", "days"),
    [
        ("day", "2026-03-25", ["2026-03-25"]),
        ("week", "2026-03-23", [f"2026-03-{day}" for day in range(23, 30)]),
        ("quarter", "2026-01-01", [f"2026-03-{day}" for day in range(23, 30)]),
        ("month", "2026-04-01", []),
    ],
)
def test_a_filter_on_a_period_reads_only_its_days(sample_week: Lake, period: str, since: str, days: list[str]) -> None:
    where = f"country = 'es' and period = '{period}' and since = '{since}'"
    found = sample_week.ask(f"select * from availability_interval where {where}")
    assert found.stats["processedRows"] == sample_week.rows_of("store_availability", "es", *days)
    assert bool(found.rows) == bool(days)


def test_one_filter_prunes_both_sides_of_a_join_with_schedules(sample_week: Lake) -> None:
    scans = days_read(sample_week, f"select * from judged_by where {DAY}")
    assert sorted(scans) == [
        (table, ["es"], ["2026-03-25"], sample_week.rows_of(table, "es", "2026-03-25"))
        for table in ("store_availability", "store_schedules")
    ]


@pytest.mark.parametrize("view", ["expected_slots", "coverage_daily"])
def test_a_calendar_reads_only_the_ticks_of_its_days(sample_week: Lake, view: str) -> None:
    scans = days_read(sample_week, f"select * from {view} where {DAY}")
    partitions = len({row["day"] for row in sample_week.tables["country_ticks"] if row["country"] == "es"})
    # The country's first day comes from its partitions' names in the catalog. No file is read for it.
    assert sorted(scans) == [
        ("country_ticks", ["es"], ["2026-03-25"], sample_week.rows_of("country_ticks", "es", "2026-03-25")),
        ("country_ticks$partitions", [], [], partitions),
    ]


@pytest.mark.parametrize("table", [*TICKED_TABLES, "store_schedules"])
def test_a_filter_on_a_day_of_ticks_reads_only_that_days_files(ticked_lake: Lake, table: str) -> None:
    assert ticked_lake.day
    where = f"country = 'es' and day = '{ticked_lake.day}'"
    stats = ticked_lake.ask(f"select * from {table} where {where}").stats
    assert stats["processedRows"] == ticked_lake.rows_of(table, "es", ticked_lake.day)
    assert stats["processedRows"] < len(ticked_lake.tables[table])


def test_a_damaged_day_only_fails_queries_that_read_it(bench: Bench) -> None:
    ticks = TABLES["country_ticks"]
    row = {"slot": datetime(2026, 3, 24), "outcome": "complete", "stores": 5, "coverage": 1.0}
    bench.put(ticks, "2026-03-24", week.file(ticks, [row]))
    bench.put(ticks, "2026-03-25", b"this is no Parquet" * 50)
    assert len(bench.ask("select * from schedule_staleness where day = '2026-03-24'")) == 1
    with pytest.raises(sql.QueryError):
        bench.ask("select * from schedule_staleness")


@pytest.mark.parametrize("described", ["as it was then", "as it is now"])
def test_columns_that_were_added_later_are_null_in_older_rows(bench: Bench, described: str) -> None:
    now = TABLES["country_ticks"]
    later = [column.name for column in now.columns].index("error")
    before = schema.Table(now.name, now.description, now.columns[:later], now.keys)
    assert [column.name for column in now.columns[later:]] == ["error", "tzdb"]
    row = {"slot": datetime(2026, 3, 24), "outcome": "failed", "error": "LakeUnavailable", "tzdb": "2026f"}
    old = week.file(before, [row])
    assert not {"error", "tzdb"} & set(parquet.read_schema(pa.BufferReader(old)).names)
    # A partition keeps the columns that it was registered with, until a tick names it again.
    bench.put(before if described == "as it was then" else now, "2026-03-24", old)
    bench.put(now, "2026-03-25", week.file(now, [row | {"slot": datetime(2026, 3, 25)}]))
    found = bench.ask("select day, outcome, error, tzdb from country_ticks order by day")
    assert [(row["day"], row["outcome"], row["error"], row["tzdb"]) for row in found] == [
        ("2026-03-24", "failed", None, None),
        ("2026-03-25", "failed", "LakeUnavailable", "2026f"),
    ]
    through_a_view = bench.ask("select day, error from expected_slots where outcome = 'failed' order by day")
    assert [row["error"] for row in through_a_view] == [None, "LakeUnavailable"]


def test_a_partition_without_files_is_empty(bench: Bench) -> None:
    ticks = TABLES["country_ticks"]
    entry = week.partition(bench.name, ticks, "es", "2026-03-24", "country_ticks/country=es/day=2026-03-24/")
    bench.stack.aws.client("glue").create_partition(
        DatabaseName=bench.database, TableName=ticks.name, PartitionInput=entry
    )
    assert bench.ask("select * from country_ticks where day = '2026-03-24'") == []
