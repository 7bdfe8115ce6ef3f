"""One deployment for all tests of faults: a country behind the proxies, with a PostgreSQL of the tests' own behind one."""

import re
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.deployment import Deployed
from e2e.faults.faulty import COUNTRY, FUNCTIONS, NEIGHBOUR, Faulty, OwnPostgres
from e2e.oracle import Country, read_live_view, read_schedules
from faults.listener import Loop
from faults.routes import before, send_through
from faults.tcp import TcpProxy
from infra.country_file import DIRECTORY, CountryFile
from sample.load import drop, load
from stack import postgres
from stack.config import Elasticsearch, Stack
from stack.deploy_local import deploy
from stack.ports import any_free
from stack.processes import Server
from stack.undeploy_local import undeploy

STORES = 900
SEED = 11
# So short that a test waits no longer than it must for a server that does not answer.
_TIMEOUT_SECONDS = 2


_INJECTED = pytest.StashKey[Counter[str]]()


@pytest.fixture(scope="package")
def loop(request: pytest.FixtureRequest) -> Iterator[Loop]:
    """The event loop of all proxies. What they have injected is told at the end."""
    loop = Loop()
    request.config.stash[_INJECTED] = loop.injected
    yield loop
    loop.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tells how often each kind of fault has met a request: a fault that met none has tested nothing."""
    if injected := config.stash.get(_INJECTED, None):
        told = ", ".join(f"{number} x {kind}" for kind, number in sorted(injected.items()))
        terminalreporter.write_line(f"faults injected: {told}")


@pytest.fixture(autouse=True)
def _no_mistakes(loop: Loop) -> Iterator[None]:
    """A proxy that fails by itself fails the test, whatever the functions make of that."""
    loop.mistakes.clear()
    yield
    assert not loop.mistakes


@pytest.fixture(scope="package")
def own_postgres(stack: Stack) -> Iterator[OwnPostgres]:
    """A PostgreSQL of the tests' own."""
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
    """Two countries: one behind the proxies, and one beside it that reaches the same servers directly."""
    sources = replace(stack, postgres=own_postgres.address)
    before_postgres = TcpProxy(loop, "127.0.0.1", sources.postgres.port)
    before_elasticsearch = before(loop, stack.elasticsearch.url)
    before_aws = before(loop, stack.aws.endpoint)
    # A stack whose addresses are the proxies': what is deployed with it talks to them and knows no better.
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


def _write_country_file(folder: Path, country: str) -> None:
    """The project's country file with small chunks and short time limits."""
    text = (DIRECTORY / f"{country}.toml").read_text()
    text = re.sub(r"(?m)^timeout_seconds = \d+", f"timeout_seconds = {_TIMEOUT_SECONDS}", text)
    (folder / f"{country}.toml").write_text(re.sub(r"(?m)^chunk_stores = \d+", "chunk_stores = 100", text))
