"""Puts the month into a deployment: the files that its ticks and plans would have left, and its stores in PostgreSQL."""

import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta

import psycopg
import pyarrow as pa
from pyarrow import parquet

from infra import schema
from infra.local import slots
from infra.local.sample import week
from tests.harness.deployment import Deployed
from tests.harness.month.rows import HALVES, Month, by_city
from tests.harness.month.stores import COUNTRY, MonthStore
from tests.harness.month.story import Tick
from tests.harness.open_hours import slot_of
from tests.harness.oracle import LABELS, ScheduledStore
from tests.harness.views_oracle import Row, Rows

_PARALLEL = 8
# The snapshots' form of a time that is missing.
_NO_TIME = (1 << 17) - 1
_EPOCH = date(1970, 1, 1)


def put_ticks(deployed: Deployed, ticks: Iterable[tuple[Tick, Row, Rows]]) -> None:
    """Writes the files of ticks, as merge would have."""
    tables = {table.name: table for table in schema.tables()}
    files = {}
    for tick, row, rows in ticks:
        contents = {"country_ticks": [row]}
        if rows:
            contents |= {"store_availability": rows, "availability_by_city": by_city(rows)}
        for table, content in contents.items():
            files[table_key(table, tick.slot)] = week.file(tables[table], content)
    _put(deployed, files)


def put_readings(deployed: Deployed, month: Month, days: Iterable[int]) -> None:
    """Writes the snapshots of the schedules that were read on some days, as plan would have."""
    files = {}
    for as_of in [reading for reading in month.readings if reading.day in days]:
        micros = int((as_of - datetime(1970, 1, 1)) / timedelta(microseconds=1))
        for half in range(HALVES):
            own = [store for store in month.stores if month.half(store) == half]
            key = f"schedules/country={COUNTRY}/{slots.compact(slot_of(as_of))}/{micros}/chunk-{half:05}.parquet"
            files[key] = snapshot(own, as_of)
    _put(deployed, files)


def table_key(table: str, slot: datetime) -> str:
    """The key of a tick's file."""
    return f"{table}/country={COUNTRY}/day={slot:%Y-%m-%d}/{slots.compact(slot)}.parquet"


def snapshot(stores: list[MonthStore], as_of: datetime) -> bytes:
    """A chunk of a reading. The same schedules make the same bytes."""
    columns: dict[str, list[object]] = {}
    for version in [version for store in stores if (version := store.at(as_of))]:
        store = version.store
        texts = {name: getattr(store, name) for name in ("store_id", "name", "city", "timezone", *LABELS)}
        weekly = [_packed(weekday or 0, opens, closes) for weekday, opens, closes in store.weekly]
        exceptions = [_packed((day - _EPOCH).days, opens, closes) for day, opens, closes in store.exceptions]
        hours = {"weekly": weekly, "exceptions": exceptions}
        for name, value in (texts | {"problem": version.problem} | hours).items():
            columns.setdefault(name, []).append(value)
    lists = ("weekly", "exceptions")
    types = {name: pa.list_(pa.int64()) if name in lists else pa.string() for name in columns}
    buffer = io.BytesIO()
    parquet.write_table(pa.table(columns, pa.schema(list(types.items()))), buffer, compression="zstd")
    return buffer.getvalue()


def replace_stores(conninfo: str, stores: Iterable[ScheduledStore]) -> None:
    """Replaces all stores of a country's database."""
    with psycopg.connect(conninfo) as connection:
        connection.execute("delete from stores")
        cursor = connection.cursor()
        for store in stores:
            own = [int(store.store_id), store.name, store.city, store.timezone]
            own += [getattr(store, label) for label in LABELS]
            names = ", ".join(("id", "name", "city", "timezone", *LABELS))
            connection.execute(f"insert into stores ({names}) values (%s{7 * ', %s'})", own)
            for table, rows in (("store_hours", store.weekly), ("store_exceptions", store.exceptions)):
                values = [(own[0], day, _time(opens), _time(closes)) for day, opens, closes in rows]
                cursor.executemany(f"insert into {table} values (%s, %s, %s, %s)", values)


def _packed(day: int, opens: int | None, closes: int | None) -> int:
    times = [_NO_TIME if value is None else value for value in (opens, closes)]
    return day << 34 | times[0] << 17 | times[1]


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _put(deployed: Deployed, files: dict[str, bytes]) -> None:
    with ThreadPoolExecutor(_PARALLEL) as pool:
        puts = [
            pool.submit(deployed.s3.put_object, Bucket=deployed.bucket, Key=key, Body=body)
            for key, body in files.items()
        ]
    for put in puts:
        put.result()
