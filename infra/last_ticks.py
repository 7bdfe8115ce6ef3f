"""Shows the last tick of each country, read from the lake, on AWS and locally.

    python -m infra.last_ticks

Ends with 1 if a country's last tick failed, or if it has none in the last 30 minutes. Uses the account and region of your
AWS credentials.
"""

import argparse
import io
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.errors import DeployError
from infra.zones import Lake

# How far back a tick is looked for. Its file may be gone after that.
_LOOK_BACK = timedelta(days=7)
# As the alarm `no-complete-tick` has it.
_SILENT_AFTER = timedelta(minutes=30)
_COLUMNS = ["slot", "started_at", "finished_at", "outcome", "coverage", "schedule_as_of", "error"]
_FILE = re.compile(r"/\d{8}T\d{4}Z\.parquet$")


@dataclass(frozen=True)
class LastTick:
    """A row of country_ticks."""

    slot: datetime
    started_at: datetime
    finished_at: datetime
    outcome: str
    coverage: float | None
    schedule_as_of: datetime | None
    error: str | None

    @property
    def lag(self) -> timedelta:
        """How long after the start of the slot its rows were there."""
        return self.finished_at - self.slot

    @property
    def schedule_age(self) -> timedelta | None:
        """How old the schedules were when the tick began. Zero if it read them itself."""
        read = self.schedule_as_of
        return max(self.started_at - read, timedelta()) if read else None

    def is_silent(self, now: datetime) -> bool:
        """Whether a later tick should be there by now."""
        return now - self.finished_at > _SILENT_AFTER


def find(lake: Lake, country: str, now: datetime) -> LastTick | None:
    """The country's last tick; None if it has none in the last week."""
    folder = f"country_ticks/country={country}/"
    pages = lake.s3.get_paginator("list_objects_v2").paginate(
        Bucket=lake.bucket, Prefix=folder, StartAfter=f"{folder}day={now - _LOOK_BACK:%Y-%m-%d}"
    )
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", []) if _FILE.search(entry["Key"])]
    # Keys sort by slot.
    return _read(lake.s3.get_object(Bucket=lake.bucket, Key=max(keys))["Body"].read()) if keys else None


def _read(content: bytes) -> LastTick:
    from pyarrow import parquet  # imported here: it takes a while, and commands that use this module may not need it

    # Without pyarrow's threads: they can outlive the interpreter, which then aborts.
    file = parquet.ParquetFile(io.BytesIO(content), pre_buffer=False)
    row: dict[str, Any] = file.read(columns=_COLUMNS, use_threads=False).to_pylist()[0]
    return LastTick(**{name: _utc(value) for name, value in row.items()})


def _utc(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def lines(lake: Lake, now: datetime) -> tuple[list[str], bool]:
    """A line per country and one per error, and whether all is well."""
    told: list[str] = []
    good = True
    for country in lake.countries():
        tick = find(lake, country, now)
        if tick is None:
            told.append(f"{country}  no tick in the last {_LOOK_BACK.days} days")
            good = False
            continue
        silent = tick.is_silent(now)
        good &= tick.outcome != "failed" and not silent
        told.append(f"{country}  {_told(tick)}" + (f"; none for {_span(now - tick.finished_at)}" if silent else ""))
        if tick.error:
            told.append(f"    {tick.error}")
    return told or ["no country is deployed"], good


def _told(tick: LastTick) -> str:
    coverage = "unknown" if tick.coverage is None else f"{tick.coverage:.1%}"
    age = tick.schedule_age
    schedules = "no schedules" if age is None else f"schedules {_span(age)} old" if age else "schedules fresh"
    return f"{tick.slot:%Y-%m-%d %H:%M}Z  {tick.outcome:<8}  coverage {coverage}  lag {_span(tick.lag)}  {schedules}"


def _span(span: timedelta) -> str:
    """A length of time in its two largest units."""
    seconds = round(span.total_seconds())
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def show(client: Callable[[str], Any], prefix: str) -> bool:
    """Prints the last tick of each country of a deployment. Whether all is well."""
    told, good = lines(Lake.of(client, prefix), datetime.now(UTC))
    print("\n".join(told))
    return good


def main(argv: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m infra.last_ticks", description=__doc__.partition("\n")[0])
    parser.add_argument("--prefix", default="storewatch", help="prefix of all names (%(default)s)")
    args = parser.parse_args(argv)
    try:
        import boto3

        return 0 if show(boto3.session.Session().client, args.prefix) else 1
    except (DeployError, ClientError, BotoCoreError) as error:
        print(f"status: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
