"""Who writes SQL has the analysts' limits, and takes nothing from who looks at dashboards."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from samtranslator.yaml_helper import yaml_parse

from infra.deploy import TEMPLATES
from infra.local.config import ROOT, Stack
from infra.local.servers import sql, superset, trino
from infra.local.servers.processes import wait_for
from tests.dashboard.conftest import Shown, query
from tests.harness.lakes import LONG

TABLE = "Countries now"

pytestmark = pytest.mark.smoke
_GOES_ON = "state not in ('FINISHED', 'FAILED')"


def _write(shown: Shown, user: str, statement: str) -> Any:
    """What SQL Lab answers."""
    client = shown.client(user)
    (database,) = [one for one in client.all("database/") if one["database_name"] == "Storewatch"]
    asked = {"database_id": database["id"], "sql": statement, "runAsync": False, "queryLimit": 10}
    return client.post("sqllab/execute/", asked)["data"]


def _groups(shown: Shown) -> dict[str, set[str]]:
    """Who has asked in which group, by the engine's own list."""
    # A query that was refused has none.
    listed = 'select "user" as name, resource_group_id as parts from system.runtime.queries'
    rows = shown.lake.ask(f"{listed} where resource_group_id is not null")
    return {name: {".".join(row["parts"]) for row in rows if row["name"] == name} for name in {r["name"] for r in rows}}


def test_what_is_written_in_sql_lab_is_asked_as_the_analysts_and_a_chart_as_the_dashboard(shown: Shown) -> None:
    for user in ("analyst", "admin"):
        assert _write(shown, user, "select current_user as asked_by") == [{"asked_by": "analysts"}]
    shown.client("viewer").post("chart/data", query(shown, "latest_slot", chart=TABLE, columns=["country"], force=True))
    groups = _groups(shown)
    assert groups["analysts"] == {"analysts.analysts"}
    assert groups["storewatch"] == {"storewatch"}


def test_superset_shows_nobody_the_engines_password(shown: Shown, stack: Stack) -> None:
    client = shown.client("admin")
    (database,) = [one for one in client.all("database/") if one["database_name"] == "Storewatch"]
    told = [client.get(f"database/{database['id']}{path}") for path in ("", "/connection")]
    assert "trino://storewatch:XXXXXXXXXX@localhost" in str(told)
    address = urlsplit(trino.dashboard_address(stack, shown.lake.engine, shown.lake.database))
    assert address.password
    assert address.password not in str(told)


def test_a_viewer_who_says_that_a_chart_is_of_sql_lab_has_the_dashboards_limits(shown: Shown) -> None:
    client = shown.client("viewer")
    client._headers["Referer"] = f"{shown.url}/sqllab/"
    before = len(_asked_by(shown, "analysts"))
    client.post("chart/data", query(shown, "latest_slot", chart=TABLE, columns=["region"], force=True))
    assert len(_asked_by(shown, "analysts")) == before


def test_busy_analysts_leave_the_dashboard_its_queries(shown: Shown) -> None:
    busy = 5
    with ThreadPoolExecutor(busy) as pool:
        asked = [pool.submit(sql.run, shown.lake.engine, LONG, user="analysts") for _ in range(busy)]
        try:
            assert wait_for(lambda: sorted(_states(shown)) == ["QUEUED"] * 2 + ["RUNNING"] * 3, 60), _states(shown)
            question = query(shown, "latest_slot", chart=TABLE, columns=["country", "chain"], force=True)
            assert shown.client("viewer").post("chart/data", question)["result"][0]["data"]
            assert sorted(_states(shown)) == ["QUEUED"] * 2 + ["RUNNING"] * 3
        finally:
            assert wait_for(lambda: _end_queries(shown), 60)
        for one in asked:
            with pytest.raises(sql.QueryError, match="done"):
                one.result()


def _asked_by(shown: Shown, user: str, also: str = "true") -> list[dict[str, Any]]:
    return shown.lake.ask(f"select query_id, state from system.runtime.queries where \"user\" = '{user}' and {also}")


def _end_queries(shown: Shown) -> bool:
    """Ends what the analysts ask. Whether there was nothing left."""
    running = _asked_by(shown, "analysts", _GOES_ON)
    for row in running:
        shown.lake.ask(f"call system.runtime.kill_query(query_id => '{row['query_id']}', message => 'done')")
    return not running


def _states(shown: Shown) -> list[str]:
    return [row["state"] for row in _asked_by(shown, "analysts", _GOES_ON)]


@pytest.mark.parametrize(
    ("user", "parameter"), [("storewatch", "DashboardScanLimit"), ("analysts", "AnalystScanLimit")]
)
def test_a_query_may_read_no_more_on_the_local_engine_than_in_the_workgroup(
    shown: Shown, user: str, parameter: str
) -> None:
    asked = "show session like 'query_max_scan_physical_bytes'"
    (found,) = sql.run(shown.lake.engine, asked, user=user).dicts
    template = yaml_parse((TEMPLATES / "analytics.yaml").read_text())
    assert int(found["Value"].removesuffix("GB")) * 2**30 == template["Parameters"][parameter]["Default"]


def test_on_athena_sql_lab_goes_to_the_analysts_workgroup() -> None:
    # The hook runs in Superset's own environment.
    script = """
from sqlalchemy.engine import make_url
from infra.dashboard.server.limits import as_analyst
address = "awsathena+rest://@athena.eu-west-1.amazonaws.com/storewatch?work_group="
assert as_analyst(make_url(address + "mine-dashboard")).query["work_group"] == "mine-analysts"
assert as_analyst(make_url(address + "other")).query["work_group"] == "other"
"""
    subprocess.run([superset.environment(), "-c", script], check=True, cwd=ROOT)
