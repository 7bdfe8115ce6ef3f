"""`make bench-repair`: the time and the requests to Glue and S3 that repairing the catalog of many countries takes.

Every country's deployed `repair` repairs its own partitions, one country after another, through its own role and
clients. Between them and the local AWS is a proxy that counts requests: on AWS their number decides how long it takes.
"""

import argparse
import itertools
import json
import re
import string
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta

from infra import schema
from infra.local import cli, slots
from infra.local.commands.up import up
from infra.local.config import Stack
from infra.local.console import say, table
from infra.local.errors import StackError
from infra.local.sample import week
from tests.faults.http import HttpProxy, Request, Response
from tests.faults.listener import Loop
from tests.faults.routes import before_as, send_through
from tests.harness.deployment import TABLES, Deployed
from tests.measure.lake import lake, put_all, repair

# Long ago, so that every day is over.
_FIRST = date(2024, 1, 1)
_BATCH = 100  # how many updates Glue takes in one request
_DELETED = 1000  # how many deletions S3 takes in one request
# Of every ten days, one has lost its partitions, one has them elsewhere, and one has lost its files.
_MISSING, _ELSEWHERE, _EMPTY = 0, 3, 6
_OPERATIONS = ("BatchGetPartition", "BatchCreatePartition", "BatchUpdatePartition", "DeletePartition", "List", "Get")


class CountingProxy(HttpProxy):
    """Counts requests to AWS by operation."""

    def __init__(self, loop: Loop, host: str, port: int):
        self.counted: Counter[str] = Counter()
        super().__init__(loop, host, port)

    async def ask(self, request: Request, *, share: float = 1) -> Response:
        self.counted[operation(request)] += 1
        return await super().ask(request, share=share)


@dataclass(frozen=True)
class Repaired:
    """The results of repairing all countries."""

    counts: Counter[str]
    requests: Counter[str]
    seconds: list[float]  # by country


@dataclass(frozen=True)
class Year:
    """Countries with days of files, half of them compacted, and a catalog that may differ.

    The tables are those that ticks write. Those that only compaction writes have no files, but are repaired.
    """

    deployed: Deployed
    proxy: CountingProxy
    countries: Sequence[str]
    days: Sequence[str]

    def repair(self) -> Repaired:
        """Repairs one country after another."""
        counts, seconds = Counter[str](), []
        self.proxy.counted.clear()
        for country in self.countries:
            started = time.monotonic()
            counts.update(repair(self.deployed, country, self.days[0], self.days[-1]))
            seconds.append(time.monotonic() - started)
        return Repaired(counts, Counter(self.proxy.counted), seconds)

    def location(self, name: str, country: str, day: str) -> str:
        """Where a partition must point."""
        return f"s3://{self.deployed.bucket}/{_folder(name, country, day, self.is_compacted(day))}"

    def is_compacted(self, day: str) -> bool:
        """Whether the day is one file: the older half of the days is compacted, and its ticks' files have expired."""
        return self.days.index(day) < len(self.days) // 2

    def put_files(self) -> int:
        """Puts one file per table and day, which a listing of folders shows like 96, and compaction's records."""
        return put_all(self.deployed, self._objects())

    def drift(self) -> Counter[str]:
        """Makes the catalog and S3 differ in every way. Returns what a repair must then count."""
        for described in schema.tables():
            for country in self.countries if described.name in TABLES else ():
                self._drift(described, country)
        keys = [
            f"{_folder(name, country, day, self.is_compacted(day))}{_file(day, self.is_compacted(day))}"
            for name, country, day in itertools.product(TABLES, self.countries, self._tenth(_EMPTY))
        ]
        for some in _batches(keys, _DELETED):
            self.deployed.s3.delete_objects(Bucket=self.deployed.bucket, Delete={"Objects": [{"Key": k} for k in some]})
        each = len(TABLES) * len(self.countries)
        tenths = {"created": _MISSING, "updated": _ELSEWHERE, "deleted": _EMPTY}
        found = Counter({name: each * len(self._tenth(which)) for name, which in tenths.items()})
        found["unchanged"] = each * len(self.days) - found.total()
        return found

    def wrong(self) -> int:
        """How many partitions point to the wrong place, or have no files."""
        empty, found = set(self._tenth(_EMPTY)), 0
        for name in TABLES:
            wanted = {
                (country, day): self.location(name, country, day)
                for country, day in itertools.product(self.countries, self.days)
                if day not in empty
            }
            pages = self.deployed.glue.get_paginator("get_partitions")
            held = {
                tuple(one["Values"]): one["StorageDescriptor"]["Location"]
                for page in pages.paginate(DatabaseName=self.deployed.database, TableName=name)
                for one in page["Partitions"]
            }
            found += len(set(wanted.items()) ^ set(held.items()))
        return found

    def _tenth(self, which: int) -> list[str]:
        return list(self.days[which::10])

    def _drift(self, described: schema.Table, country: str) -> None:
        glue, catalog = self.deployed.glue, {"DatabaseName": self.deployed.database, "TableName": described.name}
        for day in self._tenth(_MISSING):
            glue.delete_partition(**catalog, PartitionValues=[country, day])
        for days in _batches(self._tenth(_ELSEWHERE), _BATCH):
            moved = [week.partition("elsewhere", described, country, day, "") for day in days]
            entries = [{"PartitionValueList": one["Values"], "PartitionInput": one} for one in moved]
            glue.batch_update_partition(**catalog, Entries=entries)

    def _objects(self) -> Iterator[tuple[str, bytes]]:
        for country, day in itertools.product(self.countries, self.days):
            compacted = self.is_compacted(day)
            for name in TABLES:
                yield f"{_folder(name, country, day, compacted)}{_file(day, compacted)}", b"x"
            if compacted:
                yield f"compacted/country={country}/day={day}.json", self._record(country, day)

    def _record(self, country: str, day: str) -> bytes:
        """A record as large as one that `compact` writes."""
        first = slots.parse(f"{day}T00:00:00Z")
        names = [f"{first + n * slots.SLOT:%Y%m%dT%H%MZ}.parquet" for n in range(96)]
        tables = {
            name: {
                "location": self.location(name, country, day),
                "file": f"{_folder(name, country, day, True)}{_file(day, True)}",
                "rows": 96,
                "slots": [slots.iso(first + n * slots.SLOT) for n in range(96)],
                "checksum": "0" * 16,
                "inputs": {f"{_folder(name, country, day, False)}{file}": f'"{"0" * 32}"' for file in names},
            }
            for name in TABLES
        }
        record = {"country": country, "day": day, "tables": tables, "superseded": [], "settled": True}
        return json.dumps(record, indent=2).encode()


def operation(request: Request) -> str:
    """The operation of a request, in AWS's words."""
    if target := request.header("x-amz-target"):
        return target.rpartition(".")[2]
    if request.method == "GET":
        return "List" if re.search(r"[?&]list-type=2", request.target) else "Get"
    return request.method


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options: how many partitions."""
    parser.add_argument("--countries", type=int, default=30, help="number of countries (default: %(default)s)")
    parser.add_argument("--days", type=int, default=365, help="days of each country (default: %(default)s)")
    parser.add_argument("--prefix", default="bench", help="prefix of the temporary deployment (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Repairs an empty catalog, a catalog after a drift, and a correct one; 1 if something stays wrong."""
    if not 1 <= args.countries <= 26**2 or args.days < 10:
        raise StackError("--countries must be 1 to 676, and --days at least 10, so that every kind of drift has one")
    with year(up(), args.countries, args.days, args.prefix) as made:
        partitions = len(TABLES) * args.countries * args.days
        say("measure", f"putting the files of {partitions:,} partitions")
        say("measure", f"{made.put_files():,} objects put; repairing an empty catalog")
        wanted = {"an empty catalog": Counter(created=partitions)}
        done = {"an empty catalog": made.repair()}
        say("measure", "letting three days of ten drift")
        wanted["three days of ten drifted"] = made.drift()
        done["three days of ten drifted"] = made.repair()
        wrong = made.wrong()
        wanted["nothing to do"] = Counter(unchanged=partitions - wanted["three days of ten drifted"]["deleted"])
        done["nothing to do"] = made.repair()
    print(f"{args.countries} countries of {args.days} days and {len(TABLES)} tables: {partitions:,} partitions\n")
    print(report(done))
    problems = [
        f"{name}: counted {dict(+found.counts)} instead of {dict(+wanted[name])}"
        for name, found in done.items()
        if +found.counts != +wanted[name]
    ]
    problems += [f"{wrong} partitions differ from S3"] if wrong else []
    for problem in problems:
        print(problem)
    return 1 if problems else 0


@contextmanager
def year(stack: Stack, countries: int, days: int, prefix: str) -> Iterator[Year]:
    """Deploys the countries, with their functions behind the proxy."""
    letters = itertools.product(string.ascii_lowercase, repeat=2)
    codes = ["".join(pair) for pair in itertools.islice(letters, countries)]
    loop = Loop()
    with lake(stack, prefix, codes) as deployed:
        proxy = before_as(CountingProxy, loop, stack.aws.endpoint)
        try:
            lambdas = stack.aws.client("lambda")
            for code in codes:
                send_through(lambdas, f"{prefix}-{code}-repair", proxy.url)
            yield Year(deployed, proxy, codes, [f"{_FIRST + timedelta(days=n)}" for n in range(days)])
        finally:
            proxy.close()
            loop.close()


def report(done: dict[str, Repaired]) -> str:
    """What each repair did, how long it took, and its requests."""
    head = ["", *done]
    rows = [
        [name, *(f"{found.counts[name]:,}" for found in done.values())]
        for name in ("created", "updated", "deleted", "unchanged")
    ]
    rows.append(["s, all countries", *(f"{sum(found.seconds):.1f}" for found in done.values())])
    rows.append(["s, the slowest", *(f"{max(found.seconds):.1f}" for found in done.values())])
    others = sorted({name for found in done.values() for name in found.requests} - set(_OPERATIONS))
    rows += [
        [f"requests: {name}", *(f"{found.requests[name]:,}" for found in done.values())]
        for name in (*_OPERATIONS, *others)
    ]
    return table(head, rows)


def _folder(name: str, country: str, day: str, compacted: bool) -> str:
    raw = f"{name}/country={country}/day={day}/"
    return f"compacted/{raw}0123456789abcdef/" if compacted else raw


def _file(day: str, compacted: bool) -> str:
    return f"{day}.parquet" if compacted else f"{day.replace('-', '')}T0000Z.parquet"


def _batches(found: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(found), size):
        yield found[start : start + size]


if __name__ == "__main__":
    sys.exit(cli.run(__name__, "make bench-repair", sys.argv[1:]))
