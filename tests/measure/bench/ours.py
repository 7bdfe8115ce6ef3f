"""Storewatch's side of `make bench`: a lake of its own, the tick of its machines, and its functions called directly.

Directly means without Step Functions and without Lambda: each function is a process that this one feeds with events,
with the environment that its deployment has. S3, Glue and CloudWatch are the stack's local AWS.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from infra.local import slots
from infra.local.commands import tick
from infra.local.commands.deploy import Secrets, deploy
from infra.local.commands.undeploy import undeploy
from infra.local.config import ROOT, Stack
from infra.packaging import FUNCTIONS
from infra.vocabulary import TICKED_TABLES
from tests.harness.deployment import Deployed
from tests.measure.bench.function import Answered, Function

PREFIX = "bench"
# What a release has, as `make binaries` builds it.
RELEASE = ROOT / "target/bench"
# Of a tick, in their order.
STEPS = ("plan", "observe", "merge", "register")
# A round that is begun later in a slot could end in the next one, where observations are late.
_LEFT_SECONDS = 30


@dataclass(frozen=True)
class Step:
    """What one function took for its part of a tick: of all chunks if it observes."""

    calls: list[Answered]

    @property
    def ms(self) -> float:
        """The slowest call."""
        return max(call.ms for call in self.calls)

    @property
    def cpu_ms(self) -> float:
        """Of all calls."""
        return sum(call.cpu_ms for call in self.calls)


Steps = Mapping[str, Step]


def path_ms(steps: Steps) -> float:
    """The critical path: plan, the slowest chunk, merge, register."""
    return sum(steps[name].ms for name in STEPS)


@dataclass(frozen=True)
class Started:
    """A new process's first answer."""

    first_poll_ms: float
    first_answer_ms: float
    cpu_ms: float
    peak_mib: float


@dataclass(frozen=True)
class Lake:
    """A deployed lake with one country or several, whose machines do not tick by themselves."""

    deployed: Deployed
    countries: list[str]

    def slot(self, seconds: float = _LEFT_SECONDS) -> datetime:
        """The current slot, or the next one once it has begun if less than so many seconds are left."""
        return tick.slot_with_time_left(seconds)

    def forget(self, slot: datetime) -> None:
        """Removes what a slot has written: functions do not redo what is complete."""
        keys = [key for key, _ in self.written(slot)]
        if keys:
            objects = {"Objects": [{"Key": key} for key in keys]}
            self.deployed.s3.delete_objects(Bucket=self.deployed.bucket, Delete=objects)

    def written(self, slot: datetime) -> list[tuple[str, int]]:
        """The keys and sizes of what a slot has written."""
        found = []
        for folder in ("staging", "schedules", *TICKED_TABLES):
            for country in self.countries:
                day = "" if folder in ("staging", "schedules") else f"day={slot:%Y-%m-%d}/"
                prefix = f"{folder}/country={country}/{day}"
                pages = self.deployed.s3.get_paginator("list_objects_v2").paginate(
                    Bucket=self.deployed.bucket, Prefix=prefix
                )
                listed = (entry for page in pages for entry in page.get("Contents", []))
                found += [(entry["Key"], entry["Size"]) for entry in listed if slots.compact(slot) in entry["Key"]]
        return found

    def tick(self, slot: datetime) -> tick.Tick:
        """A tick through the machines, after what the slot has written is removed."""
        done = tick.run(self.deployed.stack, prefix=self.deployed.prefix, slot=slot, afresh=True)
        assert done.status == "SUCCEEDED", done.error
        return done

    def environment(self, function: str) -> dict[str, str]:
        """What a deployed function's process has in its environment."""
        found = self._lambdas.get_function_configuration(FunctionName=f"{self.deployed.prefix}-{function}")
        return {**found["Environment"]["Variables"], **self.deployed.stack.aws.environment()}

    def manifest(self, key: str) -> list[Any]:
        """The chunks of a plan."""
        return json.loads(self.deployed.body(key))

    @cached_property
    def _lambdas(self) -> Any:
        return self.deployed.stack.aws.client("lambda")


@contextmanager
def lake(
    stack: Stack, countries: list[str], files: Path, sample: str, secrets: Secrets | None = None
) -> Iterator[Lake]:
    """Deploys countries on a sample, with the release's binaries. Removes first what an interrupted run left."""
    undeploy(stack, PREFIX)
    with tempfile.TemporaryDirectory() as folder:
        binaries = Path(folder)
        for name in FUNCTIONS:
            # A tick does not call the others, so that they need not be built: a text stands for each.
            if name in ("dispatch", *STEPS):
                (binaries / name).symlink_to(RELEASE / name / "bootstrap")
            else:
                (binaries / name).write_text(f"the function {name}")
        made = _deployed(stack, countries, files, binaries, sample, secrets)
    try:
        yield Lake(Deployed(stack, PREFIX, PREFIX, f"Measure/{PREFIX}", made["LakeBucket"]), countries)
    finally:
        undeploy(stack, PREFIX)


def _deployed(
    stack: Stack, countries: list[str], files: Path, binaries: Path, sample: str, secrets: Secrets | None
) -> dict[str, str]:
    return deploy(
        stack,
        prefix=PREFIX,
        database=PREFIX,
        countries=countries,
        country_files=files,
        binaries=binaries,
        rule="DISABLED",
        sample=sample,
        secrets=secrets,
        parameters={"MetricsNamespace": f"Measure/{PREFIX}"},
    )


class Direct:
    """One country's functions as processes of this one, one process each."""

    def __init__(self, lake: Lake, country: str, extra: Mapping[str, str] | None = None):
        self._lake, self._country, self._extra = lake, country, dict(extra or {})
        self.functions: dict[str, Function] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        for name in STEPS:
            self.functions[name] = self._open.enter_context(self.start(name))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def start(self, name: str) -> Function:
        """A new process of a function."""
        log = self._lake.deployed.stack.run_dir / "logs" / f"bench-{name}.log"
        environment = self._lake.environment(f"{self._country}-{name}") | self._extra
        return Function(RELEASE / name / "bootstrap", environment, log)

    def tick(self, slot: datetime) -> Steps:
        """A country tick by the running processes: the chunks one after another, each undisturbed."""
        functions = self.functions
        return self._steps(slot, lambda name, events: [functions[name].invoke(event) for event in events])

    def cold(self, slot: datetime) -> tuple[Steps, dict[str, Started]]:
        """A country tick of which every call is the first of a new process. A call's time begins with the process."""
        started: dict[str, Started] = {}

        def call(name: str, events: Iterable[Any]) -> list[Answered]:
            calls = []
            for event in events:
                with self.start(name) as function:
                    answered = function.invoke(event)
                    first = function.since_start_ms()
                    one = Started(function.first_poll_ms, first, 1e3 * function.cpu, function.peak_mib)
                if name not in started or first > started[name].first_answer_ms:
                    started[name] = one
                calls.append(Answered(answered.payload, first, one.cpu_ms))
            return calls

        return self._steps(slot, call), started

    def _steps(self, slot: datetime, call: Any) -> Steps:
        event = {"country": self._country, "slot": slots.iso(slot)}
        planned = call("plan", [event])
        manifest = planned[0].payload["manifest"]
        observed = call("observe", self._lake.manifest(manifest))
        merged = call("merge", [event | {"manifest": manifest}])
        outcome = merged[0].payload["outcome"]
        assert outcome == "complete", f"the country tick is {outcome}"
        registered = call("register", [{"partitions": merged[0].payload["partitions"]}])
        return dict(zip(STEPS, map(Step, (planned, observed, merged, registered)), strict=True))
