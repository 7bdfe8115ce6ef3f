"""`make bench-queries`: what typical queries of a day read and how long they take, before and after compaction.

Both are measured in one run, on the same engine and rows, and must give the same answers.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from infra import schema
from infra.local import cli
from infra.local.commands.up import up
from infra.local.config import ROOT, Stack
from infra.local.console import say, table
from infra.local.errors import StackError
from infra.local.servers import sql, trino
from tests.harness.deployment import Deployed
from tests.harness.lakes import engine
from tests.measure.lake import lake, put_all, repair

_COUNTRY = "es"  # the country of the day's stores
# Rounds that are not counted. The engine compiles what it runs often, so the first rounds would seem slower.
_WARM_UP = 5

# What analysts ask about a day: one store, a sum over every store, a sum over every city.
QUERIES = {
    "one store's day": """
        select * from store_availability
        where country = '{country}' and day = '{day}' and store_id = '{store}'
        order by slot""",
    # The week has this one day.
    "the worst stores": """
        select place, store_id, name, city, unavailable_minutes, availability_weighted, p50_minutes, p95_minutes
        from worst_stores
        where country = '{country}' and week = '{week}' and place <= 20
        order by place, store_id""",
    "hours of every city": """
        select city, date_trunc('hour', slot) as hour, sum(available) as available, sum(unavailable) as unavailable,
            sum(unlisted) as unlisted, cast(sum(available_seconds) as double) / nullif(sum(scheduled_seconds), 0) as share
        from availability_by_city
        where country = '{country}' and day = '{day}'
        group by city, date_trunc('hour', slot)
        order by city, hour""",
    "who is down now": """
        select place, store_id, status, since_by, lost_minutes
        from down_now
        where country = '{country}' and day = '{day}'
        order by place, store_id""",
}

# What they ask about outages, which are told once a day is compacted.
OF_OUTAGES = {
    "the longest outages": """
        select *
        from outages_of
        where country = '{country}' and day = '{day}' and not is_open
        order by lost_minutes desc, began_by, store_id
        limit 20""",
    "open outages": """
        select *
        from outages_of
        where country = '{country}' and day = '{day}' and is_open
        order by lost_minutes desc, began_by, store_id
        limit 20""",
    "time to recover": """
        select *
        from mean_time_to_recover
        where country = '{country}' and week = '{week}'
        order by region, chain, kind""",
    "the worst chains": """
        select *
        from worst_chains
        where country = '{country}' and week = '{week}'
        order by place_by_lost_time, chain""",
    "stores that flap": """
        select *
        from flapping_stores
        where country = '{country}' and week = '{week}'
        order by flaps desc, store_id""",
}


@dataclass(frozen=True)
class Volume:
    """The files where queries find a table's day."""

    files: int
    bytes: int


@dataclass
class Asked:
    """A query that ran several times: its rows, and the engine's statistics."""

    rows: list[list[Any]]
    splits: int = 0
    read: int = 0
    millis: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Measured:
    """The day in one of its two forms."""

    volumes: Mapping[str, Volume]
    asked: Mapping[str, Asked]


@dataclass(frozen=True)
class Day:
    """A day of ticks in its own lake, and the engine to query it."""

    deployed: Deployed
    engine: sql.Engine
    day: str
    tables: Sequence[str]  # the ones that ticks write

    def measure(self, runs: int, warm_up: int, queries: Mapping[str, str]) -> Measured:
        """Runs the queries in turns, so that other load on the machine affects all alike."""
        asked: dict[str, Asked] = {}
        statements = self._statements(queries)
        for number in range(-warm_up, runs):
            for name, statement in statements.items():
                found = self._ask(statement)
                known = asked.setdefault(name, Asked(found.rows))
                if known.rows != found.rows:
                    raise StackError(f"{name}: the same query on the same files gave two answers")
                known.splits, known.read = found.stats["totalSplits"], found.stats["physicalInputBytes"]
                if number >= 0:
                    known.millis.append(found.stats["elapsedTimeMillis"])
        return Measured(self._volumes(), asked)

    def compact(self) -> float:
        """Compacts the day with the deployed function. Returns the seconds it took."""
        started = time.monotonic()
        answer = self.deployed.invoke(f"{_COUNTRY}-compact", {"country": _COUNTRY, "day": self.day})
        if answer.is_error:
            raise StackError(f"the day was not compacted: {answer.error_type}: {answer.message}")
        return time.monotonic() - started

    def prefix(self, name: str) -> str:
        """The key prefix where queries find a table's day."""
        (found,) = self.deployed.partitions(name, _COUNTRY)
        return found["StorageDescriptor"]["Location"].removeprefix(f"s3://{self.deployed.bucket}/")

    def _volumes(self) -> dict[str, Volume]:
        pages = self.deployed.s3.get_paginator("list_objects_v2")
        sizes = {
            name: [
                one["Size"]
                for page in pages.paginate(Bucket=self.deployed.bucket, Prefix=self.prefix(name))
                for one in page.get("Contents", [])
            ]
            for name in self.tables
        }
        return {name: Volume(len(found), sum(found)) for name, found in sizes.items()}

    def _statements(self, queries: Mapping[str, str]) -> dict[str, str]:
        day = date.fromisoformat(self.day)
        names = {"country": _COUNTRY, "day": self.day, "week": f"{day - timedelta(days=day.weekday())}", "store": ""}
        # As an analyst would continue: the day of the worst store.
        worst = self._ask(QUERIES["the worst stores"].format(**names)).dicts
        if not worst:
            raise StackError(f"worst_stores has no rows for {self.day}: the day was not made or not registered")
        names["store"] = worst[0]["store_id"]
        return {name: text.format(**names) for name, text in queries.items()}

    def _ask(self, statement: str) -> sql.Result:
        return sql.run(self.engine, statement, catalog=trino.CATALOG, database=self.deployed.database)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options: how large a day, and how often it is queried."""
    parser.add_argument("--stores", type=int, default=10_000, help="stores of the country (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=7, help="counted runs of each query (default: %(default)s)")
    parser.add_argument("--warm-up", type=int, default=_WARM_UP, help="uncounted runs of each (default: %(default)s)")
    parser.add_argument("--prefix", default="bench", help="prefix of the temporary deployment (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Measures; 1 if a query gives another answer after compaction."""
    if args.stores < 1 or args.runs < 1:
        raise StackError("--stores and --runs must be at least 1")
    stack = up()
    with engine(stack) as trino_engine, ticked_day(stack, trino_engine, args.stores, args.prefix) as day:
        say("measure", f"running {len(QUERIES)} queries {args.warm_up} + {args.runs} times on the ticks' files")
        before = day.measure(args.runs, args.warm_up, QUERIES)
        seconds = day.compact()
        say("measure", f"compacted in {seconds:.1f} s; running the same again, and {len(OF_OUTAGES)} of outages")
        after = day.measure(args.runs, args.warm_up, QUERIES | OF_OUTAGES)
    print(f"{day.day} of {args.stores:,} stores; times are the medians of {args.runs} runs\n")
    print(report(before, after))
    problems = differences(before, after)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


@contextmanager
def ticked_day(stack: Stack, engine: sql.Engine, stores: int, prefix: str) -> Iterator[Day]:
    """Deploys a country, puts a day's files where its ticks would have, and registers them."""
    with (
        tempfile.TemporaryDirectory(dir=stack.run_dir, prefix="day-") as folder,
        lake(stack, prefix, [_COUNTRY]) as made,
    ):
        say("measure", f"making a day of {stores:,} stores with the functions' code")
        _run([_day_maker(), str(stores), folder])
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        days = {part.removeprefix("day=") for path in files for part in path.parts if part.startswith("day=")}
        if len(days) != 1:
            raise StackError(f"make_day wrote {len(days)} days instead of one")
        day = days.pop()
        put_all(made, ((path.relative_to(folder).as_posix(), path.read_bytes()) for path in files))
        found = repair(made, _COUNTRY, day, day)
        written = {path.relative_to(folder).parts[0] for path in files}
        tables = [described.name for described in schema.tables() if described.name in written]
        if found["created"] != len(tables):
            raise StackError(f"{found['created']} partitions of {day} were registered instead of {len(tables)}")
        yield Day(made, engine, day, tables)


def differences(before: Measured, after: Measured) -> list[str]:
    """The queries whose answers differ between the two forms of a day."""
    return [
        f"{name}: {len(asked.rows)} rows before the day was compacted, {len(after.asked[name].rows)} after, and they are "
        "not the same rows"
        for name, asked in before.asked.items()
        if asked.rows != after.asked[name].rows
    ]


def report(before: Measured, after: Measured) -> str:
    """Both forms side by side."""
    rows = []
    for name, old in before.volumes.items():
        new = after.volumes[name]
        rows += [_row(name, "files", old.files, new.files), _row("", "bytes", old.bytes, new.bytes)]
    read = [sum(v.bytes for v in form.volumes.values()) for form in (before, after)]
    files = [sum(v.files for v in form.volumes.values()) for form in (before, after)]
    rows += [_row("all tables", "files", *files), _row("", "bytes", *read)]
    for name, other in after.asked.items():
        asked = before.asked.get(name)
        rows += [
            _row(name, "bytes read", asked.read if asked else None, other.read),
            _row("", "splits", asked.splits if asked else None, other.splits),
            _row("", "ms", round(median(asked.millis)) if asked else None, round(median(other.millis))),
        ]
    return table(["", "", "before", "after", "before / after"], rows)


def _row(name: str, what: str, before: int | None, after: int) -> list[str]:
    if before is None:
        return [name, what, "", f"{after:,}", ""]
    return [name, what, f"{before:,}", f"{after:,}", f"{before / after:.1f}" if after else ""]


def _day_maker() -> str:
    """The generator of days; built with the workspace, so that nothing is compiled twice."""
    command = ["cargo", "build", "--workspace", "--example", "make_day", "--message-format", "json"]
    lines = [json.loads(line) for line in _run(command).splitlines()]
    built = [line for line in lines if line["reason"] == "compiler-artifact" and line["target"]["kind"] == ["example"]]
    return next(line["executable"] for line in built if line["target"]["name"] == "make_day")


def _run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"`{' '.join(command)}` failed:\n{done.stderr[-4000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(cli.run(__name__, "make bench-queries", sys.argv[1:]))
