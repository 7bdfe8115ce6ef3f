"""Writes the file of a new country, and checks it against its sources if their addresses are given.

The form is that of infra/countries/es.toml, with all comments. A file that exists is never changed.
"""

import argparse
import importlib.resources
import re
from dataclasses import dataclass
from pathlib import Path

from infra.country_file import DIRECTORY, SECTIONS, CountryFile
from infra.errors import DeployError
from infra.local.commands.validate import add_source_arguments, validate
from infra.local.config import ROOT
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.prefix import add_prefix_argument
from infra.local.zones import available_timezones

FORM = "es"


@dataclass(frozen=True)
class Country:
    """What the time zone database says of a country."""

    code: str
    name: str
    zones: tuple[str, ...]  # the most populous first


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the code, and what is to be in the file."""
    parser.add_argument("country", help="ISO 3166-1 alpha-2 code in lower case, such as fr")
    parser.add_argument("--postgres", metavar="URL", help="address of PostgreSQL, without a password")
    parser.add_argument("--elasticsearch", metavar="URL", help="address of Elasticsearch or OpenSearch")
    parser.add_argument("--index", help="index or alias of the live view (default: stores-CODE)")
    parser.add_argument("--timezone", help="zone of stores that name none (default: the country's first)")
    add_prefix_argument(parser)
    add_source_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Writes the file, then checks it or says what to do next."""
    country = find(args.country)
    if args.timezone and args.timezone not in available_timezones():
        raise StackError(f"--timezone {args.timezone!r} is not an IANA time zone, such as {country.zones[0]}")
    if bool(args.postgres) != bool(args.elasticsearch):
        raise StackError("give both addresses, or none: --postgres and --elasticsearch")
    changes = {
        ("schedule", "url"): args.postgres,
        ("live_view", "url"): args.elasticsearch,
        ("live_view", "index"): args.index,
    }
    text = write(country, args.timezone or country.zones[0], args.prefix, changes)
    path = args.country_files / f"{country.code}.toml"
    create(path, country.code, text)
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    say("new-country", f"wrote {shown}")
    if len(country.zones) > 1 and not args.timezone:
        say("new-country", f"{country.name} has {len(country.zones)} zones; default_timezone is {country.zones[0]}")
    if not args.postgres:
        print(f"write your addresses and queries into {shown}, then: make validate COUNTRY={country.code} SECRETS=…")
        return 0
    status = validate(country.code, args.country_files, args.secrets, args.sample)
    if status:
        print(f"correct {shown}, then: make validate COUNTRY={country.code} SECRETS=…")
    return status


def find(code: str) -> Country:
    """The country with that code.

    The time zone database has every code of ISO 3166-1, and the zones of each.
    """
    names = {row[0].lower(): row[1] for row in _table("iso3166.tab")}
    if code not in names:
        raise StackError(f"{code!r} is not a country code of ISO 3166-1 in lower case, such as fr")
    zones = tuple(row[2] for row in _table("zone.tab") if row[0].lower() == code)
    # Two countries without inhabitants have no zone.
    return Country(code, names[code], zones or ("Etc/UTC",))


def _table(name: str) -> list[list[str]]:
    text = (importlib.resources.files("tzdata.zoneinfo") / name).read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")]


def write(country: Country, timezone: str, prefix: str, changes: dict[tuple[str, str], str | None]) -> str:
    """The text of the new file: the form with this country's names and the given values."""
    text = (DIRECTORY / f"{FORM}.toml").read_text()
    text = re.sub(r"\A# [^:]+:", lambda _: f"# {country.name}:", text)
    text = re.sub(rf"(?<![A-Za-z]){FORM}(?![A-Za-z])", country.code, text)
    text = _put(text, "", "default_timezone", timezone, "for stores whose time zone is null")
    for section in SECTIONS:
        text = _put(text, section, "secret", f"{prefix}/{country.code}")
    for (section, key), value in changes.items():
        if value:
            text = _put(text, section, key, value)
    return text


def _put(text: str, section: str, key: str, value: str, comment: str | None = None) -> str:
    """The text with the value of a key replaced, which the form has on one line, and its comment if one is given."""
    if re.search(r'["\\\x00-\x1f\x7f]', value):
        raise StackError(f"the value of {key} has a quote, a backslash or a control character: write it into the file")
    start = re.search(rf"(?m)^\[{section}\]", text).end() if section else 0  # type: ignore[union-attr]
    rest, found = re.subn(
        rf'(?m)^{key}(\s*)= "[^"\n]*"(.*)$',
        lambda match: f'{key}{match[1]}= "{value}"' + (match[2] if comment is None else f"   # {comment}"),
        text[start:],
        count=1,
    )
    if not found:
        raise StackError(f'{DIRECTORY / FORM}.toml has no line {key} = "…", which a new country\'s file begins with')
    return text[:start] + rest


def create(path: Path, code: str, text: str) -> None:
    """Creates the file, whole or not at all. Refuses one that exists, and a text that a deployment would refuse."""
    if path.exists():
        raise StackError(f"{path} exists already: check it with make validate COUNTRY={code}")
    try:
        CountryFile(code, path, text).check()
        with path.open("x") as stream:
            stream.write(text)
    except FileExistsError:
        raise StackError(f"{path} exists already: check it with make validate COUNTRY={code}") from None
    except (DeployError, OSError) as error:
        raise StackError(f"{path} was not written: {error}") from None
