"""Puts the month into a deployment: the files that its ticks and plans would have left, and its stores in PostgreSQL."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta

import psycopg
import pyarrow as pa

from infra import schema
from infra.local import slots
from infra.local.sample import week
from tests.harness.deployment import Deployed
from tests.harness.month.rows import HALVES, Month, by_city
from tests.harness.month.stores import COUNTRY, MonthStore, Version
from tests.harness.month.story import Tick
from tests.harness.open_hours import slot_of
from tests.harness.oracle import LABELS, ScheduledStore
from tests.harness.views_oracle import Row, Rows

_PARALLEL = 8
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
            key = f"schedules/country={COUNTRY}/{slots.compact(slot_of(as_of))}/{micros}/chunk-{half:05}.postcard.zst"
            files[key] = snapshot(own, as_of)
    _put(deployed, files)


def table_key(table: str, slot: datetime) -> str:
    """The key of a tick's file."""
    return f"{table}/country={COUNTRY}/day={slot:%Y-%m-%d}/{slots.compact(slot)}.parquet"


def snapshot(stores: list[MonthStore], as_of: datetime) -> bytes:
    """A chunk of a reading. The same schedules make the same bytes."""
    versions = [version for store in stores if (version := store.at(as_of))]
    return pa.compress(_varint(len(versions)) + b"".join(map(_row, versions)), codec="zstd", asbytes=True)


def _row(version: Version) -> bytes:
    """A store in postcard's form, with the fields of `Store` in shared/domain/src/store.rs."""
    store = version.store
    texts = b"".join(_optional(getattr(store, name)) for name in ("name", "city", "timezone", *LABELS))
    weekly = [_varint(weekday or 0) + _hours(*hours) for weekday, *hours in store.weekly]
    # Signed numbers alternate: 0, -1, 1, -2. A date is after 1970.
    exceptions = [_varint(2 * (day - _EPOCH).days) + _hours(*hours) for day, *hours in store.exceptions]
    lists = b"".join(_varint(len(rows)) + b"".join(rows) for rows in (weekly, exceptions))
    return _text(store.store_id) + texts + lists + _optional(version.problem)


def _hours(opens: int | None, closes: int | None) -> bytes:
    return b"\0" if opens is None or closes is None else b"\1" + _varint(opens) + _varint(closes)


def _optional(text: str | None) -> bytes:
    return b"\0" if text is None else b"\1" + _text(text)


def _text(text: str) -> bytes:
    return _varint(len(text.encode())) + text.encode()


def _varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])


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
