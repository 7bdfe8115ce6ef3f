"""`postgres`: a country's own PostgreSQL, read-only."""

import warnings
from collections.abc import Generator
from contextlib import closing
from itertools import islice
from typing import Any, cast
from urllib.parse import urlsplit

import pandas as pd
import psycopg
from psycopg.types.string import TextLoader

from . import access
from .errors import AccessError, QueryError, StorewatchError, UnavailableError
from .frames import frame
from .parameters import fill

MAX_ROWS = 10_000
TIMEOUT_SECONDS = 60
_CONNECT_SECONDS = 10
_PAGE = 1000
_SETTINGS = "select set_config('statement_timeout', %s, true), set_config('TimeZone', 'UTC', true)"


class Postgres:
    """A country's PostgreSQL. Connects anew for every query, with the login that is valid then."""

    def __init__(self, country: str):
        self.country = country
        access.source(country, "postgres")  # refuses at once what may not be read

    def __repr__(self) -> str:
        return f"postgres({self.country!r})"

    def sql(
        self, text: str, /, *, max_rows: int = MAX_ROWS, timeout: float = TIMEOUT_SECONDS, **parameters: Any
    ) -> pd.DataFrame:
        """The rows of one statement, in a transaction that can only read.

        `:name` becomes a value and types are mapped as `storewatch.sql` does; times of day are text, since 24:00 is one.
        Of more than `max_rows` rows only so many are read, and a warning says so; `attrs["is_cut"]` is then true.
        `timeout` is in seconds, of the statement. Raises QueryError, AccessError or UnavailableError.
        """
        values: dict[str, Any] = {}

        def keep(name: str, value: Any) -> str:
            values[name] = value
            return f"%({name})s"

        # A percent sign is psycopg's own.
        statement = fill(text.replace("%", "%%"), parameters, keep)
        login = access.source(self.country, "postgres")
        try:
            with psycopg.connect(
                login["url"],
                user=login.get("username"),  # none for a server that asks for none
                password=login.get("password"),
                connect_timeout=_CONNECT_SECONDS,
                application_name="storewatch-workbench",
            ) as connection:
                connection.read_only = True
                connection.adapters.register_loader("time", TextLoader)
                # For this transaction only, and not as options of the connection, which PgBouncer refuses.
                connection.execute(_SETTINGS, [f"{timeout * 1000:.0f}"])
                cursor = connection.cursor()
                # A stream is one statement by protocol, so no text can end the transaction and begin another. Closed, it
                # stops what the server still sends.
                with closing(cast(Generator[Any, None, None], cursor.stream(statement, values, size=_PAGE))) as stream:
                    rows = list(islice(stream, max_rows + 1))
                described = cursor.description or []
                types = [_type(connection, column.type_code) for column in described]
        except psycopg.Error as error:
            raise self._explained(error, urlsplit(login["url"]), timeout) from error
        found = frame([c.name for c in described], types, rows[:max_rows])
        found.attrs["is_cut"] = len(rows) > max_rows
        if found.attrs["is_cut"]:
            warnings.warn(cut(max_rows), stacklevel=2)
        return found

    def _explained(self, error: psycopg.Error, url: Any, timeout: float) -> StorewatchError:
        where = f"PostgreSQL of {self.country} at {url.hostname}:{url.port or 5432}"
        message = str(error).strip()
        match error:
            case psycopg.errors.QueryCanceled():
                return QueryError(
                    f"{where}: stopped after {timeout:g} seconds: filter more, or allow more by timeout=…"
                )
            case psycopg.errors.ReadOnlySqlTransaction():
                return QueryError(f"{where} can only be read here: {message}")
            case psycopg.errors.InsufficientPrivilege():
                return AccessError(f"{where}: you may not read that: {message}")
            case psycopg.errors.InvalidAuthorizationSpecification():
                return AccessError(f"{where} refuses the login of the workbench: ask an administrator")
            case psycopg.OperationalError() if not error.sqlstate:
                refused = "authentication failed" in message
                why = "refuses the login of the workbench" if refused else "does not answer, or was lost"
                kind = AccessError if refused else UnavailableError
                return kind(f"{where} {why}: try again, or ask an administrator")
            case psycopg.DataError() if not error.sqlstate:
                return QueryError(f"{where}: a value does not fit into Python, cast its column to text: {message}")
        return QueryError(f"{where}: {message}")


def _type(connection: psycopg.Connection[Any], code: int) -> str:
    known = connection.adapters.types.get(code)
    # An array is found by its elements' name.
    return known.name if known and known.oid == code else ""


def postgres(country: str) -> Postgres:
    """A country's PostgreSQL, such as `postgres("es").sql("select count(*) from stores")`.

    Raises AccessError if you may not reach it.
    """
    return Postgres(country)


def cut(max_rows: int) -> str:
    """The warning about an answer that is not whole."""
    return (
        f"Only the first {max_rows:,} rows were read, and there are more: filter, sum in the query, or give max_rows=…"
    )
