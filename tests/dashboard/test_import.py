"""Importing again, over another version, and with what people have changed; settings that the server must have."""

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from infra.dashboard import bundle, files
from infra.dashboard.client import Client
from infra.dashboard.importer import Import, bring
from infra.errors import DeployError
from infra.local.config import ROOT, Stack
from infra.local.servers import superset
from tests.dashboard import lake as lakes
from tests.dashboard.conftest import Shown

SLUG = "storewatch-live"


def _bring(shown: Shown, release: str = "1.0.0") -> list[str]:
    """Imports over the connection that is there. Returns what it says."""
    said: list[str] = []
    bring(shown.client("admin"), shown.lake.database, None, lakes.COUNTRIES, release, said.append)
    return said


def _state(client: Client) -> Any:
    """Who sees what: each dashboard's roles, each rule's datasets and roles, each role's permissions."""
    rules = [client.get(f"rowlevelsecurity/{one['id']}")["result"] for one in client.all("rowlevelsecurity/")]
    roles = {one["name"]: one["id"] for one in client.all("security/roles/")}
    return {
        "dashboards": {
            one["slug"]: (one["published"], sorted(role["name"] for role in one["roles"])) for one in _boards(client)
        },
        "rules": {
            one["name"]: (
                one["clause"],
                one["filter_type"],
                sorted(role["name"] for role in one["roles"]),
                sorted(table["table_name"] for table in one["tables"]),
            )
            for one in rules
        },
        "roles": {
            name: sorted(str(one) for one in client.get(f"security/roles/{number}/permissions/")["result"])
            for name, number in roles.items()
        },
    }


def _boards(client: Client) -> list[dict[str, Any]]:
    return [client.get(f"dashboard/{one['id']}")["result"] for one in client.all("dashboard/")]


def test_importing_again_changes_nothing_and_says_so(shown: Shown) -> None:
    _bring(shown)
    client = shown.client("admin")
    before, ids = _state(client), shown.ids("dashboard", "slug")
    assert any("is there with the same files" in line for line in _bring(shown))
    assert _state(client) == before
    assert shown.ids("dashboard", "slug") == ids


def test_an_import_over_another_version_says_what_it_replaces(shown: Shown) -> None:
    client = shown.client("admin")
    live = next(one for one in client.all("dashboard/") if one["slug"] == SLUG)
    mark = {"certified_by": "Storewatch", "certification_details": "release 9.9.9, files 000000000000"}
    client.put(f"dashboard/{live['id']}", mark)
    said = _bring(shown, "1.0.0")
    assert any("replaces" in line and "release 9.9.9, files 000000000000" in line for line in said)


def test_an_import_gives_back_what_somebody_has_loosened(shown: Shown) -> None:
    client = shown.client("admin")
    _bring(shown)
    before = _state(client)
    live = next(one for one in client.all("dashboard/") if one["slug"] == SLUG)
    outsiders = next(one["id"] for one in client.all("security/roles/") if one["name"] == "Gamma")
    client.put(f"dashboard/{live['id']}", {"roles": [outsiders]})
    rule = next(one for one in client.all("rowlevelsecurity/") if one["name"] == "storewatch: country_es")
    client.put(f"rowlevelsecurity/{rule['id']}", {"clause": "1 = 1"})
    _bring(shown)
    assert _state(client) == before


def test_a_dashboard_of_somebody_else_with_the_same_address_is_not_touched(shown: Shown) -> None:
    client = shown.client("admin")
    found = files.load()
    mine = client.post("dashboard/", {"dashboard_title": "Mine", "slug": "mine"})["id"]
    try:
        live = next(iter(found.dashboards.values()))
        clash = files.Files(
            found.datasets,
            found.charts,
            {"x": files.Dashboard("x", "X", "mine", "", ("viewer",), live.rows)},
            found.roles,
        )
        connection = bundle.Connection(shown.lake.database, None)
        with pytest.raises(DeployError, match="'mine', but is not Storewatch's"):
            Import(client, clash, connection, lakes.COUNTRIES, "1.0.0", print).run()
        assert client.get(f"dashboard/{mine}")["result"]["dashboard_title"] == "Mine"
    finally:
        client.delete(f"dashboard/{mine}")


def test_a_wrong_password_is_told_without_repeating_it(shown: Shown) -> None:
    with pytest.raises(DeployError, match="refuses the user name or password") as failure:
        Client(shown.url, "admin", "not-the-password")
    assert "not-the-password" not in str(failure.value)


def test_results_of_athenas_reuse_are_refused(shown: Shown) -> None:
    uri = "awsathena+rest://@athena.eu-west-1.amazonaws.com/storewatch?result_reuse_enable=true"
    with pytest.raises(DeployError, match="result reuse"):
        bring(shown.client("admin"), shown.lake.database, uri, lakes.COUNTRIES, "1.0.0", print)


def test_what_is_kept_ends_when_the_next_slots_rows_are_there() -> None:
    # The cache runs in Superset's own environment.
    script = """
from infra.dashboard.server.slot_cache import seconds_left as left
slot = 1795689000
assert [left(slot + second, 60) for second in (0, 59, 60, 61, 899)] == [60, 1, 900, 899, 61]
"""
    subprocess.run([superset.environment(), "-c", script], check=True, cwd=ROOT)


def test_a_second_call_of_the_running_dashboard_takes_seconds(shown: Shown, stack: Stack) -> None:
    settings = superset.read(stack.run_dir)
    assert settings is not None
    port = int(settings.url.rpartition(":")[2])
    started = time.monotonic()
    assert superset.start(stack, superset.environment(), port, settings.redis, smtp=settings.smtp) == settings
    assert time.monotonic() - started < 10


def test_secrets_are_readable_by_their_owner_only(shown: Shown, stack: Stack) -> None:
    folder = Path(stack.run_dir) / superset.NAME
    for name in ("settings.json", "database-password"):
        assert (folder / name).stat().st_mode & 0o077 == 0
