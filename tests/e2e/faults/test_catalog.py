"""Glue and CloudWatch fail: data stays, what is not registered is counted until a later tick registers it."""

import json
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest

from e2e.deployment import TABLES
from e2e.faults.faulty import COUNTRY, Faulty
from faults.kinds import Hold, Kind, RefusePartitions, Reset, Rewrite, aws_error
from stack import slots

GLUE = r"AWSGlue\."
METRICS = r"/PutMetricData"
# How long a failed tick's way out has for its row, metrics included (statemachine/country.asl.json, MergeFailure).
_WAY_OUT_SECONDS = 31


# Days before today that no partition is of yet: the local catalog cannot delete any.
_DAYS_AGO = count(40)


def new_day(slot: datetime) -> datetime:
    """A slot of a day that the catalog has nothing of."""
    return slot - timedelta(days=next(_DAYS_AGO))


@pytest.fixture
def old(faulty: Faulty) -> datetime:
    """A slot of such a day, merged and not registered."""
    slot = new_day(faulty.afresh())
    merge_late(faulty, slot)
    return slot


def merge_late(faulty: Faulty, slot: datetime) -> list[dict[str, Any]]:
    """Writes a slot that has passed, all of it unknown: the partitions that are to be registered."""
    faulty.plan(slot)
    faulty.observe(slot)
    merged = faulty.merge(slot)
    assert not merged.is_error, merged.payload
    return merged.payload["partitions"]


def days_of(faulty: Faulty, table: str) -> list[str]:
    """The days that the catalog has of the country."""
    return [found["Values"][1] for found in faulty.deployed.partitions(table, COUNTRY)]


def pending(faulty: Faulty) -> list[float]:
    """What the metric of pending partitions was each time it was sent."""
    return [value for name, value in faulty.metrics_sent() if name == "PartitionsPending"]


FAILURES: list[tuple[str, Kind, str]] = [
    ("down", Reset(), GLUE),
    ("failing", aws_error(500, "InternalServiceException"), GLUE),
    ("throttled", aws_error(400, "ThrottlingException"), GLUE),
    ("changing", aws_error(400, "ConcurrentModificationException"), r"AWSGlue\.BatchCreatePartition"),
    ("refusing", RefusePartitions("ConcurrentModificationException"), r"AWSGlue\.BatchCreatePartition"),
]


@pytest.mark.parametrize(("kind", "calls"), [one[1:] for one in FAILURES], ids=[one[0] for one in FAILURES])
def test_what_could_not_be_registered_stays_counts_and_is_registered_by_a_later_tick_with_glue(
    faulty: Faulty, old: datetime, kind: Kind, calls: str
) -> None:
    files, day = faulty.files(old), f"{old:%Y-%m-%d}"
    (note,) = faulty.deployed.objects(f"pending/country={COUNTRY}/")
    with faulty.aws.fault(kind, calls):
        answer = faulty.invoke("register", {"partitions": []})
    assert answer.error_type == "CatalogUnavailable", answer.payload
    assert [day in days_of(faulty, table) for table in TABLES] == [False] * 3
    assert faulty.files(old) == files and len(files) == len(TABLES)
    assert faulty.deployed.objects(f"pending/country={COUNTRY}/") == [note]
    assert pending(faulty) == [len(TABLES)]

    # A tick of today knows nothing of that day but what is noted.
    assert faulty.run(slots.current())["registered"] is True
    assert faulty.tick(old)["chunks_unknown"] == 3
    assert faulty.deployed.objects(f"pending/country={COUNTRY}/") == []
    assert pending(faulty) == [len(TABLES), 0]


def test_a_catalog_that_is_throttled_for_a_moment_is_tried_again_by_the_same_tick(faulty: Faulty) -> None:
    slot = new_day(faulty.afresh())
    changing = aws_error(400, "ConcurrentModificationException")
    with (
        faulty.aws.fault(aws_error(400, "ThrottlingException"), r"AWSGlue\.BatchGetPartition", times=1) as throttled,
        faulty.aws.fault(changing, r"AWSGlue\.BatchCreatePartition", times=1) as changed,
    ):
        assert faulty.run(slot)["registered"] is True
    assert throttled.met and changed.met
    for table in TABLES:
        assert faulty.rows(table, slot)
    assert faulty.deployed.objects(f"pending/country={COUNTRY}/") == []


def test_days_that_are_pending_are_registered_oldest_first(faulty: Faulty) -> None:
    slot = faulty.afresh()
    days = [new_day(slot) for _ in range(3)]  # the youngest first
    for day in days:
        merge_late(faulty, day)
    assert not faulty.invoke("register", {"partitions": []}).is_error
    created = [json.loads(request.body) for request in faulty.aws.seen(r"AWSGlue\.BatchCreatePartition")]
    wanted = [f"{day:%Y-%m-%d}" for day in sorted(days)]
    for table in TABLES:
        calls = [call["PartitionInputList"] for call in created if call["TableName"] == table]
        assert [given["Values"][1] for call in calls for given in call] == wanted
        assert set(wanted) <= set(days_of(faulty, table))


@pytest.mark.parametrize("location", ["right", "elsewhere"])
def test_a_partition_that_exists_after_all_counts_once_its_location_was_compared(
    faulty: Faulty, old: datetime, location: str
) -> None:
    """Somebody else creates it after the question whether it is there, which is answered with no."""
    day, table = f"{old:%Y-%m-%d}", TABLES[0]
    right = f"s3://{faulty.deployed.bucket}/{table}/country={COUNTRY}/day={day}/"
    columns = faulty.deployed.glue.get_table(DatabaseName=faulty.deployed.database, Name=table)["Table"]
    descriptor = columns["StorageDescriptor"] | {"Location": right if location == "right" else f"{right}elsewhere/"}
    faulty.deployed.glue.create_partition(
        DatabaseName=faulty.deployed.database,
        TableName=table,
        PartitionInput={"Values": [COUNTRY, day], "StorageDescriptor": descriptor},
    )
    unseen = Rewrite("partition not seen yet", lambda answer: answer | {"Partitions": []})
    with faulty.aws.fault(unseen, r"AWSGlue\.BatchGetPartition", times=1, where=lambda one: table.encode() in one.body):
        answer = faulty.invoke("register", {"partitions": []})
    assert not answer.is_error, answer.payload
    assert answer.payload == {
        "created": len(TABLES) - 1,
        "updated": int(location == "elsewhere"),
        "unchanged": int(location == "right"),
    }
    (found,) = [one for one in faulty.deployed.partitions(table, COUNTRY) if one["Values"] == [COUNTRY, day]]
    assert found["StorageDescriptor"]["Location"] == right
    assert faulty.rows(table, old)


@pytest.mark.parametrize("kind", [aws_error(403, "AccessDeniedException"), Reset()], ids=["refused", "down"])
def test_metrics_that_are_not_taken_are_logged_and_the_tick_is_as_with_them(faulty: Faulty, kind: Kind) -> None:
    slot = faulty.afresh()
    before = complaints(faulty)
    with faulty.aws.fault(kind, METRICS) as refused:
        assert faulty.run(slot) | {"slot": None} == {
            "country": COUNTRY,
            "slot": None,
            "outcome": "complete",
            "coverage": 1,
            "error": None,
            "registered": True,
        }
    assert refused.met
    faulty.assert_holds(slot)
    assert faulty.deployed.objects(f"pending/country={COUNTRY}/") == []
    assert complaints(faulty) == {function: number + 1 for function, number in before.items()}


def complaints(faulty: Faulty) -> dict[str, int]:
    """How often functions have logged that metrics were not taken."""
    logged = {function: faulty.deployed.logged(f"{COUNTRY}-{function}") for function in ("merge", "register")}
    return {name: sum(one["message"] == "metrics could not be sent" for one in lines) for name, lines in logged.items()}


def test_metrics_that_nobody_answers_to_take_no_more_time_than_a_failed_tick_has_for_its_row(faulty: Faulty) -> None:
    slot = faulty.afresh()
    event = {**faulty.event(slot), "error": {"Error": "ScheduleUnavailable", "Cause": "injected"}}
    with faulty.aws.fault(Hold(), METRICS):
        answer, seconds = faulty.timed("merge", event)
    assert not answer.is_error, answer.payload
    assert answer.payload["outcome"] == "failed"
    assert seconds < _WAY_OUT_SECONDS, f"{seconds:.0f} s"
