"""The sources during the soak's day. They change between ticks by a seeded plan, and their content is remembered."""

import json
import random
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import psycopg

from infra.local.config import Stack
from infra.local.sample.generate import stores
from infra.local.sample.index import Index
from infra.local.sample.live_view import documents
from infra.local.sample.load import load
from infra.local.sample.model import Store
from infra.local.sample.places import Place, read_parameters
from tests.harness.edges import add_edges
from tests.harness.oracle import Listing, ScheduledStore, read_live_view, read_schedules
from tests.soak.servers import COUNTRIES, PREFIX

# How many schedule changes a country has per slot. Most slots have none.
_CHANGES = (0, 0, 0, 1, 2)
# Percentage of slots in which part of a live view starts to be missing for a while.
_VANISHING = 6
_VANISHED_SLOTS = 3


@dataclass
class Past:
    """What one country's sources contained."""

    # Each reading of the schedules that differed from the one before, and the time of the change.
    schedules: list[tuple[datetime, dict[str, ScheduledStore]]] = field(default_factory=list)
    live_views: dict[datetime, dict[str, Listing]] = field(default_factory=dict)

    def scheduled(self, instant: datetime) -> dict[str, ScheduledStore]:
        """The stores in PostgreSQL at an instant."""
        return [held for since, held in self.schedules if since <= instant][-1]


class World:
    """All sources, now and in the past."""

    def __init__(self, stack: Stack, places: Mapping[str, Place], seed: int, day: datetime):
        self._stack = stack
        self._places = places
        self._seed = seed
        parameters = read_parameters(stack, PREFIX)
        self._stores: dict[str, list[Store]] = {
            code: list(stores(code, parameters[code].stores, parameters[code].seed, parameters[code].today))
            for code in COUNTRIES
        }
        self._vanished: dict[str, tuple[int, int]] = dict.fromkeys(COUNTRIES, (0, 0))  # slots left, remainder of ids
        self.past: dict[str, Past] = {code: Past() for code in COUNTRIES}
        self.changes = 0
        # In the middle of their hours at noon, and changing in the middle of a slot: usual stores rarely do that.
        add_edges(stack, places["pt"], day + timedelta(hours=12))

    def move_on(self, slot: datetime, now: datetime) -> None:
        """Moves all sources on to a slot, and remembers their content."""
        for code, place in self._places.items():
            draw = random.Random(f"{self._seed} world {slot} {code}")
            with Index(self._stack.elasticsearch.url, place.index) as index:
                index.write(code, documents(self._stores[code], code, self._seed, slot))
            self._vanish(code, draw)
            changes = draw.choice(_CHANGES)
            for _ in range(changes):
                self._change(code, draw, slot)
            self.changes += changes
            past = self.past[code]
            if changes or not past.schedules:
                past.schedules.append((now, read_schedules(self._stack.postgres.conninfo(place.database))))
            past.live_views[slot] = read_live_view(self._stack.elasticsearch.url, place.index)

    def _vanish(self, code: str, draw: random.Random) -> None:
        """Removes every third document for some slots. The first view after them brings them back."""
        left, remainder = self._vanished[code]
        if not left and draw.randrange(100) < _VANISHING:
            left, remainder = _VANISHED_SLOTS, draw.randrange(3)
        if left:
            ids = [store.id for store in self._stores[code] if store.id % 3 == remainder]
            lines = [
                json.dumps({"delete": {"_id": one}}) for store_id in ids for one in (f"{store_id}", f"{store_id}-2")
            ]
            request = urllib.request.Request(
                f"{self._stack.elasticsearch.url}/{self._places[code].index}/_bulk?refresh=true",
                ("\n".join(lines) + "\n").encode(),
                {"Content-Type": "application/x-ndjson"},
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert not json.load(answer)["errors"]
            left -= 1
        self._vanished[code] = (left, remainder)

    def _change(self, code: str, draw: random.Random, slot: datetime) -> None:
        """Changes one store's schedule, or adds or removes a store."""
        with psycopg.connect(self._stack.postgres.conninfo(self._places[code].database)) as connection:
            known = [row[0] for row in connection.execute("select id from stores where active order by id")]
            store_id = draw.choice(known)
            match draw.randrange(6):
                case 0 | 1:  # closed today
                    connection.execute(
                        "insert into store_exceptions values (%s, %s, null, null)", [store_id, slot.date()]
                    )
                case 2:  # open today from now on, for half an hour
                    opens, closes = (f"{slot + timedelta(minutes=minutes):%H:%M}" for minutes in (7, 37))
                    connection.execute(
                        "insert into store_exceptions values (%s, %s, %s, %s)", [store_id, slot.date(), opens, closes]
                    )
                case 3:  # a time zone, which may be unknown or null
                    zone = draw.choice(["Europe/Lisbon", "America/Tijuana", "Mars/Olympus", None])
                    connection.execute("update stores set timezone = %s where id = %s", [zone, store_id])
                case 4:
                    new = known[-1] + draw.randrange(1, 9)
                    connection.execute(
                        "insert into stores (id, name, city) values (%s, %s, 'Soaked')", [new, f"New {new}"]
                    )
                    connection.execute(
                        "insert into store_hours values (%s, %s, '00:00', '24:00')", [new, slot.isoweekday()]
                    )
                case 5:
                    connection.execute("delete from stores where id = %s", [store_id])


def load_world(stack: Stack, count: int, seed: int, day: datetime) -> dict[str, Place]:
    """Fills the servers with the soak's stores as they are when the day begins."""
    return load(stack, count=count, seed=seed, countries=list(COUNTRIES), prefix=PREFIX, today=day.date(), at=day)
