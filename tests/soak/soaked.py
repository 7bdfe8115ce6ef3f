"""A finished day whose servers are still up, so that everything can be read back."""

import secrets as random_words
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from infra.local.config import Stack
from infra.local.console import say
from infra.local.sample.load import drop
from infra.local.sample.places import Place
from infra.local.servers.locks import exclusive
from tests.harness import leaks
from tests.soak.audit import Audit
from tests.soak.clock import Clock
from tests.soak.day import Day
from tests.soak.disturbances import Planned, plan
from tests.soak.servers import COUNTRIES, PREFIX, Servers, serving
from tests.soak.world import World, load_world

STORES = 600


@dataclass(frozen=True)
class Soaked:
    """The servers, what happened, and the planted secrets."""

    servers: Servers
    world: World
    day: Day
    plans: list[Planned]
    planted: list[set[bytes]]

    def audit(self) -> Audit:
        """Reads back everything that was written."""
        audit = Audit(self.servers, self.world.past, self.day.ran)
        audit.run()
        return audit

    def search(self, printed: str) -> leaks.Search:
        """Searches everything that was written for the secrets."""
        return leaks.find(self.servers.deployed, self.planted, [self.servers.aws_log], printed)


@contextmanager
def soaked(stack: Stack, *, seed: int, slots: int, stores: int = STORES) -> Iterator[Soaked]:
    """Runs the first slots of a day. Removes what it ran on afterwards. Two soaks on one stack take turns."""
    with exclusive(stack.run_dir / "soak.lock", "soak"), _running(stack, seed, slots, stores) as it:
        yield it


@contextmanager
def _running(stack: Stack, seed: int, slots: int, stores: int) -> Iterator[Soaked]:
    # The servers' certificates are valid from when they were made on, so the day must be in the future: the next one.
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    say("soak", f"SEED={seed}: {slots} slots of {day:%Y-%m-%d}, {stores} stores in {', '.join(COUNTRIES)}")
    clock = Clock(stack.run_dir / "soak-clock")
    # Before the day, so that the clock never goes backwards.
    clock.set(day - timedelta(hours=1))
    try:
        places = load_world(stack, stores, seed, day)
        secrets, planted = _plant(stack, places)
        with serving(stack, clock, places, secrets) as servers:
            world = World(stack, places, seed, day)
            plans = plan(seed, slots)
            run = Day(servers, world, day, plans)
            run.run()
            yield Soaked(servers, world, run, plans, planted)
    finally:
        drop(stack, prefix=PREFIX)


def _plant(stack: Stack, places: dict[str, Place]) -> tuple[dict[str, Any], list[set[bytes]]]:
    """Gives the sources secrets that a search finds anywhere. Returns their values, and the forms to search for."""
    secrets: dict[str, Any] = {}
    forms: list[set[bytes]] = []
    with psycopg.connect(stack.postgres.conninfo(), autocommit=True) as admin:
        for code, place in places.items():
            words = [f"planted-{random_words.token_hex(12)}-%40'\"\\é" for _ in range(2)]
            admin.execute(
                sql.SQL("alter role {} password {}").format(sql.Identifier(place.role), sql.Literal(words[0]))
            )
            # An api_key goes into a header unescaped: letters, digits and little else.
            key = f"planted{random_words.token_hex(16)}"
            view = {"api_key": key} if code == "mx" else {"username": "viewer", "password": words[1]}
            secrets[code] = {"postgres": {"username": place.role, "password": words[0]}, "elasticsearch": view}
            forms += [leaks.forms(place.role, words[0]), leaks.forms("viewer", words[1]), leaks.forms("", key)]
            # However the secret is cut off or escaped, this much of it would remain.
            forms += [{word.partition("-%40")[0].encode()} for word in words]
    return secrets, forms
