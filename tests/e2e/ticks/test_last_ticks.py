"""What `make status` says of each country's last tick."""

import io
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from pyarrow import parquet

from infra import last_ticks
from infra.local import slots
from infra.zones import Lake
from tests.e2e.conftest import Ticked


def lake_of(ticked: Ticked) -> Lake:
    return Lake(ticked.deployed.s3, ticked.deployed.bucket)


def test_a_tick_is_told_as_its_row_in_country_ticks_says(ticked: Ticked) -> None:
    lake, now = lake_of(ticked), ticked.slot + timedelta(minutes=14)
    told, good = last_ticks.lines(lake, now)
    assert good
    for country, line in zip(("es", "mx", "pt"), told, strict=True):
        key = f"country_ticks/country={country}/day={ticked.slot:%Y-%m-%d}/{slots.compact(ticked.slot)}.parquet"
        body = lake.s3.get_object(Bucket=lake.bucket, Key=key)["Body"].read()
        row = parquet.read_table(io.BytesIO(body), use_threads=False).to_pylist()[0]
        lag = round((row["finished_at"].replace(tzinfo=None) - row["slot"].replace(tzinfo=None)).total_seconds())
        told_lag = f"{lag} s" if lag < 60 else f"{lag // 60} min {lag % 60} s"
        coverage = f"{row['coverage'] * 100:.1f}%"
        begin = f"{country}  {ticked.slot:%Y-%m-%d %H:%M}Z  complete  coverage {coverage}  lag {told_lag}  "
        assert line == f"{begin}schedules fresh"


def test_a_country_that_fell_silent_is_not_well(ticked: Ticked) -> None:
    told, good = last_ticks.lines(lake_of(ticked), ticked.slot + timedelta(hours=5))
    assert not good
    assert all("; none for 4 h " in line for line in told)


def test_a_tick_older_than_a_week_is_none(ticked: Ticked) -> None:
    told, good = last_ticks.lines(lake_of(ticked), ticked.slot + timedelta(days=9))
    assert not good
    assert told[0] == "es  no tick in the last 7 days"


def test_a_failed_tick_is_told_with_its_cause_and_the_age_of_its_schedules() -> None:
    slot = datetime(2026, 11, 23, 4, 15, tzinfo=UTC)
    row = {
        "slot": slot,
        "started_at": slot + timedelta(seconds=2),
        "finished_at": slot + timedelta(minutes=2),
        "outcome": "failed",
        "coverage": None,
        "schedule_as_of": slot - timedelta(hours=26),
        "error": "ScheduleUnavailable: PostgreSQL is down",
    }
    content = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist([row]), content)
    tick = last_ticks._read(content.getvalue())
    assert last_ticks._told(tick) == (
        "2026-11-23 04:15Z  failed    coverage unknown  lag 2 min 0 s  schedules 1 d 2 h old"
    )
    assert tick.error == row["error"]
    assert not tick.is_silent(slot + timedelta(minutes=32))
    assert tick.is_silent(slot + timedelta(minutes=33))
