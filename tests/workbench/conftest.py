"""A workbench of its own over the sample week, with users who may do different things."""

import json
import shutil
import subprocess
import urllib.parse
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from infra.local.commands import workbench as command
from infra.local.commands.up import up
from infra.local.config import Stack
from infra.local.sample.load import drop, load
from infra.local.servers import jupyterhub
from infra.workbench.hub import access, sandbox, users
from infra.workbench.hub.settings import Settings
from tests.harness import lakes
from tests.harness.chromium import chromium as launched
from tests.harness.deployer import Deployer

GROUP = "ops"
# Small, so that a test fills it soon.
MEMORY = "700M"


@dataclass(frozen=True)
class Workbench:
    """A running workbench, and who may sign in."""

    stack: Stack
    settings: Settings
    lake: lakes.Lake
    passwords: dict[str, str]
    suffix: str

    def user(self, name: str) -> users.User:
        """A user by the first part of its name: `ana` and `ben` share a group, `cam` has none."""
        return users.Users.load(self.settings.folder)[f"{name}-{self.suffix}"]

    def run(self, name: str, *argv: str, purpose: str = "test") -> subprocess.CompletedProcess[str]:
        """Runs a program as a user, as the user's server does."""
        user, groups = self.user(name), dict(users.Users.load(self.settings.folder).groups)
        sandbox.prepare(self.settings, user, groups)
        access.write(self.settings, user)
        return subprocess.run(
            sandbox.command(self.settings, user, argv),
            env={**sandbox.environment(user), **access.variables(self.settings)},
            preexec_fn=sandbox.preexec(self.settings, user, purpose),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def python(self, name: str, code: str, purpose: str = "test") -> str:
        """What a piece of Python prints that runs as a user. It must end well."""
        done = self.run(name, "python", "-c", code, purpose=purpose)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def reaches(self, name: str, url: str) -> bool:
        """Whether a user can open a connection."""
        address = urllib.parse.urlsplit(url)
        code = f"import socket; socket.create_connection(({address.hostname!r}, {address.port}), 5)"
        return self.run(name, "python", "-c", code).returncode == 0

    def write(self, name: str, path: str, text: str) -> None:
        """Writes a file as a user."""
        self.python(name, f"open({path!r}, 'w').write({text!r})")

    def home(self, name: str) -> Path:
        """A user's home, from outside."""
        return self.settings.folder / "homes" / self.user(name).name


def notebook(*cells: str, **metadata: object) -> str:
    """A notebook of some cells of code."""
    made: list[dict[str, object]] = [
        {"cell_type": "code", "id": f"cell-{n}", "source": text, "metadata": {}, "outputs": [], "execution_count": None}
        for n, text in enumerate(cells)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = {"cells": made, "metadata": {"kernelspec": kernel, **metadata}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content)


def processes(uid: int) -> list[int]:
    """The processes of a user of the system."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(FileNotFoundError):
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                found.append(int(entry.name))
    return found


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The running stack; started if it is down."""
    return up()


@pytest.fixture(scope="session")
def workbench(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """The workbench. It uses nothing of the user's own one but the engine."""
    suffix = uuid.uuid4().hex[:6]
    name = f"workbench-{suffix}"
    deployer = Deployer(stack, name, tmp_path_factory.mktemp("lake"))
    with lakes.engine(stack) as engine, lakes.sample_week(stack, engine) as lake:
        try:
            deployer.deploy({"RuleState": "DISABLED"})
            load(stack, count=200, countries=["es"], prefix=name)
            settings = command.up(stack, name, lake.database, name, memory=MEMORY, cull_seconds=5)
            passwords = {}
            with users.changed(settings.folder, settings.uid_base) as change:
                change.remove(command.FIRST_USER)
                for user, rights in {
                    "ana": {"groups": (GROUP,), "sources": ("es",)},
                    "ben": {"groups": (GROUP,)},
                    "cam": {},
                }.items():
                    passwords[user], kept = users.new_password()
                    change.put(f"{user}-{suffix}", password=kept, **rights)
            command.provide(stack, settings)
            yield Workbench(stack, settings, lake, passwords, suffix)
        finally:
            jupyterhub.stop(stack, name)
            drop(stack, prefix=name)
            deployer.remove()
            shutil.rmtree(jupyterhub.home(stack, name), ignore_errors=True)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser."""
    with launched() as browser:
        yield browser
