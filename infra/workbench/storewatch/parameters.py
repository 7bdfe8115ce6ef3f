"""Named parameters of SQL: `:country` outside of quotes and comments becomes a value that cannot change the query."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from .errors import QueryError

_PARTS = re.compile(
    r"""
      '(?:[^']|'')*'              # a text
    | "(?:[^"]|"")*"              # a quoted name
    | --[^\n]* | /\*.*?\*/        # comments
    | (?P<open> ['"] | /\*)       # one that has no end
    | ::                          # a cast, in PostgreSQL
    | :(?P<name>[A-Za-z_]\w*)
    """,
    re.VERBOSE | re.DOTALL,
)


def fill(text: str, parameters: Mapping[str, Any], write: Callable[[str, Any], str]) -> str:
    """The query with each `:name` replaced by what `write(name, value)` returns.

    A list is written with commas, for `day in (:days)`.
    """
    used = set()

    def replaced(part: re.Match[str]) -> str:
        if part["open"]:
            raise QueryError(f"the query has a {part['open']} without its end: {text[part.start() :][:40]!r}")
        name = part["name"]
        if name is None:
            return part[0]
        if name not in parameters:
            raise QueryError(f"the query names :{name}, and no value is given for it: add {name}=…")
        used.add(name)
        value = parameters[name]
        if not isinstance(value, list | tuple | set | frozenset | np.ndarray | pd.Series | pd.Index):
            return write(name, _plain(name, value))
        if len(value) == 0:
            raise QueryError(f"parameter {name} is an empty list, and SQL has none: leave the condition out")
        return ", ".join(write(f"{name}_{place}", _plain(name, one)) for place, one in enumerate(value))

    filled = _PARTS.sub(replaced, text)
    if unused := sorted(set(parameters) - used):
        raise QueryError(f"the query does not name :{', :'.join(unused)}: write it there, or leave the value out")
    return filled


def literal(_: str, value: Any) -> str:
    """A value as Trino and Athena write it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int():
            return str(value) if value >= 0 else f"({value})"  # two dashes would begin a comment
        case float():
            return f"double '{value}'"
        case Decimal():
            return f"decimal '{value:f}'"
        case datetime():
            return f"timestamp '{value.isoformat(' ', 'microseconds')}'"
        case date():
            return f"date '{value}'"
        case _:
            return "'" + value.replace("'", "''") + "'"


def _plain(name: str, value: Any) -> Any:
    """The value as one of Python's own types. Instants become UTC without a zone, as the lake has them."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if isinstance(value, pd.Timestamp):
        value = value.to_pydatetime()
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bool | date | str) or (isinstance(value, Decimal) and value.is_finite()):
        return value
    raise QueryError(
        f"parameter {name} is {value!r} ({type(value).__name__}): use text, numbers, dates or lists of them"
    )
