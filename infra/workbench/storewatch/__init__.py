"""The lake and its sources, for notebooks.

    from storewatch import availability, live_view, outages, plot, postgres, sql, worst

`sql` asks the lake; `availability`, `worst` and `outages` ask what is asked most; `postgres` and `live_view` read a country's
own sources, for those who may; `plot` draws. Each says in its docstring what it returns and raises.
"""

from . import plot
from .engine import sql
from .errors import AccessError, QueryError, ScanLimitError, StorewatchError, UnavailableError
from .lake import availability, countries, newest_day, newest_week, outages, shares, worst
from .live_view import live_view
from .postgres import postgres

__all__ = [
    "AccessError",
    "QueryError",
    "ScanLimitError",
    "StorewatchError",
    "UnavailableError",
    "availability",
    "countries",
    "live_view",
    "newest_day",
    "newest_week",
    "outages",
    "plot",
    "postgres",
    "shares",
    "sql",
    "worst",
]
