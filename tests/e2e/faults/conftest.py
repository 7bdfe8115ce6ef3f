"""One deployment for all fault tests: a country behind proxies, with its own PostgreSQL."""

import re
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from infra.country_file import DIRECTORY, CountryFile
from infra.local.commands.deploy import deploy
from infra.local.commands.undeploy import undeploy
from infra.local.config import Elasticsearch, Stack
from infra.local.sample.load import drop, load
from infra.local.sample.places import Place
from infra.local.servers import postgres
from infra.local.servers.ports import any_free
from infra.local.servers.processes import Server
from tests.e2e.faults.faulty import COUNTRY, FUNCTIONS, NEIGHBOUR, Faulty, OwnPostgres
from tests.faults.listener import Loop
from tests.faults.routes import before, send_through
from tests.faults.tcp import TcpProxy
from tests.harness.deployment import Deployed
from tests.harness.oracle import Country, read_live_view, read_schedules

STORES = 900
SEED = 11
# Short, so that a test does not wait long for a server that does not answer.
_TIMEOUT_SECONDS = 2


_INJECTED = pytest.StashKey[Counter[str]]()


@pytest.fixture(scope="package")
def loop(request: pytest.FixtureRequest) -> Iterator[Loop]:
    """The event loop of all proxies. The end of the test run reports which faults they injected."""
    loop = Loop()
    request.config.stash[_INJECTED] = loop.injected
    yield loop
    loop.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints how often each kind of fault met a request. A fault that met none has tested nothing."""
    if injected := config.stash.get(_INJECTED, None):
        told = ", ".join(f"{number} x {kind}" for kind, number in sorted(injected.items()))
        terminalreporter.write_line(f"faults injected: {told}")


@pytest.fixture(autouse=True)
def _no_mistakes(loop: Loop) -> Iterator[None]:
    """Fails the test if a proxy itself fails, whatever the functions make of that."""
    loop.mistakes.clear()
    yield
    assert not loop.mistakes


@pytest.fixture(scope="package")
def own_postgres(stack: Stack) -> Iterator[OwnPostgres]:
    """A PostgreSQL for these tests only."""
    folder = stack.run_dir / f"faults-{uuid.uuid4().hex[:6]}"
    folder.mkdir(parents=True)
    try:
        yield OwnPostgres(folder, postgres.start(folder, any_free()))
    finally:
        Server(postgres.NAME, folder).stop()
        postgres.wipe(folder)
        shutil.rmtree(folder)


@pytest.fixture(scope="package")
def faulty(
    stack: Stack, own_postgres: OwnPostgres, loop: Loop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Faulty]:
    """Two countries: one behind the proxies, and a neighbour that reaches the same servers directly."""
    sources = replace(stack, postgres=own_postgres.address)
    before_postgres = TcpProxy(loop, "127.0.0.1", sources.postgres.port)
    before_elasticsearch = before(loop, stack.elasticsearch.url)
    before_aws = before(loop, stack.aws.endpoint)
    # A stack with the proxies' addresses: what is deployed with it talks to them.
    behind = replace(
        sources,
        postgres=replace(sources.postgres, port=before_postgres.port),
        elasticsearch=Elasticsearch(before_elasticsearch.url),
    )
    prefix = f"faults-{uuid.uuid4().hex[:6]}"
    database, namespace = prefix.replace("-", "_"), f"Test/{prefix}"
    files = tmp_path_factory.mktemp("faults")
    for country in (COUNTRY, NEIGHBOUR):
        _write_country_file(files, country)
    try:
        places = load(sources, count=STORES, seed=SEED, countries=[COUNTRY, NEIGHBOUR], prefix=prefix)
        _add_outage(sources, places[COUNTRY])
        for where, country in ((sources, NEIGHBOUR), (behind, COUNTRY)):
            lake = deploy(
                where,
                prefix=prefix,
                database=database,
                countries=[country],
                country_files=files,
                rule="DISABLED",
                parameters={"MetricsNamespace": namespace, "LookAgainSeconds": "1"},
            )
        deployed = Deployed(stack, prefix, database, namespace, lake["LakeBucket"])
        for function in FUNCTIONS:
            send_through(stack.aws.client("lambda"), f"{prefix}-{COUNTRY}-{function}", before_aws.url)
        content = CountryFile.load(COUNTRY, files).content
        yield Faulty(
            deployed,
            sources,
            own_postgres,
            places[COUNTRY],
            Country(content["default_timezone"], content["missing_hours"]),
            loop,
            before_postgres,
            before_elasticsearch,
            before_aws,
            read_schedules(sources.postgres.conninfo(places[COUNTRY].database)),
            read_live_view(stack.elasticsearch.url, places[COUNTRY].index),
        )
    finally:
        undeploy(stack, prefix)
        drop(sources, prefix=prefix)
        for proxy in (before_postgres, before_elasticsearch, before_aws):
            proxy.close()


def _add_outage(sources: Stack, place: Place) -> None:
    """Adds a store to the middle chunk that is in an outage at every hour: always open and not in the live view."""
    database = sources.postgres.conninfo(place.database)
    scheduled = sorted(int(store_id) for store_id in read_schedules(database))
    taken = {*scheduled, *(int(store_id) for store_id in read_live_view(sources.elasticsearch.url, place.index))}
    free = next(number for number in range(scheduled[len(scheduled) // 2], scheduled[-1]) if number not in taken)
    with psycopg.connect(database) as connection:
        connection.execute("insert into stores (id, name, city) values (%s, 'Always down', 'Lisboa')", [free])
        connection.cursor().executemany(
            "insert into store_hours values (%s, %s, '00:00', '24:00')", [(free, weekday) for weekday in range(1, 8)]
        )


def _write_country_file(folder: Path, country: str) -> None:
    """Writes the project's country file with small chunks and short time limits."""
    text = (DIRECTORY / f"{country}.toml").read_text()
    text = re.sub(r"(?m)^timeout_seconds = \d+", f"timeout_seconds = {_TIMEOUT_SECONDS}", text)
    (folder / f"{country}.toml").write_text(re.sub(r"(?m)^chunk_stores = \d+", "chunk_stores = 100", text))
