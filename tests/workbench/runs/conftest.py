"""Machines for these tests, on the stack's S3."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.local.commands.up import up
from infra.local.config import Stack
from infra.local.servers import jupyterhub
from tests.faults.listener import Loop
from tests.workbench.runs import machine as machines
from tests.workbench.runs.machine import Machine


@pytest.fixture(scope="session")
def aws() -> Iterator[Stack]:
    """The stack's servers, and an environment in which the hub's code finds its S3."""
    stack = up()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.aws.environment().items():
            patch.setenv(name, value)
        yield stack


@pytest.fixture(scope="session")
def python() -> Path:
    """The workbench's Python, with all that its runs need on this machine."""
    return jupyterhub.install()[0]


@pytest.fixture
def make(aws: Stack, python: Path) -> Iterator[Callable[..., Machine]]:
    """Makes machines."""
    with machines.maker(aws, python) as made:
        yield made


@pytest.fixture
def machine(make: Callable[..., Machine]) -> Machine:
    """A machine with its users."""
    return machines.peopled(make())


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    """The event loop of proxies."""
    made = Loop()
    yield made
    made.close()
