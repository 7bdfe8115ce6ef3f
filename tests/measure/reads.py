"""`make bench-reads`: what each way of reading the live view costs Elasticsearch, which also serves users.

Every pattern reads the same index whole, chunk by chunk, and must find the same: which stores are listed, which of them
the `online` query matches, and each one's reason. Rounds are interleaved, so that other work on the machine meets all of
them. The process's CPU is read from /proc, the memory that a search takes from the young collector: garbage is what
makes the breaker of a small node trip.
"""

import argparse
import json
import os
import statistics
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from typing import Any

from infra.local import cli
from infra.local.commands.up import up
from infra.local.console import say, table
from infra.local.errors import StackError
from infra.local.sample.index import Index
from infra.local.sample.live_view import REASONS, Document
from infra.local.servers.elasticsearch import NAME
from infra.local.servers.processes import Server
from tests.measure.read_patterns import OURS, PATTERNS, Client, Found, Pattern

COUNTRY = "es"
FIRST_ID, STEP = 100_000, 3
_AT = datetime(2026, 11, 23, tzinfo=UTC)
_TICKS = os.sysconf("SC_CLK_TCK")
# The clock of /proc has ticks of 10 ms, so a sample reads at least so many stores.
_SAMPLE = 200_000


@dataclass
class Costs:
    """What a pattern costs per 10,000 stores, one value per round."""

    cpu: list[float] = field(default_factory=list)  # ms
    wall: list[float] = field(default_factory=list)  # ms
    garbage: list[float] = field(default_factory=list)  # MB
    bytes: list[float] = field(default_factory=list)

    def row(self, ours: "Costs") -> list[str]:
        """The medians."""
        cpu, base = statistics.median(self.cpu), statistics.median(ours.cpu)
        wall, garbage, sent = (statistics.median(values) for values in (self.wall, self.garbage, self.bytes))
        return [f"{cpu:.1f}", f"{cpu / base:.2f}", f"{wall:.0f}", f"{garbage:.1f}", f"{sent / 1000:,.0f}"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sizes of the index and the number of rounds."""
    parser.add_argument("--stores", type=int, nargs="+", default=[10_000, 100_000], help="sizes (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of all patterns (default: %(default)s)")
    parser.add_argument("--only", default="", help="patterns whose name has this text")


def main(args: argparse.Namespace) -> int:
    """Measures, and prints a table for each size."""
    stack = up()
    pid = Server(NAME, stack.run_dir).pid()
    if pid is None:
        raise StackError("the stack's Elasticsearch has no process: run `make up`")
    chosen = [pattern for pattern in PATTERNS if args.only in pattern.name or pattern is OURS]
    for stores in args.stores:
        name = f"reads-{uuid.uuid4().hex[:8]}"
        with Index(stack.elasticsearch.url, name) as index:
            index.create()
            try:
                present = index.write(COUNTRY, documents(stores))
                merge(f"{stack.elasticsearch.url}/{name}")
                measured = measure(Client(stack.elasticsearch.url, name), pid, chosen, stores, args.rounds)
            finally:
                index.delete()
        print(f"\n{stores:,} stores, {present:,} documents; per 10,000 stores, medians of {args.rounds} rounds\n")
        print(report(measured))
    return 0


def documents(stores: int) -> Iterator[Document]:
    """Each store's document: two thirds are online, some of the others have a reason. The ids have gaps."""
    for number in range(stores):
        online = number % 3 != 0
        reason = REASONS[number % len(REASONS)] if number % 6 == 0 else None
        yield Document(str(number), FIRST_ID + STEP * number, True, online, reason, _AT)


def merge(url: str) -> None:
    """Brings the index into the state of one that has rested, so that every round meets the same segments."""
    with urllib.request.urlopen(urllib.request.Request(f"{url}/_forcemerge?max_num_segments=4", method="POST")):
        pass


def measure(client: Client, pid: int, chosen: list[Pattern], stores: int, rounds: int) -> dict[str, Costs]:
    """Reads the index with each pattern in every round, after two that warm the server up and are not counted."""
    wanted = {
        document.store_id: (document.online, document.reason) for document in documents(stores) if document.present
    }
    costs = {pattern.name: Costs() for pattern in chosen}
    repeat = max(1, _SAMPLE // stores)
    for number in range(rounds + 2):
        say("reads", f"{stores:,} stores, round {number} of {rounds + 1}")
        for pattern in chosen:
            one = sample(client, pid, partial(read_all, client, pattern, stores), repeat, stores, wanted)
            if number > 1:
                for values, value in zip(vars(costs[pattern.name]).values(), one, strict=True):
                    values.append(value)
    return costs


def read_all(client: Client, pattern: Pattern, stores: int) -> Found:
    """The whole index, chunk by chunk: open at both ends, as plan cuts it."""
    found: Found = {}
    starts = range(0, stores, pattern.chunk)
    borders: list[int | None] = [None, *(FIRST_ID + STEP * start for start in starts[1:]), None]
    for first, last in pairwise(borders):
        found.update(pattern.read(client, first, last, pattern))
    return found


def sample(
    client: Client, pid: int, read: Callable[[], Found], repeat: int, stores: int, wanted: Any
) -> tuple[float, float, float, float]:
    """CPU, time, garbage and bytes of reading the index some times."""
    client.received = 0
    garbage, cpu, started = allocated(client), cpu_seconds(pid), time.monotonic()
    found = [read() for _ in range(repeat)]
    wall, cpu, garbage = time.monotonic() - started, cpu_seconds(pid) - cpu, allocated(client) - garbage
    received = client.received
    if any(one != wanted for one in found):
        raise StackError("a pattern does not find the stores that are in the index")
    each = 10_000 / (repeat * stores)
    return cpu * 1000 * each, wall * 1000 * each, garbage / 1e6 * each, received * each


def cpu_seconds(pid: int) -> float:
    """The CPU time that a process has used."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def allocated(client: Client) -> float:
    """The bytes that the node's young generation has taken up so far: full ones that were collected, and what is in it."""
    answer = client.get(
        "/_nodes/_local/stats/jvm?filter_path=nodes.*.jvm.mem.pools.young,nodes.*.jvm.gc.collectors.young"
    )
    (node,) = json.loads(answer)["nodes"].values()
    young, collections = node["jvm"]["mem"]["pools"]["young"], node["jvm"]["gc"]["collectors"]["young"]
    return float(collections["collection_count"] * young["peak_used_in_bytes"] + young["used_in_bytes"])


def report(measured: dict[str, Costs]) -> str:
    """The patterns, the cheapest first."""
    ours = measured[OURS.name]
    rows = [[name, *costs.row(ours)] for name, costs in measured.items()]
    rows.sort(key=lambda row: float(row[1]))
    return table(["pattern", "CPU ms", "of ours", "ms", "garbage MB", "KB"], rows)


if __name__ == "__main__":
    sys.exit(cli.run(__name__, "make bench-reads", sys.argv[1:]))
