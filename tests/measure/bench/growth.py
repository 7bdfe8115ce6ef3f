"""`make bench-growth`: how a tick's time, CPU, memory, requests and bytes grow with the stores and with the countries.

Stores: one country's functions called directly, as in `make bench`. Countries: the deployed machines, with 10,000 stores
a country. All countries read the same sample, each through functions, a file and a secret of its own.
"""

import argparse
import itertools
import json
import os
import re
import string
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from infra.country_file import DIRECTORY, CountryFile
from infra.local import cli
from infra.local.commands.up import up
from infra.local.config import ROOT, Stack
from infra.local.console import say
from infra.local.local_aws import LocalAws
from infra.local.sample.load import drop
from infra.local.sample.places import Place
from infra.local.servers.processes import Server
from tests.faults.http import Request, Response
from tests.faults.listener import Loop
from tests.faults.routes import before_as
from tests.measure.bench import ours, page, processes
from tests.measure.bench.report import table
from tests.measure.bench.setting import COUNTRY, sample
from tests.measure.repair import CountingProxy, operation

RESULTS = ROOT / "tests/bench/results/growth.json"
_ROUNDS = 3
_EACH = 10_000  # stores of each of several countries


class _Counting(CountingProxy):
    """Counts bytes too."""

    def __init__(self, loop: Loop, host: str, port: int):
        self.bytes: Counter[str] = Counter()
        super().__init__(loop, host, port)

    async def ask(self, request: Request, *, share: float = 1) -> Response:
        answer = await super().ask(request, share=share)
        self.bytes["sent"] += len(request.body)
        self.bytes["received"] += len(answer.body)
        self.bytes[operation(request)] += len(request.body) + len(answer.body)
        return answer


@dataclass(frozen=True)
class _Used:
    """What functions and servers have used until now."""

    servers: dict[str, float]
    functions: dict[str, float]

    @classmethod
    def now(cls, stack: Stack) -> "_Used":
        """Reads the kernel's clocks."""
        used: dict[str, float] = {}
        for pid, name in _functions(stack):
            used[name] = used.get(name, 0.0) + processes.cpu(pid)
        return cls(processes.server_cpu(stack), used)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--stores", type=int, nargs="*", default=[10_000, 100_000, 1_000_000], metavar="N")
    parser.add_argument("--countries", type=int, nargs="*", default=[1, 10, 30], metavar="N")


def main(args: argparse.Namespace) -> int:
    """Measures, writes the results, and prints the tables."""
    stack = up()
    found: dict[str, dict[str, Any]] = {"stores": {}, "countries": {}}
    if RESULTS.exists():
        found = json.loads(RESULTS.read_text())
    for kind, measure, counts in (("stores", stores, args.stores), ("countries", countries, args.countries)):
        for count in counts:
            found[kind][str(count)] = measure(stack, count)
            found[kind] = dict(sorted(found[kind].items(), key=lambda item: int(item[0])))
            # After each, so that a failure of a large one loses nothing.
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    text = report(found)
    print(text)
    page.write("make bench-growth", text)
    return 0


def stores(stack: Stack, count: int) -> dict[str, Any]:
    """Ticks of so many stores in one country."""
    say("bench", f"{count:,} stores in one country")
    sample(stack, count)
    # A large tick takes most of a minute.
    seconds = max(30, count / 5_000)
    with ours.lake(stack, [COUNTRY], DIRECTORY, f"bench-{count}") as lake, _dropped(stack, count):
        rounds = []
        with ours.Direct(lake, COUNTRY) as direct:
            for n in range(1 + _ROUNDS):
                slot = lake.slot(seconds)
                lake.forget(slot)
                before = processes.server_cpu(stack)
                steps = direct.tick(slot)
                servers = processes.less(processes.server_cpu(stack), before)
                if n:
                    rounds.append((steps, servers))
            peaks = {name: function.peak_mib for name, function in direct.functions.items()}
        return {
            "functions": {
                name: {
                    "calls": len(rounds[0][0][name].calls),
                    "ms": median(steps[name].ms for steps, _ in rounds),
                    "cpu_ms": median(steps[name].cpu_ms for steps, _ in rounds),
                    "peak_mib": peaks[name],
                }
                for name in ours.STEPS
            },
            "path_ms": median(ours.path_ms(steps) for steps, _ in rounds),
            "servers_ms": {name: 1e3 * sum(used[name] for _, used in rounds) / len(rounds) for name in rounds[0][1]},
            **_requests(stack, lake, seconds),
        }


@contextmanager
def _dropped(stack: Stack, count: int) -> Iterator[None]:
    """Drops a large sample in the end: the local Elasticsearch has little memory, and the next one is larger."""
    try:
        yield
    finally:
        if count > _EACH:
            drop(stack, prefix=f"bench-{count}")


def _requests(stack: Stack, lake: ours.Lake, seconds: float) -> dict[str, Any]:
    """The requests to AWS of a tick, and their bytes, counted between the functions and the local AWS."""
    loop = Loop()
    proxy = before_as(_Counting, loop, stack.aws.endpoint)
    through = {f"AWS_ENDPOINT_URL_{service}": proxy.url for service in ("S3", "GLUE", "CLOUDWATCH", "SECRETS_MANAGER")}
    try:
        with ours.Direct(lake, COUNTRY, through) as direct:
            # The first tick also reads what a process reads once.
            for _ in range(2):
                slot = lake.slot(seconds)
                lake.forget(slot)
                proxy.counted.clear()
                proxy.bytes.clear()
                direct.tick(slot)
    finally:
        proxy.close()
        loop.close()
    return {"requests": dict(sorted(proxy.counted.items())), "bytes": dict(sorted(proxy.bytes.items()))}


def countries(stack: Stack, count: int) -> dict[str, Any]:
    """Ticks of so many countries through the machines."""
    say("bench", f"{count} countries of {_EACH:,} stores")
    place = sample(stack, _EACH)
    codes = ["".join(pair) for pair in itertools.islice(itertools.product(string.ascii_lowercase, repeat=2), count)]
    login = {"postgres": {"username": place.role, "password": place.password}, "elasticsearch": {"api_key": "none"}}
    with tempfile.TemporaryDirectory() as folder:
        _files(stack, place, codes, Path(folder))
        secrets = dict.fromkeys(codes, login)
        with ours.lake(stack, codes, Path(folder), f"bench-{_EACH}", secrets) as lake:
            rounds = []
            for n in range(1 + _ROUNDS):
                slot = lake.slot(60)
                before = _Used.now(stack)
                seconds = lake.tick(slot).seconds
                after = _Used.now(stack)
                if n:
                    functions = {name: used - before.functions.get(name, 0.0) for name, used in after.functions.items()}
                    rounds.append((seconds, functions, processes.less(after.servers, before.servers)))
            peaks: dict[str, float] = {}
            for pid, name in _functions(stack):
                peaks[name] = max(peaks.get(name, 0.0), processes.peak_mib(pid))
    return {
        "ms": 1e3 * median(seconds for seconds, _, _ in rounds),
        "functions": {
            name: {"cpu_ms": 1e3 * median(used.get(name, 0.0) for _, used, _ in rounds), "peak_mib": peaks[name]}
            for name in sorted(peaks)
        },
        "servers_ms": {name: 1e3 * sum(used[name] for _, _, used in rounds) / len(rounds) for name in rounds[0][2]},
    }


def _files(stack: Stack, place: Place, codes: Sequence[str], folder: Path) -> None:
    """A country file for each code, all with the sample's addresses."""
    local = LocalAws(stack, ours.PREFIX, {COUNTRY: place}, lambda _: None)
    text = local.country_file(CountryFile.load(COUNTRY)).text
    # Regions are those of Spain, so that another country would find them wrong.
    text = text.replace("timezone, region, chain", "timezone, chain")
    for code in codes:
        own = re.sub(rf'(?m)^country = "{COUNTRY}"', f'country = "{code}"', text)
        (folder / f"{code}.toml").write_text(own.replace(f'"{ours.PREFIX}/{COUNTRY}"', f'"{ours.PREFIX}/{code}"'))


def _functions(stack: Stack) -> list[tuple[int, str]]:
    """The processes of the local AWS's functions, and which function each is."""
    aws = Server("aws", stack.run_dir).pid()
    found = []
    for pid in processes.family(aws)[1:] if aws else []:
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        names = [one.partition(b"=")[2].decode() for one in variables if one.startswith(b"AWS_LAMBDA_FUNCTION_NAME=")]
        if names:
            found.append((pid, names[0].rpartition("-")[2]))
    return found


def report(found: dict[str, Any]) -> str:
    """The tables, in Markdown."""
    rows = []
    for count, one in found.get("stores", {}).items():
        for name, part in one["functions"].items():
            calls = f" × {part['calls']:,}" if part["calls"] > 1 else ""
            cells = [f"{part['ms']:,.0f} ms", f"{part['cpu_ms']:,.0f} ms", f"{part['peak_mib']:,.0f} MiB"]
            rows.append([f"{int(count):,}", f"`{name}`{calls}", *cells])
    parts = [table(["stores", "function", "time, of the slowest call", "CPU, of all calls", "peak memory"], rows)]
    rows = [
        [
            f"{int(count):,}",
            f"{one['path_ms']:,.0f} ms",
            *(f"{one['servers_ms'][name]:,.0f} ms" for name in ("postgres", "elasticsearch")),
            f"{sum(one['requests'].values()):,}: " + ", ".join(f"{n:,} {name}" for name, n in one["requests"].items()),
            *(f"{one['bytes'][name] / 1e6:,.2f} MB" for name in ("sent", "received")),
        ]
        for count, one in found.get("stores", {}).items()
    ]
    head = ["stores", "critical path", "PostgreSQL's CPU", "Elasticsearch's CPU", "requests to AWS", "sent", "received"]
    parts.append(table(head, rows))
    rows = [
        [
            count,
            f"{one['ms'] / 1e3:,.2f} s",
            f"{sum(part['cpu_ms'] for part in one['functions'].values()):,.0f} ms",
            f"{max(part['peak_mib'] for part in one['functions'].values()):,.0f} MiB",
            *(f"{one['servers_ms'][name]:,.0f} ms" for name in ("postgres", "elasticsearch", "aws")),
        ]
        for count, one in found.get("countries", {}).items()
    ]
    head = [
        "countries",
        "tick by the machines",
        "CPU of functions",
        "largest",
        "PostgreSQL",
        "Elasticsearch",
        "local AWS",
    ]
    parts.append(table(head, rows))
    setting = f"{os.cpu_count()} cores; medians of {_ROUNDS} rounds, the servers' CPU is the mean."
    return "\n\n".join([setting, *parts])


if __name__ == "__main__":
    sys.exit(cli.run(__name__, "make bench-growth", sys.argv[1:]))
