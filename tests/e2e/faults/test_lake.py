"""S3 fails: refused requests are retried, accepted ones are not written twice, and no reader sees half a file."""

import io
from contextlib import ExitStack
from datetime import datetime

import pytest
from pyarrow import parquet

from infra.local import slots
from tests.e2e.faults.faulty import COUNTRY, FUNCTIONS, Faulty, of_chunk
from tests.e2e.faults.test_live_view import SEARCH
from tests.faults.http import Kind
from tests.faults.kinds import Answer, CutAnswer, CutRequest, Delay, LoseAnswer, Reset, s3_error
from tests.harness.deployment import TABLES

# Every put of a tick that something else depends on.
PUTS = {
    "a chunk's snapshot": r"PUT /.*/schedules/.*/chunk-00001",
    "last-good.json": r"PUT /.*/schedules/.*/last-good\.json",
    "the manifest": r"PUT /.*/staging/.*/manifest\.json",
    "a staged chunk": r"PUT /.*/staging/.*/chunk-00001\.parquet",
    "the pending note": r"PUT /.*/pending/",
    **{table: rf"PUT /.*/{table}/country=" for table in TABLES},
}


def test_a_tick_is_complete_despite_passing_errors(faulty: Faulty) -> None:
    slot = faulty.afresh()
    for function in FUNCTIONS:
        faulty.restart(function)  # so that each reads its country file
    kinds: dict[str, Kind] = {
        r"GET /.*/config/": s3_error(500, "InternalError"),
        PUTS["a chunk's snapshot"]: s3_error(503, "SlowDown"),
        PUTS["the manifest"]: s3_error(500, "InternalError"),
        r"GET /.*/schedules/.*/chunk-00002": Reset(),
        PUTS["a staged chunk"]: s3_error(503, "SlowDown"),
        r"GET /.*list-type=2&prefix=store_availability": s3_error(503, "ServiceUnavailable"),
        PUTS["store_availability"]: s3_error(503, "SlowDown"),
        PUTS["country_ticks"]: Reset(),
        r"GET /.*/staging/.*/chunk-00000\.parquet": Delay(1),
        r"GET /.*/pending/": s3_error(500, "InternalError"),
        r"DELETE /.*/pending/": s3_error(503, "SlowDown"),
    }
    with ExitStack() as faults:
        met = [faults.enter_context(faulty.aws.fault(kind, pattern, times=1)) for pattern, kind in kinds.items()]
        assert faulty.run(slot)["outcome"] == "complete"
    assert [fault.pattern.pattern for fault in met if not fault.met] == []
    faulty.assert_holds(slot)
    assert faulty.deployed.objects(f"pending/country={COUNTRY}/") == []


def test_an_interrupted_read_is_repeated(faulty: Faulty) -> None:
    slot = faulty.afresh()
    with (
        faulty.aws.fault(CutAnswer(), r"GET /.*/schedules/.*/chunk-00000", times=1) as observed,
        faulty.aws.fault(CutAnswer(), r"GET /.*/staging/.*/chunk-00001\.parquet", times=1) as merged,
    ):
        assert faulty.run(slot)["outcome"] == "complete"
    assert observed.met and merged.met
    faulty.assert_holds(slot)


@pytest.mark.parametrize("put", PUTS.values(), ids=PUTS)
def test_a_put_whose_answer_is_lost_is_repeated_and_counts_once(faulty: Faulty, put: str) -> None:
    slot = faulty.afresh()
    with faulty.aws.fault(LoseAnswer(), put, times=1) as lost:
        assert faulty.run(slot)["outcome"] == "complete"
    assert len(lost.met) == 1 and len(faulty.aws.seen(put)) >= 2
    faulty.assert_holds(slot)
    assert not {"TicksPartial", "TicksFailed"} & dict(faulty.metrics_sent()).keys()
    assert faulty.deployed.objects(f"pending/country={COUNTRY}/") == []


@pytest.mark.parametrize("put", PUTS.values(), ids=PUTS)
def test_a_put_with_a_conflict_is_repeated_and_nothing_is_lost(faulty: Faulty, put: str) -> None:
    slot = faulty.afresh()
    with faulty.aws.fault(s3_error(409, "ConditionalRequestConflict"), put, times=1) as crossed:
        assert faulty.run(slot)["outcome"] == "complete"
    assert len(crossed.met) == 1
    faulty.assert_holds(slot)


@pytest.mark.parametrize("table", TABLES)
def test_a_reader_sees_the_old_file_or_the_new_one_never_a_part(faulty: Faulty, table: str) -> None:
    """A complete tick replaces a partial one, and the connection is cut in the middle of writing."""
    slot = faulty.afresh()
    faulty.plan(slot)
    items = faulty.items(slot)
    with faulty.elasticsearch.fault(Answer(503), SEARCH, where=lambda request: of_chunk(items[1], request)):
        faulty.observe(slot)
    assert faulty.finish(slot)["outcome"] == "partial"
    before = read(faulty, table, slot)
    faulty.observe(slot)
    with faulty.aws.fault(CutRequest(), PUTS[table]) as cut:
        assert faulty.merge(slot).error_type == "LakeUnavailable"
    assert len(cut.met) > 1  # each try sent half of the file
    assert read(faulty, table, slot) == before
    assert faulty.finish(slot)["outcome"] == "complete"
    assert read(faulty, table, slot) != before
    faulty.assert_holds(slot)


def read(faulty: Faulty, table: str, slot: datetime) -> list[dict[str, object]]:
    """A table's file as a reader gets it now. It must be readable."""
    (key,) = [key for key in faulty.files(slot) if key.startswith(f"{table}/")]
    assert key.endswith(f"/{slots.compact(slot)}.parquet")
    return parquet.ParquetFile(io.BytesIO(faulty.deployed.body(key))).read().to_pylist()
