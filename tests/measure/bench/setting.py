"""What a measurement stands on: running servers, release binaries, and a sample of stores in one country."""

import os
import subprocess
from datetime import UTC, datetime

from infra.local.commands.up import up
from infra.local.config import ROOT, Stack
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.sample.load import load, refresh
from infra.local.sample.places import Place, parameters_file, read_parameters, read_places

COUNTRY = "es"
# The functions of a tick, and the floor. In one command, so that they share one build of their dependencies.
PACKAGES = ("dispatch", "plan", "observe", "merge", "register", "storewatch-floor")


def prepare() -> Stack:
    """Starts the servers, and builds the release."""
    stack = up()
    named = [part for package in PACKAGES for part in ("-p", package)]
    say("bench", "building the release binaries (the first time takes minutes)")
    try:
        done = subprocess.run(["cargo", "build", "--release", "--quiet", *named], cwd=ROOT, env=os.environ, check=False)
    except FileNotFoundError:
        raise StackError("cargo is missing: install Rust from https://rustup.rs and try again") from None
    if done.returncode:
        raise StackError("`cargo build --release` failed: its errors are above")
    return stack


def sample(stack: Stack, stores: int) -> Place:
    """Loads so many stores of the country, unless they are there. Their live view becomes the current slot's."""
    prefix = f"bench-{stores}"
    today = datetime.now(UTC).date()
    if parameters_file(stack, prefix).exists():
        held = read_parameters(stack, prefix).get(COUNTRY)
        if held and held.stores == stores and held.today == today:
            refresh(stack, prefix=prefix, at=datetime.now(UTC))
            return read_places(stack, prefix)[COUNTRY]
    return load(stack, count=stores, countries=[COUNTRY], prefix=prefix, today=today, at=datetime.now(UTC))[COUNTRY]
