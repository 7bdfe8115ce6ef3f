"""A lake whose latest slot is the present one, without functions: the sample week of docs/tables.md, moved to end now."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from infra import analytics, schema
from infra.local import slots
from infra.local.config import Stack
from infra.local.sample import week
from infra.local.servers import sql, trino

COUNTRIES = ["es", "mx"]
_OF_TICKS = ("store_availability", "availability_by_city", "country_ticks")


@dataclass(frozen=True)
class Lake:
    """A database, its engine, and the first slot that has no rows yet."""

    url: str
    database: str
    end: datetime

    def ask(self, statement: str) -> list[dict[str, Any]]:
        """The engine's answer."""
        return sql.run(self.url, statement, catalog=trino.CATALOG, database=self.database).dicts


@contextmanager
def made(stack: Stack, url: str) -> Iterator[Lake]:
    """Writes the lake, and removes it."""
    name = f"dashboard-{uuid.uuid4().hex[:8]}"
    database = name.replace("-", "_")
    s3, glue = stack.aws.client("s3"), stack.aws.client("glue")
    end = slots.current() + slots.SLOT
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": stack.aws.region})
    glue.create_database(DatabaseInput={"Name": database})
    try:
        _write(stack, name, database, end)
        yield Lake(url, database, end.replace(tzinfo=None))
    finally:
        glue.delete_database(Name=database)
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
            s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": one["Key"]} for one in page["Contents"]]})
        s3.delete_bucket(Bucket=name)


def _write(stack: Stack, bucket: str, database: str, end: datetime) -> None:
    s3, glue = stack.aws.client("s3"), stack.aws.client("glue")
    rows = week.rows()
    # The week's last day becomes today.
    days = (datetime.now(UTC).date() - week.FIRST_DAY).days - (week.DAYS - 1)
    for table in schema.tables():
        week.make_table(glue, bucket, database, table)
        parts = []
        for (country, day), content in rows[table.name].items():
            moved = [_moved(row, days) for row in content]
            moved = [row for row in moved if row.get("slot", row.get("began_by", datetime.min)) < end.replace(tzinfo=None)]
            there = f"{date.fromisoformat(day) + timedelta(days=days)}"
            prefix = f"{table.name}/country={country}/day={there}/"
            s3.put_object(Bucket=bucket, Key=f"{prefix}rows.parquet", Body=week.file(table, moved))
            parts.append(week.partition(bucket, table, country, there, prefix))
            # What happened a week ago can be compared with: the last two days once more.
            if table.name in _OF_TICKS and date.fromisoformat(day) > week.FIRST_DAY + timedelta(days=week.DAYS - 3):
                there = f"{date.fromisoformat(day) + timedelta(days=days - 7)}"
                prefix = f"{table.name}/country={country}/day={there}/"
                before = week.file(table, [_moved(row, days - 7) for row in content])
                s3.put_object(Bucket=bucket, Key=f"{prefix}rows.parquet", Body=before)
                parts.append(week.partition(bucket, table, country, there, prefix))
        if parts:
            glue.batch_create_partition(DatabaseName=database, TableName=table.name, PartitionInputList=parts)
    for view in schema.views():
        glue.create_table(DatabaseName=database, TableInput=analytics.table_input(view, database))


def _moved(row: dict[str, Any], days: int) -> dict[str, Any]:
    """A row some days later. Texts that name days, such as exceptions, stay: the dashboard does not read them."""
    return {name: value + timedelta(days=days) if isinstance(value, date) else value for name, value in row.items()}
