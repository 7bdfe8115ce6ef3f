"""A lake whose latest slot is the present one, without functions: two sample weeks, as of docs/tables.md, moved to end now."""

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from infra import analytics, schema
from infra.local import slots
from infra.local.commands import dashboard
from infra.local.config import Stack
from infra.local.sample import week
from infra.local.servers import sql, trino

COUNTRIES = ["es", "mx"]
# The week that ends today, and another one before it to compare with.
_SEEDS = {0: week.SEED, week.DAYS: week.SEED + 1}
_OUTAGE = re.compile(r"(.*)/(\d{8}T\d{4}Z)")


@dataclass(frozen=True)
class Lake:
    """A database, its engine, and the first slot that has no rows yet."""

    engine: sql.Engine
    database: str
    end: datetime
    bucket: str

    @property
    def shown(self) -> dashboard.Lake:
        """What the dashboard needs to know of it."""
        return dashboard.Lake(self.database, COUNTRIES, self.bucket)

    def ask(self, statement: str) -> list[dict[str, Any]]:
        """The engine's answer."""
        return sql.run(self.engine, statement, catalog=trino.CATALOG, database=self.database).dicts


Keep = Callable[[str, date], bool]


@contextmanager
def made(stack: Stack, engine: sql.Engine, keep: Keep = lambda country, day: True) -> Iterator[Lake]:
    """Writes the lake, only the partitions to keep, and removes it."""
    name = f"dashboard-{uuid.uuid4().hex[:8]}"
    database = name.replace("-", "_")
    s3, glue = stack.aws.client("s3"), stack.aws.client("glue")
    end = slots.current() + slots.SLOT
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": stack.aws.region})
    glue.create_database(DatabaseInput={"Name": database})
    try:
        _write(stack, name, database, end, keep)
        yield Lake(engine, database, end.replace(tzinfo=None), name)
    finally:
        glue.delete_database(Name=database)
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
            if found := page.get("Contents"):
                s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": one["Key"]} for one in found]})
        s3.delete_bucket(Bucket=name)


def _write(stack: Stack, bucket: str, database: str, end: datetime, keep: Keep) -> None:
    s3, glue = stack.aws.client("s3"), stack.aws.client("glue")
    # The week's last day becomes today.
    days = (datetime.now(UTC).date() - week.FIRST_DAY).days - (week.DAYS - 1)
    weeks = {days - before: week.rows(seed) for before, seed in _SEEDS.items()}
    for table in schema.tables():
        week.make_table(glue, bucket, database, table)
        parts = []
        for moved, (country, day), content in [
            (n, *item) for n, made in weeks.items() for item in made[table.name].items()
        ]:
            rows = [_moved(row, moved) for row in content]
            rows = [row for row in rows if row.get("slot", datetime.min) < end.replace(tzinfo=None)]
            there = f"{date.fromisoformat(day) + timedelta(days=moved)}"
            if not keep(country, date.fromisoformat(there)):
                continue
            prefix = f"{table.name}/country={country}/day={there}/"
            s3.put_object(Bucket=bucket, Key=f"{prefix}rows.parquet", Body=week.file(table, rows))
            parts.append(week.partition(bucket, table, country, there, prefix))
        if parts:
            glue.batch_create_partition(DatabaseName=database, TableName=table.name, PartitionInputList=parts)
    for view in schema.views():
        glue.create_table(DatabaseName=database, TableInput=analytics.table_input(view, database))


def _moved(row: dict[str, Any], days: int) -> dict[str, Any]:
    """A row some days later. Other texts that name days, such as exceptions, stay: the dashboard does not read them."""
    moved = {name: value + timedelta(days=days) if isinstance(value, date) else value for name, value in row.items()}
    if found := _OUTAGE.fullmatch(row.get("outage_id") or ""):
        first = datetime.strptime(found[2], "%Y%m%dT%H%MZ") + timedelta(days=days)
        moved["outage_id"] = f"{found[1]}/{first:%Y%m%dT%H%MZ}"
    return moved
