"""What an engine answers, and the refusals that both engines share."""

from dataclasses import dataclass
from typing import Any

from .errors import QueryError, ScanLimitError

CATALOG = "awsdatacatalog"


@dataclass(frozen=True)
class Answer:
    """What an engine returns."""

    names: list[str]
    types: list[str]
    rows: list[Any]
    seconds: float
    bytes_read: int
    scan_limit: int | None  # None if it cannot be told


def fetch(cursor: Any, page: int, max_rows: int) -> list[Any]:
    """All rows of a cursor, `page` at a time. Refuses more than `max_rows`, since a part would be a wrong answer."""
    rows: list[Any] = []
    while found := cursor.fetchmany(page):
        rows += found
        if len(rows) > max_rows:
            raise _too_many_rows(max_rows)
    return rows


def scan_limit_error(limit: int | None) -> ScanLimitError:
    """The refusal of a query that would read too much."""
    allowed = f"the {size(limit)} that a query may" if limit else "a query may"
    return ScanLimitError(
        f"The query was stopped because it would read more than {allowed}. Filter by country and day, as in "
        "country = 'es' and day between '2026-03-23' and '2026-03-29', and name only the columns that you need."
    )


def _too_many_rows(max_rows: int) -> QueryError:
    """The refusal of a result that is too large."""
    return QueryError(
        f"The result has more than {max_rows:,} rows, which may fill your server's memory. Sum in the query (group by), "
        "filter more, or allow more by max_rows=…"
    )


def too_long(timeout: float) -> QueryError:
    """The end of a query that takes too long."""
    return QueryError(f"The query was stopped after {timeout:g} seconds: filter more, or allow more by timeout=…")


def size(count: float) -> str:
    """Bytes as people read them, 1024 to the next unit as AWS counts."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1024:
            break
        count /= 1024
    else:
        unit = "TB"
    return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}".replace(".0 ", " ")
