"""What a soak runs on: an AWS of its own that goes by the moved clock, and a proxy before each server of each country."""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from e2e.deployment import Deployed
from e2e.oracle import Country
from faults.http import HttpProxy
from faults.listener import Loop
from faults.routes import before, send_through
from faults.tcp import TcpProxy
from infra.country_file import DIRECTORY, CountryFile
from sample.places import Place
from soak.clock import Clock
from stack import ministack
from stack.config import Aws, Elasticsearch, Stack
from stack.deploy_local import deploy
from stack.ports import any_free
from stack.processes import Server

COUNTRIES = ("es", "mx", "pt")
PREFIX = "soak"
FUNCTIONS = ("plan", "observe", "merge", "register")
# So short that what does not answer costs no more of the soak's time than it must.
_TIMEOUT_SECONDS = 2
# So that even the smallest country has several.
_CHUNK_STORES = 75
# By the moved clock a slot is longer than functions are kept warm: most would start anew in each.
_KEPT_WARM = {"LAMBDA_WARM_TTL_SECONDS": "7200"}


@dataclass(frozen=True)
class Served:
    """One country: its sources, the proxies before its servers, and what its country file says."""

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
    """A local AWS that goes by the moved clock, and with it the functions that it runs."""
    server = Server(ministack.NAME, folder)
    server.stop()  # what an interrupted soak has left
    try:
        yield ministack.start(folder, any_free(), extra=clock.environment | _KEPT_WARM)
    finally:
        server.stop()
        Clock.tidy_up()


@contextmanager
def serving(stack: Stack, clock: Clock, places: Mapping[str, Place], secrets: Mapping[str, Any]) -> Iterator[Servers]:
    """Deploys the countries, each behind proxies of its own."""
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
                http = [before(loop, url) for url in (stack.elasticsearch.url, aws.endpoint)]
                proxies += [postgres, *http]
                countries[code] = Served(code, places[code], rules, postgres, *http)
                behind = replace(
                    stack,
                    postgres=replace(stack.postgres, port=postgres.port),
                    elasticsearch=Elasticsearch(http[0].url),
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
    """The project's country file with small chunks and short time limits; what it says that the judgement depends on."""
    text = (DIRECTORY / f"{code}.toml").read_text()
    text = re.sub(r"(?m)^timeout_seconds = \d+", f"timeout_seconds = {_TIMEOUT_SECONDS}", text)
    text = re.sub(r"(?m)^chunk_stores = \d+", f"chunk_stores = {_CHUNK_STORES}", text)
    if code == "pt":
        text = text.replace('missing_hours = "closed"', 'missing_hours = "always_open"')
    (folder / f"{code}.toml").write_text(text)
    content = CountryFile.load(code, folder).content
    return Country(content["default_timezone"], content["missing_hours"])
