"""`make bench-cost`: what a tick of one country uses that AWS bills, by function, for `make cost`.

The deployed tick runs on the sample. Between each function and the local AWS is a proxy that counts its requests. The
functions' times are those that the local Lambda reports; on AWS they will differ, and infra/cost says how it allows for that.
"""

import argparse
import json
import platform
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.cost.month import MEASURED
from infra.country_file import DIRECTORY
from infra.local import cli, slots
from infra.local.commands import tick
from infra.local.commands.deploy import deploy
from infra.local.commands.undeploy import undeploy
from infra.local.commands.up import up
from infra.local.config import Stack
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.sample.load import drop, load
from tests.faults.http import HttpProxy, Request, Response
from tests.faults.listener import Loop
from tests.faults.routes import before_as, send_through
from tests.harness.deployment import Deployed

COUNTRY = "es"
# More than the eight that a tick looks back for outages, so that it lists no other day.
_BEFORE = 9
# Stores per chunk where the country file does not say.
CHUNK = 10_000
FUNCTIONS = ("dispatch", f"{COUNTRY}-plan", f"{COUNTRY}-observe", f"{COUNTRY}-merge", f"{COUNTRY}-register")
_MILLIS = re.compile(r"^REPORT RequestId: .*?\tDuration: ([\d.]+) ms", re.DOTALL)


class CountingProxy(HttpProxy):
    """Counts requests to AWS by service and operation, the bytes that are put, and the metrics that are sent."""

    def __init__(self, loop: Loop, host: str, port: int):
        self.counted: Counter[str] = Counter()
        self.put_bytes = 0
        super().__init__(loop, host, port)

    def forget(self) -> None:
        """Starts counting from nothing."""
        self.counted.clear()
        self.put_bytes = 0

    async def ask(self, request: Request, *, share: float = 1) -> Response:
        name = operation(request)
        self.counted[name] += 1
        if name == "s3:Put":
            self.put_bytes += len(request.body)
        return await super().ask(request, share=share)


def operation(request: Request) -> str:
    """The service and the operation of a request, such as `s3:Put` or `glue:BatchGetPartition`."""
    if target := request.header("x-amz-target"):
        service, _, name = target.rpartition(".")
        return f"{'glue' if service == 'AWSGlue' else service}:{name}"
    if "/monitoring/" in request.header("authorization"):
        return "cloudwatch:PutMetricData"
    if request.method == "GET":
        return "s3:List" if re.search(r"[?&]list-type=2", request.target) else "s3:Get"
    return f"s3:{request.method.capitalize()}"


@dataclass(frozen=True)
class Counted:
    """A deployment of one country, with a proxy before each function."""

    deployed: Deployed
    proxies: Mapping[str, CountingProxy]

    def tick(self) -> datetime:
        """Runs a tick of the current slot as if it had not been run, and counts only that."""
        for proxy in self.proxies.values():
            proxy.forget()
        began = datetime.now(UTC)
        done = tick.run(self.deployed.stack, prefix=self.deployed.prefix, afresh=True)
        if done.status != "SUCCEEDED" or [one.outcome for one in done.countries] != ["complete"]:
            raise StackError(
                f"the tick of {slots.iso(done.slot)} ended as {done.status}: {done.error or done.countries}"
            )
        return began

    def logged(self, function: str, since: datetime) -> list[str]:
        """What a function and Lambda have logged."""
        pages = self.deployed.stack.aws.client("logs").get_paginator("filter_log_events")
        group = f"/aws/lambda/{self.deployed.prefix}-{function}"
        found = pages.paginate(logGroupName=group, startTime=int(1000 * since.timestamp()))
        return [event["message"] for page in found for event in page["events"]]


@contextmanager
def counted(stack: Stack, prefix: str, stores: int) -> Iterator[Counted]:
    """Deploys one country with so many stores. Removes it afterwards."""
    namespace = f"Measure/{prefix}"
    with ExitStack() as undo:
        undo.callback(drop, stack, prefix=prefix)
        load(stack, count=stores, countries=[COUNTRY], prefix=prefix)
        undo.callback(undeploy, stack, prefix)
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory()))
        text = (DIRECTORY / f"{COUNTRY}.toml").read_text()
        (folder / f"{COUNTRY}.toml").write_text(re.sub(r"(?m)^chunk_stores = \d+", f"chunk_stores = {CHUNK}", text))
        made = deploy(
            stack,
            prefix=prefix,
            database=prefix.replace("-", "_"),
            countries=[COUNTRY],
            country_files=folder,
            rule="DISABLED",
            parameters={"MetricsNamespace": namespace},
        )
        loop = Loop()
        undo.callback(loop.close)
        lambdas, proxies = stack.aws.client("lambda"), {}
        for function in FUNCTIONS:
            proxies[function] = before_as(CountingProxy, loop, stack.aws.endpoint)
            undo.callback(proxies[function].close)
            send_through(lambdas, f"{prefix}-{function}", proxies[function].url)
        deployed = Deployed(stack, prefix, prefix.replace("-", "_"), namespace, made["LakeBucket"])
        yield Counted(deployed, proxies)


def measure(made: Counted, rounds: int) -> dict[str, Any]:
    """What a warm tick uses: the times are the shortest of the rounds, the rest is of the last one.

    The shortest, because other work on the machine only makes them longer.
    """
    # These ticks come too late to judge a store. They start the processes, and a tick looks at those before it.
    for ago in range(_BEFORE, 0, -1):
        slot = slots.current() - ago * slots.SLOT
        made.deployed.run_machine(f"country-{COUNTRY}", {"country": COUNTRY, "slot": slots.iso(slot)})
    made.tick()
    seconds: dict[str, list[float]] = {function: [] for function in FUNCTIONS}
    for _ in range(rounds):
        began = made.tick()
        logged = {function: made.logged(function, began) for function in FUNCTIONS}
        for function, lines in logged.items():
            seconds[function] += [float(found[1]) / 1000 for line in lines if (found := _MILLIS.match(line))]
    functions = {}
    for function, lines in logged.items():
        proxy, calls = made.proxies[function], sum(bool(_MILLIS.match(line)) for line in lines)
        functions[function.removeprefix(f"{COUNTRY}-")] = {
            "calls": calls,
            "seconds": round(min(seconds[function]), 4),
            "requests": dict(sorted(proxy.counted.items())),
            "put_bytes": proxy.put_bytes,
            "log_bytes": sum(len(line.encode()) for line in lines),
        }
    # The late ticks before sent some: they judged no store.
    is_sending = any(proxy.counted["cloudwatch:PutMetricData"] for proxy in made.proxies.values())
    sent = metrics_sent(made.deployed) if is_sending else []
    return {"functions": functions, "lake_bytes": lake_bytes(made.deployed), "metrics": sent}


def lake_bytes(deployed: Deployed) -> dict[str, int]:
    """The bytes of what ticks have written, by the first folder."""
    sizes: Counter[str] = Counter()
    for page in deployed.s3.get_paginator("list_objects_v2").paginate(Bucket=deployed.bucket):
        for entry in page.get("Contents", []):
            sizes[entry["Key"].partition("/")[0]] += entry["Size"]
    return dict(sorted(sizes.items()))


def metrics_sent(deployed: Deployed) -> list[str]:
    """The metrics that the country's functions have sent."""
    pages = deployed.stack.aws.client("cloudwatch").get_paginator("list_metrics")
    found = pages.paginate(Namespace=deployed.namespace)
    return sorted({metric["MetricName"] for page in found for metric in page["Metrics"]})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options: how many stores, and how often."""
    parser.add_argument("--stores", default="10000,100000", help="numbers of stores (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="warm ticks of each (default: %(default)s)")
    parser.add_argument("--prefix", default="cost", help="prefix of the temporary deployment (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Measures and writes infra/cost/measured.json."""
    stack, runs = up(), {}
    for stores in map(int, args.stores.split(",")):
        say("cost", f"{stores:,} stores: loading and deploying them")
        with counted(stack, args.prefix, stores) as made:
            runs[str(stores)] = measure(made, args.rounds)
    held = {
        "measured": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{platform.machine()}, {platform.system()}, release build",
        "rounds": args.rounds,
        "chunk_stores": CHUNK,
        "runs": runs,
    }
    MEASURED.write_text(json.dumps(held, indent=2) + "\n")
    say("cost", f"{MEASURED} is written: `make cost` reads it")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(__name__, "make bench-cost", sys.argv[1:]))
