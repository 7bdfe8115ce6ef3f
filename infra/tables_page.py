"""Writes docs/tables.md, the analysts' page, from the schema, so that page and catalog use the same text."""

import re
from collections.abc import Mapping
from pathlib import Path

from infra import schema

PAGE = schema.ROOT / "docs" / "tables.md"
_OUTPUT = re.compile(r"<!-- output of (\w+) -->\n\n```text\n(.*?)\n```\n", re.DOTALL)

_OPENING = """\
<!-- Written by `make docs` from infra/lake.yaml, infra/views and infra/queries: change those, and run it again. -->

# Tables, views and queries for analysts

Every 15 minutes, in every country, Storewatch compares each store's schedule with the live view that users see. This page
describes the tables that hold the answer, and how to query them.

**Where to ask.** In Athena, in the workgroup `<prefix>-analysts` and the database `storewatch`; the queries below are
saved there. Locally, `make query SQL="select …"` asks Trino, Athena's engine, over the local lake.

## Read this first

- **Filter by `country` and by `day`.** All tables and nearly all views are partitioned by them, both are text, and you pay
  only for what you name: `country = 'es' and day between '2026-03-23' and '2026-03-29'`. Compare `day` with text and
  without a function around it: otherwise the catalog is asked for every day there is.
- **Name the countries that you may read.** A query that touches another one is refused as a whole, not cut.
- **All times are UTC**, without a zone in their type. `day` is the day of the slot in UTC; only `local_date` and
  `local_hour` follow the store's own clock. A local day spans two days of UTC, so ask for one more `day` at either end,
  then filter by `local_date`.
- **A slot** is a quarter of an hour; `slot` is its start. A **store tick** is one store in one slot.
- **Availability** is available / (available + unavailable + unlisted), in ticks; *weighted*, it is the same in
  `scheduled_seconds`. Stores that are closed, unexpected, orphan or unknown are in neither part.
- **`unknown` is not offline.** Such a store could not be judged, and `reason` says why. Coverage is 1 - unknown / all
  stores of the schedule source. Look at coverage before you look at availability.
- **A missed slot has no rows**, so averages do not show it. `expected_slots` and `coverage_daily` do.
- **How much the unseen can matter**: `availability_low` and `availability_high` are the availability if all that was not
  seen (unknown, and missed slots of scheduled stores) had been bad, or good. To sum rows, sum `available`, the rest and
  `unseen`, then divide.
- **An outage** begins with a look in which a store is unavailable or unlisted after one in which it was available, and ends
  with the next one in which it is available. Closed time between does not end it and does not count. Its begin and end
  lie between two looks each, so its length has bounds too: at least, and at most. `outages_of` has each once.
- **Outages and missed slots are told once the day is compacted**, which is the next day. `down_now` is of the newest slot.
- **Never average shares**: sum the counts, then divide. And divide doubles: whole numbers divide to whole numbers.
- **By which schedule a store was judged** is in `store_schedules` and `judged_by` once the day is compacted, which is
  the next day. Until then they have no rows of the day, or null.
- **A day can be judged again**, by schedules that were corrected later. `schedule_as_of` of such rows is after the slot's
  end. `country_ticks` still says how the ticks went, so the two may then disagree.
- A store is looked at once per slot. What happens between two looks is not seen.
- A column that was added later is null in older rows.
"""


def render(outputs: Mapping[str, str]) -> str:
    """The whole page. `outputs` maps each query's name to its result."""
    parts = [_OPENING, "## Tables\n"]
    for table in schema.tables():
        parts.append(f"### {table.name}\n\n{table.description}\n")
        parts.append(_columns([*table.keys, *table.columns]))
    parts.append("## Views\n\nThey are in the same database and are asked like tables. None keeps rows of its own.\n")
    for view in schema.views():
        parts.append(f"### {view.name}\n\n{view.summary}\n\n{view.notes}\n")
        parts.append(_columns(view.columns))
    parts.append(
        "## Worked queries\n\nTheir results are of a fixed sample week, two countries with a few stores each"
        " (`infra/local/sample/week.py`).\nChange the country and the days to yours.\n"
    )
    for number, query in enumerate(schema.queries(), 1):
        output = f"<!-- output of {query.name} -->\n\n```text\n{outputs.get(query.name, '')}\n```\n"
        parts.append(f"### {number}. {query.title}\n\n{query.notes}\n\n```sql\n{query.sql}\n```\n\n{output}")
    return "\n".join(parts)


def outputs(page: Path = PAGE) -> dict[str, str]:
    """The results that the page shows now, by query name."""
    return dict(_OUTPUT.findall(page.read_text())) if page.exists() else {}


def problems(page: Path = PAGE) -> list[str]:
    """Where the page differs from the schema. The tests check the query results themselves."""
    shown = outputs(page)
    missing = [query.name for query in schema.queries() if not shown.get(query.name)]
    if missing:
        return [f"docs/tables.md has no output of {', '.join(missing)}: run `make docs`"]
    if page.read_text() != render(shown):
        return ["docs/tables.md does not match lake.yaml, infra/views and infra/queries: run `make docs`"]
    return []


def _columns(columns: list[schema.Column]) -> str:
    lines = ["| column | type | meaning | null |", "|---|---|---|---|"]
    for column in columns:
        meaning, null = _split(column.comment)
        lines.append(f"| `{column.name}` | {column.type} | {meaning} | {null} |")
    return "\n".join(line.replace("| |", "| |") for line in lines) + "\n"


def _split(comment: str) -> tuple[str, str]:
    """Splits `what it is; null: why` in two. A comment that does not mention null means never null."""
    match = re.fullmatch(r"(?:(.*?); )?(?:null: (.*)|never null)", comment)
    meaning, null = (match[1] or "", match[2] or "never") if match else (comment, "never")
    return meaning.replace("|", "\\|"), null.replace("|", "\\|")
