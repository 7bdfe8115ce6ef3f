"""A country whose sources and AWS calls go through the fault proxies, and the results of its slots."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import cbor2
import psycopg

from infra.local import slots
from infra.local.config import Postgres, Stack
from infra.local.sample.places import Place
from infra.local.servers import postgres
from infra.local.servers.processes import Server, wait_for
from tests.e2e.conftest import slot_with_time_left
from tests.faults.http import HttpProxy, Request
from tests.faults.listener import Loop
from tests.faults.tcp import TcpProxy
from tests.harness.deployment import TABLES, Answer, Deployed
from tests.harness.oracle import Country, Listing, ScheduledStore, expected_orphan, expected_row, expected_unseen_row

COUNTRY = "pt"
# A country beside it that gets no faults.
NEIGHBOUR = "es"
FUNCTIONS = ("plan", "observe", "merge", "register")
# Values that depend on when something ran. All others depend on the sources.
_INSTANTS = {"observed_at", "schedule_as_of", "started_at", "finished_at", "since_after", "since_by"}
# A test needs much less of a slot than this.
_NEEDED = timedelta(seconds=90)
_WAIT_SECONDS = 30


@dataclass(frozen=True)
class OwnPostgres:
    """A PostgreSQL that tests may stop and freeze. The stack's own is shared."""

    folder: Path
    address: Postgres

    @property
    def server(self) -> Server:
        """Its process."""
        return Server(postgres.NAME, self.folder)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Takes the server down."""
        self.server.stop()
        try:
            yield
        finally:
            postgres.start(self.folder, self.address.port)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freezes the server: the kernel accepts connections, and nobody answers."""
        pid = self.server.pid()
        assert pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


@dataclass
class Faulty:
    """The deployment, the proxies before its servers, and the content of its sources."""

    deployed: Deployed
    sources: Stack  # the servers behind the proxies
    own_postgres: OwnPostgres
    place: Place
    rules: Country
    loop: Loop
    postgres: TcpProxy
    elasticsearch: HttpProxy
    aws: HttpProxy
    schedules: dict[str, ScheduledStore]
    live_view: dict[str, Listing]

    def afresh(self) -> datetime:
        """The current slot, with everything of it removed, and without a snapshot of the schedules."""
        slot = slot_with_time_left(_NEEDED)
        self.forget("staging", "pending", "schedules", *TABLES)
        self.elasticsearch.forget_seen()
        self.aws.forget_seen()
        return slot

    def forget(self, *folders: str, country: str = COUNTRY) -> None:
        """Removes what ticks wrote in these folders."""
        for folder in folders:
            keys = [{"Key": found.key} for found in self.deployed.objects(f"{folder}/country={country}/")]
            if keys:
                self.deployed.s3.delete_objects(Bucket=self.deployed.bucket, Delete={"Objects": keys})

    def invoke(self, function: str, event: Mapping[str, Any]) -> Answer:
        """Invokes one of the country's functions."""
        return self.deployed.invoke(f"{COUNTRY}-{function}", event)

    def timed(self, function: str, event: Mapping[str, Any]) -> tuple[Answer, float]:
        """The same, and the seconds it took."""
        started = time.monotonic()
        return self.invoke(function, event), time.monotonic() - started

    def event(self, slot: datetime) -> dict[str, str]:
        """The event that starts a country tick."""
        return {"country": COUNTRY, "slot": slots.iso(slot)}

    def plan(self, slot: datetime) -> dict[str, Any]:
        """Plans a slot, which must succeed."""
        answer = self.invoke("plan", self.event(slot))
        assert not answer.is_error, answer.payload
        return answer.payload

    def items(self, slot: datetime) -> list[dict[str, Any]]:
        """The chunks of a planned slot."""
        return json.loads(self.deployed.body(f"staging/country={COUNTRY}/{slots.compact(slot)}/manifest.json"))

    def observe(self, slot: datetime) -> list[Answer]:
        """Observes every chunk of a planned slot, one after the other."""
        return [self.invoke("observe", item) for item in self.items(slot)]

    def merge(self, slot: datetime) -> Answer:
        """Merges what is staged for a slot."""
        manifest = f"staging/country={COUNTRY}/{slots.compact(slot)}/manifest.json"
        return self.invoke("merge", {**self.event(slot), "manifest": manifest, "started_at": slots.iso(slot)})

    def finish(self, slot: datetime) -> dict[str, Any]:
        """Merges and registers what is staged for a slot. Returns the answer of merge."""
        merged = self.merge(slot)
        assert not merged.is_error, merged.payload
        registered = self.invoke("register", {"partitions": merged.payload["partitions"]})
        assert not registered.is_error, registered.payload
        return merged.payload

    def run(self, slot: datetime) -> dict[str, Any]:
        """Runs a whole country tick with its state machine, which must succeed."""
        done = self.deployed.run_machine(f"country-{COUNTRY}", self.event(slot))
        assert done["status"] == "SUCCEEDED", done.get("cause")
        return json.loads(done["output"])

    def fail(self, slot: datetime) -> str:
        """Runs a whole country tick, which must fail. Returns its reason."""
        done = self.deployed.run_machine(f"country-{COUNTRY}", self.event(slot))
        assert done["status"] == "FAILED", done
        return done["cause"]

    def metrics_sent(self) -> list[tuple[str, float]]:
        """The metrics that functions sent since `afresh`, accepted or not."""
        sent = [cbor2.loads(request.body) for request in self.aws.seen("PutMetricData")]
        return [(datum["MetricName"], datum["Value"]) for request in sent for datum in request["MetricData"]]

    def pauses(self, requests: list[Request]) -> list[float]:
        """The seconds between requests."""
        return [after.at - before.at for before, after in pairwise(requests)]

    def restart(self, function: str) -> None:
        """Makes a function start a new process next time: changing its configuration ends the old ones."""
        lambdas, name = self.deployed.stack.aws.client("lambda"), f"{self.deployed.prefix}-{COUNTRY}-{function}"
        variables = lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        lambdas.update_function_configuration(FunctionName=name, Environment={"Variables": variables})

    @contextmanager
    def renamed_column(self) -> Iterator[None]:
        """Makes PostgreSQL refuse the country's query."""
        database = self.own_postgres.address.conninfo(self.place.database)
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute("alter table store_hours rename column opens to opens_at")
            try:
                yield
            finally:
                admin.execute("alter table store_hours rename column opens_at to opens")

    @contextmanager
    def misconfigured(self) -> Iterator[None]:
        """Makes the country file unreadable."""
        lambdas, name = self.deployed.stack.aws.client("lambda"), f"{self.deployed.prefix}-{COUNTRY}-plan"
        key = lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]["STOREWATCH_CONFIG"]
        good = self.deployed.body(key)
        try:
            self._configure(key, good + b"\nno_such_key = true\n")
            yield
        finally:
            self._configure(key, good)

    def _configure(self, key: str, content: bytes) -> None:
        self.deployed.s3.put_object(Bucket=self.deployed.bucket, Key=key, Body=content)
        for function in FUNCTIONS:
            self.restart(function)

    @contextmanager
    def time_limit(self, function: str, seconds: int) -> Iterator[None]:
        """Gives a function less time than its template does."""
        lambdas, name = self.deployed.stack.aws.client("lambda"), f"{self.deployed.prefix}-{COUNTRY}-{function}"
        limit = lambdas.get_function_configuration(FunctionName=name)["Timeout"]
        lambdas.update_function_configuration(FunctionName=name, Timeout=seconds)
        try:
            yield
        finally:
            lambdas.update_function_configuration(FunctionName=name, Timeout=limit)

    @staticmethod
    def wait_until(condition: Callable[[], bool]) -> None:
        """Waits for something that another thread does."""
        assert wait_for(condition, _WAIT_SECONDS), f"it did not happen within {_WAIT_SECONDS} s"

    def files(self, slot: datetime) -> dict[str, str]:
        """The tables' files of a slot, with their entity tags."""
        found = [entry for table in TABLES for entry in self.deployed.objects(f"{table}/country={COUNTRY}/")]
        return {entry.key: entry.etag for entry in found if slots.in_key(entry.key) == slot}

    def rows(self, table: str, slot: datetime) -> list[dict[str, Any]]:
        """The rows of a table's only file of a slot, found through the catalog."""
        return self.deployed.table(table, COUNTRY, slot).to_pylist()

    def tick(self, slot: datetime) -> dict[str, Any]:
        """The slot's only row of country_ticks."""
        (row,) = self.rows("country_ticks", slot)
        return row

    def timeless(self, slot: datetime) -> dict[str, list[dict[str, Any]]]:
        """All rows of a slot, without the values that depend on when something ran."""
        return {
            table: [{key: row[key] for key in row.keys() - _INSTANTS} for row in self.rows(table, slot)]
            for table in TABLES
        }

    def assert_holds(self, slot: datetime, unknown: Mapping[int, str] | None = None, *, stale: bool = False) -> None:
        """Asserts that every row is what the sources say, or unknown with its reason in the given chunks.

        Also that each table has one file, and that the tick's row says how it went and, if it went wrong, why.
        """
        unknown = unknown or {}
        assert len(self.files(slot)) == len(TABLES)
        rows = {row["store_id"]: row for row in self.rows("store_availability", slot)}
        items = self.items(slot)
        expected: dict[str, dict[str, Any]] = {}
        for store_id in self.schedules.keys() | self.live_view.keys():
            reason = unknown.get(_chunk(items, store_id))
            store, listing = self.schedules.get(store_id), self.live_view.get(store_id)
            if store and reason:
                expected[store_id] = expected_unseen_row(self.rules, slot, store, reason)
            elif store and store_id in rows:
                assert rows[store_id]["observed_at"], rows[store_id]
                observed_at = rows[store_id]["observed_at"].replace(tzinfo=UTC)
                assert slot <= observed_at < slot + slots.SLOT
                expected[store_id] = expected_row(self.rules, slot, store, listing, observed_at)
            elif listing and not reason:
                expected[store_id] = expected_orphan(self.rules, slot, store_id, listing)
        assert rows.keys() == expected.keys()
        for store_id, wanted in expected.items():
            assert {key: rows[store_id][key] for key in wanted} == wanted
        tick = self.tick(slot)
        wanted_tick = ("partial" if unknown else "complete", len(self.schedules), len(items), len(unknown))
        assert wanted_tick == tuple(tick[key] for key in ("outcome", "stores", "chunks", "chunks_unknown"))
        cause = f"{len(unknown)} of {len(items)} chunks: " if unknown else ""
        wanted_error = cause or ("stale schedules of " if stale else "")
        assert (tick["error"] or "").startswith(wanted_error) and bool(tick["error"]) == bool(wanted_error), tick


def of_chunk(item: Mapping[str, Any], request: Request) -> bool:
    """Whether a search is for the chunk: it asks for the chunk's range of ids."""
    bounds = json.loads(request.body)["query"]["bool"]["filter"][0].get("range", {}).get("store_id", {})
    return bounds.get("gte") == item["first"] and bounds.get("lt") == item["last"]


def _chunk(items: list[dict[str, Any]], store_id: str) -> int:
    """The number of the chunk that contains a store's id."""
    number = int(store_id)
    (found,) = [
        item["chunk"]
        for item in items
        if (item["first"] is None or item["first"] <= number) and (item["last"] is None or number < item["last"])
    ]
    return found
