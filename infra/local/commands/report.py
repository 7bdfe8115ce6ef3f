"""Reads a tick's result back from S3, through the partitions of the Glue catalog, and prints it by country."""

import argparse
import io
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError
from pyarrow import parquet

from infra import stacks
from infra.local import slots
from infra.local.config import Stack
from infra.local.console import table
from infra.local.errors import StackError
from infra.local.prefix import add_prefix_argument
from infra.vocabulary import RATED, STATUSES

# How many outages are printed, and what of them.
_LONGEST = 5
# A store in an outage may also be closed, or unknown.
_DOWN = ("unavailable", "unlisted")
_DOWN_COLUMNS = ["store_id", "since_by", "lost_seconds", "status", "reason", "is_new"]


@dataclass(frozen=True)
class CountryReport:
    """What the tables say about one country in one slot."""

    country: str
    outcome: str
    error: str | None
    counts: Counter[str]
    # Who is in an outage: rows of current_outages.
    down: list[dict[str, Any]] = field(default_factory=list)

    @property
    def stores(self) -> int:
        """Stores of the schedule source, so without orphans."""
        return sum(self.counts.values()) - self.counts["orphan"]

    @property
    def availability(self) -> float | None:
        """The available share of the stores that were scheduled and could be judged."""
        scheduled = sum(self.counts[status] for status in RATED)
        return self.counts["available"] / scheduled if scheduled else None

    @property
    def coverage(self) -> float | None:
        """The share of the stores that could be judged."""
        return 1 - self.counts["unknown"] / self.stores if self.stores else None


class Lake:
    """The tables of a deployment, read as a query engine does: the catalog first, then the files at its locations."""

    def __init__(self, stack: Stack, database: str):
        self._glue, self._s3 = stack.aws.client("glue"), stack.aws.client("s3")
        self._database = database

    def files(self, table_name: str) -> dict[tuple[str, datetime], tuple[str, str]]:
        """(country, slot) -> (bucket, key) of every file in the table's partitions."""
        found = {}
        for page in self._glue.get_paginator("get_partitions").paginate(
            DatabaseName=self._database, TableName=table_name
        ):
            for partition in page["Partitions"]:
                location = partition["StorageDescriptor"]["Location"]
                bucket, _, prefix = location.removeprefix("s3://").partition("/")
                for key in self._keys(bucket, prefix.rstrip("/") + "/"):
                    if slot := slots.in_key(key):
                        found[partition["Values"][0], slot] = bucket, key
        return found

    def rows(self, place: tuple[str, str], columns: list[str]) -> list[dict[str, Any]]:
        """Some columns of one file."""
        bucket, key = place
        content = self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        # Opened as a single file: given its path, pyarrow would add the partition keys as columns. Without pyarrow's
        # threads: they can outlive the interpreter, which then aborts.
        file = parquet.ParquetFile(io.BytesIO(content), pre_buffer=False)
        return file.read(columns=columns, use_threads=False).to_pylist()

    def _keys(self, bucket: str, prefix: str) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options: which deployment and which slot."""
    add_prefix_argument(parser)
    parser.add_argument("--slot", default="latest", help="such as 2026-11-23T04:15:00Z (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Prints the table."""
    show(Stack.load(), args.prefix, None if args.slot == "latest" else slots.parse(args.slot))
    return 0


def show(stack: Stack, prefix: str, slot: datetime | None) -> None:
    """Prints the report of a slot, and where to look next."""
    slot, reports = read(stack, prefix, slot)
    print(f"slot {slots.iso(slot)}, read back from the Parquet that the catalog's partitions name")
    print()
    print(render(reports))
    for report in reports:
        if report.error:
            print(f"\n{report.country}, {report.outcome}: {report.error}")
    if down := render_down(reports, slot):
        print(f"\n{down}")
    print()
    print(
        "where to look next:\n"
        "  make invoke FUNCTION=observe   runs one function on a sample event, against this stack\n"
        "  make logs                      the functions' logs; make logs FUNCTION=plan for one function\n"
        "  make dashboard                 shows it in Superset; make query SQL=… asks the lake\n"
        "  make workbench                 notebooks over it in JupyterLab, as root\n"
        "  make status                    the servers, their addresses and logs\n"
        "  make tick                      ticks again; make report SLOT=… shows another slot\n"
        "  make stop                      stops the servers"
    )


def read(stack: Stack, prefix: str, slot: datetime | None) -> tuple[datetime, list[CountryReport]]:
    """The report of a slot; None means the latest slot of any country."""
    made = stacks.outputs(stack.aws.client("cloudformation"), f"{prefix}-lake")
    if made is None:
        raise StackError(f"there is no stack {prefix}-lake: deploy it with `stack deploy`")
    lake = Lake(stack, made["Database"])
    try:
        ticks, stores = lake.files("country_ticks"), lake.files("store_availability")
        down = lake.files("current_outages")
    except ClientError as error:
        raise StackError(f"the tables of {made['Database']} cannot be read back: {error}") from None
    if not ticks:
        raise StackError("the catalog has no tick yet: run one with `make tick`")
    slot = slot or max(found for _, found in ticks)
    reports = []
    for country in sorted(code for code, found in ticks if found == slot):
        tick = lake.rows(ticks[country, slot], ["outcome", "error"])[0]
        place = stores.get((country, slot))
        counts = Counter(row["status"] for row in lake.rows(place, ["status"])) if place else Counter()
        outages = lake.rows(down[country, slot], _DOWN_COLUMNS) if (country, slot) in down else []
        reports.append(CountryReport(country, tick["outcome"], tick["error"], counts, outages))
    if not reports:
        newest = slots.iso(max(found for _, found in ticks))
        raise StackError(f"no country has a row for {slots.iso(slot)}: the slot was missed; the latest is {newest}")
    return slot, reports


def render(reports: list[CountryReport]) -> str:
    """One row per country, and one for all of them."""
    total = CountryReport("all", "", None, sum((report.counts for report in reports), Counter()))
    head = ["country", "outcome", "stores", *STATUSES, "availability", "coverage"]
    rows = [
        [
            report.country,
            report.outcome,
            f"{report.stores:,}",
            *(f"{report.counts[status]:,}" for status in STATUSES),
            _percent(report.availability),
            _percent(report.coverage),
        ]
        for report in [*reports, total]
    ]
    # Numbers are right-aligned.
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    aligned = [[cell if n < 2 else cell.rjust(widths[n]) for n, cell in enumerate(row)] for row in [head, *rows]]
    return table(aligned[0], aligned[1:])


def render_down(reports: list[CountryReport], slot: datetime) -> str:
    """How many stores are down now, and the few that have been for longest."""
    down = [(report.country, row) for report in reports for row in report.down if row["status"] in _DOWN]
    if not down:
        return ""
    longest = sorted(down, key=lambda one: (one[1]["since_by"], one[1]["store_id"]))[:_LONGEST]
    new = sum(row["is_new"] for _, row in down)
    head = ["country", "store", "down since", "lost", "status", "reason"]
    rows = [
        [
            country,
            row["store_id"],
            f"{row['since_by']:%Y-%m-%d %H:%M}",
            f"{row['lost_seconds'] // 60:,} min",
            row["status"] or "-",
            row["reason"] or "-",
        ]
        for country, row in longest
    ]
    return f"down now: {len(down):,} stores, {new:,} of them since {slot:%H:%M}; the longest\n\n{table(head, rows)}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"
