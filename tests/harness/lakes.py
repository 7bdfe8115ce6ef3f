"""Lakes to query: one that the deployed functions wrote in a few slots, the sample week of docs/tables.md, and empty ones."""

import fcntl
import io
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pyarrow import parquet

from infra import analytics, schema
from infra.local import slots
from infra.local.commands import docs, tick
from infra.local.config import Stack
from infra.local.sample import week
from infra.local.servers import sql, trino
from infra.vocabulary import COLUMNS
from tests.harness.deployment import Deployed
from tests.harness.views_oracle import Tables

# A query that takes minutes, and next to no memory.
LONG = (
    "select count(*) from unnest(sequence(1, 10000)) as a (i) cross join unnest(sequence(1, 10000)) as b (i) "
    "cross join unnest(sequence(1, 1000)) as c (i) where a.i * b.i % 7 = c.i"
)


@dataclass(frozen=True)
class Lake:
    """A database with tables and views, the engine to query it, and the rows of its tables."""

    engine: sql.Engine
    database: str
    day: str | None  # replaces the worked queries' days; None: they were written for this lake
    tables: Tables

    def ask(self, statement: str) -> sql.Result:
        """The engine's answer."""
        return sql.run(self.engine, statement, catalog=trino.CATALOG, database=self.database)

    def rows_of(self, table: str, country: str, *days: str) -> int:
        """How many rows a table has on a country's days."""
        return sum(row["country"] == country and row["day"] in days for row in self.tables[table])


@contextmanager
def engine(stack: Stack) -> Iterator[sql.Engine]:
    """Trino. It is large, so it is stopped again unless it ran before or another run uses it."""
    was_running = trino.running(stack) is not None
    with (stack.run_dir / "trino.users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield trino.up(stack)
        finally:
            with suppress(BlockingIOError):
                # Others hold the lock too while they run queries.
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not was_running:
                    trino.down(stack)


def run_slots(deployed: Deployed, now: tick.Tick) -> None:
    """Adds slots beside the one that ticked in time: a late one today, a late one yesterday, and a failed one."""
    for before in (timedelta(minutes=45), timedelta(hours=24)):
        done = tick.run(deployed.stack, prefix=deployed.prefix, slot=now.slot - before)
        assert done.status == "SUCCEEDED", done.error
    event = {"country": "mx", "slot": slots.iso(now.slot - timedelta(minutes=30))}
    cause = '{"errorType":"ScheduleUnavailable","errorMessage":"PostgreSQL at db.mx.example:5432, connecting"}'
    failed = deployed.invoke("mx-merge", event | {"error": {"Error": "ScheduleUnavailable", "Cause": cause}})
    assert not failed.is_error, failed.message
    # As the state machine does. At midnight the partition may belong to another day.
    registered = deployed.invoke("mx-register", {"partitions": failed.payload["partitions"]})
    assert not registered.is_error, registered.message
    # Compacts yesterday, except for one country, which the daily work has not reached.
    for country in ("es", "pt"):
        event = {"country": country, "day": f"{now.slot - timedelta(hours=24):%Y-%m-%d}"}
        compacted = deployed.invoke(f"{country}-compact", event)
        assert not compacted.is_error, compacted.message


def read(deployed: Deployed, tables: Sequence[str] = tuple(COLUMNS)) -> Tables:
    """All rows of a deployment's tables, found through the catalog's partitions as an engine does."""
    found: Tables = {}
    for table in tables:
        rows = found.setdefault(table, [])
        pages = deployed.glue.get_paginator("get_partitions").paginate(DatabaseName=deployed.database, TableName=table)
        for partition in [one for page in pages for one in page["Partitions"]]:
            keys = dict(zip(("country", "day"), partition["Values"], strict=True))
            prefix = partition["StorageDescriptor"]["Location"].removeprefix(f"s3://{deployed.bucket}/")
            for entry in deployed.objects(prefix):
                content = parquet.ParquetFile(io.BytesIO(deployed.body(entry.key))).read()
                rows += [row | keys for row in content.to_pylist()]
    return found


@contextmanager
def sample_week(stack: Stack, engine: sql.Engine) -> Iterator[Lake]:
    """The week of the page's queries."""
    with docs.sample_week(stack) as (database, made):
        tables = {
            table: [row | {"country": country, "day": day} for (country, day), rows in parts.items() for row in rows]
            for table, parts in made.items()
        }
        # Columns that a row lacks are null.
        names = {table: {name for row in rows for name in row} for table, rows in tables.items()}
        filled = {table: [dict.fromkeys(names[table]) | row for row in rows] for table, rows in tables.items()}
        yield Lake(engine, database, None, filled)


@dataclass(frozen=True)
class Bench:
    """A database and a bucket for one test."""

    stack: Stack
    engine: sql.Engine
    name: str

    @property
    def database(self) -> str:
        """Its name in SQL."""
        return self.name.replace("-", "_")

    def put(self, table: schema.Table, day: str, body: bytes) -> None:
        """Writes a day's file and its partition, which is described by the given columns of the table."""
        prefix = f"{table.name}/country=es/day={day}/"
        self.stack.aws.client("s3").put_object(Bucket=self.name, Key=f"{prefix}one.parquet", Body=body)
        entry = week.partition(self.name, table, "es", day, prefix)
        self.stack.aws.client("glue").create_partition(
            DatabaseName=self.database, TableName=table.name, PartitionInput=entry
        )

    def ask(self, statement: str) -> list[dict[str, Any]]:
        """The engine's answer."""
        return sql.run(self.engine, statement, catalog=trino.CATALOG, database=self.database).dicts


@contextmanager
def bench(stack: Stack, engine: sql.Engine) -> Iterator[Bench]:
    """An empty database with the tables and views."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    s3, glue = stack.aws.client("s3"), stack.aws.client("glue")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": stack.aws.region})
    made = Bench(stack, engine, name)
    try:
        glue.create_database(DatabaseInput={"Name": made.database})
        for table in schema.tables():
            week.make_table(glue, name, made.database, table)
        for view in schema.views():
            glue.create_table(DatabaseName=made.database, TableInput=analytics.table_input(view, made.database))
        yield made
    finally:
        glue.delete_database(Name=made.database)
        for entry in s3.list_objects_v2(Bucket=name).get("Contents", []):
            s3.delete_object(Bucket=name, Key=entry["Key"])
        s3.delete_bucket(Bucket=name)
