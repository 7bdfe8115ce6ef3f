"""An export of what users made, and its restore on an empty machine."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from infra.dashboard.client import Client
from infra.dashboard.importer import bring
from infra.errors import DeployError
from infra.local.commands import dashboard
from infra.local.config import Stack
from infra.local.servers import ports, redis, superset, superset_worker, trino
from infra.local.servers.processes import Server, wait_for
from tests.dashboard import lake as lakes
from tests.dashboard.conftest import Shown

MINE = "mine"
RULE = "Madrid only"
REPORT = "My report"


@pytest.fixture(scope="module")
def made(shown: Shown) -> Iterator[dict[str, int]]:
    """What users made: a dataset, a chart, two dashboards, a role, a rule, a report and a saved query."""
    admin, analyst = shown.client("admin"), shown.client("analyst")
    people = {one["username"]: one["id"] for one in admin.all("security/users/")}
    connection = next(one["id"] for one in admin.all("database/") if one["database_name"] == "Storewatch")
    numbers: dict[str, int] = {}
    text = "select country, city, stores from availability_by_city where day >= '2000-01-01'"
    dataset = {"database": connection, "schema": shown.lake.database, "table_name": MINE, "sql": text}
    numbers["dataset"] = admin.post("dataset/", {**dataset, "owners": [people["analyst"]]})["id"]
    params = {"viz_type": "table", "query_mode": "raw", "all_columns": ["country", "city"]}
    chart = {"slice_name": "My chart", "viz_type": "table", "params": json.dumps(params), "datasource_type": "table"}
    chart |= {"datasource_id": numbers["dataset"], "owners": [people["analyst"]]}  # type: ignore[dict-item]
    numbers["role"] = admin.post("security/roles/", {"name": MINE})["id"]
    _permit(admin, numbers["role"], [f"datasource_access on [Storewatch].[{MINE}](id:{numbers['dataset']})"])
    board = {"dashboard_title": "My board", "slug": MINE, "owners": [people["analyst"]], "published": True}
    numbers["board"] = admin.post("dashboard/", {**board, "roles": [numbers["role"]]})["id"]
    numbers["draft"] = admin.post("dashboard/", {**board, "slug": "draft", "published": False, "roles": []})["id"]
    numbers["chart"] = admin.post("chart/", {**chart, "dashboards": [numbers["board"]]})["id"]
    _place(admin, numbers["board"], numbers["chart"])
    rule = {
        "name": RULE,
        "filter_type": "Regular",
        "clause": "city = 'Madrid'",
        "group_key": "city",
        "tables": [numbers["dataset"]],
    }
    numbers["rule"] = admin.post("rowlevelsecurity/", {**rule, "roles": [numbers["role"]]})["id"]
    viewer = {"viewer": next(one["id"] for one in admin.all("security/roles/") if one["name"] == "viewer")}
    admin.put(f"security/users/{people['editor']}", {"roles": [viewer["viewer"], numbers["role"]]})
    report = {"type": "Report", "name": REPORT, "crontab": "0 5 * * *", "dashboard": numbers["board"], "active": False}
    to = [{"type": "Email", "recipient_config_json": {"target": "me@storewatch.example"}}]
    numbers["report"] = admin.post("report/", {**report, "recipients": to, "creation_method": "alerts_reports"})["id"]
    query = {"db_id": connection, "label": "My query", "sql": "select 1", "schema": shown.lake.database}
    numbers["query"] = analyst.post("saved_query/", query)["id"]
    yield numbers
    admin.delete(f"report/{numbers['report']}")
    admin.delete(f"rowlevelsecurity/{numbers['rule']}")
    analyst.delete(f"saved_query/{numbers['query']}")
    for kind, name in (("chart", "chart"), ("dashboard", "board"), ("dashboard", "draft"), ("dataset", "dataset")):
        admin.delete(f"{kind}/{numbers[name]}")
    alpha = next(one["id"] for one in admin.all("security/roles/") if one["name"] == "Alpha")
    admin.put(f"security/users/{people['editor']}", {"roles": [alpha]})
    admin.delete(f"security/roles/{numbers['role']}")


def _permit(admin: Client, role: int, wanted: list[str]) -> None:
    known = {
        f"{one['permission']['name']} on {one['view_menu']['name']}": one["id"]
        for one in admin.all("security/permissions-resources/")
    }
    ids = [known[text] for text in wanted]
    admin.post(f"security/roles/{role}/permissions", {"permission_view_menu_ids": ids})


def _place(admin: Client, board: int, chart: int) -> None:
    found = admin.get(f"chart/{chart}")["result"]
    inside = ["ROOT_ID", "GRID_ID"]
    meta = {"width": 12, "height": 20, "chartId": chart, "uuid": found["uuid"], "sliceName": "My chart"}
    tree = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]},
        "GRID_ID": {"type": "GRID", "id": "GRID_ID", "children": ["ROW-1"], "parents": ["ROOT_ID"]},
        "ROW-1": {"type": "ROW", "id": "ROW-1", "children": ["CHART-1"], "parents": inside, "meta": {}},
        "CHART-1": {"type": "CHART", "id": "CHART-1", "children": [], "parents": [*inside, "ROW-1"], "meta": meta},
    }
    admin.put(f"dashboard/{board}", {"position_json": json.dumps(tree)})


@dataclass(frozen=True)
class Again:
    """A Superset on an empty database, with the dashboards imported, and nothing that users made."""

    stack: Stack
    settings: superset.Settings

    @property
    def admin(self) -> Client:
        """Its administrator."""
        return Client(self.settings.url, superset.ADMINISTRATOR, self.settings.admin_password)


@pytest.fixture(scope="module")
def again(shown: Shown, stack: Stack) -> Iterator[Again]:
    """Starts it beside the other one."""
    name = f"again-{uuid.uuid4().hex[:8]}"
    other = replace(stack, name=name)
    cache = redis.start(other.run_dir, ports.any_free())
    database = name.replace("-", "_")
    try:
        python = superset.environment()
        settings = superset.start(other, python, ports.any_free(), cache, smtp=shown.mails.address, database=database)
        found = Again(other, settings)
        uri = trino.dashboard_address(stack, shown.lake.engine, shown.lake.database)
        bring(found.admin, shown.lake.database, uri, lakes.COUNTRIES, "1.0.0", print)
        yield found
    finally:
        dashboard.down(other)
        with psycopg.connect(stack.postgres.conninfo(), autocommit=True) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database)))
            connection.execute(sql.SQL("drop role if exists {}").format(sql.Identifier(database)))
        shutil.rmtree(other.run_dir)


def _objects(stack: Stack, shown: Shown) -> dict[str, bytes]:
    s3 = stack.aws.client("s3")
    listed = s3.list_objects_v2(Bucket=shown.lake.bucket, Prefix="dashboard/").get("Contents", [])
    return {one["Key"]: s3.get_object(Bucket=shown.lake.bucket, Key=one["Key"])["Body"].read() for one in listed}


def _state(client: Client) -> dict[str, Any]:
    """What the test's users made, by name, as it must be the same in both."""
    boards = [client.get(f"dashboard/{one['id']}")["result"] for one in client.all("dashboard/")]
    rules = [client.get(f"rowlevelsecurity/{one['id']}")["result"] for one in client.all("rowlevelsecurity/")]
    roles = {one["name"]: one["id"] for one in client.all("security/roles/")}
    reports = [client.get(f"report/{one['id']}")["result"] for one in client.all("report/")]
    return {
        "boards": {
            one["slug"]: (one["published"], _names(one["roles"], "name"), _names(one["owners"], "first_name"))
            for one in boards
        },
        "rules": {
            one["name"]: (one["clause"], _names(one["roles"], "name"), _names(one["tables"], "table_name"))
            for one in rules
        },
        "roles": {
            name: sorted(
                f"{one['permission_name']} on {str(one['view_menu_name']).partition('(id:')[0]}"
                for one in client.get(f"security/roles/{number}/permissions/")["result"]
            )
            for name, number in roles.items()
        },
        "users": {one["username"]: _names(one["roles"], "name") for one in client.all("security/users/")},
        "reports": {
            one["name"]: (
                one["crontab"],
                one["active"],
                one["recipients"][0]["recipient_config_json"],
                _names(one["owners"], "first_name"),
            )
            for one in reports
        },
    }


def _names(entries: list[dict[str, Any]], key: str) -> list[str]:
    return sorted(entry[key] for entry in entries)


def _export(shown: Shown, stack: Stack) -> None:
    assert dashboard.backup(stack, shown.lake.shown, "export") == 0


def test_an_export_holds_no_password(shown: Shown, stack: Stack, made: dict[str, int]) -> None:
    _export(shown, stack)
    settings = superset.read(stack.run_dir)
    assert settings
    hidden = [settings.admin_password, settings.secret_key, settings.metadata.split(":")[2].split("@")[0]]
    hidden += [*shown.passwords.values(), "pbkdf2:", "scrypt:", "trino://"]
    (content,) = _objects(stack, shown).values()
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        texts = [packed.read(name).decode() for name in packed.namelist()]
    assert any("My query" in text for text in texts)
    assert not [text for text in hidden if any(text in one for one in texts)]


def test_a_restore_on_an_empty_machine_brings_back_what_users_made_and_shows_nobody_more(
    shown: Shown, stack: Stack, made: dict[str, int], again: Again, capfd: pytest.CaptureFixture[str]
) -> None:
    _export(shown, stack)
    before = _state(shown.client("admin"))
    assert dashboard.backup(again.stack, shown.lake.shown, "restore") == 0
    assert "give a password to" in capfd.readouterr().out
    assert _state(again.admin) == before
    assert before["boards"][MINE] == (True, [MINE], ["analyst"])
    assert before["boards"]["draft"][0] is False
    # The right is on the dataset, whose number differs here, and on no other.
    numbers = {one["table_name"]: one["id"] for one in again.admin.all("dataset/")}
    role = next(one["id"] for one in again.admin.all("security/roles/") if one["name"] == MINE)
    rights = again.admin.get(f"security/roles/{role}/permissions/")["result"]
    assert [one["view_menu_name"] for one in rights] == [f"[Storewatch].[{MINE}](id:{numbers[MINE]})"]
    outsider, madrileno, analyst = (_with_password(again, name) for name in ("outsider", "editor", "analyst"))
    assert list(outsider.all("dashboard/")) == []
    asked = {
        "datasource": {"id": numbers[MINE], "type": "table"},
        "queries": [{"columns": ["country", "city"], "row_limit": 1000}],
    }
    with pytest.raises(DeployError, match="403"):
        outsider.post("chart/data", asked)
    assert {row["city"] for row in madrileno.post("chart/data", asked)["result"][0]["data"]} == {"Madrid"}
    assert [one["label"] for one in analyst.all("saved_query/")] == ["My query"]
    chart = next(one for one in again.admin.all("chart/") if one["slice_name"] == "My chart")
    assert [one["dashboard_title"] for one in chart["dashboards"]] == ["My board"]


def test_restoring_again_changes_nothing(shown: Shown, stack: Stack, made: dict[str, int], again: Again) -> None:
    _export(shown, stack)
    for _ in range(2):
        assert dashboard.backup(again.stack, shown.lake.shown, "restore") == 0
    assert _state(again.admin) == _state(shown.client("admin"))


def _with_password(again: Again, name: str) -> Client:
    """A restored user, whom the administrator has given a password."""
    number = next(one["id"] for one in again.admin.all("security/users/") if one["username"] == name)
    again.admin.put(f"security/users/{number}", {"password": "given-by-the-administrator"})
    return Client(again.settings.url, name, "given-by-the-administrator")


def test_an_export_that_is_not_there_is_told_with_those_that_are(
    shown: Shown, stack: Stack, made: dict[str, int], capfd: pytest.CaptureFixture[str]
) -> None:
    _export(shown, stack)
    assert dashboard.backup(stack, shown.lake.shown, "restore", "20010101T000000Z") == 1
    newest = max(_objects(stack, shown)).removeprefix("dashboard/").removesuffix(".zip")
    assert newest in capfd.readouterr().err


def test_a_damaged_export_is_refused_before_anything_is_written(
    shown: Shown, stack: Stack, made: dict[str, int], capfd: pytest.CaptureFixture[str]
) -> None:
    _export(shown, stack)
    content = max(_objects(stack, shown).items())[1]
    s3, key = stack.aws.client("s3"), "dashboard/20990101T000000Z.zip"
    before = _state(shown.client("admin"))
    s3.put_object(Bucket=shown.lake.bucket, Key=key, Body=content[: len(content) // 2])
    try:
        assert dashboard.backup(stack, shown.lake.shown, "restore") == 1
    finally:
        s3.delete_object(Bucket=shown.lake.bucket, Key=key)
    assert "cannot be read" in capfd.readouterr().err
    assert _state(shown.client("admin")) == before


@contextmanager
def _half(address: str) -> Iterator[tuple[str, threading.Event]]:
    """An S3 that lets half of an upload through and then stops, and tells when."""
    host, port = address.removeprefix("http://").split(":")
    stopped = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def relay() -> None:
        client, _ = listener.accept()
        with client, socket.create_connection((host, int(port))) as server:
            head = client.recv(65_536)
            while b"\r\n\r\n" not in head:
                head += client.recv(65_536)
            if b"100-continue" in head:
                client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                head += client.recv(1000)
            server.sendall(head[:-1])
            stopped.set()
            client.recv(1) if client.fileno() >= 0 else None
            while client.recv(65_536):  # until it is killed
                pass

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", stopped
    finally:
        listener.close()
        thread.join(10)


def test_an_export_that_is_killed_half_way_is_not_there(shown: Shown, stack: Stack, made: dict[str, int]) -> None:
    before = _objects(stack, shown)
    with _half(stack.aws.endpoint) as (endpoint, stopped):
        env = superset_worker.variables(stack, shown.lake.shown.exports) | {"AWS_ENDPOINT_URL": endpoint}
        command: list[str | Path] = [superset.environment(), "-m", "infra.dashboard.server.backup", "export"]
        export = subprocess.Popen(command, env=env, cwd=stack.run_dir / superset.NAME)
        assert stopped.wait(180)
        os.kill(export.pid, signal.SIGKILL)
        export.wait()
    assert _objects(stack, shown) == before


def test_an_s3_that_does_not_answer_is_told(shown: Shown, stack: Stack) -> None:
    nobody = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports.any_free()}"}
    env = superset_worker.variables(stack, shown.lake.shown.exports) | nobody
    command: list[str | Path] = [superset.environment(), "-m", "infra.dashboard.server.backup", "export"]
    done = subprocess.run(
        command, check=False, env=env, cwd=stack.run_dir / superset.NAME, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 1
    assert f"S3 refused or did not answer, at {shown.lake.shown.exports}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_worker_exports_daily(shown: Shown, stack: Stack) -> None:
    assert Server(superset_worker.NAME, stack.run_dir).pid()
    before = set(_objects(stack, shown))
    env = superset_worker.variables(stack, shown.lake.shown.exports)
    script = """
from superset.tasks.celery_app import app
(entry,) = [one for one in app.conf.beat_schedule.values() if one["task"] == "storewatch.export"]
assert (entry["schedule"].hour, entry["schedule"].minute) == ({2}, {50}), entry
app.send_task(entry["task"])
"""
    subprocess.run([superset.environment(), "-c", script], check=True, env=env, cwd=stack.run_dir / superset.NAME)
    assert wait_for(lambda: set(_objects(stack, shown)) > before, 120)
