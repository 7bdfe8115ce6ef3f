"""Glue and CloudWatch fail: data stays, and what is unregistered is counted until a later tick registers it."""

import json
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest

from infra.local import slots
from tests.e2e.faults.faulty import COUNTRY, Faulty
from tests.faults.http import Kind
from tests.faults.kinds import Hold, RefusePartitions, Reset, Rewrite, aws_error
from tests.harness.deployment import TABLES

GLUE = r"AWSGlue\."
METRICS = r"/PutMetricData"
# The seconds that a failed tick has to write its row, metrics included (statemachine/country.asl.json, MergeFailure).
_WAY_OUT_SECONDS = 31


# Days before today without a partition. Each test takes a new one: the local catalog cannot delete partitions.
_DAYS_AGO = count(40)


def new_day(slot: datetime) -> datetime:
    """A slot on a day that is not in the catalog."""
    return slot - timedelta(days=next(_DAYS_AGO))


@pytest.fixture
def old(faulty: Faulty) -> datetime:
    """A slot on such a day, merged but not registered."""
    slot = new_day(faulty.afresh())
    merge_late(faulty, slot)
    return slot


def merge_late(faulty: Faulty, slot: datetime) -> list[dict[str, Any]]:
    """Writes a past slot, all of it unknown. Returns the partitions to register."""
    faulty.plan(slot)
    faulty.observe(slot)
    merged = faulty.merge(slot)
    assert not merged.is_error, merged.payload
    return merged.payload["partitions"]


def days_of(faulty: Faulty, table: str) -> list[str]:
    """The country's days in the catalog."""
    return [found["Values"][1] for found in faulty.deployed.partitions(table, COUNTRY)]


def pending(faulty: Faulty) -> list[float]:
    """Every value sent for the metric of ticks that wait for the catalog."""
    return [value for name, value in faulty.metrics_sent() if name == "TicksPending"]


FAILURES: list[tuple[str, Kind, str]] = [
    ("down", Reset(), GLUE),
    ("failing", aws_error(500, "InternalServiceException"), GLUE),
    ("throttled", aws_error(400, "ThrottlingException"), GLUE),
    ("changing", aws_error(400, "ConcurrentModificationException"), r"AWSGlue\.BatchCreatePartition"),
    ("refusing", RefusePartitions("ConcurrentModificationException"), r"AWSGlue\.BatchCreatePartition"),
]


@pytest.mark.parametrize(("kind", "calls"), [one[1:] for one in FAILURES], ids=[one[0] for one in FAILURES])
def test_a_later_tick_registers_what_stayed_pending_with_glue(
    faulty: Faulty, old: datetime, kind: Kind, calls: str
) -> None:
    files, day = faulty.files(old), f"{old:%Y-%m-%d}"
    (note,) = faulty.deployed.objects(f"pending/country={COUNTRY}/")
    with faulty.aws.fault(kind, calls):
        answer = faulty.invoke("register", {"partitions": []})
    assert answer.error_type == "CatalogUnavailable", answer.payload
    assert [day in days_of(faulty, table) for table in TABLES] == [False] * len(TABLES)
    assert faulty.files(old) == files and len(files) == len(TABLES)
    assert faulty.deployed.objects(f"pending/country={COUNTRY}/") == [note]
    assert pending(faulty) == [1]

    # Today's tick only knows of that day through the note.
    assert faulty.run(slots.current())["registered"]["created"] > 0
    assert faulty.tick(old)["chunks_unknown"] == 3
    assert faulty.deployed.objects(f"pending/country={COUNTRY}/") == []
    assert pending(faulty) == [1]


def test_the_same_tick_retries_a_catalog_that_is_throttled_briefly(faulty: Faulty) -> None:
    slot = new_day(faulty.afresh())
    changing = aws_error(400, "ConcurrentModificationException")
    with (
        faulty.aws.fault(aws_error(400, "ThrottlingException"), r"AWSGlue\.BatchGetPartition", times=1) as throttled,
        faulty.aws.fault(changing, r"AWSGlue\.BatchCreatePartition", times=1) as changed,
    ):
        assert faulty.run(slot)["registered"]["created"] > 0
    assert throttled.met and changed.met
    for table in TABLES:
        # The slot is over, so every store is unknown, and none is known to be down.
        assert bool(faulty.rows(table, slot)) == (table != "current_outages")
    assert faulty.deployed.objects(f"pending/country={COUNTRY}/") == []


def test_pending_days_are_registered_oldest_first(faulty: Faulty) -> None:
    slot = faulty.afresh()
    days = [new_day(slot) for _ in range(3)]  # the newest first
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
def test_a_partition_that_somebody_else_creates_is_compared_and_counted_once(
    faulty: Faulty, old: datetime, location: str
) -> None:
    """Somebody creates it between the question whether it exists, answered with no, and our creating it."""
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
def test_refused_metrics_are_logged_and_do_not_affect_the_tick(faulty: Faulty, kind: Kind) -> None:
    """A tick sends metrics only if something is wrong. This one comes too late to judge a store."""
    slot = new_day(faulty.afresh())
    before = complaints(faulty)
    with faulty.aws.fault(kind, METRICS) as refused:
        output = faulty.run(slot)
    assert refused.met
    assert (output["outcome"], output["coverage"]) == ("partial", 0)
    assert output["registered"] is not None
    assert faulty.rows("store_availability", slot)
    assert faulty.deployed.objects(f"pending/country={COUNTRY}/") == []
    assert complaints(faulty) == before + 1


def complaints(faulty: Faulty) -> int:
    """How often merge logged that metrics were not accepted."""
    return sum(one["message"] == "metrics could not be sent" for one in faulty.deployed.logged(f"{COUNTRY}-merge"))


def test_unanswered_metrics_leave_a_failed_tick_time_for_its_row(faulty: Faulty) -> None:
    slot = faulty.afresh()
    event = {**faulty.event(slot), "error": {"Error": "ScheduleUnavailable", "Cause": "injected"}}
    with faulty.aws.fault(Hold(), METRICS):
        answer, seconds = faulty.timed("merge", event)
    assert not answer.is_error, answer.payload
    assert answer.payload["outcome"] == "failed"
    assert seconds < _WAY_OUT_SECONDS, f"{seconds:.0f} s"
