"""People use the workbench in the browser: they sign in, write and run notebooks, and share with whom they choose."""

import json
import os
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from infra.local.servers import jupyterhub
from infra.local.servers.processes import Server, wait_for
from tests.workbench.browser import Lab
from tests.workbench.conftest import Workbench, notebook, processes


@pytest.fixture
def ana(chromium: Browser, workbench: Workbench) -> Lab:
    lab = Lab.of(chromium, workbench.settings, workbench.user("ana").name)
    lab.sign_in(workbench.passwords["ana"])
    return lab


@pytest.fixture
def ben(chromium: Browser, workbench: Workbench) -> Lab:
    lab = Lab.of(chromium, workbench.settings, workbench.user("ben").name)
    lab.sign_in(workbench.passwords["ben"])
    return lab


def test_a_wrong_password_and_an_unknown_user_are_refused_alike(chromium: Browser, workbench: Workbench) -> None:
    told = []
    for name in (workbench.user("cam").name, "nobody"):
        lab = Lab.of(chromium, workbench.settings, name)
        lab.sign_in("not the password")
        told.append(lab.page.locator(".login_error").inner_text())
    assert told[0] == told[1] and "Invalid username or password" in told[0]


@pytest.mark.smoke
def test_a_notebook_is_written_run_and_saved(ana: Lab, workbench: Workbench) -> None:
    ana.open()
    ana.new_notebook()
    ana.run("print(6 * 7)", "42")
    ana.save_as("answer.ipynb")
    assert wait_for(lambda: (workbench.home("ana") / "answer.ipynb").exists(), 30)
    saved = json.loads((workbench.home("ana") / "answer.ipynb").read_text())
    assert "".join(saved["cells"][0]["source"]) == "print(6 * 7)"
    assert ana.left == []


@pytest.mark.smoke
def test_what_is_in_the_groups_folder_is_shared_and_nothing_else(ana: Lab, ben: Lab, workbench: Workbench) -> None:
    for path in ("groups/ops/shared.ipynb", "own.ipynb"):
        workbench.write("ana", path, notebook("print('shared by ana')"))
    ben.open("groups/ops/shared.ipynb")
    expect(ben.page.locator(".jp-CodeCell .cm-content").first).to_contain_text("shared by ana")
    ben.run_first("shared by ana")
    answer = ben.page.request.get(f"{workbench.settings.address}/user/{ben.name}/api/contents/own.ipynb")
    assert answer.status == 404
    for path in ("lab", "api/contents", "files/own.ipynb", "api/kernels"):
        answer = ben.page.request.get(f"{workbench.settings.address}/user/{ana.name}/{path}", max_redirects=5)
        assert answer.status == 403, path
    assert ben.left == []


def test_a_kernel_is_reached_by_its_user_alone(ana: Lab, workbench: Workbench) -> None:
    ana.open()
    ana.new_notebook()
    ana.run("from ipykernel.connect import get_connection_info as c; print(c(unpack=True)['transport'])", "ipc")
    ports = _listening(workbench.user("ana").uid)
    assert ports  # the server's, and one by which a kernel gets what its child processes print
    for port in ports:
        assert not workbench.reaches("ben", f"http://127.0.0.1:{port}")


def test_a_server_that_was_killed_comes_back(ana: Lab, workbench: Workbench) -> None:
    ana.open()
    before = _processes(workbench, "ana")
    for pid in before:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: not _processes(workbench, "ana"), 30)

    # The hub looks at its servers every half a minute, and until then sends people to one that is gone.
    def is_back() -> bool:
        ana.page.goto(f"{workbench.settings.address}/hub/spawn/{ana.name}")
        return bool(_processes(workbench, "ana"))

    assert wait_for(is_back, 90)
    ana.open()
    assert not set(_processes(workbench, "ana")) & set(before)


def test_a_server_outlives_the_hub(ana: Lab, workbench: Workbench) -> None:
    ana.open()
    ana.new_notebook()
    ana.run("kept = 'kept'; print(kept)", "kept")
    before, hub = _processes(workbench, "ana"), Server(workbench.settings.folder.name, workbench.stack.run_dir)
    pid = hub.pid()
    assert before and pid
    os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: hub.pid() is None, 10)
    jupyterhub.start(workbench.stack, Path(workbench.settings.environment, "bin", "python"), workbench.settings)
    assert set(before) <= set(_processes(workbench, "ana"))
    # Lab has noticed that the hub was away.
    if (notice := ana.page.locator(".jp-Dialog .jp-mod-reject")).is_visible():
        notice.click()
    ana.run("print(kept * 2)", "keptkept")


def test_a_server_that_nobody_uses_ends_and_starts_again_when_it_is_wanted(ana: Lab, workbench: Workbench) -> None:
    ana.open()
    assert _processes(workbench, "ana")
    ana.page.goto("about:blank")
    python = Path(workbench.settings.environment, "bin", "python")
    jupyterhub.start(workbench.stack, python, replace(workbench.settings, idle_seconds=10, cull_seconds=2))
    try:
        assert wait_for(lambda: not _processes(workbench, "ana"), 120)
    finally:
        jupyterhub.start(workbench.stack, python, workbench.settings)
    # The page that she left says that the server is not running, with a button that leads here.
    ana.page.goto(f"{workbench.settings.address}/hub/spawn/{ana.name}")
    ana.open()
    assert _processes(workbench, "ana")


def _listening(uid: int) -> list[int]:
    """The ports on which a user's processes listen."""
    entries = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [int(entry[1].partition(":")[2], 16) for entry in entries if entry[3] == "0A" and int(entry[7]) == uid]


def _processes(workbench: Workbench, name: str) -> list[int]:
    return processes(workbench.user(name).uid)
