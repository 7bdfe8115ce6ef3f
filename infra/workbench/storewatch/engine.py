"""`sql`: the lake asked through its engine, Athena on AWS and Trino elsewhere."""

from typing import Any

import pandas as pd

from . import access
from .answer import size
from .errors import StorewatchError
from .frames import frame
from .parameters import fill, literal

MAX_ROWS = 1_000_000
# As long as Athena lets a query run: https://docs.aws.amazon.com/athena/latest/ug/service-limits.html
TIMEOUT_SECONDS = 1800


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
