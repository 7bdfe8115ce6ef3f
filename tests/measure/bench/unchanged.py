"""Plans of `make bench` whose `version` has not changed: the snapshot is used again, and no row is copied.

Such a plan has a bucket of its own with a copy of the country file, because the last snapshot belongs to one file.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg

from infra import buckets
from infra.country_file import DIRECTORY
from infra.local import slots
from infra.local.sample.places import Place
from infra.packaging import ROOT
from tests.measure.bench.function import Answered, Function
from tests.measure.bench.ours import PREFIX, RELEASE, Lake

_KEY = "config/version.toml"
# The two ways that docs/sources.md describes.
WAYS = ("checksum", "counter")


@dataclass(frozen=True)
class Unchanged:
    """A plan function whose country file has a `version`."""

    lake: Lake
    country: str
    function: Function
    bucket: str

    def plan(self, slot: datetime) -> Answered:
        """A plan of a slot that has none."""
        key = f"staging/country={self.country}/{slots.compact(slot)}/manifest.json"
        self.lake.deployed.s3.delete_object(Bucket=self.bucket, Key=key)
        return self.function.invoke({"country": self.country, "slot": slots.iso(slot)})

    def again(self, slot: datetime) -> Answered:
        """A plan that finds the version unchanged, and uses the snapshot of an earlier plan again."""
        before = self._snapshots()
        answered = self.plan(slot)
        assert before and before == self._snapshots(), "the plan has read the schedules again"
        return answered

    def _snapshots(self) -> list[str]:
        pages = self.lake.deployed.s3.list_objects_v2(Bucket=self.bucket, Prefix="schedules/")
        return [entry["ETag"] + entry["Key"] for entry in pages.get("Contents", [])]


def queries(place: Place, conninfo: str) -> dict[str, str]:
    """The version queries: the checksum that the country file suggests, and a counter that triggers would raise."""
    with psycopg.connect(conninfo) as connection:
        connection.execute("create table if not exists changes (number bigint)")
        connection.execute("insert into changes select 1 where not exists (select from changes)")
        connection.execute(f"grant select on changes to {place.role}")
    text = (DIRECTORY / "es.toml").read_text()
    found = re.search(r'(?ms)^# version = """\n(.*?)"""', text)
    assert found, f"{DIRECTORY.relative_to(ROOT)}/es.toml has no commented version query"
    return {"checksum": re.sub(r"(?m)^# ", "", found[1]), "counter": "select number from changes"}


@contextmanager
def unchanged(lake: Lake, country: str, way: str, sql: str) -> Iterator[Unchanged]:
    """The plan function with a version query."""
    s3, bucket = lake.deployed.s3, f"{PREFIX}-unchanged-{way}"
    environment = lake.environment(f"{country}-plan")
    file = lake.deployed.body(environment["STOREWATCH_CONFIG"]).decode()
    if buckets.exists(s3, bucket):
        buckets.empty(s3, bucket)
    else:
        s3.create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": lake.deployed.stack.aws.region}
        )
    try:
        with_version = re.sub(
            r"(?m)^\[schedule\].*$", lambda found: f'{found[0]}\nversion = """\n{sql}"""', file, count=1
        )
        s3.put_object(Bucket=bucket, Key=_KEY, Body=with_version.encode())
        extra = {"STOREWATCH_BUCKET": bucket, "STOREWATCH_CONFIG": _KEY}
        log = lake.deployed.stack.run_dir / "logs" / f"bench-plan-{way}.log"
        with Function(RELEASE / "plan" / "bootstrap", environment | extra, log) as function:
            yield Unchanged(lake, country, function, bucket)
    finally:
        buckets.empty(s3, bucket)
        s3.delete_bucket(Bucket=bucket)
