"""Repairing the catalog of a deployed country: it becomes equal to what lies on S3, a year of days in one invocation."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest

from tests.e2e.conftest import Ticked
from tests.harness.deployment import TABLES, Deployed

COUNTRY = "pt"
# Long past, so that no tick of other tests is among them.
FIRST = date(2024, 1, 1)
DAYS = [f"{FIRST + timedelta(days=n)}" for n in range(365)]
# What a year may take here. 30 countries, each with a function of its own, are then done in minutes even one by one:
# `make bench-repair` measures that.
_SECONDS = 30


def year(deployed: Deployed) -> dict[str, set[str]]:
    """The days of that year that the catalog holds at the place of the ticks' files, by table."""
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
    """What the function answers."""
    answer = deployed.invoke(f"{COUNTRY}-repair", {"country": COUNTRY, "from": first, "to": last})
    assert not answer.is_error, answer.payload
    return answer.payload


@pytest.fixture
def files(ticked: Ticked) -> Iterator[Deployed]:
    """A deployment with a file a table and day in every day of a year but the last."""
    deployed = ticked.deployed
    keys = [f"{table}/country={COUNTRY}/day={day}/20240101T0000Z.parquet" for table in TABLES for day in DAYS[:-1]]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: deployed.s3.put_object(Bucket=deployed.bucket, Key=key, Body=b"x"), keys))
    yield deployed
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: deployed.s3.delete_object(Bucket=deployed.bucket, Key=key), keys))
    repair(deployed)
    assert year(deployed) == {table: set() for table in TABLES}


def test_a_year_that_the_catalog_has_lost_is_found_again_on_s3_and_what_has_no_file_goes(files: Deployed) -> None:
    elsewhere, empty = DAYS[100], DAYS[-1]
    started = time.monotonic()
    assert repair(files) == {"created": 364 * 3, "updated": 0, "deleted": 0, "unchanged": 0}
    seconds = time.monotonic() - started
    assert seconds < _SECONDS
    assert year(files) == {table: set(DAYS[:-1]) for table in TABLES}

    # Drift in every direction: a day is gone, one lies elsewhere, one has no files.
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
    assert repair(files) == {"created": 1, "updated": 1, "deleted": 1, "unchanged": 364 * 3 - 2}
    assert year(files) == {table: set(DAYS[:-1]) for table in TABLES}


def test_days_outside_of_the_event_are_left_as_they_are(files: Deployed) -> None:
    assert repair(files, DAYS[10], DAYS[12])["created"] == 3 * 3
    assert year(files) == {table: set(DAYS[10:13]) for table in TABLES}


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"country": "es", "from": DAYS[0], "to": DAYS[1]}, 'country "es" is not "pt"'),
        ({"country": COUNTRY, "from": DAYS[1], "to": DAYS[0]}, "are 0 days"),
        ({"country": COUNTRY, "from": "2024-02-30", "to": DAYS[1]}, "from"),
        ({"country": COUNTRY, "from": DAYS[0]}, "to"),
        ({"repair": True, "country": COUNTRY, "from": DAYS[0], "to": DAYS[1]}, "unknown field `repair`"),
    ],
)
def test_a_repair_that_makes_no_sense_is_refused_by_name(ticked: Ticked, event: dict[str, object], said: str) -> None:
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
