"""Rows of an engine or a database as a data frame, whose types do not depend on which values are null."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import Any

import pandas as pd

# What is not here (dates, decimals, arrays) stays as Python's own objects, and null as None.
_TYPES = {
    **dict.fromkeys(("tinyint", "smallint", "integer", "int", "bigint", "int2", "int4", "int8", "oid"), "Int64"),
    **dict.fromkeys(("real", "float", "double", "float4", "float8"), "float64"),
    **dict.fromkeys(("boolean", "bool"), "boolean"),
    **dict.fromkeys(("varchar", "char", "string", "text", "bpchar", "name", "uuid"), "str"),
    "timestamp": "datetime64[us]",
    **dict.fromkeys(("timestamp with time zone", "timestamptz"), "datetime64[us, UTC]"),
}


def frame(names: Sequence[str], types: Iterable[str], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """A data frame of rows whose columns have these names, of which two may be equal, and SQL types."""
    columns = zip(*rows, strict=True) if rows else ((),) * len(names)
    made = pd.DataFrame(
        {place: _column(kind, values) for place, (kind, values) in enumerate(zip(types, columns, strict=True))}
    )
    made.columns = pd.Index(list(names), dtype="str")
    return made


def _column(kind: str, values: Sequence[Any]) -> pd.Series:
    wanted = _TYPES.get(re.sub(r"\(.*?\)", "", kind.lower()).strip(), "object")
    if wanted == "str":  # identifiers that a driver made objects of
        values = [value if value is None else str(value) for value in values]
    elif wanted.endswith("UTC]"):
        values = [value and value.astimezone(UTC) for value in values]
    return pd.Series(list(values), dtype=wanted)
