"""From a notebook to what others read of it, and back from an empty machine, in the browser."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from infra.local.commands import workbench as command
from infra.local.servers import jupyterhub
from infra.local.servers.processes import wait_for
from infra.workbench.hub.store import Store
from tests.workbench.browser import Lab
from tests.workbench.conftest import Workbench, notebook

SCHEDULE = 'schedule = "* * * * *"\nreaders = ["group:ops"]\n[parameters]\ncountry = "es"\n'


@pytest.fixture(autouse=True)
def _aws(workbench: Workbench) -> Iterator[None]:
    """The hub's code in this process finds the stack's S3."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in workbench.stack.aws.environment().items():
            patch.setenv(name, value)
        yield


def test_a_scheduled_notebook_is_read_by_the_group_and_by_nobody_else(chromium: Browser, workbench: Workbench) -> None:
    ana, ben, cam = (_signed_in(chromium, workbench, name) for name in ("ana", "ben", "cam"))
    workbench.write("ana", "minute.ipynb", notebook("country = 'none'", "print('seen in', country)"))
    ana.open()
    # As one does it in Lab: a new text file beside the notebook.
    ana.write_text("minute.schedule.toml", SCHEDULE)
    store = Store.of(workbench.settings)
    done = f"runs/{ana.name}/minute/"
    assert wait_for(lambda: any(key.endswith("page.html") for key in store.keys(done)), 240)
    (workbench.home("ana") / "minute.schedule.toml").unlink()
    for reader in (ana, ben):
        reader.page.goto(f"{workbench.settings.address}/services/pages/")
        reader.page.get_by_role("link", name="minute").first.click()
        expect(reader.page.get_by_text("seen in").first).to_be_visible()
        assert reader.left == []
    address = ben.page.url
    cam.page.goto(f"{workbench.settings.address}/services/pages/")
    expect(cam.page.get_by_role("link", name="minute")).to_have_count(0)
    assert cam.page.request.get(address).status == 404


def test_a_machine_whose_folder_is_gone_comes_back_with_users_and_notebooks(
    chromium: Browser, workbench: Workbench
) -> None:
    workbench.write("ana", "kept.ipynb", notebook("print('kept', 6 * 7)"))
    workbench.write("ana", "groups/ops/for-all.md", "for all")
    settings, store = workbench.settings, Store.of(workbench.settings)
    name = workbench.user("ana").name
    kept = {f"homes/{name}/kept.ipynb", "groups/ops/for-all.md", "users.json"}
    wait_for(lambda: kept <= set(store.keys("")), 60)
    assert kept - set(store.keys("")) == set()
    jupyterhub.stop(workbench.stack, settings.folder.name)
    shutil.rmtree(settings.folder)
    settings.folder.mkdir(mode=0o711)
    settings.file.write_text(settings.text())
    python = Path(settings.environment, "bin", "python")
    restored = subprocess.run(
        [python, "-m", "infra.workbench.hub.restore"],
        env=jupyterhub.variables(workbench.stack, python, settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert restored.returncode == 0, restored.stderr
    command.up(workbench.stack, settings.prefix, settings.database, settings.folder.name, memory=settings.memory)
    lab = _signed_in(chromium, workbench, "ana")
    lab.open("kept.ipynb")
    lab.run_first("kept 42")
    assert workbench.run("ben", "cat", "groups/ops/for-all.md").stdout == "for all"


def _signed_in(chromium: Browser, workbench: Workbench, name: str) -> Lab:
    lab = Lab.of(chromium, workbench.settings, workbench.user(name).name)
    lab.sign_in(workbench.passwords[name])
    return lab
