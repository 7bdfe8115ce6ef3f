"""A machine of the workbench: a folder with users, a bucket, and what people do there. No hub and no lake."""

import json
import os
import random
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from infra.local.config import Stack
from infra.local.servers.ports import any_free
from infra.workbench.hub import contained, limits, sandbox, users
from infra.workbench.hub.scheduler import Scheduler
from infra.workbench.hub.settings import VARIABLE, Settings
from infra.workbench.hub.store import Store

# Small, so that a test fills it soon.
MEMORY = "500M"
GROUP = "ops"


@dataclass(frozen=True)
class Machine:
    """A machine with users `ana` and `ben`, who share a group, `cam` who has none, and `dora`, an administrator."""

    stack: Stack
    settings: Settings
    python: Path

    @property
    def state(self) -> Path:
        """Its folder."""
        return self.settings.folder

    @property
    def store(self) -> Store:
        """Its bucket."""
        return Store.of(self.settings)

    @property
    def users(self) -> users.Users:
        """Its users."""
        return users.Users.load(self.state)

    def home(self, user: str) -> Path:
        """A user's home."""
        return self.state / "homes" / user

    def put(self, user: str, path: str, content: str | bytes, *, at: datetime | None = None) -> Path:
        """Saves a file as the user does, at an instant."""
        file = self.home(user) / path
        uid = self.users[user].uid
        for folder in reversed([one for one in file.parents if not one.exists()]):
            folder.mkdir(0o700)
            os.chown(folder, uid, uid)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        file.chmod(0o660)
        os.chown(file, uid, uid)
        if at:
            os.utime(file, (at.timestamp(), at.timestamp()))
        return file

    def schedule(self, user: str, name: str, cells: Sequence[str], text: str, *, at: datetime) -> None:
        """Saves a notebook and its schedule."""
        self.put(user, f"{name}.ipynb", notebook(*cells))
        self.put(user, f"{name}.schedule.toml", text, at=at)

    def keys(self, prefix: str = "") -> list[str]:
        """What is in the bucket."""
        return sorted(self.store.keys(prefix))

    def json(self, key: str) -> Any:
        """A file of the bucket."""
        found = self.store.get(key)
        assert found, f"{key} is not in the bucket, which has {self.keys()}"
        return json.loads(found.body)

    def text(self, key: str) -> str:
        """A file of the bucket."""
        found = self.store.get(key)
        assert found, f"{key} is not in the bucket, which has {self.keys()}"
        return found.body.decode()

    def run(self, user: str, name: str) -> dict[str, Any]:
        """The only run of a notebook."""
        [key] = [key for key in self.keys(f"runs/{user}/{name}/") if key.endswith("/run.json")]
        found: dict[str, Any] = self.json(key)
        return found

    def counted(self, metric: str) -> float:
        """How often a metric was counted."""
        found = self.stack.aws.client("cloudwatch").get_metric_statistics(
            Namespace=self.settings.namespace,
            MetricName=metric,
            StartTime=time.time() - 3600,
            EndTime=time.time() + 3600,
            Period=7200,
            Statistics=["Sum"],
        )
        return float(sum(one["Sum"] for one in found["Datapoints"]))

    def environment(self) -> dict[str, str]:
        """Of the hub's processes."""
        root = str(Path(__file__).resolve().parents[3])
        aws = self.stack.aws.environment()
        return {"PATH": os.environ["PATH"], "PYTHONPATH": root, VARIABLE: str(self.settings.file), **aws}

    def command(self, module: str, *words: str) -> list[str]:
        """Starts one of the hub's programs in the workbench's own Python."""
        return [str(self.python), "-m", f"infra.workbench.hub.{module}", *words]

    def start(self, module: str, *words: str, **environment: str) -> "subprocess.Popen[bytes]":
        """Starts it in the background. Its log is in the machine's folder."""
        log = (self.state / f"{module}.log").open("ab")
        env = {**self.environment(), **environment}
        return subprocess.Popen(self.command(module, *words), env=env, stdout=log, stderr=log, start_new_session=True)

    def log(self, module: str) -> str:
        """What it wrote."""
        return (self.state / f"{module}.log").read_text()


def made(stack: Stack, folder: Path, python: Path, *, bucket: str | None = None, **more: Any) -> Machine:
    """Makes a machine, with the bucket of another one if it is named."""
    name = bucket or f"workbench-{uuid.uuid4().hex[:12]}"
    if not bucket:
        s3 = stack.aws.client("s3")
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": stack.aws.region})
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    state = folder / uuid.uuid4().hex[:8]
    state.mkdir(parents=True)
    state.chmod(0o711)
    settings = Settings(
        state=str(state),
        port=any_free(),
        hub_port=any_free(),
        proxy_port=any_free(),
        pages_port=any_free(),
        proxy="",
        environment=str(python.parents[1]),
        uid_base=800_000_000 + 1000 * random.randrange(100_000),
        prefix=name,
        database="storewatch",
        bucket=name,
        region=stack.aws.region,
        engine="trino",
        trino_url="https://localhost:1",
        trino_ca=stack.postgres.ca_file,
        namespace=name,
        memory=MEMORY,
    )
    settings = replace(settings, **more)
    settings.file.write_text(settings.text())
    return Machine(stack, settings, python)


def peopled(machine: Machine) -> Machine:
    """Gives it its users."""
    with users.changed(machine.state, machine.settings.uid_base) as change:
        for name, groups in (("ana", (GROUP,)), ("ben", (GROUP,)), ("cam", ()), ("dora", ())):
            change.put(name, groups=groups, admin=name == "dora", sources=())
    for user in machine.users:
        sandbox.prepare(machine.settings, user, machine.users.groups)
    return machine


def notebook(*cells: str) -> str:
    """A notebook of code cells. The first holds parameters if it begins so."""
    made: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "execution_count": None,
            "metadata": {"tags": ["parameters"]} if source.startswith("# parameters") else {},
            "outputs": [],
            "source": source,
        }
        for number, source in enumerate(cells)
    ]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def scheduler(machine: Machine, clock: Callable[[], datetime], run: contained.Run | None = None) -> Scheduler:
    """A scheduler whose notebooks run in real sandboxes, unless `run` is something else."""
    return Scheduler(machine.settings, machine.store, run or contained.runner(machine.settings), clock)


def look(scheduler: Scheduler, *, seconds: float = 180) -> None:
    """Lets it look until nothing is due, running or waiting."""
    deadline = time.monotonic() + seconds
    while True:
        scheduler.look()
        if scheduler.idle():
            return
        assert time.monotonic() < deadline, f"the scheduler is not done after {seconds} s"
        time.sleep(0.05)


def until(scheduler: Scheduler, condition: Callable[[], Any], what: str, *, seconds: float = 60) -> None:
    """Lets a scheduler look until a condition holds."""

    def met() -> Any:
        scheduler.look()
        return condition()

    wait(met, what, seconds=seconds)


def wait(condition: Callable[[], Any], what: str, *, seconds: float = 60) -> Any:
    """Waits for a condition, and returns what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)
    return found


@contextmanager
def maker(stack: Stack, python: Path) -> Iterator[Callable[..., Machine]]:
    """Makes machines, in a folder that other users of the system may pass, and removes them."""
    machines: list[Machine] = []

    def make(**more: Any) -> Machine:
        machines.append(made(stack, folder, python, **more))
        return machines[-1]

    with tempfile.TemporaryDirectory(prefix="workbench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield make
        for machine in machines:
            limits.end_all(machine.settings.name)
