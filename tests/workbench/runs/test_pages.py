"""Runs and published pages: who reads them, and that nobody else does."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.local.config import Stack
from infra.workbench.hub.catalog import Catalog
from tests.faults.listener import Loop
from tests.faults.routes import before
from tests.workbench.runs import hub as hubs
from tests.workbench.runs import machine as machines
from tests.workbench.runs.hub import Hub
from tests.workbench.runs.machine import Machine, wait

RUN = "runs/ana/reports/weekly/20261123T070000Z"
ERROR = "ValueError: <b>no such week</b>"


@pytest.fixture(scope="module")
def machine(aws: Stack, python: Path) -> Iterator[Machine]:
    """One machine for all of these tests."""
    with machines.maker(aws, python) as make:
        yield machines.peopled(make())


@pytest.fixture(scope="module")
def hub(machine: Machine, loop: Loop) -> Iterator[Hub]:
    """Its hub, with a run of ana's for ben and one for nobody; S3 is reached through a proxy."""
    for prefix, readers, error in ((RUN, ["ben"], None), ("runs/ana/private/20261124T070000Z", [], ERROR)):
        run = {"readers": readers, "error": error, "outcome": "failed" if error else "succeeded"}
        machine.store.put(f"{prefix}/run.json", json.dumps(run).encode())
        machine.store.put(f"{prefix}/page.html", b"<script>1</script>what came out")
        machine.store.put(f"{prefix}/notebook.ipynb", machines.notebook("1").encode())
    proxy = before(loop, machine.stack.aws.endpoint)
    with hubs.running(machine, proxy) as running:
        yield running
    proxy.close()


@pytest.mark.smoke
def test_a_run_is_read_by_its_owner_its_readers_and_administrators_and_not_there_for_others(hub: Hub) -> None:
    for name in ("ana", "ben", "dora"):
        answer = hub.visitor(name).get(f"/services/pages/{RUN}")
        assert (answer.status, "what came out" in answer.text) == (200, True), name
    answer = hub.visitor("cam").get(f"/services/pages/{RUN}")
    nothing = hub.visitor("cam").get(f"/services/pages/{RUN.replace('weekly', 'weakly')}")
    assert (answer.status, nothing.status) == (404, 404)
    assert answer.text == nothing.text
    assert hub.visitor("ben").get("/services/pages/runs/ana/private/20261124T070000Z").status == 404
    assert hub.visitor("ben").get("/services/pages/runs/ana/private/20261124T070000Z/notebook.ipynb").status == 404


def test_nobody_reads_anything_without_signing_in(hub: Hub) -> None:
    answer = hubs.Visitor(hub.machine.settings.address).get(f"/services/pages/{RUN}")
    assert "what came out" not in answer.text
    assert "password" in answer.text


def test_the_list_shows_what_one_may_read_and_ones_own_schedules(hub: Hub) -> None:
    ana, ben, cam = (hub.visitor(name).get("/services/pages/").text for name in ("ana", "ben", "cam"))
    assert "reports/weekly" in ana
    assert ana.index("private") < ana.index("reports/weekly"), "the newest first"
    assert "&lt;b&gt;no such week" in ana
    assert "<b>no such week" not in ana
    assert "reports/weekly" in ben
    assert "private" not in ben
    assert "reports/weekly" not in cam


def test_a_schedule_that_cannot_be_read_is_shown_to_its_owner(hub: Hub) -> None:
    hub.machine.schedule("ana", "bad", ["1"], "schedule = ", at=datetime(2026, 11, 1, tzinfo=UTC))
    ana, ben = hub.visitor("ana"), hub.visitor("ben")
    wait(lambda: "This is no TOML" in ana.get("/services/pages/").text, "the scheduler's word")
    assert "TOML" not in ben.get("/services/pages/").text
    assert (hub.machine.home("ana") / "bad.schedule.error.txt").exists()


def test_a_notebooks_html_has_no_origin_runs_nothing_and_loads_nothing(hub: Hub) -> None:
    headers = hub.visitor("ben").get(f"/services/pages/{RUN}").headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script-src" not in policy
    assert "allow-" not in policy
    assert "http" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_run_s_notebook_is_a_file_to_keep(hub: Hub) -> None:
    answer = hub.visitor("ben").get(f"/services/pages/{RUN}/notebook.ipynb")
    assert json.loads(answer.text)["cells"]
    assert answer.headers["Content-Disposition"].startswith("attachment; filename")


@pytest.mark.smoke
def test_a_page_that_is_published_is_read_by_whom_it_is_for(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "My week.ipynb").write_text(machines.notebook("print('hello')"))
    code = "from storewatch.publish import publish\nprint(publish('My week.ipynb', to=['group:ops']))"
    done = hub.python(code, "ana", tmp_path)
    assert done.returncode == 0, done.stderr
    url = done.stdout.strip()
    assert url == f"{hub.machine.settings.address}/services/pages/pages/ana/My%20week"
    path = url.removeprefix(hub.machine.settings.address)
    assert "hello" in hub.visitor("ben").get(path).text
    assert hub.visitor("cam").get(path).status == 404
    assert "My week" in hub.visitor("ben").get("/services/pages/").text
    # For others, and then for nobody.
    assert hub.python(code.replace("group:ops", "cam"), "ana", tmp_path).returncode == 0
    assert hub.visitor("cam").get(path).status == 200
    assert hub.visitor("ben").get(path).status == 404
    done = hub.python("from storewatch.publish import unpublish\nunpublish('My week')", "ana", tmp_path)
    assert done.returncode == 0, done.stderr
    assert [hub.visitor(name).get(path).status for name in ("ana", "cam", "dora")] == [404, 404, 404]


def test_a_page_that_is_not_published_is_told_in_the_notebook(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "week.ipynb").write_text(machines.notebook("1"))
    (tmp_path / "broken.ipynb").write_text("{}")
    wanted = {
        "publish('week.ipynb', to=['nobody'])": "StorewatchError: the page was not changed: There is no reader nobody",
        "publish('week.ipynb', name='../x')": "ValueError: '../x' is no name for a page",
        "publish('broken.ipynb')": "ValueError: broken.ipynb is no notebook",
        "os.environ.pop('JUPYTERHUB_API_TOKEN'); publish('week.ipynb')": "StorewatchError: pages are published from",
    }
    tries = "".join(f"try: {code}\nexcept Exception as e: print(type(e).__name__ + ':', e)\n" for code in wanted)
    done = hub.python(f"import os\nfrom storewatch.publish import publish\n{tries}", "ana", tmp_path)
    assert done.returncode == 0, done.stderr
    for line, message in zip(done.stdout.splitlines(), wanted.values(), strict=True):
        assert line.startswith(message)


def test_a_page_is_the_owners_of_the_token_and_changed_by_nobody_else(hub: Hub) -> None:
    ana, ben = hub.token("ana"), hub.token("ben")
    assert hub.ask("PUT", "api/mine", ana, b"ana's").status == 200
    assert hub.ask("PUT", "api/mine", ben, b"ben's").status == 200
    assert hub.ask("DELETE", "api/mine", ben).status == 200
    assert hub.ask("DELETE", "api/mine", ben).status == 404
    assert hub.visitor("ana").get("/services/pages/pages/ana/mine").text == "ana's"
    assert hub.ask("DELETE", "api/mine", "no-token").status == 403
    # A browser's cookies publish nothing, so no other page can do it in its user's name.
    assert hub.visitor("ana").put("/services/pages/api/mine", b"forged").status == 403
    assert hub.visitor("ana").get("/services/pages/pages/ana/mine").text == "ana's"


@pytest.mark.parametrize(
    ("path", "size", "message"),
    [
        ("api/..%2Fx", 1, "The name may have"),
        ("api/%3Cb%3E", 1, "The name may have"),
        ("api/x?to=nobody", 1, "There is no reader nobody"),
        ("api/x?to=group:nobody", 1, "There is no reader group:nobody"),
        ("api/x?to=../ana", 1, "Readers are"),
    ],
)
def test_a_page_that_cannot_be_published_says_why(hub: Hub, path: str, size: int, message: str) -> None:
    answer = hub.ask("PUT", path, hub.token("ana"), b"x" * size)
    assert answer.status == 400
    assert hubs.values(answer)["error"].startswith(message)


def test_a_page_that_is_too_large_is_refused(hub: Hub) -> None:
    try:
        assert hub.ask("PUT", "api/large", hub.token("ana"), b"x" * 30_000_000).status == 400
    except OSError:
        pass  # the connection ended while the body was sent
    assert not hub.machine.keys("pages/ana/large/")


def test_a_reader_who_leaves_the_group_reads_it_no_more(hub: Hub) -> None:
    catalog, users = Catalog(hub.machine.store), hub.machine.users
    catalog.publish("ana", "for-ops", b"x", ["group:ops"])
    names = {user.name: [one.name for one in catalog.entries(user)] for user in users}
    assert "for-ops" in names["ben"]
    assert "for-ops" not in names["cam"]


def test_an_outage_of_s3_is_said_so(hub: Hub) -> None:
    ben = hub.visitor("ben")
    with hub.proxy.refusing():
        for path in ("/services/pages/", f"/services/pages/{RUN}"):
            answer = ben.get(path)
            assert answer.status == 503
            assert "S3 does not answer" in answer.text
        assert hub.ask("PUT", "api/x", hub.token("ana"), b"x").status == 503
    assert ben.get(f"/services/pages/{RUN}").status == 200
