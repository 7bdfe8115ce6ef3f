"""Where a sample is: the databases, roles and indices of its countries, and the files that record them."""

import json
import re
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from infra.local.config import Stack, write_private
from infra.local.errors import StackError


@dataclass(frozen=True)
class Place:
    """What a deployment needs to read one country's part of a sample."""

    database: str
    role: str
    password: str
    index: str
    # Of the workbench's own role. Empty in a sample that was loaded before there was one.
    workbench_password: str = ""

    @property
    def workbench_role(self) -> str:
        """The role by which the workbench reads the database."""
        return f"{self.role}_workbench"

    @property
    def workbench_login(self) -> dict[str, dict[str, str]]:
        """What the workbench's secret holds. The local Elasticsearch asks for no login."""
        return {
            "postgres": {"username": self.workbench_role, "password": self.workbench_password},
            "elasticsearch": {},
        }


@dataclass(frozen=True)
class Parameters:
    """What one country's stores were made from. The same parameters make the same stores again."""

    stores: int
    seed: int
    today: date


def check_prefix(prefix: str | None) -> None:
    """Checks a prefix. It becomes part of names, which PostgreSQL and Elasticsearch limit in different ways."""
    if prefix is not None and not re.fullmatch(r"[a-z][a-z0-9-]{0,29}", prefix):
        raise StackError(f"--prefix {prefix!r}: use up to 30 lower case letters, digits and dashes, a letter first")


def places_file(stack: Stack, prefix: str | None) -> Path:
    """Country -> Place, for deployments. Only its owner may read it, because it holds passwords."""
    return stack.run_dir / f"sample-{prefix or 'main'}.json"


def parameters_file(stack: Stack, prefix: str | None) -> Path:
    """Country -> Parameters, to refresh the live view."""
    return stack.run_dir / f"sample-{prefix or 'main'}.parameters.json"


def names(country: str, prefix: str | None) -> tuple[str, str, str]:
    """The database, reader role and index of a country, without dashes, which SQL would require to be quoted."""
    sql = f"{prefix.replace('-', '_')}_" if prefix else ""
    return (
        f"{sql}stores_{country}",
        f"{sql}reader_{country}",
        f"{prefix}-stores-{country}" if prefix else f"stores-{country}",
    )


def read_places(stack: Stack, prefix: str | None = None) -> dict[str, Place]:
    """The places of a loaded sample; empty if it is not loaded."""
    file = places_file(stack, prefix)
    return {code: Place(**place) for code, place in json.loads(file.read_text()).items()} if file.exists() else {}


def read_parameters(stack: Stack, prefix: str | None = None) -> dict[str, Parameters]:
    """The parameters of a loaded sample's countries."""
    file = parameters_file(stack, prefix)
    if not file.exists():
        raise StackError(f"there is no sample {prefix or 'main'!r} ({file}): load it with `stack sample load`")
    content = json.loads(file.read_text())
    return {
        code: Parameters(entry["stores"], entry["seed"], date.fromisoformat(entry["today"]))
        for code, entry in content.items()
    }


def write(stack: Stack, prefix: str | None, places: dict[str, Place], parameters: dict[str, Parameters]) -> None:
    """Records a loaded sample. Keeps countries that were loaded before."""
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
