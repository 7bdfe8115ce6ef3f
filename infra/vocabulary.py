"""The names that the functions write, read from vocabulary.json. A Rust test checks that file against the code."""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("vocabulary.json")
_CONTENT: dict[str, Any] = json.loads(FILE.read_text())

# In the order of the columns of availability_by_city.
STATUSES: tuple[str, ...] = tuple(status["name"] for status in _CONTENT["statuses"])
# Statuses that count for availability.
RATED: tuple[str, ...] = tuple(status["name"] for status in _CONTENT["statuses"] if status["is_rated"])
OUTCOMES: tuple[str, ...] = tuple(_CONTENT["outcomes"])
ERRORS: frozenset[str] = frozenset(error["name"] for error in _CONTENT["errors"])
# Errors that would happen again with the same event and configuration.
NEVER_RETRIED: frozenset[str] = frozenset(error["name"] for error in _CONTENT["errors"] if not error["is_retryable"])
# Table name -> (column name, type in the Glue catalog), without the partition keys.
COLUMNS: dict[str, list[tuple[str, str]]] = {
    table["name"]: [(column["name"], column["type"]) for column in table["columns"]] for table in _CONTENT["tables"]
}
# Tables that get a file from every tick. The others appear once a day is compacted.
TICKED_TABLES: tuple[str, ...] = tuple(table["name"] for table in _CONTENT["tables"] if table["is_ticked"])
SLOT_SECONDS: int = _CONTENT["slot_seconds"]
# How long a country tick observes, counted from its start.
OBSERVING_SECONDS: int = _CONTENT["observing_seconds"]
# How late in its slot a country may look, and how long it then observes at least.
LATEST_LOOK_SECONDS: int = _CONTENT["latest_look_seconds"]
OBSERVING_AFTER_LOOK_SECONDS: int = _CONTENT["observing_after_look_seconds"]
