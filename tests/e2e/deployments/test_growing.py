"""A company's account from nothing on: countries come, move and go while ticks go on, and disturb nobody.

Everything is done by the code behind `make deploy` and `make undeploy`, in accounts that hold nothing before.
"""

import json
import random
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from infra.deploy import Deployment
from infra.local import slots
from infra.local.commands import tick
from infra.local.commands.deploy import deploy
from infra.local.config import Stack
from infra.local.servers.processes import wait_for
from tests.e2e.conftest import Sources, remove, slot_with_time_left
from tests.e2e.deployments.test_accounts import in_account
from tests.harness.deployment import TABLES, Deployed


@dataclass
class Company:
    """Two accounts of one company. The first has the lake."""

    stack: Stack
    sources: Sources
    files: Path
    prefix: str
    accounts: tuple[str, str]
    made: dict[str, Deployed] = field(default_factory=dict)

    def deploy(self, account: str, countries: list[str], **options: Any) -> None:
        """`make deploy` with an account's credentials."""
        own, database = in_account(self.stack, account), self.prefix.replace("-", "_")
        outputs = deploy(
            own,
            prefix=self.prefix,
            database=database,
            countries=countries,
            country_files=self.files,
            rule="DISABLED",
            sample=self.sources.prefix,
            parameters={"MetricsNamespace": f"Test/{self.prefix}", "LookAgainSeconds": "1"},
            secrets={"fr": self._login()},
            **options,
        )
        self.made[account] = Deployed(own, self.prefix, database, f"Test/{self.prefix}", outputs["LakeBucket"])

    def undeploy(self, account: str, country: str) -> None:
        """`make undeploy` with an account's credentials."""
        Deployment(in_account(self.stack, account).aws.client, self.prefix).undeploy_country(country)

    def _login(self) -> dict[str, Any]:
        """fr has real addresses, those of the sample's es, and so a login of its own."""
        place = self.sources.places["es"]
        login = {"username": place.role, "password": place.password}
        return {"postgres": login, "elasticsearch": login}


@pytest.fixture
def company(stack: Stack, sources: Sources, country_files: Path, tmp_path: Path) -> Iterator[Company]:
    """Two accounts that hold nothing, and the files of four countries."""
    for code in ("es", "mx", "pt"):
        (tmp_path / f"{code}.toml").write_text((country_files / f"{code}.toml").read_text())
    place, postgres = sources.places["es"], stack.postgres
    text = (tmp_path / "es.toml").read_text().replace("storewatch/es", f"{sources.prefix}-g/fr")
    address = f"postgresql://{place.role}@localhost:{postgres.port}/{place.database}?sslmode=require"
    for pattern, value in (
        (r'^country = "es"', 'country = "fr"'),
        (r'^url = "postgresql:.*"', f'url = "{address}"'),
        (r'^url = "https:.*"', f'url = "{stack.elasticsearch.url}"'),
        (r'^index = "stores-es"', f'index = "{place.index}"'),
    ):
        text, found = re.subn(f"(?m){pattern}", value, text)
        assert found == 1, pattern
    (tmp_path / "fr.toml").write_text(text)
    accounts = (f"{random.randrange(10**11, 10**12)}", f"{random.randrange(10**11, 10**12)}")
    made = Company(stack, sources, tmp_path, f"{sources.prefix}-g", accounts)
    try:
        yield made
    finally:
        for account in reversed(accounts):
            remove(in_account(stack, account), made.prefix)


@contextmanager
def ticks_going_on(deployed: Deployed, slot: datetime) -> Iterator[list[dict[str, Any]]]:
    """Runs the tick of one slot after the other, backwards from a slot, until the block is over. Lists what they say."""
    ended, done = threading.Event(), []

    def run() -> None:
        for number in range(1, 90):
            if ended.is_set():
                return
            found = deployed.run_machine("tick", {"time": slots.iso(slot - number * slots.SLOT)})
            done.append({"slot": slot - number * slots.SLOT, **found})

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        try:
            yield done
        finally:
            ended.set()
            running.result()


def failures(execution: dict[str, Any]) -> list[str]:
    """The countries that failed in a tick."""
    succeeded = execution["status"] == "SUCCEEDED"
    listed = json.loads(execution["output"])["countries"] if succeeded else json.loads(execution["cause"])
    return [entry["country"] for entry in listed if entry["failed"]]


def rows(deployed: Deployed, country: str, slot: datetime) -> int:
    """The rows of stores of a country's slot, in the lake."""
    return deployed.table("store_availability", country, slot).num_rows


def test_countries_come_move_and_go_while_ticks_go_on(company: Company) -> None:
    home, other = company.accounts
    company.deploy(home, ["es", "mx", "pt"])
    lake = company.made[home]
    slot = slot_with_time_left()
    first = tick.run(lake.stack, prefix=company.prefix, slot=slot)
    assert sorted(one.country for one in first.countries) == ["es", "mx", "pt"] and first.status == "SUCCEEDED"
    before = {table: {one.key: one.etag for one in lake.objects(f"{table}/country=mx/")} for table in TABLES}

    with ticks_going_on(lake, slot) as ticks:
        company.deploy(home, ["fr"])
        company.undeploy(home, "mx")
        company.deploy(home, [], country_accounts={"mx": other})
        company.deploy(other, ["mx"], lake_account=home)
        company.undeploy(home, "pt")
        # One whole tick after the last change.
        counted = len(ticks)
        assert wait_for(lambda: len(ticks) >= counted + 2, 120)

    # es stayed throughout, and no tick of it failed.
    assert len(ticks) > 3
    for one in ticks:
        # Of the others, a country that is removed in mid-tick may be missed by that tick.
        assert "es" not in failures(one) and "fr" not in failures(one), one
        assert rows(lake, "es", one["slot"]) > 500
    assert failures(ticks[-1]) == []
    last = ticks[-1]["slot"]
    assert sorted(entry["country"] for entry in json.loads(ticks[-1]["output"])["countries"]) == ["es", "fr"]
    assert rows(lake, "fr", last) > 500

    # mx delivers from its new account, and what it wrote before is as it was.
    moved = tick.run(company.made[other].stack, prefix=company.prefix, slot=slot_with_time_left())
    assert [(one.country, one.outcome, one.registered) for one in moved.countries] == [("mx", "complete", True)]
    assert rows(lake, "mx", moved.slot) > 500
    for table, files in before.items():
        now = {one.key: one.etag for one in lake.objects(f"{table}/country=mx/")}
        kept = {key: tag for key, tag in files.items() if slots.in_key(key) != moved.slot}
        assert kept.items() <= now.items()
    # pt's data stays, and its stack is gone.
    assert rows(lake, "pt", slot) > 500
    assert [one.key for one in lake.objects("registry/")] == ["registry/es.json", "registry/fr.json"]
