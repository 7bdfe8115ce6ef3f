"""The measurements behind docs/benchmarks.md report what they measured, and report when one went wrong."""

import argparse
import io
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import pyarrow as pa
import pytest
from pyarrow import parquet

from infra.local.config import Stack
from infra.local.servers.sql import Engine
from tests.harness.deployment import TABLES
from tests.measure import queries
from tests.measure import repair as repairs
from tests.measure.bench.check import PROGRAM
from tests.measure.queries import Day, Measured, ticked_day

STORES = 50
COUNTRIES, DAYS = 2, 10
Both = tuple[Measured, Measured]


@pytest.fixture(scope="module")
def day(stack: Stack, engine: Engine) -> Iterator[Day]:
    """A day of a few stores."""
    with ticked_day(stack, engine, STORES, _prefix()) as made:
        yield made


@pytest.fixture(scope="module")
def measured(day: Day) -> Both:
    """Measurements of the day as its ticks left it, and compacted."""
    before = day.measure(1, 0, queries.QUERIES)
    day.compact()
    return before, day.measure(1, 0, queries.QUERIES | queries.OF_OUTAGES)


@pytest.fixture(scope="module")
def spoiled(day: Day, measured: Both) -> Measured:
    """Measurements of the compacted day after its unavailable stores were removed."""
    del measured
    (found,) = day.deployed.objects(day.prefix("store_availability"))
    rows = parquet.ParquetFile(io.BytesIO(day.deployed.body(found.key))).read().to_pylist()
    content = pa.Table.from_pylist([row for row in rows if row["status"] != "unavailable"])
    body = io.BytesIO()
    parquet.write_table(content, body)
    day.deployed.s3.put_object(Bucket=day.deployed.bucket, Key=found.key, Body=body.getvalue())
    return day.measure(1, 0, queries.QUERIES)


def test_a_compacted_day_gives_the_same_answers_from_fewer_bytes(day: Day, measured: Both) -> None:
    before, after = measured
    assert queries.differences(before, after) == []
    assert {name: found.files for name, found in before.volumes.items()} == dict.fromkeys(day.tables, 96)
    assert {name: found.files for name, found in after.volumes.items()} == dict.fromkeys(day.tables, 1)
    for name, asked in before.asked.items():
        # Few of so few stores are open in the day's last slot, and none of them is down.
        assert asked.rows or name == "who is down now", name
        assert len(asked.millis) == 1
        assert 0 < after.asked[name].read < asked.read
        assert after.asked[name].splits < asked.splits
    assert len(before.asked["one store's day"].rows) == 96
    assert after.asked.keys() - before.asked.keys() == queries.OF_OUTAGES.keys()
    assert after.asked["the longest outages"].rows
    assert "96.0" in queries.report(before, after)


def test_queries_whose_answers_change_after_compaction_are_reported(measured: Both, spoiled: Measured) -> None:
    told = queries.differences(measured[0], spoiled)
    assert [text.partition(":")[0] for text in told] == ["one store's day", "the worst stores"]


def test_the_command_fails_if_answers_differ(
    measured: Both, spoiled: Measured, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for after, status in ((measured[1], 0), (spoiled, 1)):
        forms = iter([measured[0], after])

        @contextmanager
        def made(*_: object, forms: Iterator[Measured] = forms) -> Iterator[SimpleNamespace]:
            yield SimpleNamespace(day="2026-11-22", compact=lambda: 1.0, measure=lambda *_: next(forms))

        monkeypatch.setattr(queries, "ticked_day", made)
        assert queries.main(_arguments(queries, "--runs", "1")) == status
        assert ("not the same rows" in capsys.readouterr().out) == bool(status)


def test_a_repair_of_several_countries_is_counted_in_requests(capsys: pytest.CaptureFixture[str]) -> None:
    assert repairs.main(_arguments(repairs, "--countries", f"{COUNTRIES}", "--days", f"{DAYS}")) == 0
    printed = capsys.readouterr().out
    for line in (
        "created 80 8 0",
        "updated 0 8 0",
        "deleted 0 8 0",
        "unchanged 0 56 72",
        # One request per country and table, and there are three tables more than ticks write. If some days have partitions,
        # Glue is asked once more for the days that have none.
        "requests: BatchGetPartition 14 22 22",
        "requests: BatchCreatePartition 8 8 0",
        "requests: BatchUpdatePartition 0 8 0",
        "requests: DeletePartition 0 8 0",
    ):
        assert line in [" ".join(found.split()) for found in printed.splitlines()], printed


def test_a_repair_that_does_not_do_what_it_says_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(repairs, "repair", lambda *_: {"created": len(TABLES) * DAYS})
    assert repairs.main(_arguments(repairs, "--countries", "1", "--days", f"{DAYS}")) == 1
    printed = capsys.readouterr().out
    assert "36 partitions differ from S3" in printed
    assert "nothing to do: counted {'created': 40} instead of {'unchanged': 36}" in printed


def test_a_new_process_collects_no_entropy_from_jitter() -> None:
    """The library that does it names its functions so; .cargo/config.toml leaves it out."""
    assert b"jent_" not in PROGRAM.read_bytes()


def _prefix() -> str:
    return f"e2e-{uuid.uuid4().hex[:6]}-m"


def _arguments(module: ModuleType, *given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return parser.parse_args([*given, "--prefix", _prefix()])
