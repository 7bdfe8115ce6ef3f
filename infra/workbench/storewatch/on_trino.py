"""Queries on Trino."""

import re
import time
from contextlib import suppress
from functools import cache
from typing import Any

import requests
import trino
from trino import exceptions

from . import access
from .answer import CATALOG, Answer, fetch, scan_limit_error, too_long
from .errors import AccessError, QueryError, StorewatchError, UnavailableError

_PAGE = 10_000
_UNITS = {"B": 1, "kB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40, "PB": 2**50}


def run(statement: str, max_rows: int, timeout: float) -> Answer:
    """Runs one statement to its end."""
    deadline = time.monotonic() + timeout

    def look_at_clock(_: object) -> None:
        # Not by a property of the session: users may not set any, because some lift limits.
        if time.monotonic() > deadline:
            raise too_long(timeout)

    connection = _connect()
    cursor = connection.cursor(stats_callback=look_at_clock)
    try:
        cursor.execute(statement)
        rows = fetch(cursor, _PAGE, max_rows)
        described = cursor.description or []
        seconds, read = cursor.stats["elapsedTimeMillis"] / 1000, cursor.stats.get("physicalInputBytes", 0)
        return Answer([c.name for c in described], [c.type_code for c in described], rows, seconds, read, _limit())
    except (exceptions.Error, exceptions.HttpError, requests.RequestException) as error:
        raise _explained(error) from error
    except BaseException:  # the Stop button too: the engine would go on without us
        with suppress(Exception):
            cursor.cancel()
        raise
    finally:
        connection.close()


def _connect() -> Any:
    login = access.trino_login()
    return trino.dbapi.connect(
        host=access.setting("STOREWATCH_TRINO_URL"),
        user=login["user"],
        auth=trino.auth.BasicAuthentication(login["user"], login["password"]),
        verify=login["ca"],
        source="workbench",
        catalog=CATALOG,
        schema=access.setting("STOREWATCH_DATABASE"),
        timezone="UTC",
    )


def _limit() -> int | None:
    with suppress(exceptions.Error, exceptions.HttpError, requests.RequestException, StorewatchError):
        return _limit_of(access.setting("STOREWATCH_TRINO_URL"))
    return None


@cache
def _limit_of(_: str) -> int | None:
    """The engine's limit for this user, asked once."""
    connection = _connect()
    try:
        rows = connection.cursor().execute("show session like 'query_max_scan_physical_bytes'").fetchall()
    finally:
        connection.close()
    found = re.fullmatch(r"([\d.]+)(\w+)", rows[0][1] if rows else "")
    return int(float(found[1]) * _UNITS[found[2]]) if found else None


def _explained(error: Exception) -> StorewatchError:
    url = access.setting("STOREWATCH_TRINO_URL")
    if not isinstance(error, exceptions.TrinoQueryError):
        if "401" in str(error) or isinstance(error, exceptions.TrinoAuthError):
            return AccessError(f"Trino at {url} refuses your login: stop your server and start it again")
        why = "its certificate is not trusted" if "CERTIFICATE_VERIFY" in str(error) else "is it running?"
        return UnavailableError(f"Trino at {url} does not answer: {why} Try again, or ask an administrator.")
    name = error.error_name or ""
    if name == "EXCEEDED_SCAN_LIMIT":
        return scan_limit_error(_limit())
    if "MEMORY_LIMIT" in name:
        return QueryError(
            "The query needs more memory than one may use: sum, sort and join fewer rows. " + error.message
        )
    if name in ("NO_NODES_AVAILABLE", "SERVER_STARTING_UP", "SERVER_SHUTTING_DOWN", "QUERY_QUEUE_FULL"):
        return UnavailableError(f"Trino at {url} cannot take the query now ({error.message}): try again in a minute")
    if name == "PERMISSION_DENIED" or "Access Denied" in error.message:
        return AccessError(f"You may not do all that the query says: {error.message}")
    is_day = name == "TYPE_MISMATCH" and re.search(r"varchar\b.*\bdate\b", error.message)
    hint = " (day is text in the lake: give it as '2026-03-24')" if is_day else ""
    return QueryError(error.message + hint)
