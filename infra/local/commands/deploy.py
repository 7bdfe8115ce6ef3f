"""Deploys the templates to the running stack, with the sample's stores as sources of the countries."""

import argparse
import json
import secrets as random_words
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra import etl, stacks
from infra.country_file import DIRECTORY, CountryFile
from infra.deploy import Deployment
from infra.errors import DeployError
from infra.local.config import BINARIES, CACHE, Stack, write_private
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.local_aws import LocalAws
from infra.local.prefix import DEFAULT_PREFIX, add_prefix_argument
from infra.local.sample.places import Place, read_places
from infra.local.servers.packages import install
from infra.workbench import deployment as workbench

Secrets = Mapping[str, Mapping[str, Mapping[str, str]]]  # country -> postgres or elasticsearch -> value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options in which deployments differ."""
    add_prefix_argument(parser)
    parser.add_argument("--database", default="storewatch", help="Glue database (default: %(default)s)")
    parser.add_argument("--countries", default="es,mx,pt", help="country codes (default: %(default)s)")
    parser.add_argument(
        "--country-files", type=Path, default=DIRECTORY, metavar="DIR", help="their folder (default: infra/countries)"
    )
    parser.add_argument(
        "--binaries", type=Path, default=BINARIES, metavar="DIR", help="folder of the functions (%(default)s)"
    )
    parser.add_argument("--rule", choices=["ENABLED", "DISABLED"], default="ENABLED", help="whether it keeps ticking")
    parser.add_argument(
        "--secrets", type=Path, metavar="FILE", help="JSON file of secrets, for sources other than the sample"
    )
    parser.add_argument("--analyst-countries", default="", metavar="es,mx", help="the countries that analysts may read")
    parser.add_argument("--etl", action="append", default=[], choices=etl.NAMES, help="an ETL beside the ticks")
    parser.add_argument("--sample", metavar="PREFIX", help="the sample to read (default: the one with the same prefix)")


def main(args: argparse.Namespace) -> int:
    """Deploys the lake and the countries."""
    deploy(
        Stack.load(),
        prefix=args.prefix,
        database=args.database,
        countries=args.countries.split(","),
        country_files=args.country_files,
        binaries=args.binaries,
        rule=args.rule,
        secrets=read_secrets(args.secrets),
        sample=args.sample,
        analyst_countries=args.analyst_countries.split(",") if args.analyst_countries else (),
        etls=args.etl,
    )
    return 0


def deploy(
    stack: Stack,
    *,
    prefix: str = DEFAULT_PREFIX,
    database: str = "storewatch",
    countries: list[str],
    country_files: Path = DIRECTORY,
    binaries: Path = BINARIES,
    rule: str = "ENABLED",
    secrets: Secrets | None = None,
    sample: str | None = None,
    parameters: Mapping[str, str] | None = None,
    analyst_countries: Sequence[str] = (),
    etls: Sequence[str] = (),
    lake_account: str = "",
    country_accounts: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Deploys everything to a running stack and returns the lake's outputs. Tests call it with their own prefix.

    `parameters` are extra ones for the countries' stacks, such as MetricsNamespace. `analyst_countries` are the
    countries that analysts may read; by default all. The last two are those of `Deployment`.
    """
    started = time.monotonic()
    if not shutil.which("strip"):
        install("deploy", ["binutils"], "`strip`, which removes debugging symbols from the functions, is missing")
    deployment, places = _deployment(stack, prefix, sample)
    deployment = replace(deployment, database=database, lake_account=lake_account, country_accounts=country_accounts)
    try:
        files = [CountryFile.load(country, country_files) for country in countries]
        release = deployment.release(binaries, CACHE / "zips")
        lake = deployment.deploy_lake(release, {"RuleState": rule})
        deployment.deploy_analytics(lake, countries, analyst_countries)
        for file in files:
            values = secret_values(file, places.get(file.country), (secrets or {}).get(file.country, {}))
            deployment.deploy_country(file, release, lake, values, parameters)
            for name in etls:
                by_rule = replace(deployment, parameters={"RuleState": rule})
                etl.deploy(by_rule, name, file.country, binaries, CACHE / "zips")
    except DeployError as error:
        raise StackError(str(error)) from None
    except (ClientError, BotoCoreError) as error:
        raise StackError(
            f"the local AWS at {stack.aws.endpoint} refused the deployment: {error}; see {log_file(stack)}"
        ) from None
    ticking = "ticks by itself at :00, :15, :30 and :45" if rule == "ENABLED" else "its rule is disabled"
    say("deploy", f"{prefix} with {', '.join(countries)} deployed in {time.monotonic() - started:.1f} s; {ticking}")
    return lake


def deploy_workbench(stack: Stack, prefix: str, country_files: Path, sample: str | None = None) -> dict[str, str]:
    """Deploys the workbench's part beside a deployed lake, with the sample's logins. Returns its outputs.

    Writes the countries' files, which name the local servers, into the folder `country_files`.
    """
    deployment, places = _deployment(stack, prefix, sample)
    cloudformation = stack.aws.client("cloudformation")
    lake = stacks.outputs(cloudformation, deployment.lake_stack)
    if lake is None:
        raise StackError(f"there is no stack {deployment.lake_stack}: deploy it with `make run`")
    deployed = stacks.parameters(cloudformation, deployment.country_stack(""))
    countries = sorted(name.removeprefix(deployment.country_stack("")) for name in deployed)
    logins = {country: places[country].workbench_login for country in countries if country in places}
    if old := [country for country in logins if not places[country].workbench_password]:
        raise StackError(f"the sample of {old[0]} is older than the workbench: load it again with `make sample`")
    try:
        for country in logins:
            file = deployment.adapter.country_file(CountryFile.load(country))
            write_private(country_files / file.path.name, file.text)
        return workbench.deploy(deployment, lake, countries, logins)
    except DeployError as error:
        raise StackError(str(error)) from None


def _deployment(stack: Stack, prefix: str, sample: str | None) -> tuple[Deployment, dict[str, Place]]:
    """A deployment to the stack, and the sample that it reads: by default the one with its prefix, if there is one."""
    places = read_places(stack, sample or (prefix if prefix != DEFAULT_PREFIX else None)) or read_places(stack)

    def tell(text: str) -> None:
        say("deploy", text)

    return Deployment(stack.aws.client, prefix, adapter=LocalAws(stack, prefix, places, tell), say=tell), places


def log_file(stack: Stack) -> Path:
    """The log of the local AWS."""
    return stack.run_dir / "logs" / "aws.log"


def secret_values(file: CountryFile, place: Place | None, given: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """A country's secrets: the given ones, or the sample's where the sample is the source."""
    values: dict[str, Any] = {}
    if place and LocalAws.is_example(file, "schedule"):
        values["postgres"] = {"username": place.role, "password": place.password}
    if place and LocalAws.is_example(file, "live_view"):
        # The local Elasticsearch needs no password, but the secret must have the right form.
        values["elasticsearch"] = {"username": place.role, "password": random_words.token_urlsafe(12)}
    return values | dict(given)


def read_secrets(file: Path | None) -> Secrets:
    """Reads secrets by country from a JSON file."""
    if file is None:
        return {}
    try:
        return json.loads(file.read_text())
    except (OSError, json.JSONDecodeError) as error:
        # The error names line and column, and does not quote the content.
        raise StackError(f"--secrets {file} cannot be read: {error}") from None
