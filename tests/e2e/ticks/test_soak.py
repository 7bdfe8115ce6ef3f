"""A short soak passes, and its audit detects what is lost or wrong: each test spoils one thing and expects a report."""

import io
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from infra.local.config import Stack
from tests.soak.audit import Audit
from tests.soak.soaked import Soaked, soaked

SLOTS = 4
SEED = 3
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def done(stack: Stack) -> Iterator[Soaked]:
    """The first hour of a day."""
    with soaked(stack, seed=SEED, slots=SLOTS, stores=300) as found:
        yield found


@pytest.fixture
def spoil(done: Soaked) -> Iterator[Callable[[str, str, Callable[[Rows], object]], Audit]]:
    """Changes the rows in a table's file of a country's last slot, runs the audit, and restores the file."""
    deployed, before = done.servers.deployed, {}

    def put(key: str, body: bytes) -> None:
        deployed.s3.put_object(Bucket=deployed.bucket, Key=key, Body=body)

    def change(name: str, country: str, what: Callable[[Rows], object]) -> Audit:
        key = key_of(done, name, country)
        before[key] = deployed.body(key)
        found = parquet.ParquetFile(io.BytesIO(before[key])).read()
        rows = found.to_pylist()
        what(rows)
        changed = io.BytesIO()
        parquet.write_table(pa.Table.from_pylist(rows, schema=found.schema), changed)
        put(key, changed.getvalue())
        return done.audit()

    yield change
    for key, body in before.items():
        put(key, body)


def last(done: Soaked) -> datetime:
    """The last slot, which has no faults."""
    return max(slot for slot, _ in done.day.ran)


def key_of(done: Soaked, name: str, country: str) -> str:
    """The key of the table's file of a country's last slot."""
    slot = last(done)
    return f"{name}/country={country}/day={slot:%Y-%m-%d}/{slot:%Y%m%dT%H%MZ}.parquet"


def test_a_soak_loses_nothing_and_gets_nothing_wrong(done: Soaked) -> None:
    audit = done.audit()
    assert (audit.lost, audit.wrong) == ([], [])
    assert audit.rows > SLOTS * 300
    assert done.servers.loop.injected.total() > 0
    assert done.search("").places == []


def test_a_missing_file_is_lost(done: Soaked) -> None:
    deployed, key = done.servers.deployed, key_of(done, "store_availability", "es")
    body = deployed.body(key)
    deployed.s3.delete_object(Bucket=deployed.bucket, Key=key)
    try:
        assert done.audit().lost == [f"there is no {key}"]
    finally:
        deployed.s3.put_object(Bucket=deployed.bucket, Key=key, Body=body)


def test_a_missing_row_is_lost(spoil: Callable[..., Audit]) -> None:
    (lost,) = spoil("store_availability", "mx", lambda rows: rows.pop(5)).lost
    assert "has no row" in lost


def test_a_store_that_differs_from_the_sources_is_wrong(spoil: Callable[..., Audit]) -> None:
    def call_one_unavailable(rows: Rows) -> None:
        next(row for row in rows if row["status"] == "closed")["status"] = "unavailable"

    assert any("unavailable" in one for one in spoil("store_availability", "es", call_one_unavailable).wrong)


def test_unknown_stores_without_a_fault_are_wrong(spoil: Callable[..., Audit]) -> None:
    def forget(rows: Rows) -> None:
        nothing = dict.fromkeys(("listed", "online", "observed_at", "scheduled"))
        for row in rows:
            row |= nothing | {"status": "unknown", "reason": "live_view_unavailable"}

    assert any("which nothing explains" in one for one in spoil("store_availability", "pt", forget).wrong)


def test_a_wrong_sum_of_a_city_is_wrong(spoil: Callable[..., Audit]) -> None:
    (wrong,) = spoil("availability_by_city", "pt", lambda rows: rows[0].update(stores=99)).wrong
    assert "not the sum" in wrong


def test_a_second_row_for_a_country_tick_is_wrong(spoil: Callable[..., Audit]) -> None:
    (wrong,) = spoil("country_ticks", "mx", lambda rows: rows.append(rows[0])).wrong
    assert "2 rows" in wrong


def test_an_outage_that_the_rows_do_not_tell_is_wrong(spoil: Callable[..., Audit]) -> None:
    (wrong,) = spoil("current_outages", "es", lambda rows: rows[0].update(bad_looks=77)).wrong
    assert "77" in wrong


def test_a_leftover_is_wrong_and_a_secret_in_it_is_found(done: Soaked) -> None:
    deployed, key = done.servers.deployed, "pending/country=es/left-over.json"
    secret = min(done.planted[0])
    deployed.s3.put_object(Bucket=deployed.bucket, Key=key, Body=b"amid " + secret + b" other things")
    try:
        (wrong,) = done.audit().wrong
        assert key in wrong
        assert done.search("").places == [f"object {key}"]
        assert done.search(f"…{secret.decode()}…").places[0] == "what was printed"
    finally:
        deployed.s3.delete_object(Bucket=deployed.bucket, Key=key)


def test_a_partition_without_a_file_is_wrong(done: Soaked) -> None:
    deployed = done.servers.deployed
    descriptor = deployed.partitions("country_ticks", "es")[0]["StorageDescriptor"]
    given = {"Values": ["es", "2026-01-01"], "StorageDescriptor": descriptor}
    deployed.glue.create_partition(DatabaseName=deployed.database, TableName="country_ticks", PartitionInput=given)
    assert any("has no file" in one for one in done.audit().wrong)
