"""The dashboard over a lake of its own, with a user for each role."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser

from infra.dashboard import files
from infra.dashboard.client import Client
from infra.local.commands import dashboard
from infra.local.commands.up import up
from infra.local.config import Stack
from infra.local.errors import StackError
from infra.local.servers import superset
from infra.local.servers.processes import Server
from tests.dashboard import lake as lakes
from tests.harness import mail
from tests.harness.chromium import chromium as launched
from tests.harness.lakes import engine

# Gamma may open dashboards in general, but nobody has given it Storewatch's.
ROLES = {"spaniard": "country_es", "viewer": "viewer", "analyst": "analyst", "outsider": "Gamma", "editor": "Alpha"}


@dataclass(frozen=True)
class Shown:
    """A running dashboard: where, over which lake, and who may log in."""

    url: str
    lake: lakes.Lake
    passwords: dict[str, str]
    mails: mail.Host

    def client(self, user: str) -> Client:
        """The REST API as a user."""
        return Client(self.url, user, self.passwords[user])

    def ids(self, kind: str, name: str) -> dict[str, int]:
        """The numbers of this Superset's dashboards, charts or datasets by slug or title."""
        return {entry[name]: entry["id"] for entry in self.client("admin").all(f"{kind}/") if entry[name]}


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The running stack; started if it is down."""
    return up()


@pytest.fixture(scope="session")
def shown(stack: Stack) -> Iterator[Shown]:
    """The dashboard. Afterwards it shows what it showed before, or is stopped again."""
    was_running = Server(superset.NAME, stack.run_dir).pid() is not None
    with engine(stack) as trino, lakes.made(stack, trino) as lake, mail.host() as mails:
        settings, _ = dashboard.up(stack, lake.shown, dashboard.Mail(mails.address, mail.TO))
        admin = Client(settings.url, superset.ADMINISTRATOR, settings.admin_password)
        passwords = {name: secrets.token_urlsafe(12) for name in ROLES}
        made = _users(admin, passwords)
        try:
            yield Shown(settings.url, lake, passwords | {superset.ADMINISTRATOR: settings.admin_password}, mails)
        finally:
            # Superset's log refers to whoever has done something, so they cannot be deleted. A session lasts 15 minutes.
            admin = Client(settings.url, superset.ADMINISTRATOR, settings.admin_password)
            for number in made:
                admin.put(f"security/users/{number}", {"active": False})
            _restore(stack, was_running)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser."""
    with launched() as browser:
        yield browser


@pytest.fixture(scope="session")
def titles() -> dict[str, list[str]]:
    """The titles of each dashboard's charts, by slug."""
    found = files.load()
    return {one.slug: [found.charts[name].slice_name for name in one.charts] for one in found.dashboards.values()}


def _users(admin: Client, passwords: dict[str, str]) -> list[int]:
    roles = {entry["name"]: entry["id"] for entry in admin.all("security/roles/")}
    there = {entry["username"]: entry["id"] for entry in admin.all("security/users/")}
    made = []
    for name, role in ROLES.items():
        user = {"username": name, "first_name": name, "last_name": role, "email": f"{name}@localhost", "active": True}
        user |= {"password": passwords[name], "roles": [roles[role]]}
        if name in there:  # of an earlier run
            admin.put(f"security/users/{there[name]}", user)
        made.append(there.get(name) or admin.post("security/users/", user)["id"])
    return made


def _restore(stack: Stack, was_running: bool) -> None:
    try:
        if was_running:
            dashboard.up(stack, dashboard.lake(stack, "storewatch"))
            return
    except StackError:
        pass  # it showed a lake that is gone
    dashboard.down(stack)


def query(
    shown: Shown, dataset: str, *, chart: str | None = None, force: bool = False, **wanted: Any
) -> dict[str, Any]:
    """What the page sends for a chart; without a chart, what somebody sends who makes it up."""
    form: dict[str, Any] = {}
    if chart:
        form = {"slice_id": shown.ids("chart", "slice_name")[chart]}
        form["dashboardId"] = shown.ids("dashboard", "slug")["storewatch-live"]
    one = {"columns": [], "metrics": [], "row_limit": 1000, "filters": [], "extras": {}, **wanted}
    return {
        "datasource": {"id": shown.ids("dataset", "table_name")[dataset], "type": "table"},
        "force": force,
        "queries": [one],
        "form_data": form,
        "result_format": "json",
        "result_type": "full",
    }


def values(answers: list[dict[str, Any]], column: str) -> set[str]:
    """All values of a column in some answers of charts."""
    return {
        row[column]
        for answer in answers
        for result in answer["result"]
        for row in result.get("data") or []
        if column in row
    } | {label for label in _pivoted(answers) if column == "country"}


def _pivoted(answers: list[dict[str, Any]]) -> set[str]:
    """Countries that a chart of lines has as columns."""
    known = {"es", "mx", "pt"}
    return known & set(json.dumps([result.get("colnames") for a in answers for result in a["result"]]).split('"'))
