"""Notebooks over the sample week, and what they need."""

import json
import secrets
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra import schema
from infra.local.config import ROOT, Stack
from infra.local.sample import week
from infra.local.sample.load import drop, load
from infra.local.sample.places import Place
from infra.local.servers import sql, trino
from infra.local.servers.processes import wait_for
from tests.harness import lakes
from tests.workbench.package.notebook import Notebook, opened


@pytest.fixture(scope="session")
def python() -> str:
    """The Python of the workbench's environment."""
    made = subprocess.run([ROOT / "infra" / "environment", "workbench"], stdout=subprocess.PIPE, text=True, check=True)
    return made.stdout.strip()


@pytest.fixture(scope="session")
def lake(stack: Stack) -> Iterator[lakes.Lake]:
    """The sample week, with its engine."""
    with lakes.engine(stack) as engine, lakes.sample_week(stack, engine) as made:
        yield made


@pytest.fixture(scope="session")
def analyst(stack: Stack, lake: lakes.Lake) -> Iterator[sql.Engine]:
    """The engine with the login of a user of the workbench."""
    name, password = f"ana-{uuid.uuid4().hex[:6]}", secrets.token_urlsafe(24)
    trino.set_password(stack, name, password)
    login = replace(lake.engine, user=name, password=password)
    try:
        # The running engine takes it up within two seconds.
        assert wait_for(lambda: trino.is_healthy(login), seconds=10)
        yield login
    finally:
        trino.remove_user(stack, name)


@pytest.fixture(scope="session")
def settings(lake: lakes.Lake, analyst: sql.Engine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the workbench tells a notebook of the lake."""
    return over(analyst, lake.database, tmp_path_factory.mktemp("access"))


@pytest.fixture(scope="session")
def notebook(python: str, settings: dict[str, str]) -> Iterator[Notebook]:
    """A notebook over the sample week."""
    with opened(python, settings) as made:
        yield made


def over(engine: sql.Engine, database: str, access: Path) -> dict[str, str]:
    """The settings of a notebook over a database of Trino's, and the login in a folder."""
    login = {"user": engine.user, "password": engine.password, "ca": str(engine.ca)}
    (access / "trino.json").write_text(json.dumps(login))
    return {
        "STOREWATCH_ENGINE": "trino",
        "STOREWATCH_DATABASE": database,
        "STOREWATCH_ACCESS": str(access),
        "STOREWATCH_TRINO_URL": engine.url,
    }


@pytest.fixture(scope="session")
def young(
    stack: Stack, lake: lakes.Lake, analyst: sql.Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """A lake in which a country has ticked for two hours today: nothing is compacted."""
    today = datetime.now(UTC).date()
    moved = today - week.FIRST_DAY
    rows = week.rows()
    with lakes.bench(stack, lake.engine) as bench:
        for table in schema.tables():
            if table.name in ("store_schedules", "outages", "missed_looks"):
                continue
            found = [
                {name: value + moved if isinstance(value, date) else value for name, value in row.items()}
                for row in rows[table.name].get(("es", f"{week.FIRST_DAY}"), [])
                if row["slot"] - timedelta(hours=10) < row["slot"].replace(hour=0, minute=0)
            ]
            bench.put(table, f"{today}", week.file(table, found))
        yield over(analyst, bench.database, tmp_path_factory.mktemp("access"))


@dataclass(frozen=True)
class Sources:
    """A sample's sources in Spain, and the folder in which notebooks find their logins."""

    stack: Stack
    place: Place
    access: Path

    def postgres(self, user: str, password: str, **other: Any) -> dict[str, Any]:
        """The login for its database."""
        ca, port = self.stack.postgres.ca_file, self.stack.postgres.port
        url = f"postgresql://localhost:{port}/{self.place.database}?sslmode=verify-full&sslrootcert={ca}"
        return {"url": url, "username": user, "password": password, **other}

    def live_view(self, **other: Any) -> dict[str, Any]:
        """The login for its index."""
        online = {"term": {"online": True}}
        entry = {
            "url": self.stack.elasticsearch.url,
            "index": self.place.index,
            "id_field": "store_id",
            "online": online,
        }
        return {**entry, "reason_field": "offline_reason", **other}

    def grant(self, country: str, **logins: Mapping[str, Any]) -> None:
        """Lets the notebook reach a country's sources."""
        file = self.access / "sources" / f"{country}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(logins))

    def revoke(self, country: str) -> None:
        """Takes that back."""
        (self.access / "sources" / f"{country}.json").unlink()


@pytest.fixture(scope="session")
def sources(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sources]:
    """The sample of a country, which the notebook may reach as `es`."""
    prefix = f"wb{uuid.uuid4().hex[:8]}"
    try:
        place = load(stack, count=600, seed=3, countries=["es"], prefix=prefix)["es"]
        made = Sources(stack, place, tmp_path_factory.mktemp("access"))
        made.grant("es", postgres=made.postgres(place.role, place.password), live_view=made.live_view())
        yield made
    finally:
        drop(stack, prefix=prefix)


@pytest.fixture(scope="session")
def reader(python: str, sources: Sources) -> Iterator[Notebook]:
    """A notebook that reads the sources."""
    with opened(python, {"STOREWATCH_ACCESS": str(sources.access)}) as made:
        yield made
