"""Where a sample is kept: the databases, roles and indices of its countries, and the files that tell of them."""

import json
import re
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from infra.local.config import Stack, write_private
from infra.local.errors import StackError


@dataclass(frozen=True)
class Place:
    """One country's part of a sample, as the deployment needs it: where it is and how to read it."""

    database: str
    role: str
    password: str
    index: str


@dataclass(frozen=True)
class Parameters:
    """What one country's stores were made from, and so can be made from again."""

    stores: int
    seed: int
    today: date


def check_prefix(prefix: str | None) -> None:
    """A prefix becomes part of names that PostgreSQL and Elasticsearch each limit in their own way."""
    if prefix is not None and not re.fullmatch(r"[a-z][a-z0-9-]{0,29}", prefix):
        raise StackError(f"--prefix {prefix!r}: use up to 30 lower case letters, digits and dashes, a letter first")


def places_file(stack: Stack, prefix: str | None) -> Path:
    """Country -> Place, for the deployment. Only its owner may read it, for the passwords."""
    return stack.run_dir / f"sample-{prefix or 'main'}.json"


def parameters_file(stack: Stack, prefix: str | None) -> Path:
    """Country -> Parameters, for refreshing the live view."""
    return stack.run_dir / f"sample-{prefix or 'main'}.parameters.json"


def names(country: str, prefix: str | None) -> tuple[str, str, str]:
    """The database, the reader's role and the index of a country; dashes would have to be quoted in SQL."""
    sql = f"{prefix.replace('-', '_')}_" if prefix else ""
    return (
        f"{sql}stores_{country}",
        f"{sql}reader_{country}",
        f"{prefix}-stores-{country}" if prefix else f"stores-{country}",
    )


def read_places(stack: Stack, prefix: str | None = None) -> dict[str, Place]:
    """The places of a sample that has been loaded; none if it has not."""
    file = places_file(stack, prefix)
    return {code: Place(**place) for code, place in json.loads(file.read_text()).items()} if file.exists() else {}


def read_parameters(stack: Stack, prefix: str | None = None) -> dict[str, Parameters]:
    """What the countries of a loaded sample were made from."""
    file = parameters_file(stack, prefix)
    if not file.exists():
        raise StackError(f"there is no sample {prefix or 'main'!r} ({file}): load it with `stack sample load`")
    content = json.loads(file.read_text())
    return {
        code: Parameters(entry["stores"], entry["seed"], date.fromisoformat(entry["today"]))
        for code, entry in content.items()
    }


def write(stack: Stack, prefix: str | None, places: dict[str, Place], parameters: dict[str, Parameters]) -> None:
    """Tells of a loaded sample; countries that were loaded before stay."""
    all_places = read_places(stack, prefix) | places
    write_private(places_file(stack, prefix), _json({code: asdict(place) for code, place in all_places.items()}))
    known = read_parameters(stack, prefix) if parameters_file(stack, prefix).exists() else {}
    entries = {
        code: {"stores": entry.stores, "seed": entry.seed, "today": entry.today.isoformat()}
        for code, entry in (known | parameters).items()
    }
    write_private(parameters_file(stack, prefix), _json(entries))


def _json(content: object) -> str:
    return json.dumps(content, indent=2) + "\n"
