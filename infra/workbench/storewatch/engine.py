"""`sql`: the lake asked through its engine, Athena on AWS and Trino elsewhere."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from . import access
from .errors import QueryError, ScanLimitError, StorewatchError
from .frames import frame
from .parameters import fill, literal

MAX_ROWS = 1_000_000
TIMEOUT_SECONDS = 1800  # as Athena's own limit is
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


def sql(text: str, /, *, max_rows: int = MAX_ROWS, timeout: float = TIMEOUT_SECONDS, **parameters: Any) -> pd.DataFrame:
    """The rows of a query on the lake, and a printed line: rows, seconds, bytes read, and how many a query may read.

    `:name` in the query becomes the value of `name`, quoted; a list fits `day in (:days)`:

        sql("select * from availability_hourly where country = :country and day = :day", country="es", day="2026-03-24")

    Filter by country and by day, which are both text: only what they name is read. All times are UTC and without a zone
    (datetime64[us]). Whole numbers are Int64, shares float64, texts str, flags boolean, dates and decimals objects.
    Null is a missing value of each of these, and never 0.

    `timeout` is in seconds. Raises QueryError if the query is wrong, takes longer or has more than `max_rows` rows,
    ScanLimitError if it would read too much, AccessError for what you may not read, UnavailableError if the engine does
    not answer. A query that is interrupted is stopped in the engine too.
    """
    statement = fill(text, parameters, literal).strip().rstrip(";")
    match access.setting("STOREWATCH_ENGINE"):
        case "trino":
            from .on_trino import run
        case "athena":
            from .on_athena import run
        case other:
            raise StorewatchError(f"STOREWATCH_ENGINE is {other!r}: it must be trino or athena")
    answer = run(statement, max_rows, timeout)
    limit = f" (limit {size(answer.scan_limit)})" if answer.scan_limit else ""
    rows = "1 row" if len(answer.rows) == 1 else f"{len(answer.rows):,} rows"
    print(f"{rows} in {answer.seconds:.1f} s, {size(answer.bytes_read)} read{limit}")
    return frame(answer.names, answer.types, answer.rows)


def scan_limit_error(limit: int | None) -> ScanLimitError:
    """The refusal of a query that would read too much."""
    allowed = f"the {size(limit)} that a query may" if limit else "a query may"
    return ScanLimitError(
        f"The query was stopped because it would read more than {allowed}. Filter by country and day, as in "
        "country = 'es' and day between '2026-03-23' and '2026-03-29', and name only the columns that you need."
    )


def too_many_rows(max_rows: int) -> QueryError:
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
