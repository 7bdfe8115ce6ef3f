"""The deployments that tests share: one that works, one with a broken country of each kind, and some special ones."""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.country_file import DIRECTORY, CountryFile
from infra.local.commands import tick
from infra.local.commands.deploy import deploy
from infra.local.commands.undeploy import undeploy
from infra.local.commands.up import up
from infra.local.config import BINARIES, Stack
from infra.local.sample.load import drop, load
from infra.local.sample.places import Place
from infra.local.servers.sql import Engine
from infra.packaging import FUNCTIONS
from tests.harness import lakes
from tests.harness.deployer import Deployer
from tests.harness.deployment import Deployed
from tests.harness.edges import add_edges
from tests.harness.oracle import Country, Listing, ScheduledStore, read_live_view, read_schedules

COUNTRIES = ("es", "mx", "pt")
STORES = 3000
SEED = 20_261
# What a slot must have left for a cold tick on a busy machine, plus what a test does in the same slot.
_NEEDED = timedelta(seconds=60)


@dataclass(frozen=True)
class Sources:
    """The sample: where its stores are, and what they contain."""

    prefix: str
    places: dict[str, Place]
    schedules: dict[str, dict[str, ScheduledStore]]
    live_views: dict[str, dict[str, Listing]]


@dataclass(frozen=True)
class Ticked:
    """A deployment after a tick."""

    deployed: Deployed
    tick: tick.Tick

    @property
    def slot(self) -> datetime:
        """The slot of the tick."""
        return self.tick.slot


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The local servers, started if they are down. No test is skipped because a server is missing."""
    missing = [name for name in FUNCTIONS if not (BINARIES / name).exists()]
    assert not missing, f"{BINARIES} has no {', '.join(missing)}: run `make build` or `make release` first"
    return up()


@pytest.fixture(scope="session")
def sources(stack: Stack) -> Iterator[Sources]:
    """The tests' own sample, including stores at the edges of the rules."""
    prefix = f"e2e-{uuid.uuid4().hex[:6]}"
    try:
        places = load(stack, count=STORES, seed=SEED, countries=list(COUNTRIES), prefix=prefix)
        # Twice the time, so that the slot still lasts when the tick runs.
        add_edges(stack, places["pt"], slot_with_time_left(2 * _NEEDED))
        yield Sources(
            prefix,
            places,
            {code: read_schedules(stack.postgres.conninfo(place.database)) for code, place in places.items()},
            {code: read_live_view(stack.elasticsearch.url, place.index) for code, place in places.items()},
        )
    finally:
        drop(stack, prefix=prefix)


@pytest.fixture(scope="session")
def country_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's country files, with small chunks so that a country has several. pt is open without hours."""
    folder = tmp_path_factory.mktemp("countries")
    for code in COUNTRIES:
        text = re.sub(r"(?m)^chunk_stores = \d+", "chunk_stores = 400", (DIRECTORY / f"{code}.toml").read_text())
        if code == "pt":
            text = text.replace('missing_hours = "closed"', 'missing_hours = "always_open"')
        (folder / f"{code}.toml").write_text(text)
    return folder


@pytest.fixture
def deployer(stack: Stack, tmp_path: Path) -> Iterator[Deployer]:
    """A prefix at which nothing is deployed yet."""
    made = Deployer(stack, f"again-{uuid.uuid4().hex[:8]}", tmp_path)
    yield made
    made.remove()


@pytest.fixture(scope="session")
def rules(country_files: Path) -> dict[str, Country]:
    """What the country files set for the judgement."""
    contents = {code: CountryFile.load(code, country_files).content for code in COUNTRIES}
    return {code: Country(found["default_timezone"], found["missing_hours"]) for code, found in contents.items()}


@pytest.fixture(scope="session")
def ticked(stack: Stack, sources: Sources, country_files: Path) -> Iterator[Ticked]:
    """All three countries deployed, after one tick of the tick machine."""
    yield from ticking(stack, sources.prefix, sources, country_files, {})


@pytest.fixture(scope="session")
def broken_files(stack: Stack, country_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Country files with wrong addresses: mx names a missing database, pt a missing index."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "es.toml").write_text((country_files / "es.toml").read_text())
    address = f"postgresql://localhost:{stack.postgres.port}/no_such_database?sslmode=require"
    (folder / "mx.toml").write_text(_with(country_files / "mx.toml", r"postgresql://.*?(?=\")", address))
    pt = _with(country_files / "pt.toml", r"https://.*?(?=\")", stack.elasticsearch.url)
    (folder / "pt.toml").write_text(pt.replace('index = "stores-pt"', 'index = "no-such-index"'))
    return folder


@pytest.fixture(scope="session")
def broken_secrets(sources: Sources) -> dict[str, Any]:
    """Secrets for the real addresses. The deployment only knows the sample's."""
    place = sources.places["mx"]
    return {
        "mx": {"postgres": {"username": place.role, "password": place.password}},
        "pt": {"elasticsearch": {"username": "nobody", "password": "nothing"}},
    }


@pytest.fixture(scope="session")
def broken(
    stack: Stack, sources: Sources, ticked: Ticked, broken_files: Path, broken_secrets: dict[str, Any]
) -> Iterator[Ticked]:
    """es works, mx has no database, pt has no index, and xx has no state machine."""
    del ticked  # its tick comes first, because it must not be late
    yield from ticking(stack, f"{sources.prefix}-b", sources, broken_files, broken_secrets, machineless="xx")


@pytest.fixture(scope="session")
def mended(
    stack: Stack,
    sources: Sources,
    broken: Ticked,
    broken_files: Path,
    broken_secrets: dict[str, Any],
    country_files: Path,
) -> Iterator[Ticked]:
    """mx and pt, broken as above when their slot ticks, then deployed again with the right addresses."""
    del broken  # one tick at a time
    prefix, countries = f"{sources.prefix}-m", ("mx", "pt")
    for ticked in ticking(stack, prefix, sources, broken_files, broken_secrets, countries=countries):
        redeploy(ticked.deployed, sources, list(countries), country_files)
        yield ticked


@pytest.fixture(scope="session")
def analysed(stack: Stack, sources: Sources, country_files: Path) -> Iterator[Ticked]:
    """All three countries with several slots. Analysts may read es and pt."""
    prefix = f"{sources.prefix}-q"
    for ticked in ticking(stack, prefix, sources, country_files, {}, analyst_countries=("es", "pt")):
        lakes.run_slots(ticked.deployed, ticked.tick)
        yield ticked


@pytest.fixture(scope="session")
def engine(stack: Stack) -> Iterator[Engine]:
    """Trino on the stack's catalog."""
    with lakes.engine(stack) as found:
        yield found


@pytest.fixture(scope="session")
def sample_week(stack: Stack, engine: Engine) -> Iterator[lakes.Lake]:
    """The lake of the queries in docs/tables.md."""
    with lakes.sample_week(stack, engine) as lake:
        yield lake


@pytest.fixture(scope="session")
def ticked_lake(analysed: Ticked, engine: Engine) -> lakes.Lake:
    """The lake that the deployed functions wrote."""
    deployed = analysed.deployed
    return lakes.Lake(engine, deployed.database, f"{analysed.slot:%Y-%m-%d}", lakes.read(deployed))


@pytest.fixture
def bench(stack: Stack, engine: Engine) -> Iterator[lakes.Bench]:
    """An empty database with the tables and views."""
    with lakes.bench(stack, engine) as made:
        yield made


@pytest.fixture(params=["ticks", "week"])
def lake(request: pytest.FixtureRequest) -> lakes.Lake:
    """Each of the two lakes."""
    return request.getfixturevalue({"ticks": "ticked_lake", "week": "sample_week"}[request.param])


@pytest.fixture(scope="session")
def daily_deployment(stack: Stack, sources: Sources, country_files: Path, ticked: Ticked) -> Iterator[Ticked]:
    """es and pt for the daily work, which moves days. Other tests expect the days where ticks left them."""
    del ticked  # one tick at a time
    yield from ticking(stack, f"{sources.prefix}-d", sources, country_files, {}, countries=("es", "pt"))


def redeploy(deployed: Deployed, sources: Sources, countries: list[str], files: Path) -> None:
    """Deploys countries again with other country files."""
    deploy(
        deployed.stack,
        prefix=deployed.prefix,
        database=deployed.database,
        countries=countries,
        country_files=files,
        rule="DISABLED",
        sample=sources.prefix,
        parameters={"MetricsNamespace": deployed.namespace, "LookAgainSeconds": "1"},
    )


def ticking(
    stack: Stack,
    prefix: str,
    sources: Sources,
    files: Path,
    secrets: dict[str, Any],
    *,
    countries: tuple[str, ...] = COUNTRIES,
    machineless: str | None = None,
    analyst_countries: tuple[str, ...] = (),
) -> Iterator[Ticked]:
    database, namespace = prefix.replace("-", "_"), f"Test/{prefix}"
    try:
        lake = deploy(
            stack,
            prefix=prefix,
            database=database,
            countries=list(countries),
            country_files=files,
            rule="DISABLED",
            secrets=secrets,
            sample=sources.prefix,
            parameters={"MetricsNamespace": namespace, "LookAgainSeconds": "1"},
            analyst_countries=analyst_countries,
        )
        deployed = Deployed(stack, prefix, database, namespace, lake["LakeBucket"])
        if machineless:
            _subscribe(deployed, lake["AlertsTopic"])
            missing = deployed.machine("country-es").replace("-country-es", f"-country-{machineless}")
            entry = json.dumps({"country": machineless, "state_machine": missing}).encode()
            deployed.s3.put_object(Bucket=deployed.bucket, Key=f"registry/{machineless}.json", Body=entry)
        yield Ticked(deployed, tick.run(stack, prefix=prefix, slot=slot_with_time_left()))
    finally:
        remove(stack, prefix)


def _subscribe(deployed: Deployed, topic: str) -> None:
    """Creates a queue, named like the deployment, that gets what the alerts' topic sends."""
    queue = deployed.stack.aws.client("sqs").create_queue(QueueName=f"{deployed.prefix}-alerts")["QueueUrl"]
    attributes = deployed.stack.aws.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    arn = attributes["Attributes"]["QueueArn"]
    # The queue must allow the topic to send to it, here as on AWS.
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
            }
        ],
    }
    deployed.stack.aws.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
    deployed.stack.aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)


def remove(stack: Stack, prefix: str) -> None:
    """Removes a deployment from the stack, and what its templates do not cover."""
    sqs = stack.aws.client("sqs")
    for queue in sqs.list_queues(QueueNamePrefix=f"{prefix}-alerts").get("QueueUrls", []):
        sqs.delete_queue(QueueUrl=queue)
    undeploy(stack, prefix)


def slot_with_time_left(needed: timedelta = _NEEDED) -> datetime:
    """The current slot, or the next one once it has begun: observations after a slot's end are useless."""
    return tick.slot_with_time_left(needed.total_seconds())


def _with(file: Path, pattern: str, replacement: str) -> str:
    text, found = re.subn(pattern, lambda _: replacement, file.read_text(), count=1)
    assert found == 1, f"{file} has no match for {pattern}"
    return text
