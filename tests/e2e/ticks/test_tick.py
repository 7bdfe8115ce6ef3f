"""A tick of the tick machine: compares what the tables say about every store with the sources themselves."""

import io
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from pyarrow import parquet

from infra.local import slots
from infra.local.servers.processes import wait_for
from infra.vocabulary import RATED, STATUSES
from tests.e2e.conftest import COUNTRIES, Sources, Ticked
from tests.harness.current_outages_oracle import current_outages
from tests.harness.deployment import TABLES
from tests.harness.open_hours import Hours, JudgedHours
from tests.harness.oracle import Country, expected_orphan, expected_row
from tests.harness.outages_oracle import History

# The catalog's types in Parquet: physical type and logical type.
PARQUET = {
    "timestamp": ("INT64", "Timestamp(isAdjustedToUTC=false, timeUnit=microseconds, is_from_converted_type=false"),
    "date": ("INT32", "Date"),
    "boolean": ("BOOLEAN", "None"),
    "tinyint": ("INT32", "Int(bitWidth=8, isSigned=true)"),
    "smallint": ("INT32", "Int(bitWidth=16, isSigned=true)"),
    "bigint": ("INT64", "None"),
    "double": ("DOUBLE", "None"),
    "string": ("BYTE_ARRAY", "String"),
}
each_country = pytest.mark.parametrize("country", COUNTRIES)
each_table = pytest.mark.parametrize("table", TABLES)


def rows_of(ticked: Ticked, table: str, country: str) -> list[dict[str, Any]]:
    """A country's rows of the tick's slot."""
    return ticked.deployed.table(table, country, ticked.slot).to_pylist()


def utc(instant: datetime) -> datetime:
    """A timestamp of a file. They are all in UTC."""
    return instant.replace(tzinfo=UTC)


def test_a_tick_succeeds_and_runs_every_country(ticked: Ticked) -> None:
    assert ticked.tick.status == "SUCCEEDED", ticked.tick.error
    found = {country.country: (country.status, country.outcome) for country in ticked.tick.countries}
    assert found == dict.fromkeys(COUNTRIES, ("SUCCEEDED", "complete"))


@each_country
def test_every_store_has_the_status_that_its_schedule_and_documents_give(
    ticked: Ticked, sources: Sources, rules: dict[str, Country], country: str
) -> None:
    schedules, live_view = sources.schedules[country], sources.live_views[country]
    rows = rows_of(ticked, "store_availability", country)
    instants = {row["store_id"]: utc(row.pop("observed_at")) for row in rows}
    as_of = {row.pop("schedule_as_of") for row in rows}
    assert {row.pop("slot") for row in rows} == {ticked.slot.replace(tzinfo=None)}
    assert len(as_of) == 1 and ticked.slot <= utc(as_of.pop()) <= min(instants.values())
    assert all(ticked.slot <= instant < ticked.slot + slots.SLOT for instant in instants.values())
    expected = {}
    for store_id in schedules.keys() | live_view.keys():
        listing = live_view.get(store_id)
        if store := schedules.get(store_id):
            expected[store_id] = expected_row(
                rules[country], ticked.slot, store, listing, instants.get(store_id, ticked.slot)
            )
        else:
            assert listing
            expected[store_id] = expected_orphan(rules[country], ticked.slot, store_id, listing)
    found = {row["store_id"]: row for row in rows}
    assert len(found) == len(rows)
    wrong = {
        store_id: (schedules.get(store_id), live_view.get(store_id), found.get(store_id), expected.get(store_id))
        for store_id in found.keys() | expected.keys()
        if found.get(store_id) != expected.get(store_id)
    }
    assert not wrong, f"{len(wrong)} stores differ, the first: {next(iter(wrong.items()))}"


def test_the_comparison_covers_every_status(ticked: Ticked) -> None:
    statuses = Counter(row["status"] for code in COUNTRIES for row in rows_of(ticked, "store_availability", code))
    assert set(statuses) == set(STATUSES)


@each_country
def test_several_chunks_become_one_file_sorted_by_store_id(ticked: Ticked, country: str) -> None:
    ids = [row["store_id"] for row in rows_of(ticked, "store_availability", country)]
    assert ids == sorted(ids, key=str.encode)
    (row,) = rows_of(ticked, "country_ticks", country)
    assert row["chunks"] > 1
    staged = [o.key for o in ticked.deployed.objects(f"staging/country={country}/{slots.compact(ticked.slot)}/chunk-")]
    assert len(staged) == row["chunks"] and all(key.endswith(".parquet") for key in staged)


@each_table
@each_country
def test_a_country_has_one_file_per_table_under_the_agreed_key(ticked: Ticked, table: str, country: str) -> None:
    day, name = f"{ticked.slot:%Y-%m-%d}", slots.compact(ticked.slot)
    keys = [found.key for found in ticked.deployed.objects(f"{table}/country={country}/")]
    assert keys == [f"{table}/country={country}/day={day}/{name}.parquet"]


@each_table
@each_country
def test_a_file_has_its_catalog_table_s_columns_and_types(ticked: Ticked, table: str, country: str) -> None:
    deployed = ticked.deployed
    columns = deployed.glue.get_table(DatabaseName=deployed.database, Name=table)["Table"]["StorageDescriptor"][
        "Columns"
    ]
    file = parquet.ParquetFile(io.BytesIO(deployed.body(deployed.objects(f"{table}/country={country}/")[0].key)))
    found = [file.schema.column(n) for n in range(len(file.schema))]
    assert [column.name for column in found] == [column["Name"] for column in columns]
    for column, wanted in zip(found, columns, strict=True):
        physical, logical = PARQUET[wanted["Type"]]
        assert column.physical_type == physical, column
        assert str(column.logical_type).startswith(logical), column
    # A country with no store down has a file without rows, and so without row groups.
    groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
    assert groups or table == "current_outages"
    assert {group.column(n).compression for group in groups for n in range(group.num_columns)} <= {"ZSTD"}


@each_country
def test_cities_are_the_sums_of_their_stores(ticked: Ticked, country: str) -> None:
    cities: dict[str | None, dict[str, Any]] = {}
    for row in rows_of(ticked, "store_availability", country):
        empty = dict.fromkeys(("stores", *STATUSES, "scheduled_seconds", "available_seconds", "unseen"), 0)
        city = cities.setdefault(row["city"], {"local_date": None, "local_hour": None, **empty})
        if city["local_date"] is None:  # the local time of the city's first store that has one
            city |= {"local_date": row["local_date"], "local_hour": row["local_hour"]}
        city[row["status"]] += 1
        city["stores"] += row["status"] != "orphan"
        city["scheduled_seconds"] += row["scheduled_seconds"] if row["status"] in RATED else 0
        city["unseen"] += row["status"] == "unknown" and row["scheduled_seconds"] != 0
        city["available_seconds"] += row["scheduled_seconds"] if row["status"] == "available" else 0
    slot = ticked.slot.replace(tzinfo=None)
    found = rows_of(ticked, "availability_by_city", country)
    assert {row["city"]: row for row in found} == {
        name: {"slot": slot, "city": name, **city} for name, city in cities.items()
    }
    assert len(found) == len(cities)


@each_country
def test_who_is_down_is_what_the_rows_say(
    ticked: Ticked, sources: Sources, rules: dict[str, Country], country: str
) -> None:
    schedules = sources.schedules[country]
    seen = [row for row in rows_of(ticked, "store_availability", country) if row["status"] != "orphan"]
    found = [
        History([row], JudgedHours({row["slot"]: Hours(rules[country], schedules[row["store_id"]])})) for row in seen
    ]
    down = rows_of(ticked, "current_outages", country)
    assert down == current_outages(found, ticked.slot.replace(tzinfo=None))
    assert len(down) == sum(row["status"] in ("unavailable", "unlisted") for row in seen)
    # At night, a country may have none. pt has stores that are always open.
    assert down or country != "pt"


@each_country
def test_the_country_tick_row_summarises_the_tick(ticked: Ticked, sources: Sources, country: str) -> None:
    rows = rows_of(ticked, "store_availability", country)
    counts = Counter(row["status"] for row in rows)
    (row,) = rows_of(ticked, "country_ticks", country)
    stores = len(sources.schedules[country])
    assert row["slot"] == ticked.slot.replace(tzinfo=None)
    assert (row["outcome"], row["error"], row["chunks_unknown"]) == ("complete", None, 0)
    assert row["stores"] == stores == len(rows) - counts["orphan"]
    assert row["chunks"] == -(-stores // 400)
    assert row["coverage"] == pytest.approx(1 - counts["unknown"] / stores)
    assert row["schedule_as_of"] == rows[0]["schedule_as_of"]
    assert row["started_at"] <= row["schedule_as_of"] <= row["finished_at"]


def test_a_tick_that_goes_well_sends_no_metric(ticked: Ticked) -> None:
    """CloudWatch bills every metric that is sent. Those of what goes wrong: tests/pipeline, test_broken_countries.py."""
    pages = ticked.deployed.stack.aws.client("cloudwatch").get_paginator("list_metrics")
    sent = {
        (dimension["Value"], found["MetricName"])
        for page in pages.paginate(Namespace=ticked.deployed.namespace)
        for found in page["Metrics"]
        for dimension in found["Dimensions"]
    }
    # pt has stores at the edges of the rules, and some schedules are bad.
    assert sent <= {("pt", "Coverage")}


def test_the_functions_log_json_lines_with_country_slot_and_chunk(ticked: Ticked) -> None:
    slot = slots.iso(ticked.slot)
    for country in COUNTRIES:
        (row,) = rows_of(ticked, "country_ticks", country)
        for function in ("plan", "observe", "merge", "register"):
            lines = ends(ticked, f"{country}-{function}", row["chunks"] if function == "observe" else 1)
            assert {line["span"]["country"] for line in lines} == {country}
            if function != "register":  # partitions belong to a day
                assert slot in {line["span"]["slot"] for line in lines}
            if function == "observe":
                assert {line["span"]["chunk"] for line in lines} == set(range(row["chunks"]))
        assert ticked.deployed.version in {
            line["version"] for line in ticked.deployed.logged(f"{country}-plan") if line["message"] == "started"
        }
    assert any(line["message"] == "dispatched" for line in ticked.deployed.logged("dispatch"))


def ends(ticked: Ticked, function: str, calls: int) -> list[dict[str, Any]]:
    """The lines that end a function's invocations, once there are so many: logs can come later than answers."""

    def lines() -> list[dict[str, Any]]:
        return [line for line in ticked.deployed.logged(function) if line["message"] == "done"]

    assert wait_for(lambda: len(lines()) >= calls, 10), f"{function} logged the end of {len(lines())} of {calls} calls"
    return lines()
