"""What a tick should say about every store, computed a second time from the sources, in different code.

It shares nothing with the functions or the sample's generator. Rows come straight from PostgreSQL and documents from
Elasticsearch, zones from Python's zoneinfo with the PyPI package tzdata.
"""

import json
import re
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any

import psycopg

from infra.local.zones import ZoneInfo, available_timezones

SLOT = timedelta(minutes=15)
_DAY_SECONDS = 24 * 3600
_PAGE = 5000
# The optional columns that say whose store it is.
LABELS = ("region", "chain", "segment", "owner")


@dataclass
class ScheduledStore:
    """A store in PostgreSQL with its rows. Times are seconds since midnight."""

    store_id: str
    name: str | None
    city: str | None
    timezone: str | None
    region: str | None = None
    chain: str | None = None
    segment: str | None = None
    owner: str | None = None
    weekly: list[tuple[int | None, int | None, int | None]] = field(default_factory=list)
    exceptions: list[tuple[date, int | None, int | None]] = field(default_factory=list)


@dataclass(frozen=True)
class Listing:
    """A store's documents in the live view, combined."""

    online: bool
    reason: str | None


@dataclass(frozen=True)
class Country:
    """What the country file sets for the judgement."""

    default_timezone: str
    missing_hours: str  # closed or always_open


def read_schedules(conninfo: str) -> dict[str, ScheduledStore]:
    """The active stores of a database by id."""
    seconds = "extract(epoch from opens)::int, extract(epoch from closes)::int"  # Python's time lacks 24:00
    with psycopg.connect(conninfo) as connection:
        stores = {
            str(row[0]): ScheduledStore(str(row[0]), *row[1:])
            for row in connection.execute(
                "select id, name, city, timezone, region, chain, segment, owner from stores where active"
            )
        }
        for store_id, *row in connection.execute(f"select store_id, weekday, {seconds} from store_hours"):
            if store := stores.get(str(store_id)):
                store.weekly.append((row[0], row[1], row[2]))
        for store_id, *row in connection.execute(f"select store_id, date, {seconds} from store_exceptions"):
            if store := stores.get(str(store_id)):
                store.exceptions.append((row[0], row[1], row[2]))
    return stores


def read_live_view(url: str, index: str) -> dict[str, Listing]:
    """Every store with a document, by id."""
    documents: dict[str, list[dict[str, Any]]] = defaultdict(list)
    answer = _post(f"{url}/{index}/_search?scroll=1m", {"size": _PAGE, "sort": ["_doc"]})
    while hits := answer["hits"]["hits"]:
        for hit in hits:
            documents[str(hit["_source"]["store_id"])].append(hit["_source"])
        answer = _post(f"{url}/_search/scroll", {"scroll": "1m", "scroll_id": answer["_scroll_id"]})
    return {store_id: _together(found) for store_id, found in documents.items()}


def expected_row(
    country: Country, slot: datetime, store: ScheduledStore, listing: Listing | None, observed_at: datetime
) -> dict[str, Any]:
    """The row of a store in PostgreSQL that was observed at an instant of its slot."""
    row = _unobserved(country, slot, store)
    online = listing is not None and listing.online
    row |= {"listed": listing is not None, "online": online}
    if row["scheduled_seconds"] is None:
        return row | {"status": "unknown", "reason": "bad_schedule"}
    scheduled = any(start <= observed_at < end for start, end in _intervals(country, slot, store))
    match scheduled, online, listing is not None:
        case True, True, _:
            status = "available"
        case True, False, True:
            status = "unavailable"
        case True, False, False:
            status = "unlisted"
        case False, True, _:
            status = "unexpected"
        case _:
            status = "closed"
    return row | {"scheduled": scheduled, "status": status, "reason": listing.reason if listing else None}


def expected_unseen_row(country: Country, slot: datetime, store: ScheduledStore, reason: str) -> dict[str, Any]:
    """The row of a store whose part of the live view could not be read."""
    row = _unobserved(country, slot, store)
    bad = row["scheduled_seconds"] is None
    return row | {"listed": None, "online": None, "status": "unknown", "reason": "bad_schedule" if bad else reason}


def expected_orphan(country: Country, slot: datetime, store_id: str, listing: Listing) -> dict[str, Any]:
    """The row of a store that is only in the live view. It has the country's clock."""
    store = ScheduledStore(store_id, None, None, None)
    row = _unobserved(country, slot, store) | {"scheduled_seconds": None}
    return row | {"listed": True, "online": listing.online, "status": "orphan", "reason": listing.reason}


def _unobserved(country: Country, slot: datetime, store: ScheduledStore) -> dict[str, Any]:
    zone = _zone(store.timezone, country)
    local = slot.astimezone(zone) if zone else None
    return {
        "store_id": store.store_id,
        "name": store.name,
        "city": store.city,
        "timezone": country.default_timezone if store.timezone is None else store.timezone,
        "local_date": local.date() if local else None,
        "local_hour": local.hour if local else None,
        "scheduled": None,
        "scheduled_seconds": None if _is_bad(country, store) else _seconds(country, slot, store),
        **{name: label(name, getattr(store, name)) for name in LABELS},
    }


def label(name: str, value: str | None) -> str | None:
    """A value as it must be in the row: an empty one is null, and so is one that cannot be right."""
    if not value:
        return None
    fits = re.fullmatch("[A-Z]{2}-[A-Z0-9]{1,3}", value) if name == "region" else len(value) <= 200
    return value if fits else None


def _is_bad(country: Country, store: ScheduledStore) -> bool:
    """Whether the store cannot be judged: an unknown zone, or an invalid row."""
    if _zone(store.timezone, country) is None:
        return True
    if any(getattr(store, name) and not label(name, getattr(store, name)) for name in LABELS):
        return True
    weekly = any(
        weekday is None or not 1 <= weekday <= 7 or (opens is None) != (closes is None) or opens == _DAY_SECONDS
        for weekday, opens, closes in store.weekly
    )
    return weekly or any(
        (opens is None) != (closes is None) or opens == _DAY_SECONDS for _, opens, closes in store.exceptions
    )


def opened_on(country: Country, store: ScheduledStore, day: date) -> list[tuple[datetime, datetime]]:
    """The hours that open on a local date, as instants. They may overlap."""
    zone = _zone(store.timezone, country)
    rows: Iterable[tuple[int | None, int | None]] = [row[1:] for row in store.exceptions if row[0] == day]
    if not rows and not store.weekly and country.missing_hours == "always_open":
        rows = [(0, 0)]
    elif not rows:
        rows = [row[1:] for row in store.weekly if row[0] == day.isoweekday()]
    return [
        (_instant(day, opens, zone), _instant(day + timedelta(days=closes <= opens), closes, zone))
        for opens, closes in rows
        if opens is not None and closes is not None
    ]


def _intervals(country: Country, slot: datetime, store: ScheduledStore) -> list[tuple[datetime, datetime]]:
    """The hours around the slot as instants, cut to the slot. They may overlap."""
    today = slot.astimezone(_zone(store.timezone, country)).date()
    around = [hours for n in range(-3, 4) for hours in opened_on(country, store, today + timedelta(days=n))]
    cut = [(max(start, slot), min(end, slot + SLOT)) for start, end in around]
    return [(start, end) for start, end in cut if start < end]


def _seconds(country: Country, slot: datetime, store: ScheduledStore) -> int:
    """How much of the slot the hours cover together, counted second by second: a slot is short."""
    intervals = _intervals(country, slot, store)
    if len(intervals) <= 1:
        return sum(int((end - start).total_seconds()) for start, end in intervals)
    instants = (slot + timedelta(seconds=n) for n in range(int(SLOT.total_seconds())))
    return sum(any(start <= instant < end for start, end in intervals) for instant in instants)


def _instant(day: date, seconds: int, zone: ZoneInfo | None) -> datetime:
    """A wall time as an instant. With fold=0, PEP 495 takes the first of two, and in a gap the offset before it."""
    day, seconds = day + timedelta(days=seconds // _DAY_SECONDS), seconds % _DAY_SECONDS
    wall = datetime.combine(day, time(seconds // 3600, seconds // 60 % 60, seconds % 60), zone)
    return wall.astimezone(UTC)


def _zone(name: str | None, country: Country) -> ZoneInfo | None:
    key = _zones().get((country.default_timezone if name is None else name).strip().lower())
    return ZoneInfo(key) if key else None


@cache
def _zones() -> Mapping[str, str]:
    return {name.lower(): name for name in available_timezones()}


def _together(documents: list[dict[str, Any]]) -> Listing:
    """Online if any document is. The reason is the alphabetically first of the documents that agree."""
    online = any(document["online"] is True for document in documents)
    agreeing = [document for document in documents if (document["online"] is True) == online]
    return Listing(online, min((d["offline_reason"] for d in agreeing if d.get("offline_reason")), default=None))


def _post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)
