"""Where the engine and the sources are, and the logins for them: files that the workbench renews, so read at every use."""

import json
import os
import re
from pathlib import Path
from typing import Any

from .errors import AccessError, StorewatchError

_COUNTRY = re.compile(r"[a-z]{2}")


def setting(name: str) -> str:
    """A variable of the environment that the workbench gives to every notebook."""
    if value := os.environ.get(name):
        return value
    raise StorewatchError(f"{name} is not set: storewatch works in the workbench, or where its settings are given")


def trino_login() -> dict[str, str]:
    """`user`, `password` and `ca`, the file of Trino's certificate."""
    return _read(_folder() / "trino.json")


def source(country: str, kind: str) -> dict[str, Any]:
    """The login for a country's `postgres` or `live_view`."""
    file = _folder() / "sources" / f"{checked(country)}.json"
    found = _read(file).get(kind) if file.exists() else None
    if found is None:
        name = {"postgres": "PostgreSQL", "live_view": "live view"}[kind]
        known = sorted(entry.stem for entry in file.parent.glob("??.json"))
        may = f"You may reach sources of: {', '.join(known)}." if known else "You may reach no country's sources."
        raise AccessError(f"You may not reach the {name} of {country!r}, or there is none. {may} Ask an administrator.")
    return found


def checked(country: str) -> str:
    """The country, if it is written as one."""
    if not _COUNTRY.fullmatch(country):
        raise StorewatchError(f"country {country!r}: use its two small letters, such as 'es'")
    return country


def _folder() -> Path:
    return Path(setting("STOREWATCH_ACCESS"))


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise AccessError(
            f"{file} cannot be read: stop your server and start it again, or ask an administrator"
        ) from error
