"""Who may log in to Trino, and what each user may do there: the files that the engine reads.

Any process of this machine reaches its port, also those of the workbench's users, so the engine asks everybody for a
password. The project's own commands may do everything; all others only read the lake.
"""

import hashlib
import json
import re
import secrets
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from infra.local.config import write_private
from infra.local.errors import StackError
from infra.local.servers.locks import exclusive

# Athena's name for the Glue catalog. Stored views contain it.
CATALOG = "awsdatacatalog"
# The project's own commands and tests.
ROOT = "root"
# The dashboard asks as `storewatch`, and as `analysts` what is written in SQL Lab. It has one password for both.
DASHBOARD, SQL_LAB = "storewatch", "analysts"
_OWN = (ROOT, DASHBOARD, SQL_LAB)
# By which the engine knows itself: its parts talk over the same port.
SHARED_SECRET = "shared-secret"
_PASSWORDS = "password.db"
# Nothing that ends a name or a line of the password file.
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,62}")
# Few rounds, because these passwords are random and the engine checks one a connection. It refuses less than 1000.
_ROUNDS = 2000

# As in the analysts' workgroup on Athena. The dashboard's limit is lower.
SCAN_LIMIT = "100GB"
_SCAN_LIMITS = [{"user": DASHBOARD, "sessionProperties": {"query_max_scan_physical_bytes": "10GB"}}]
_QUEUED = {"softMemoryLimit": "100%", "maxQueued": 1000}
_GROUPS = {
    "rootGroups": [
        {"name": DASHBOARD, "hardConcurrencyLimit": 24, **_QUEUED},
        {
            "name": "analysts",
            "hardConcurrencyLimit": 6,
            **_QUEUED,
            # One analyst's queries leave room for the others'.
            "subGroups": [{"name": "${USER}", "hardConcurrencyLimit": 3, **_QUEUED}],
        },
        {"name": "own", "hardConcurrencyLimit": 100, **_QUEUED},
    ],
    "selectors": [
        {"user": ROOT, "group": "own"},
        {"user": DASHBOARD, "group": DASHBOARD},
        {"group": "analysts.${USER}"},
    ],
}
# The first rule that matches holds, and where none does, it is refused.
# https://trino.io/docs/current/security/file-system-access-control.html
_EVERYTHING: dict[str, dict[str, Any]] = {
    "catalogs": {"allow": "owner"},
    "schemas": {"owner": True},
    "tables": {"privileges": ["SELECT", "INSERT", "DELETE", "UPDATE", "OWNERSHIP", "GRANT_SELECT"]},
    "functions": {"privileges": ["EXECUTE", "GRANT_EXECUTE", "OWNERSHIP"]},
    "procedures": {"privileges": ["EXECUTE", "GRANT_EXECUTE"]},
    "system_session_properties": {"allow": True},
    "catalog_session_properties": {"allow": True},
    "queries": {"allow": ["execute", "view", "kill"]},
    "system_information": {"allow": ["read", "write"]},
}
# Of the engine's own tables, the queries: everybody sees and ends their own, and no others. Analysts set no
# property of a session, because some lift limits.
_READING: dict[str, list[dict[str, Any]]] = {
    "catalogs": [{"catalog": f"{CATALOG}|system", "allow": "read-only"}],
    "tables": [
        {"catalog": CATALOG, "privileges": ["SELECT"]},
        {"catalog": "system", "schema": "runtime", "table": "queries", "privileges": ["SELECT"]},
        # Superset asks for comments.
        {"catalog": "system", "schema": "metadata", "table": "table_comments", "privileges": ["SELECT"]},
    ],
    "procedures": [
        {"catalog": "system", "schema": "runtime", "procedure": "kill_query", "privileges": ["EXECUTE"]},
    ],
    # The dashboard's limit is a property of its sessions, and the engine asks whether the user may have it.
    "system_session_properties": [{"user": DASHBOARD, "property": "query_max_scan_physical_bytes", "allow": True}],
    "queries": [{"allow": ["execute"]}],
}
_RULES = {
    **{part: [{"user": ROOT, **rule}, *_READING.get(part, [])] for part, rule in _EVERYTHING.items()},
    "impersonation": [{"original_user": ROOT, "new_user": ".*"}],
}


def files(etc: Path) -> dict[str, str]:
    """The settings, by name in their folder. The passwords are not among them: they change while the engine runs."""
    return {
        "access-control.properties": f"access-control.name=file\nsecurity.config-file={etc}/rules.json\n",
        "rules.json": json.dumps(_RULES),
        "password-authenticator.properties": "password-authenticator.name=file\n"
        f"file.password-file={etc / _PASSWORDS}\nfile.refresh-period=1s\n",
        "resource-groups.json": json.dumps(_GROUPS),
        "resource-groups.properties": "resource-groups.configuration-manager=file\n"
        f"resource-groups.config-file={etc}/resource-groups.json\n",
        "session-property-config.json": json.dumps(_SCAN_LIMITS),
        "session-property-config.properties": "session-property-config.configuration-manager=file\n"
        f"session-property-manager.config-file={etc}/session-property-config.json\n",
    }


def own(etc: Path) -> dict[str, str]:
    """The passwords of the stack's own users, by name, and the engine's shared secret. Makes them the first time."""
    file = etc / "own.json"
    with _locked(etc):
        if not file.exists():
            made = {name: secrets.token_urlsafe(24) for name in (ROOT, DASHBOARD, SHARED_SECRET)}
            write_private(file, json.dumps(made | {SQL_LAB: made[DASHBOARD]}, indent=2) + "\n")
        found: dict[str, str] = json.loads(file.read_text())
        there = _read(etc)
        if not there.keys() >= set(_OWN):
            _write(etc, there | {name: _hash(found[name]) for name in _OWN})
    return found


def set_password(etc: Path, user: str, password: str) -> None:
    """Lets a user in, or changes the password. The running engine takes it up within two seconds."""
    _check(user)
    if not password:
        raise StackError(f"Trino: the password of {user} is empty")
    with _locked(etc):
        _write(etc, _read(etc) | {user: _hash(password)})


def remove_user(etc: Path, user: str) -> None:
    """Lets a user in no more, within two seconds. Does nothing if there is none."""
    _check(user)
    with _locked(etc):
        _write(etc, {name: line for name, line in _read(etc).items() if name != user})


def _check(user: str) -> None:
    if user in _OWN:
        raise StackError(f"Trino: {user} is a name of the stack's own: choose another one")
    if not _NAME.fullmatch(user):
        raise StackError(
            f"Trino: {user!r} is no name of a user: lower case letters, digits, and . _ @ - after the first"
        )


def _locked(etc: Path) -> AbstractContextManager[None]:
    return exclusive(etc / "passwords.lock", "trino")


def _read(etc: Path) -> dict[str, str]:
    """Name to hash."""
    file = etc / _PASSWORDS
    lines = file.read_text().splitlines() if file.exists() else []
    return {name: rest for name, _, rest in (line.partition(":") for line in lines)}


def _write(etc: Path, lines: dict[str, str]) -> None:
    write_private(etc / _PASSWORDS, "".join(f"{name}:{rest}\n" for name, rest in sorted(lines.items())))


def _hash(password: str) -> str:
    """As https://trino.io/docs/current/security/password-file.html describes it."""
    salt = secrets.token_bytes(16)
    return f"{_ROUNDS}:{salt.hex()}:{hashlib.pbkdf2_hmac('sha1', password.encode(), salt, _ROUNDS).hex()}"
