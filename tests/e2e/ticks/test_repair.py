"""Repairing a deployed country's catalog makes it equal to S3, for a year of days in one invocation."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest

from tests.e2e.conftest import Ticked
from tests.harness.deployment import TABLES, Deployed

COUNTRY = "pt"
# Long ago, so that no tick of another test is among them.
FIRST = date(2024, 1, 1)
DAYS = [f"{FIRST + timedelta(days=n)}" for n in range(365)]
# The time limit for a year here. 30 countries, each with its own function, then take minutes even one after the other.
# `make bench-repair` measures that.
_SECONDS = 30


def year(deployed: Deployed) -> dict[str, set[str]]:
    """The days of that year whose partition points to the ticks' files, by table."""
    return {
        table: {
            found["Values"][1]
            for found in deployed.partitions(table, COUNTRY)
            if found["Values"][1] in DAYS
            and found["StorageDescriptor"]["Location"]
            == f"s3://{deployed.bucket}/{table}/country={COUNTRY}/day={found['Values'][1]}/"
            and found["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"]
        }
        for table in TABLES
    }


def repair(deployed: Deployed, first: str = DAYS[0], last: str = DAYS[-1]) -> dict[str, int]:
    """Runs a repair and returns the function's answer."""
    answer = deployed.invoke(f"{COUNTRY}-repair", {"country": COUNTRY, "from": first, "to": last})
    assert not answer.is_error, answer.payload
    return answer.payload


@pytest.fixture
def files(ticked: Ticked) -> Iterator[Deployed]:
    """A deployment with one file per table and day, on every day of a year but the last."""
    deployed = ticked.deployed
    keys = [f"{table}/country={COUNTRY}/day={day}/20240101T0000Z.parquet" for table in TABLES for day in DAYS[:-1]]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: deployed.s3.put_object(Bucket=deployed.bucket, Key=key, Body=b"x"), keys))
    yield deployed
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: deployed.s3.delete_object(Bucket=deployed.bucket, Key=key), keys))
    repair(deployed)
    assert year(deployed) == {table: set() for table in TABLES}


def test_repair_restores_a_lost_year_from_s3_and_deletes_partitions_without_files(files: Deployed) -> None:
    elsewhere, empty = DAYS[100], DAYS[-1]
    started = time.monotonic()
    assert repair(files) == {"created": 364 * len(TABLES), "updated": 0, "deleted": 0, "unchanged": 0}
    seconds = time.monotonic() - started
    assert seconds < _SECONDS
    assert year(files) == {table: set(DAYS[:-1]) for table in TABLES}

    # Three kinds of drift: one day is gone, one points elsewhere, one has no files.
    catalog = {"DatabaseName": files.database, "TableName": TABLES[0]}
    held = next(found for found in files.partitions(TABLES[0], COUNTRY) if found["Values"][1] == elsewhere)
    descriptor = held["StorageDescriptor"]
    files.glue.delete_partition(**catalog, PartitionValues=[COUNTRY, DAYS[7]])
    for day in (elsewhere, empty):
        moved = {"Values": [COUNTRY, day], "StorageDescriptor": {**descriptor, "Location": "s3://nowhere/"}}
        if day == empty:
            files.glue.create_partition(**catalog, PartitionInput=moved)
        else:
            entry = {"PartitionValueList": [COUNTRY, day], "PartitionInput": moved}
            files.glue.batch_update_partition(**catalog, Entries=[entry])
    assert repair(files) == {"created": 1, "updated": 1, "deleted": 1, "unchanged": 364 * len(TABLES) - 2}
    assert year(files) == {table: set(DAYS[:-1]) for table in TABLES}


def test_repair_leaves_days_outside_of_the_event_alone(files: Deployed) -> None:
    assert repair(files, DAYS[10], DAYS[12])["created"] == 3 * len(TABLES)
    assert year(files) == {table: set(DAYS[10:13]) for table in TABLES}


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"country": "es", "from": DAYS[0], "to": DAYS[1]}, 'country "es" is not "pt"'),
        ({"country": COUNTRY, "from": DAYS[1], "to": DAYS[0]}, "is 0 days; give 1 to 3660"),
        ({"country": COUNTRY, "from": "2024-02-30", "to": DAYS[1]}, "from"),
        ({"country": COUNTRY, "from": DAYS[0]}, "to"),
        ({"repair": True, "country": COUNTRY, "from": DAYS[0], "to": DAYS[1]}, "unknown field `repair`"),
    ],
)
def test_an_invalid_repair_event_is_refused(ticked: Ticked, event: dict[str, object], said: str) -> None:
    answer = ticked.deployed.invoke(f"{COUNTRY}-repair", event)
    assert answer.error_type == "BadEvent", answer.payload
    assert said in answer.message


@pytest.mark.parametrize(
    ("asked", "wanted", "event"),
    [
        ("register", "repair", {"repair": True, "from": DAYS[0], "to": DAYS[1]}),
        ("compact", "restate", {"restate": True, "day": DAYS[0]}),
        ("compact", "restate", {"restate": True, "day": DAYS[0], "stores": ["1"]}),
    ],
)
def test_an_event_of_an_earlier_release_is_told_which_function_to_call(
    ticked: Ticked, asked: str, wanted: str, event: dict[str, object]
) -> None:
    answer = ticked.deployed.invoke(f"{COUNTRY}-{asked}", {"country": COUNTRY, **event})
    assert answer.error_type == "BadEvent", answer.payload
    assert f'call the function {wanted} without "{wanted}"' in answer.message
