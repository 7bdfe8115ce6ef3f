"""Reads back everything that a soak wrote and compares it with the sources: nothing lost, nothing wrong."""

import io
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

from pyarrow import parquet

from infra.local import slots
from infra.vocabulary import RATED, STATUSES
from tests.harness.current_outages_oracle import current_outages
from tests.harness.deployment import TABLES
from tests.harness.open_hours import Hours, JudgedHours
from tests.harness.oracle import Listing, ScheduledStore, expected_orphan, expected_row, expected_unseen_row
from tests.harness.outages_oracle import History
from tests.harness.views_oracle import Row, Rows, grouped
from tests.soak.day import Ran
from tests.soak.disturbances import LATE
from tests.soak.servers import COUNTRIES, Served, Servers
from tests.soak.world import Past

_DOWN = "current_outages"
# Everything that ticks and the deployment write.
_FOLDERS = ("staging", "schedules", "levels", "config", *TABLES)


@dataclass
class Audit:
    """The findings, each one a sentence."""

    servers: Servers
    past: Mapping[str, Past]
    ran: Mapping[tuple[datetime, str], Ran]
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    rows: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    # country -> the rows of its slots, and who was down in them.
    _looks: dict[str, Rows] = field(default_factory=lambda: defaultdict(list))
    _down: dict[tuple[str, datetime], Rows] = field(default_factory=dict)

    def run(self) -> None:
        """All checks."""
        keys = {entry.key for entry in self.servers.deployed.objects()}
        self._objects(keys)
        self._catalog(keys)
        for (slot, code), ran in self.ran.items():
            self.wrong += [f"{code} {slots.iso(slot)}: {problem}" for problem in ran.wrong]
            found = {table: self._rows(table, slot, code) for table in TABLES}
            if all(rows for table, rows in found.items() if table != _DOWN):
                self._country_tick(ran, found)
                self._looks[code] += [row for row in found["store_availability"] if row["status"] != "orphan"]
                self._down[code, slot] = found[_DOWN]
        for code in self._looks:
            self._current_outages(code)
        self.wrong += [f"a proxy failed by itself: {mistake}" for mistake in self.servers.loop.mistakes]

    def _objects(self, keys: set[str]) -> None:
        """Exactly one file per table, country and slot; nothing pending; nothing outside the countries' folders."""
        expected = {_key(table, code, slot) for slot, code in self.ran for table in TABLES}
        in_tables = {key for key in keys if key.startswith(TABLES)}
        self.lost += [f"there is no {key}" for key in sorted(expected - in_tables)]
        self.wrong += [f"there is {key}, which no tick should have written" for key in sorted(in_tables - expected)]
        known = {f"{folder}/country={code}/" for folder in _FOLDERS for code in COUNTRIES}
        known |= {f"registry/{code}.json" for code in COUNTRIES}
        self.wrong += [
            f"{key} is left over, or lies where nothing should"
            for key in sorted(keys)
            if not key.startswith(tuple(known))
        ]

    def _catalog(self, keys: set[str]) -> None:
        """The catalog's partitions match S3."""
        deployed = self.servers.deployed
        for table in TABLES:
            on_s3 = {tuple(key.split("/")[1:3]) for key in keys if key.startswith(f"{table}/")}
            found = [one for code in COUNTRIES for one in deployed.partitions(table, code)]
            named = {(f"country={one['Values'][0]}", f"day={one['Values'][1]}") for one in found}
            self.lost += [f"the catalog has no partition {'/'.join(one)} of {table}" for one in sorted(on_s3 - named)]
            self.wrong += [f"partition {'/'.join(one)} of {table} has no file" for one in sorted(named - on_s3)]
            for one in found:
                country, day = one["Values"]
                location = one["StorageDescriptor"]["Location"]
                if location.rstrip("/") != f"s3://{deployed.bucket}/{table}/country={country}/day={day}":
                    self.wrong.append(f"partition {country} {day} of {table} is at {location}")

    def _rows(self, table: str, slot: datetime, code: str) -> list[dict[str, Any]]:
        deployed = self.servers.deployed
        try:
            body = deployed.body(_key(table, code, slot))
        except deployed.s3.exceptions.NoSuchKey:
            return []  # reported already
        rows = parquet.ParquetFile(io.BytesIO(body)).read().to_pylist()
        self.rows += len(rows)
        if not rows and table != _DOWN:
            self.lost.append(f"{code} {slots.iso(slot)}: {table} has no row")
        elsewhere = {row["slot"] for row in rows} - {slot.replace(tzinfo=None), slot}
        if elsewhere:
            self.wrong.append(f"{code} {slots.iso(slot)}: {table} has rows of {elsewhere}")
        return rows

    def _country_tick(self, ran: Ran, found: dict[str, list[dict[str, Any]]]) -> None:
        where, past, served = (
            f"{ran.country} {slots.iso(ran.slot)}",
            self.past[ran.country],
            self.servers.countries[ran.country],
        )
        rows = found["store_availability"]
        ticks = found["country_ticks"]
        if len(ticks) != 1:
            self.wrong.append(f"{where}: country_ticks has {len(ticks)} rows")
        tick = ticks[0]
        self.outcomes[tick["outcome"]] += 1
        as_of = {_utc(row["schedule_as_of"]) for row in rows if row["schedule_as_of"]}
        if len(as_of) != 1:
            self.wrong.append(f"{where}: the schedules are as of {as_of}")
            return
        (read_at,) = as_of
        if read_at < (ran.began or ran.slot) and not ran.may_be_stale:
            self.wrong.append(f"{where}: the schedules are of {read_at}, and no fault excuses that")
        schedules = past.scheduled(read_at)
        unseen = self._stores(ran, served, rows, schedules, past.live_views[ran.slot])
        items = self._items(ran)
        # Why stores are unknown, or why the schedules are old; otherwise nothing.
        has_cause = bool(unseen) or read_at < (ran.began or ran.slot)
        wanted = ("partial" if unseen else "complete", len(schedules), len(items), len(unseen), has_cause)
        told = (*(tick[key] for key in ("outcome", "stores", "chunks", "chunks_unknown")), bool(tick["error"]))
        if told != wanted:
            self.wrong.append(f"{where}: country_ticks says {told} instead of {wanted}")
        if unseen and ran.is_undisturbed:
            self.wrong.append(f"{where}: it is not complete, although nothing disturbed it")
        self._by_city(where, rows, found["availability_by_city"])

    def _stores(
        self,
        ran: Ran,
        served: Served,
        rows: list[dict[str, Any]],
        schedules: Mapping[str, ScheduledStore],
        live_view: Mapping[str, Listing],
    ) -> set[int]:
        """Every row is as expected, and in a chunk that was seen or that a fault excuses. Returns the unseen chunks."""
        where = f"{ran.country} {slots.iso(ran.slot)}"
        found = {row["store_id"]: row for row in rows}
        if len(found) < len(rows):
            self.wrong.append(f"{where}: {len(rows) - len(found)} stores have two rows")
        items = self._items(ran)
        chunks: dict[int, list[str]] = defaultdict(list)
        for store_id in schedules.keys() | live_view.keys():
            chunks[_chunk(items, int(store_id))].append(store_id)
        unseen: set[int] = set()
        expected: dict[str, dict[str, Any]] = {}
        for chunk, store_ids in chunks.items():
            present = [found[one] for one in store_ids if one in schedules and one in found]
            is_unseen = bool(present) and all(row["listed"] is None for row in present)
            reasons = {row["reason"] for row in present} - {"bad_schedule"}
            if is_unseen:
                unseen.add(chunk)
                if not reasons <= ran.reasons:
                    self.wrong.append(f"{where}: chunk {chunk} is unknown for {reasons}, which nothing explains")
            for store_id in store_ids:
                store = schedules.get(store_id)
                if is_unseen and store:
                    reason = min(reasons, default="")
                    expected[store_id] = expected_unseen_row(served.rules, ran.slot, store, reason)
                elif not is_unseen:
                    at = self._observed_at(ran, found.get(store_id))
                    listing = live_view.get(store_id)
                    expected[store_id] = (
                        expected_row(served.rules, ran.slot, store, listing, at)
                        if store
                        else expected_orphan(served.rules, ran.slot, store_id, live_view[store_id])
                    )
        self.lost += [f"{where}: store {one} has no row" for one in sorted(expected.keys() - found.keys())]
        self.wrong += [f"{where}: there is a row of {one}" for one in sorted(found.keys() - expected.keys())]
        for store_id in expected.keys() & found.keys():
            row, wanted = found[store_id], expected[store_id]
            self.statuses[row["status"]] += 1
            if row["status"] == "unknown":
                self.unknown[row["reason"]] += 1
            if differing := {key: (row[key], value) for key, value in wanted.items() if row[key] != value}:
                self.wrong.append(f"{where}: store {store_id} (found, expected): {differing}")
        return unseen

    def _observed_at(self, ran: Ran, row: Mapping[str, Any] | None) -> datetime:
        at = _utc(row["observed_at"]) if row and row["observed_at"] else None
        if row and (at is None or not ran.slot <= at < ran.slot + slots.SLOT or ran.delivery == LATE):
            self.wrong.append(f"{ran.country} {slots.iso(ran.slot)}: store {row['store_id']} was observed at {at}")
        return at or ran.slot

    def _items(self, ran: Ran) -> list[dict[str, Any]]:
        """The slot's planned chunks. Their manifest is kept for two days."""
        body = self.servers.deployed.body(f"staging/country={ran.country}/{slots.compact(ran.slot)}/manifest.json")
        return json.loads(body)

    def _current_outages(self, code: str) -> None:
        """Who is down at a slot is what all rows up to it say, whichever tick came when."""
        past, rules = self.past[code], self.servers.countries[code].rules
        hours: dict[tuple[int, str], Hours] = {}

        def judged_by(row: Row) -> Hours | None:
            schedules = past.scheduled(_utc(row["schedule_as_of"]))
            store = schedules.get(row["store_id"])
            return hours.setdefault((id(schedules), row["store_id"]), Hours(rules, store)) if store else None

        found = [
            History(own, JudgedHours({row["slot"]: judged_by(row) for row in own}))
            for _, own in grouped(self._looks[code], lambda row: row["store_id"])
        ]
        for (of, slot), rows in self._down.items():
            if of == code and rows != (wanted := current_outages(found, slot.replace(tzinfo=None))):
                differing = [pair for pair in zip_longest(rows, wanted) if pair[0] != pair[1]]
                self.wrong.append(f"{code} {slots.iso(slot)}: {_DOWN} (found, expected): {differing[:3]}")

    def _by_city(self, where: str, rows: list[dict[str, Any]], found: list[dict[str, Any]]) -> None:
        """The cities' rows are the sums of the stores' rows."""
        sums: dict[str | None, Counter[str]] = defaultdict(Counter)
        for row in rows:
            city, seconds = sums[row["city"]], row["scheduled_seconds"] or 0
            city[row["status"]] += 1
            city["stores"] += row["status"] != "orphan"
            city["scheduled_seconds"] += seconds if row["status"] in RATED else 0
            city["available_seconds"] += seconds if row["status"] == "available" else 0
            city["unseen"] += row["status"] == "unknown" and row["scheduled_seconds"] != 0
        numbers = (*STATUSES, "stores", "scheduled_seconds", "available_seconds", "unseen")
        told = {row["city"]: {name: row[name] for name in numbers} for row in found}
        if len(told) < len(found) or told != {
            name: {number: city[number] for number in numbers} for name, city in sums.items()
        }:
            self.wrong.append(f"{where}: availability_by_city is not the sum of the stores")


def _key(table: str, code: str, slot: datetime) -> str:
    return f"{table}/country={code}/day={slot:%Y-%m-%d}/{slots.compact(slot)}.parquet"


def _utc(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _chunk(items: list[dict[str, Any]], number: int) -> int:
    """The chunk that contains an id; -1 if none or several do, so that its rows do not match."""
    found = [
        item["chunk"]
        for item in items
        if (item["first"] is None or item["first"] <= number) and (item["last"] is None or number < item["last"])
    ]
    return found[0] if len(found) == 1 else -1
