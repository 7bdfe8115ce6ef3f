"""Checks a country file against its sources: reads both once and judges every store, as a tick would.

Writes nothing. Ends with 1 if something looks wrong. Hosts that end in .example are replaced by the stack's sample.
"""

import argparse
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.country_file import DIRECTORY, SECTIONS, CountryFile
from infra.errors import DeployError
from infra.local.commands.deploy import read_secrets, secret_values
from infra.local.config import ROOT, Stack
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.local_aws import LocalAws
from infra.local.prefix import DEFAULT_PREFIX
from infra.local.sample.places import Place, read_places

BINARY = ROOT / "target/debug/validate"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the country, and where its file, secrets and sample are."""
    parser.add_argument("country", help="code of a country file, such as es")
    add_source_arguments(parser)


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that `new-country` has too."""
    parser.add_argument("--country-files", type=Path, default=DIRECTORY, metavar="DIRECTORY", help="(%(default)s)")
    parser.add_argument("--secrets", type=Path, metavar="FILE", help="JSON file of secrets by country")
    parser.add_argument("--sample", metavar="PREFIX", help="prefix of the sample that example hosts stand for")


def main(args: argparse.Namespace) -> int:
    """Prints what was found."""
    return validate(args.country, args.country_files, args.secrets, args.sample)


def validate(country: str, directory: Path, secrets: Path | None, sample: str | None) -> int:
    """Runs the check, which prints what it finds. Returns its exit code."""
    if not BINARY.is_file():
        raise StackError(f"{BINARY} is missing: run `make build` first")
    given = read_secrets(secrets).get(country, {})
    try:
        file = CountryFile.load(country, directory)
        file, place = _with_sample(file, sample)
        request = {
            "place": _shown(directory / f"{country}.toml"),
            "text": file.text,
            "secrets": _secrets(file, secret_values(CountryFile.load(country, directory), place, given)),
            "authorities": {name: pem.decode("ascii", "replace") for name, pem in file.authorities().items()},
        }
    except DeployError as error:
        raise StackError(str(error)) from None
    # On standard input, because a command line can be read by every user of the machine.
    return subprocess.run([BINARY], input=json.dumps(request), text=True, check=False).returncode


def _with_sample(file: CountryFile, prefix: str | None) -> tuple[CountryFile, Place | None]:
    """The file with the sample's addresses where its own are examples. Real addresses need no stack."""
    if not any(LocalAws.is_example(file, section) for section in SECTIONS):
        return file, None
    stack = Stack.load()
    places = read_places(stack, prefix)
    adapter = LocalAws(stack, DEFAULT_PREFIX, places, lambda text: say("validate", text))
    return adapter.country_file(file), places.get(file.country)


def _secrets(file: CountryFile, values: Mapping[str, Any]) -> dict[str, str]:
    """Name of a secret in the country file to its value, as a secret of both sources would hold it."""
    held: dict[str, dict[str, Any]] = {}
    for login, name in file.secrets().items():
        if login in values:
            held.setdefault(name, {})[login] = values[login]
    return {name: json.dumps(logins) for name, logins in held.items()}


def _shown(path: Path) -> str:
    """A path as a user would type it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
