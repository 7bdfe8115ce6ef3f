"""What the month's ticks leave: rows of the tables, and the readings of the schedules that judged them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from infra.local.zones import RELEASE, ZoneInfo
from infra.vocabulary import RATED, STATUSES
from tests.harness.month.stores import RULES, MonthStore, Version, moment, stores
from tests.harness.month.story import Down, Tick, down_at, downs, ticks
from tests.harness.open_hours import slot_of
from tests.harness.oracle import LABELS
from tests.harness.views_oracle import Row, Rows, grouped

HALVES = 2
_READ_AFTER = timedelta(seconds=3, microseconds=250_000)
# PostgreSQL is away meanwhile, and an older reading is used.
_AWAY = moment(25, 18), moment(26, 12)


@dataclass(frozen=True)
class Month:
    """A month of ticks."""

    stores: list[MonthStore]
    readings: list[datetime]  # when the schedules were read

    def ticks(self, days: Sequence[int]) -> Iterator[tuple[Tick, Row, Rows]]:
        """The ticks of some days of the month: each with its row of country_ticks and its rows of stores."""
        happened = {store.store_id: downs(store) for store in self.stores}
        for tick in ticks(days):
            rows = [] if tick.failed else self.rows(tick, happened)
            yield tick, self._tick_row(tick, rows), rows

    def rows(self, tick: Tick, happened: dict[str, list[Down]]) -> Rows:
        """A tick's rows of store_availability, in the order of their stores. One is an orphan's."""
        as_of = self.reading_of(tick.slot)
        rows = []
        for store in self.stores:
            if version := store.at(as_of):
                half = self.half(store)
                down = down_at(happened[store.store_id], tick.looks[half])
                rows.append(_row(tick, half, version, down) | {"schedule_as_of": as_of})
        orphan = {"slot": tick.slot, "observed_at": tick.looks[1], "store_id": "9999", "schedule_as_of": as_of}
        orphan |= {"timezone": RULES.default_timezone, "listed": True, "online": True, "status": "orphan"}
        return [*rows, dict.fromkeys(rows[0]) | orphan | _local(tick.slot, RULES.default_timezone)]

    def half(self, store: MonthStore) -> int:
        """Which of the two chunks a store is in."""
        return store.number * HALVES // len(self.stores)

    def reading_of(self, slot: datetime) -> datetime:
        """The reading by which a slot is judged: the last one."""
        return [reading for reading in self.readings if reading <= slot + _READ_AFTER][-1]

    def _tick_row(self, tick: Tick, rows: Rows) -> Row:
        row: Row = {"slot": tick.slot, "started_at": tick.slot + timedelta(seconds=2)}
        row |= {"finished_at": max(tick.looks) + timedelta(seconds=1)}
        if not rows:
            return row | {
                "outcome": "failed",
                "error": "ScheduleUnavailable: PostgreSQL at db.example:5432, connecting",
            }
        known = Counter(row["status"] for row in rows)
        count, unseen = len(rows) - known["orphan"], sum(reason is not None for reason in tick.unseen)
        return row | {
            "outcome": "partial" if unseen else "complete",
            "stores": count,
            "chunks": HALVES,
            "chunks_unknown": unseen,
            "coverage": 1 - known["unknown"] / count,
            "schedule_as_of": rows[0]["schedule_as_of"],
            "error": f"{unseen} of {HALVES} chunks: LiveViewUnavailable: no answer" if unseen else None,
            "tzdb": RELEASE,
        }


def month() -> Month:
    """The month. Schedules are read four times a day, and when one has changed."""
    own = stores()
    regular = {moment(1, hour) for hour in range(0, 31 * 24, 6)}
    changes = {version.since for store in own for version in store.versions}
    changes |= {instant for store in own for times in store.present for instant in times}
    read = sorted(slot_of(instant) + _READ_AFTER for instant in regular | changes)
    return Month(own, [instant for instant in read if not _AWAY[0] <= instant < _AWAY[1]])


def by_city(rows: Rows) -> Rows:
    """A tick's rows of availability_by_city, stores without a city first."""
    found = []
    for city, own in sorted(grouped(rows, lambda row: row["city"]), key=lambda entry: (entry[0] is not None, entry)):
        counts = Counter(row["status"] for row in own)
        seconds = {
            status: sum(row["scheduled_seconds"] or 0 for row in own if row["status"] == status) for status in RATED
        }
        found.append(
            {name: own[0][name] for name in ("slot", "city", "local_date", "local_hour")}
            | {"stores": len(own) - counts["orphan"], **{status: counts[status] for status in STATUSES}}
            | {"scheduled_seconds": sum(seconds.values()), "available_seconds": seconds["available"]}
            | {"unseen": sum(row["status"] == "unknown" and row["scheduled_seconds"] != 0 for row in own)}
        )
    return found


def _row(tick: Tick, half: int, version: Version, down: Down | None) -> Row:
    """A store's row. It is shown as online whenever it is not down; a third of the stores closes in the live view."""
    slot, at, reason = tick.slot, tick.looks[half], tick.unseen[half]
    timezone = version.store.timezone or RULES.default_timezone
    bad = version.problem is not None
    row: Row = {"slot": slot, "observed_at": None if reason else at, "store_id": version.store.store_id}
    row |= {"name": version.store.name, "city": version.store.city, "timezone": timezone}
    row |= {label: getattr(version.store, label) for label in LABELS}
    row |= _local(slot, timezone)
    row |= {"scheduled": None, "scheduled_seconds": None if bad else version.hours.seconds(slot)}
    row |= {"listed": None, "online": None, "status": "unknown", "reason": "bad_schedule" if bad else reason}
    if reason:
        return row
    scheduled = version.hours.is_open(at)
    listed = down is None or down.is_listed(slot)
    online = down is None and (scheduled or int(version.store.store_id) % 3 > 0)
    row |= {"listed": listed, "online": online}
    if bad:
        return row
    if scheduled:
        status = "available" if online else "unavailable" if listed else "unlisted"
    else:
        status = "unexpected" if online else "closed"
    told = down.reason(slot) if down and listed else None
    return row | {"scheduled": scheduled, "status": status, "reason": told}


@cache
def _local(slot: datetime, timezone: str) -> Row:
    local = slot.replace(tzinfo=UTC).astimezone(ZoneInfo(timezone))
    return {"local_date": local.date(), "local_hour": local.hour}
