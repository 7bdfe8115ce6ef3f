"""The rounds of `make bench`: Storewatch, the floor and Spark in turn, so that what disturbs one disturbs all."""

import os
import platform
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from infra.country_file import DIRECTORY
from infra.local.commands import tick
from infra.local.config import Stack
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.sample.places import Place
from infra.local.servers import elasticsearch
from infra.local.slots import iso
from tests.measure.bench import ours, processes, spark
from tests.measure.bench.floor import KINDS, Floor, sources
from tests.measure.bench.setting import COUNTRY, sample
from tests.measure.bench.unchanged import WAYS, queries, unchanged

_NOT_COUNTED = 3
_COLD = 3
_T = TypeVar("_T")


def measure(stack: Stack, stores: int, rounds: int) -> dict[str, Any]:
    """Everything, as it goes into the file of results."""
    place = sample(stack, stores)
    found: dict[str, Any] = {"setting": _setting(stack, stores, rounds)}
    with ours.lake(stack, [COUNTRY], DIRECTORY, f"bench-{stores}") as lake, tempfile.TemporaryDirectory() as folder:
        bench = _Bench(stack, place, lake, Path(folder))
        slot = lake.slot(120)
        found["machines"] = {"cold_ms": 1e3 * tick.run(stack, prefix=ours.PREFIX, slot=slot).seconds, "warm_ms": []}
        bench.compare_rows()
        found["bytes"] = bench.size
        found["cold"] = [bench.cold() for _ in range(_COLD)]
        found |= bench.warm(rounds, found["machines"]["warm_ms"])
    return found


class _Bench:
    def __init__(self, stack: Stack, place: Place, lake: ours.Lake, folder: Path):
        self._stack, self._place, self._lake, self._folder = stack, place, lake, folder
        self.size = 0

    def compare_rows(self) -> None:
        """Compares Spark's rows with ours for the same instant. Also learns how many bytes a tick writes."""
        slot = self._lake.slot()
        self._lake.forget(slot)
        with ours.Direct(self._lake, COUNTRY) as direct:
            direct.tick(slot)
        self.size = sum(size for _, size in self._lake.written(slot))
        table = self._lake.deployed.table("store_availability", COUNTRY, slot)
        rows = dict(zip(table["store_id"].to_pylist(), table["status"].to_pylist(), strict=True))
        at = min(at for at in table["observed_at"].to_pylist() if at).replace(tzinfo=UTC)
        with self._spark() as job:
            job.round(at)
            theirs = job.rows()
        wrong = sorted(store for store in rows.keys() | theirs.keys() if rows.get(store) != theirs.get(store))
        if wrong:
            some = ", ".join(f"{store}: {rows.get(store)} here, {theirs.get(store)} there" for store in wrong[:10])
            raise StackError(f"{len(wrong)} of {len(rows)} stores differ from the Spark job's at {at}: {some}")
        say("bench", f"all {len(rows):,} rows are the same as the Spark job's")

    def cold(self) -> dict[str, Any]:
        """First results of new processes."""
        slot = self._lake.slot()
        self._lake.forget(slot)
        steps, started = ours.Direct(self._lake, COUNTRY).cold(slot)
        with self._floor(KINDS[0], slot) as floor:
            first = floor.round(self.size)
            floor_ms = floor.since_start_ms()
        with self._spark() as job:
            spark_first = job.round(datetime.now(UTC))
            theirs = {
                "ms": job.since_start_ms(),
                "round_ms": spark_first.ms,
                "cpu_ms": 1e3 * job.cpu,
                "peak_mib": job.peak_mib,
            }
        functions = {name: asdict(one) | {"cpu_ms": steps[name].cpu_ms} for name, one in started.items()}
        return {
            "path_ms": ours.path_ms(steps),
            "functions": functions,
            "floor": {"ms": floor_ms, "parts": first.parts},
            "spark": theirs,
        }

    def warm(self, rounds: int, machines: list[float]) -> dict[str, Any]:
        """Rounds of running processes."""
        found: dict[str, list[Any]] = {
            "ours": [],
            "unchanged": [],
            **{f"floor_{kind}": [] for kind in KINDS},
            "spark": [],
        }
        sql = queries(self._place, self._stack.postgres.conninfo(self._place.database))
        with ExitStack() as opened:
            slot = self._lake.slot()
            direct = opened.enter_context(ours.Direct(self._lake, COUNTRY))
            plans = {way: opened.enter_context(unchanged(self._lake, COUNTRY, way, sql[way])) for way in WAYS}
            floors = {kind: opened.enter_context(self._floor(kind, slot)) for kind in KINDS}
            job = opened.enter_context(self._spark())
            for plan in plans.values():
                plan.plan(slot)
            for n in range(_NOT_COUNTED + rounds):
                slot = self._lake.slot()
                one = self._round(slot, direct, plans, floors, job)
                machine = self._lake.tick(slot).seconds
                if n >= _NOT_COUNTED:
                    machines.append(1e3 * machine)
                    for name, value in one.items():
                        found[name].append(value)
            peaks = {name: function.peak_mib for name, function in direct.functions.items()}
            peaks |= {"floor": floors[KINDS[0]].peak_mib, "spark": job.peak_mib}
        return found | {"peak_mib": peaks}

    def _round(self, slot: datetime, direct: ours.Direct, plans: Any, floors: Any, job: spark.Spark) -> dict[str, Any]:
        self._lake.forget(slot)
        steps, servers = self._with_servers(lambda: direct.tick(slot))
        found: dict[str, Any] = {
            "ours": {name: {"ms": step.ms, "cpu_ms": step.cpu_ms} for name, step in steps.items()}
            | {"servers": servers},
            "unchanged": {way: plan.again(slot).ms for way, plan in plans.items()},
        }
        for kind, floor in floors.items():
            done, servers = self._with_servers(partial(floor.round, self.size))
            found[f"floor_{kind}"] = {**done.parts, "ms": done.ms, "cpu_ms": done.cpu_ms, "servers": servers}
        theirs, servers = self._with_servers(lambda: job.round(datetime.now(UTC)))
        found["spark"] = asdict(theirs) | {"servers": servers}
        return found

    def _with_servers(self, work: Callable[[], _T]) -> tuple[_T, dict[str, float]]:
        """Does the work, and says how many milliseconds of CPU it cost each server."""
        before = processes.server_cpu(self._stack)
        done = work()
        used = processes.less(processes.server_cpu(self._stack), before)
        return done, {name: 1e3 * seconds for name, seconds in used.items()}

    def _floor(self, kind: str, slot: datetime) -> Floor:
        return Floor(sources(self._stack, self._place, self._lake.deployed.bucket, slot, kind), self._stack)

    @contextmanager
    def _spark(self) -> Iterator[spark.Spark]:
        with (
            tempfile.TemporaryDirectory(dir=self._folder) as out,
            spark.Spark(self._stack, self._place, Path(out)) as job,
        ):
            yield job


def _setting(stack: Stack, stores: int, rounds: int) -> dict[str, Any]:
    """Where and with what it is measured."""

    def said(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    def line(file: str, name: str) -> str:
        found = [text.partition(":")[2] for text in Path(file).read_text().splitlines() if text.startswith(name)]
        return found[0].strip() if found else ""

    with psycopg.connect(stack.postgres.conninfo()) as connection:
        postgres = connection.execute("show server_version").fetchone()
    return {
        "at": iso(datetime.now(UTC).replace(microsecond=0)),
        "commit": said("git", "describe", "--always", "--dirty"),
        "stores": stores,
        "rounds": rounds,
        "cores": os.cpu_count(),
        "cpu": line("/proc/cpuinfo", "model name"),
        "memory_gib": round(int(line("/proc/meminfo", "MemTotal").split()[0]) / 2**20),
        "system": platform.freedesktop_os_release()["PRETTY_NAME"],
        "load": os.getloadavg()[0],
        "rustc": said("rustc", "--version"),
        "postgres": str(postgres[0]) if postgres else "",
        "elasticsearch": elasticsearch.VERSION,
        "spark": spark.VERSION,
    }
