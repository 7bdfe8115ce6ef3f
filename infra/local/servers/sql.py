"""Runs SQL on Trino over its HTTP protocol, and keeps its statistics of what was read.

Not the client on PyPI: this needs only rows, columns and statistics.
"""

import base64
import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from infra.local.errors import StackError

_TIMEOUT_SECONDS = 120
_START_SECONDS = 30
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Engine:
    """An engine, and a login to it. Its certificate is checked against `ca`."""

    url: str
    ca: Path
    user: str
    password: str = field(repr=False)

    def opener(self) -> urllib.request.OpenerDirector:
        """Asks it directly, whatever proxy the environment names."""
        context = ssl.create_default_context(cafile=str(self.ca))
        return urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def headers(self, user: str | None = None) -> dict[str, str]:
        """Those of every request. A user other than the own must be allowed to this one."""
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return {"Authorization": f"Basic {login}", "X-Trino-User": user or self.user}


@dataclass(frozen=True)
class Column:
    """A column of a result, with its type as Trino writes it."""

    name: str
    type: str


@dataclass(frozen=True)
class Result:
    """The outcome of a statement."""

    columns: list[Column]
    rows: list[list[Any]]
    stats: dict[str, Any]

    @property
    def dicts(self) -> list[dict[str, Any]]:
        """The rows, as dictionaries by column name."""
        return [{column.name: value for column, value in zip(self.columns, row, strict=True)} for row in self.rows]


class QueryError(StackError):
    """The engine refused a statement, or the statement failed."""

    def __init__(self, name: str, message: str):
        super().__init__(f"{name}: {message}")
        self.name = name


def run(
    engine: Engine, statement: str, *, catalog: str | None = None, database: str | None = None, user: str | None = None
) -> Result:
    """Runs one statement to its end. Dates and timestamps become Python's; timestamps are UTC without a zone."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            return _run(engine, statement, catalog, database, user)
        except QueryError as error:
            # For some seconds after its first answer, the engine knows no worker for a catalog's tables, although it is
            # one itself. Only a query on a table shows when that is over.
            if error.name != "NO_NODES_AVAILABLE" or time.monotonic() > deadline:
                raise
            time.sleep(_POLL_SECONDS)


def _run(engine: Engine, statement: str, catalog: str | None, database: str | None, user: str | None) -> Result:
    headers = {
        **engine.headers(user),
        "X-Trino-Source": "storewatch",
        "X-Trino-Time-Zone": "UTC",
        # Without this, times come without their precision.
        "X-Trino-Client-Capabilities": "PARAMETRIC_DATETIME",
    }
    if catalog:
        headers["X-Trino-Catalog"] = catalog
    if database:
        headers["X-Trino-Schema"] = database
    opener = engine.opener()
    request = urllib.request.Request(f"{engine.url}/v1/statement", statement.strip().rstrip(";").encode(), headers)
    columns: list[Column] = []
    rows: list[list[Any]] = []
    while True:
        answer = _answer(opener, request)
        if error := answer.get("error"):
            raise QueryError(error["errorName"], error["message"])
        columns = columns or [Column(found["name"], found["type"]) for found in answer.get("columns", [])]
        rows += answer.get("data", [])
        if "nextUri" not in answer:
            break
        # Not a busy loop: the engine holds its answer back until there is news.
        request = urllib.request.Request(answer["nextUri"], headers=engine.headers(user))
    return Result(columns, [_typed(columns, row) for row in rows], answer["stats"])


def _answer(opener: urllib.request.OpenerDirector, request: urllib.request.Request) -> dict[str, Any]:
    try:
        with opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise QueryError(f"HTTP {error.code}", f"{request.full_url} answers {error.read(500)!r}") from None
    except http.client.HTTPException as error:
        raise QueryError("HTTP", f"{request.full_url}: {error!r}") from None


def _typed(columns: list[Column], row: list[Any]) -> list[Any]:
    return [_value(column.type, value) for column, value in zip(columns, row, strict=True)]


def _value(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "date":
        return date.fromisoformat(value)
    if kind.startswith("timestamp(") and "zone" not in kind:
        return datetime.fromisoformat(value)
    if kind == "double" and isinstance(value, str):  # NaN and Infinity, which JSON lacks
        return float(value)
    return value
