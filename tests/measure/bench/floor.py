"""The floor of `make bench`: the program of tests/floor, and what it must read to have read everything."""

import itertools
import json
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import psycopg

from infra.country_file import CountryFile
from infra.local.config import Stack
from infra.local.errors import StackError
from infra.local.sample.places import Place
from tests.measure.bench import processes
from tests.measure.bench.ours import RELEASE

# The most that Elasticsearch gives in one answer.
_PAGE = 10_000
# Exceptions of these days around a slot are read, as shared/runtime/src/config.rs says.
_BACK, _AHEAD = timedelta(days=3), timedelta(days=14)
# Ways to read the live view: documents sorted by id, or ids grouped by whether they are online.
KINDS = ("sorted", "grouped")
PARTS = ("copy_ms", "read_ms", "write_ms")


@dataclass(frozen=True)
class Round:
    """One round: milliseconds of its parts, and what it took."""

    parts: dict[str, float]
    cpu_ms: float

    @property
    def ms(self) -> float:
        """Copy, read and write: without connecting to PostgreSQL."""
        return sum(self.parts[name] for name in PARTS)


class Floor:
    """A running floor, which does a round when it is told to."""

    def __init__(self, sources: dict[str, Any], stack: Stack):
        self._started = time.perf_counter()
        self._process = subprocess.Popen(
            [RELEASE / "floor" / "bootstrap", json.dumps(sources)],
            env=stack.aws.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def round(self, size: int) -> Round:
        """Reads everything, and writes so many bytes."""
        assert self._process.stdin and self._process.stdout
        before = processes.cpu(self._process.pid)
        self._process.stdin.write(f"{size}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise StackError(f"the floor ended with status {self._process.wait()}: its error is above")
        return Round(json.loads(line), 1e3 * (processes.cpu(self._process.pid) - before))

    def since_start_ms(self) -> float:
        """From the start of the process until now."""
        return 1e3 * (time.perf_counter() - self._started)

    @property
    def peak_mib(self) -> float:
        """The most memory so far."""
        return processes.peak_mib(self._process.pid)


def sources(stack: Stack, place: Place, bucket: str, slot: datetime, kind: str) -> dict[str, Any]:
    """What it reads: the rows that a plan copies, and the live view by one kind of search."""
    postgres = stack.postgres
    first, last = slot.date() - _BACK, slot.date() + _AHEAD
    stores = CountryFile.load("es").content["schedule"]["stores"]
    queries = [
        stores,
        "select store_id, weekday, opens, closes from store_hours",
        f"select store_id, date, opens, closes from store_exceptions where date between '{first}' and '{last}'",
    ]
    return {
        "postgres": f"host=localhost port={postgres.port} dbname={place.database} user={place.role} "
        f"password={place.password} sslmode=require",
        "ca": postgres.ca_file,
        "queries": queries,
        "searches": [search(stack.elasticsearch.url, place.index, kind, *one) for one in ranges(stack, place)],
        "bucket": bucket,
    }


def ranges(stack: Stack, place: Place) -> list[tuple[int | None, int | None]]:
    """Ranges of ids that cover every document, each with less than one answer holds."""
    with urllib.request.urlopen(f"{stack.elasticsearch.url}/{place.index}/_count", timeout=30) as answer:
        if json.load(answer)["count"] <= _PAGE:
            return [(None, None)]
    with psycopg.connect(stack.postgres.conninfo(place.database)) as connection:
        ids = [row[0] for row in connection.execute("select id from stores order by id")]
    # Stores can have two documents, and documents may be of no store.
    step = _PAGE * 9 // 10
    cuts = [None, *ids[step::step], None]
    return list(itertools.pairwise(cuts))


def search(url: str, index: str, kind: str, first: int | None, last: int | None) -> dict[str, Any]:
    """A search whose answer tells online, offline and unlisted apart."""
    within = {name: at for name, at in (("gte", first), ("lt", last)) if at is not None}
    body: dict[str, Any] = {"query": {"range": {"store_id": within}} if within else {"match_all": {}}}
    if kind == "grouped":
        ids = {"terms": {"field": "store_id", "size": _PAGE}}
        body |= {"size": 0, "aggs": {"by": {"terms": {"field": "online"}, "aggs": {"ids": ids}}}}
    else:
        body |= {"size": _PAGE, "_source": False, "stored_fields": "_none_", "sort": ["store_id", "online"]}
    parameters = "filter_path=hits.hits.sort,aggregations&allow_partial_search_results=false"
    return {"url": f"{url}/{index}/_search?{parameters}", "body": body | {"track_total_hits": False}}
