"""What a soak runs on: its own AWS with the moved clock, and a proxy in front of each server of each country."""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from infra.country_file import DIRECTORY, CountryFile
from infra.local.commands.deploy import deploy
from infra.local.config import Aws, Elasticsearch, Stack
from infra.local.sample.places import Place
from infra.local.servers import ministack
from infra.local.servers.ports import any_free
from infra.local.servers.processes import Server
from tests.faults.http import HttpProxy
from tests.faults.listener import Loop
from tests.faults.routes import before, send_through
from tests.faults.tcp import TcpProxy
from tests.harness.deployment import Deployed
from tests.harness.oracle import Country
from tests.soak.clock import Clock

COUNTRIES = ("es", "mx", "pt")
PREFIX = "soak"
FUNCTIONS = ("plan", "observe", "merge", "register")
# Short, so that servers that do not answer cost little of the soak's time.
_TIMEOUT_SECONDS = 2
# Small, so that even the smallest country has several chunks.
_CHUNK_STORES = 75
# By the moved clock, a slot is longer than idle functions are kept. Most would start again in each slot.
_KEPT_WARM = {"LAMBDA_WARM_TTL_SECONDS": "7200"}


@dataclass(frozen=True)
class Served:
    """One country: its sources, the proxies in front of its servers, and its country file's settings."""

    code: str
    place: Place
    rules: Country
    postgres: TcpProxy
    elasticsearch: HttpProxy
    aws: HttpProxy


@dataclass(frozen=True)
class Servers:
    """The deployment and its countries."""

    stack: Stack  # the servers behind the proxies
    clock: Clock
    loop: Loop
    deployed: Deployed
    countries: Mapping[str, Served]
    aws_log: Path


@contextmanager
def own_aws(folder: Path, clock: Clock) -> Iterator[Aws]:
    """A local AWS with the moved clock, which its functions inherit."""
    server = Server(ministack.NAME, folder)
    server.stop()  # left by an interrupted soak
    try:
        yield ministack.start(folder, any_free(), extra=clock.environment | _KEPT_WARM)
    finally:
        server.stop()
        Clock.tidy_up()


@contextmanager
def serving(stack: Stack, clock: Clock, places: Mapping[str, Place], secrets: Mapping[str, Any]) -> Iterator[Servers]:
    """Deploys the countries, each behind its own proxies."""
    folder = stack.run_dir / "soak"
    shutil.rmtree(folder / "countries", ignore_errors=True)
    (folder / "countries").mkdir(parents=True)
    loop, proxies = Loop(), []
    try:
        with own_aws(folder, clock) as aws:
            stack = replace(stack, aws=aws)
            countries: dict[str, Served] = {}
            for code in COUNTRIES:
                rules = _country_file(folder / "countries", code)
                postgres = TcpProxy(loop, "127.0.0.1", stack.postgres.port)
                search, cloud = before(loop, stack.elasticsearch.url), before(loop, aws.endpoint)
                proxies += [postgres, search, cloud]
                countries[code] = Served(code, places[code], rules, postgres, search, cloud)
                behind = replace(
                    stack,
                    postgres=replace(stack.postgres, port=postgres.port),
                    elasticsearch=Elasticsearch(search.url),
                )
                lake = deploy(
                    behind,
                    prefix=PREFIX,
                    database=PREFIX,
                    countries=[code],
                    country_files=folder / "countries",
                    rule="DISABLED",
                    secrets=secrets,
                    parameters={"MetricsNamespace": "Soak", "LookAgainSeconds": "1"},
                )
                for function in FUNCTIONS:
                    send_through(aws.client("lambda"), f"{PREFIX}-{code}-{function}", countries[code].aws.url)
            deployed = Deployed(stack, PREFIX, PREFIX, "Soak", lake["LakeBucket"])
            log = Server(ministack.NAME, folder).log_file
            yield Servers(stack, clock, loop, deployed, countries, log)
    finally:
        for proxy in proxies:
            proxy.close()
        loop.close()


def _country_file(folder: Path, code: str) -> Country:
    """Writes the project's country file with small chunks and short limits. Returns its settings for the judgement."""
    text = (DIRECTORY / f"{code}.toml").read_text()
    text = re.sub(r"(?m)^timeout_seconds = \d+", f"timeout_seconds = {_TIMEOUT_SECONDS}", text)
    text = re.sub(r"(?m)^chunk_stores = \d+", f"chunk_stores = {_CHUNK_STORES}", text)
    if code == "pt":
        text = text.replace('missing_hours = "closed"', 'missing_hours = "always_open"')
    (folder / f"{code}.toml").write_text(text)
    content = CountryFile.load(code, folder).content
    return Country(content["default_timezone"], content["missing_hours"])
