"""A week of a small lake, always the same bytes. The queries of docs/tables.md and the tests of the views use it.

Ticks cannot write it: they observe the present, but a printed page needs a week in the past. Spain's clocks change on
the last day. The week has outages, failed, missed and partial slots, schedules that went stale or changed, stores open
out of hours, unlisted stores and orphans.
"""

import io
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from infra.local.config import Stack
from infra.local.sample.outages import StoreWeek
from infra.local.slots import SLOT
from infra.local.zones import ZoneInfo
from infra.schema import Table, tables
from infra.vocabulary import RATED, STATUSES

FIRST_DAY = date(2026, 3, 23)  # a Monday
DAYS = 7
SEED = 7
Rows = list[dict[str, Any]]

_ARROW = {
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "string": pa.string(),
}
_HIVE = "org.apache.hadoop.hive.ql.io.parquet"
_REASONS = ("maintenance", "no_couriers", "out_of_stock", "paused_by_store", "tablet_offline")
_KINDS = (
    ("Bakery", 7 * 60, 14 * 60),
    ("Grill", 12 * 60, 23 * 60 + 40),
    ("Market", 9 * 60, 21 * 60 + 5),
    ("Bar", 18 * 60, 26 * 60),
)


@dataclass(frozen=True)
class _Store:
    id: int
    name: str
    city: str | None
    zone: str
    opens: int  # minutes of the local day; closes may lie in the next one
    closes: int
    trouble: float  # probability that an outage begins in a slot
    closed_on: date | None = None  # by an exception


_CITIES = {
    "es": (("Madrid", "Europe/Madrid"), ("Sevilla", "Europe/Madrid"), ("Las Palmas", "Atlantic/Canary")),
    "mx": (("Ciudad de México", "America/Mexico_City"), ("Tijuana", "America/Tijuana")),
}
_COUNTS = {"es": 24, "mx": 10}
# City -> region, and the team that looks after it.
_REGIONS = {
    "Madrid": ("ES-MD", "Centre"),
    "Sevilla": ("ES-AN", "South"),
    "Las Palmas": ("ES-CN", "South"),
    "Ciudad de México": ("MX-CMX", "Capital"),
    "Tijuana": ("MX-BCN", "North"),
}
_SEGMENTS = {"Bakery": "grocery", "Grill": "restaurant", "Market": "grocery", "Bar": "restaurant"}
# By store number: one large chain, a small one, and stores without a chain.
_CHAINS = ("Sol", None, "Sol", "Mar", "Sol", None, None, "Sol")


def rows(seed: int = SEED) -> dict[str, dict[tuple[str, str], Rows]]:
    """The rows of every table: table -> (country, day) -> rows."""
    made: dict[str, dict[tuple[str, str], Rows]] = {table.name: {} for table in tables()}
    for country in _CITIES:
        seen: dict[datetime, Rows] = {}
        for slot, stores, tick in _ticks(country, random.Random(f"{seed} {country}")):
            key = country, f"{slot:%Y-%m-%d}"
            made["country_ticks"].setdefault(key, []).append(tick)
            seen[slot] = stores
            if stores:
                made["store_availability"].setdefault(key, []).extend(stores)
                made["availability_by_city"].setdefault(key, []).extend(_by_city(slot, stores))
        scheduled = list(_stores(country, random.Random(f"{seed} {country}")))
        for (of, day), ticks in made["country_ticks"].items():
            if of == country:
                readings = sorted({tick["schedule_as_of"] for tick in ticks if "schedule_as_of" in tick})
                made["store_schedules"][of, day] = list(
                    _schedules(country, date.fromisoformat(day), scheduled, readings)
                )
        for table, at, row in _outages(country, scheduled, seen):
            made[table].setdefault((country, f"{at:%Y-%m-%d}"), []).append(row)
    return made


def write(stack: Stack, bucket: str, database: str) -> dict[str, dict[tuple[str, str], Rows]]:
    """Writes the week into a bucket and database of the local AWS, one file per partition. Returns its rows."""
    s3, glue = stack.aws.client("s3"), stack.aws.client("glue")
    made = rows()
    glue.create_database(DatabaseInput={"Name": database})
    for table in tables():
        make_table(glue, bucket, database, table)
        parts = []
        for (country, day), content in made[table.name].items():
            prefix = f"{table.name}/country={country}/day={day}/"
            s3.put_object(Bucket=bucket, Key=f"{prefix}{day.replace('-', '')}.parquet", Body=file(table, content))
            parts.append(partition(bucket, table, country, day, prefix))
        glue.batch_create_partition(DatabaseName=database, TableName=table.name, PartitionInputList=parts)
    return made


def make_table(glue: Any, bucket: str, database: str, table: Table) -> None:
    """Creates a table of the catalog from lake.yaml."""
    keys = [{"Name": key.name, "Type": key.type} for key in table.keys]
    descriptor = _descriptor(f"s3://{bucket}/{table.name}/", table)
    parameters = {"EXTERNAL": "TRUE", "classification": "parquet"}
    content = {"Name": table.name, "TableType": "EXTERNAL_TABLE", "PartitionKeys": keys, "Parameters": parameters}
    glue.create_table(DatabaseName=database, TableInput=content | {"StorageDescriptor": descriptor})


def partition(bucket: str, table: Table, country: str, day: str, prefix: str) -> dict[str, Any]:
    """A partition of the catalog, with the columns and formats that engines need."""
    return {"Values": [country, day], "StorageDescriptor": _descriptor(f"s3://{bucket}/{prefix}", table)}


def file(table: Table, content: Rows) -> bytes:
    """A Parquet file with a table's columns."""
    arrow = pa.schema([(column.name, _ARROW[column.type]) for column in table.columns])
    buffer = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(content, arrow), buffer, compression="zstd")
    return buffer.getvalue()


def _descriptor(location: str, table: Table) -> dict[str, Any]:
    return {
        "Location": location,
        "Columns": [{"Name": column.name, "Type": column.type} for column in table.columns],
        "InputFormat": f"{_HIVE}.MapredParquetInputFormat",
        "OutputFormat": f"{_HIVE}.MapredParquetOutputFormat",
        "SerdeInfo": {"SerializationLibrary": f"{_HIVE}.serde.ParquetHiveSerDe"},
    }


def _ticks(country: str, rng: random.Random) -> Iterator[tuple[datetime, Rows, dict[str, Any]]]:
    """A country's slots in order: the stores' rows, none if the slot failed, and the tick's own row."""
    stores = list(_stores(country, rng))
    outages: dict[int, tuple[int, str]] = {}  # store -> slots left, reason
    start = datetime.combine(FIRST_DAY, datetime.min.time())
    as_of = start
    for number in range(DAYS * 96):
        slot = start + number * SLOT
        # Drawn for every slot, missed ones too, so that changing one part of the story leaves the rest the same.
        for store in stores:
            left, reason = outages.get(store.id, (0, ""))
            draws = rng.random(), rng.random(), rng.random()
            if left:
                outages[store.id] = left - 1, reason
            elif draws[0] < store.trouble:
                outages[store.id] = 1 + int(draws[1] * 9), _REASONS[int(draws[2] * len(_REASONS))]
        if country == "mx" and (number < 24 or slot_in(slot, 2, "19:00", "20:00")):
            continue  # starts at 06:00; an hour of the third day's noon is missed
        postgres_away = country == "es" and slot_in(slot, 4, "06:15", "07:30")
        as_of = as_of if postgres_away else slot + timedelta(seconds=3, microseconds=250_000)
        tick = {"slot": slot, "started_at": slot + timedelta(seconds=2), "finished_at": slot + timedelta(seconds=8)}
        if country == "mx" and slot_in(slot, 2, "20:15", "20:30"):
            error = "ScheduleUnavailable: PostgreSQL at db.mx.example:5432, connecting"
            yield slot, [], tick | {"outcome": "failed", "error": error}
            continue
        partial = country == "mx" and slot_in(slot, 3, "18:00", "18:45")
        found = [
            _row(country, slot, store, outages.get(store.id, (0, "")), as_of, partial and n < len(stores) // 2)
            for n, store in enumerate(stores)
        ]
        found += [_orphan(country, slot, store_id, as_of) for store_id in ((909,) if country == "es" else (904, 907))]
        found.sort(key=lambda row: row["store_id"])
        unknown = sum(row["status"] == "unknown" for row in found)
        known = {
            "outcome": "partial" if partial else "complete",
            "stores": len(stores),
            "chunks": 2,
            "chunks_unknown": int(partial),
            "coverage": 1 - unknown / len(stores),
            "schedule_as_of": as_of,
            "error": "1 of 2 chunks: LiveViewIncomplete: a shard failed" if partial else None,
            "tzdb": "2026a",
        }
        yield slot, found, tick | known


def slot_in(slot: datetime, day: int, begin: str, end: str) -> bool:
    """Whether a slot lies between two UTC times on a day of the week, 0 to 6."""
    return slot.date() == FIRST_DAY + timedelta(days=day) and begin <= f"{slot:%H:%M}" < end


def _stores(country: str, rng: random.Random) -> Iterator[_Store]:
    cities = _CITIES[country]
    for number in range(_COUNTS[country]):
        city, zone = cities[number % len(cities)]
        kind, opens, closes = _KINDS[int(rng.random() * len(_KINDS))]
        trouble = 0.05 if number % 8 == 3 else 0.006
        yield _Store(
            101 + number, f"{kind} {101 + number}", None if number == 5 else city, zone, opens, closes, trouble
        )


def _outages(country: str, stores: list[_Store], seen: dict[datetime, Rows]) -> list[tuple[str, datetime, Any]]:
    """The rows of the tables of outages: table, slot or day, row. By slot and then by store, as ticks write them."""
    slots = [min(seen) + n * SLOT for n in range((max(seen) - min(seen)) // SLOT + 1)]
    rows = {(row["slot"], row["store_id"]): row for found in seen.values() for row in found}
    found: list[tuple[str, datetime, Any]] = []
    for store in sorted(stores, key=lambda store: str(store.id)):

        def is_open(as_of: datetime, minute: datetime, store: _Store = store) -> bool:
            return _is_open(_as_read(country, store, as_of), minute)

        story = StoreWeek(slots, [rows.get((slot, str(store.id))) for slot in slots], is_open)
        found += [("outages", day, row) for day, row in story.outages()]
        # Ticks write them, so a slot that was missed has none.
        found += [("current_outages", row["slot"], row) for row in story.current() if seen.get(row["slot"])]
        found += [("missed_looks", row["slot"], row | _clock(store.zone, row["slot"])) for row in story.missed()]
    return sorted(found, key=lambda one: one[1])


def _row(
    country: str, slot: datetime, store: _Store, outage: tuple[int, str], as_of: datetime, unseen: bool
) -> dict[str, Any]:
    """A store's row in a slot: judged by its hours and the story of the week."""
    read = _as_read(country, store, as_of)
    minutes = [_is_open(read, slot + timedelta(minutes=n)) for n in range(15)]
    # The live view follows the schedule, except on the exceptional closing day: then it is an hour late.
    shown = _is_open(_as_read(country, store, as_of - timedelta(hours=1)) if store.id == 110 else read, slot)
    bad = _is_bad(country, store)
    # A tablet with a bad connection: on Saturday noon every other look finds it off.
    flickers = country == "es" and store.id == 118 and slot_in(slot, 5, "12:00", "13:30") and slot.minute % 30 == 0
    outage = (1, "tablet_offline") if flickers else outage
    # When the week ends two stores in Mexico are down.
    begin = {102: "22:15", 110: "23:00"}.get(store.id, "24:00")
    outage = (1, "no_couriers") if country == "mx" and slot_in(slot, 6, begin, "24:00") else outage
    forgot = store.id == 108 and slot.weekday() >= 4  # nobody turns it off at the weekend
    # Not in the live view: one store per country all week, and one in Mexico for a day.
    listed = not (store.id == 106 or (country == "mx" and store.id == 103 and slot.weekday() == 1))
    online = listed and (outage[0] == 0) and (shown or forgot)
    row: dict[str, Any] = {
        "slot": slot,
        "observed_at": None if unseen else slot + timedelta(seconds=5, microseconds=500_000),
        "store_id": str(store.id),
        "name": store.name,
        "city": store.city,
        "timezone": store.zone,
        **_clock(store.zone, slot),
        "scheduled": None if bad or unseen else minutes[0],
        "scheduled_seconds": None if bad else 60 * sum(minutes),
        "listed": None if unseen else listed,
        "online": None if unseen else online,
        "schedule_as_of": as_of,
        **_labels(store),
    }
    if bad or unseen:
        return row | {"status": "unknown", "reason": "bad_schedule" if bad else "live_view_incomplete"}
    if minutes[0]:
        status = "available" if online else "unavailable" if listed else "unlisted"
    else:
        status = "unexpected" if online else "closed"
    return row | {"status": status, "reason": outage[1] if listed and outage[0] else None}


def _labels(store: _Store) -> dict[str, Any]:
    """Whose store it is. One without a city has no region either."""
    region, owner = _REGIONS.get(store.city or "", (None, None))
    segment, chain = _SEGMENTS[store.name.split()[0]], _CHAINS[store.id % len(_CHAINS)]
    return {"region": region, "chain": chain, "segment": segment, "owner": owner}


def _is_open(store: _Store, instant: datetime) -> bool:
    local = instant.replace(tzinfo=UTC).astimezone(ZoneInfo(store.zone))
    minute = 60 * local.hour + local.minute
    if store.opens <= minute < store.closes and local.date() != store.closed_on:
        return True
    return minute + 24 * 60 < store.closes and local.date() - timedelta(days=1) != store.closed_on


def _as_read(country: str, store: _Store, as_of: datetime) -> _Store:
    """A store's schedule at an instant. In Spain one closes earlier from Thursday on, one is closed on Friday."""
    start = datetime.combine(FIRST_DAY, datetime.min.time())
    if country == "es" and store.id == 105 and as_of >= start + timedelta(days=3, hours=10):
        return replace(store, closes=store.closes - 60)
    if country == "es" and store.id == 110 and as_of >= start + timedelta(days=4, hours=19, minutes=30):
        return replace(store, closed_on=FIRST_DAY + timedelta(days=4))
    return store


def _is_bad(country: str, store: _Store) -> bool:
    """Whether one of its rows of hours is invalid."""
    return country == "es" and store.id == 114


def _schedules(country: str, day: date, stores: list[_Store], readings: list[datetime]) -> Iterator[dict[str, Any]]:
    """A day's rows of store_schedules: each store's schedules in the order in which they were read."""
    for store in sorted(stores, key=lambda store: str(store.id)):
        own: Rows = []
        for as_of in readings:
            told = _told(country, day, _as_read(country, store, as_of))
            if own and all(own[-1][name] == text for name, text in told.items()):
                continue
            if own:
                own[-1]["valid_until"] = as_of
            own.append(told | {"valid_from": as_of, "valid_until": None})
        yield from own


def _told(country: str, day: date, store: _Store) -> dict[str, Any]:
    """A store's values for the columns of store_schedules."""
    hours = "-".join(f"{minutes // 60 % 24:02}:{minutes % 60:02}" for minutes in (store.opens, store.closes))
    closed = store.closed_on
    near = closed is not None and -2 <= (closed - day).days <= 1
    return {
        "store_id": str(store.id),
        "name": store.name,
        "city": store.city,
        "timezone": store.zone,
        "weekly": "; ".join(f"{weekday} {hours}" for weekday in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")),
        "exceptions": f"{closed} closed" if near else None,
        "problem": "[schedule].weekly of weekday 8: weekday 8 is not 1 (Monday) to 7 (Sunday)"
        if _is_bad(country, store)
        else None,
        **_labels(store),
    }


def _orphan(country: str, slot: datetime, store_id: int, as_of: datetime) -> dict[str, Any]:
    zone = _CITIES[country][0][1]
    known = {"slot": slot, "observed_at": slot + timedelta(seconds=5), "store_id": str(store_id), "timezone": zone}
    known |= {**_clock(zone, slot), "listed": True, "online": store_id % 2 == 1}
    unknown = ("name", "city", "scheduled", "scheduled_seconds", "reason", "region", "chain", "segment", "owner")
    return dict.fromkeys(unknown) | known | {
        "status": "orphan",
        "schedule_as_of": as_of,
    }  # fmt: skip


def _clock(zone: str, slot: datetime) -> dict[str, Any]:
    """A slot on a zone's clock."""
    local = slot.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
    return {"local_date": local.date(), "local_hour": local.hour}


def _by_city(slot: datetime, stores: Rows) -> Rows:
    """The sums of a slot by city, as merge makes them: ordered by name, stores without a city first."""
    found = []
    for city in sorted({row["city"] for row in stores}, key=lambda name: (name is not None, name or "")):
        own = [row for row in stores if row["city"] == city]
        counts = Counter(row["status"] for row in own)
        seconds = {
            status: sum(row["scheduled_seconds"] or 0 for row in own if row["status"] == status) for status in RATED
        }
        first = {"local_date": own[0]["local_date"], "local_hour": own[0]["local_hour"]}
        sums = {"stores": len(own) - counts["orphan"], **{status: counts[status] for status in STATUSES}}
        sums |= {"scheduled_seconds": sum(seconds.values()), "available_seconds": seconds["available"]}
        sums["unseen"] = sum(row["status"] == "unknown" and row["scheduled_seconds"] != 0 for row in own)
        found.append({"slot": slot, "city": city, **first, **sums})
    return found
