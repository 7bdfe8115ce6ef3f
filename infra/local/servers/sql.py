"""Runs SQL on Trino over its HTTP protocol, and keeps its statistics of what was read.

Not the client on PyPI: this needs only rows, columns and statistics.
"""

import http.client
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from infra.local.errors import StackError

_USER = "analyst"
_TIMEOUT_SECONDS = 120
_START_SECONDS = 30
_POLL_SECONDS = 0.1


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
    url: str, statement: str, *, catalog: str | None = None, database: str | None = None, user: str = _USER
) -> Result:
    """Runs one statement to its end. Dates and timestamps become Python's; timestamps are UTC without a zone."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            return _run(url, statement, catalog, database, user)
        except QueryError as error:
            # For some seconds after its first answer, the engine knows no worker for a catalog's tables, although it is
            # one itself. Only a query on a table shows when that is over.
            if error.name != "NO_NODES_AVAILABLE" or time.monotonic() > deadline:
                raise
            time.sleep(_POLL_SECONDS)


def _run(url: str, statement: str, catalog: str | None, database: str | None, user: str) -> Result:
    headers = {
        "X-Trino-User": user,
        "X-Trino-Source": "storewatch",
        "X-Trino-Time-Zone": "UTC",
        # Without this, times come without their precision.
        "X-Trino-Client-Capabilities": "PARAMETRIC_DATETIME",
    }
    if catalog:
        headers["X-Trino-Catalog"] = catalog
    if database:
        headers["X-Trino-Schema"] = database
    request = urllib.request.Request(f"{url}/v1/statement", statement.strip().rstrip(";").encode(), headers)
    columns: list[Column] = []
    rows: list[list[Any]] = []
    while True:
        answer = _answer(request)
        if error := answer.get("error"):
            raise QueryError(error["errorName"], error["message"])
        columns = columns or [Column(found["name"], found["type"]) for found in answer.get("columns", [])]
        rows += answer.get("data", [])
        if "nextUri" not in answer:
            break
        # Not a busy loop: the engine holds its answer back until there is news.
        request = urllib.request.Request(answer["nextUri"], headers={"X-Trino-User": user})
    return Result(columns, [_typed(columns, row) for row in rows], answer["stats"])


def _answer(request: urllib.request.Request) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
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
