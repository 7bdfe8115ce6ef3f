"""ETLs of their own beside the ticks, over the same sources. docs/adding-an-etl.md explains how to add one.

`infra/etls/<name>/` holds an ETL's templates: table.yaml, deployed once, and country.yaml, deployed per country. Which
functions and state machines it has is read from them.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra import change_sets, packaging, stacks
from infra.deploy import TEMPLATES, Deployment
from infra.errors import DeployError

FOLDER = TEMPLATES / "etls"
NAMES = tuple(sorted(folder.name for folder in FOLDER.iterdir() if folder.is_dir()))


def template(name: str, part: str) -> str:
    """A template of an ETL, `table` or `country`."""
    return (FOLDER / name / f"{part}.yaml").read_text()


def functions(name: str) -> tuple[str, ...]:
    """The functions of an ETL."""
    return tuple(re.findall(r"\$\{Release\}/([a-z_-]+)\.zip", template(name, "country")))


def machines(name: str) -> tuple[str, ...]:
    """The state machines of an ETL."""
    return tuple(re.findall(r"\$\{Definitions\}/([a-z_-]+)\.asl\.json", template(name, "country")))


FUNCTIONS = tuple(function for name in NAMES for function in functions(name))
MACHINES = tuple(machine for name in NAMES for machine in machines(name))


def table_stack(deployment: Deployment, name: str) -> str:
    """The name of the stack with an ETL's table."""
    return f"{deployment.prefix}-etl-{name}"


def country_stack(deployment: Deployment, name: str, country: str) -> str:
    """The name of an ETL's stack in a country."""
    return f"{table_stack(deployment, name)}-{country}"


def chosen(deployment: Deployment, named: Sequence[str], country: str) -> list[str]:
    """The ETLs of a country that a deployment deploys: those named, and those that are deployed there already."""
    cloudformation = deployment.client("cloudformation")
    return [
        name
        for name in NAMES
        if name in named or stacks.describe(cloudformation, country_stack(deployment, name, country))
    ]


def deploy(deployment: Deployment, name: str, country: str, binaries: Path, work: Path) -> None:
    """Deploys an ETL in a country, with what the country's own stack has: its file, its secrets, its network."""
    cloudformation = deployment.client("cloudformation")
    own = deployment.country_stack(country)
    if stacks.outputs(cloudformation, own) is None:
        if not deployment.is_trial:
            raise DeployError(
                f"{name} cannot be deployed in {country}: there is no stack {own}; deploy the country first"
            )
        deployment.say(f"stack {country_stack(deployment, name, country)}: new, once its country is deployed")
        return
    known = stacks.parameters(cloudformation, own)[own]
    if known.get("LakeAccount", "") not in ("", deployment.place.account):
        raise DeployError(f"{name} cannot be deployed in {country}: its tables' lake is in another account")
    zips = packaging.function_zips(binaries, work, functions(name))
    values = {
        **known,
        "Release": _upload(deployment, "functions", {f"{function}.zip": file for function, file in zips.items()}),
        "Definitions": _upload(deployment, "statemachine", packaging.definitions(machines(name))),
    }
    for stack, part, tagged in (
        (table_stack(deployment, name), "table", ""),
        (country_stack(deployment, name, country), "country", country),
    ):
        declared = change_sets.declared(template(name, part))
        given = {key: value for key, value in values.items() if key in declared}
        deployment.deploy_template(stack, f"etls/{name}/{part}.yaml", given, tagged)


def undeploy(deployment: Deployment, country: str, names: Sequence[str] = NAMES) -> None:
    """Deletes the stacks of ETLs in a country. Their data stays."""
    for name in names:
        _delete(deployment, country_stack(deployment, name, country))


def undeploy_tables(deployment: Deployment) -> None:
    """Deletes the ETLs' tables, once no country has them. Their data stays."""
    for name in NAMES:
        _delete(deployment, table_stack(deployment, name))


def _upload(deployment: Deployment, kind: str, files: Mapping[str, Path | str]) -> str:
    return packaging.upload(deployment.s3, deployment.artifact_bucket, kind, files)


def _delete(deployment: Deployment, stack: str) -> None:
    if stacks.delete_stack(deployment.client("cloudformation"), stack, deployment.role):
        deployment.say(f"stack {stack}: deleted; its data stays")
