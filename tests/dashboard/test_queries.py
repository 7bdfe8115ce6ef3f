"""What reaches the engine: right numbers, only the partitions that are needed, and one query for many viewers."""

import json
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import pytest

from infra.dashboard import files, tables
from tests.dashboard.conftest import Shown, query

VIEWERS = 12
DATASETS = {**tables.datasets(), **files.load().datasets}


def test_the_countries_of_the_latest_slot_have_the_numbers_of_the_lake(shown: Shown) -> None:
    asked = query(
        shown, "latest_slot", columns=["country", "slot"], metrics=["availability", "coverage", "down"], force=True
    )
    rows = shown.client("viewer").post("chart/data", asked | _on_chart(shown, "Countries now"))["result"][0]["data"]
    expected = shown.lake.ask(
        """
        select country, slot, cast(sum(available) as double) / nullif(sum(available + unavailable + unlisted), 0) as availability,
            1e0 - cast(sum(unknown) as double) / sum(stores) as coverage, sum(unavailable + unlisted) as down
        from availability_by_city
        where (country, slot) in (select country, max(slot) from availability_by_city group by country)
        group by country, slot
        """
    )
    assert len(expected) == 2
    assert sorted(rows, key=str) == sorted([row | {"slot": _milliseconds(row["slot"])} for row in expected], key=str)


@pytest.mark.parametrize("name", [name for name, found in DATASETS.items() if "day" in found.columns])
def test_a_dataset_reads_the_days_of_its_time_range_and_no_others(shown: Shown, name: str) -> None:
    today = shown.lake.end - timedelta(microseconds=1)
    monday = datetime(today.year, today.month, today.day) - timedelta(days=3)
    # A whole number of days; an end within today; none.
    ranges = {
        f"{monday:%Y-%m-%dT00:00:00} : {monday + timedelta(days=2):%Y-%m-%dT00:00:00}": 2,
        f"{monday:%Y-%m-%dT06:00:00} : {today:%Y-%m-%dT%H:%M:%S}": 4,
        "No filter": None,
    }
    dataset = DATASETS[name]
    for text, count in ranges.items():
        read = days_read(shown, statement(shown, name, text, dataset.main_dttm_col))
        follows = count and "from_dttm" in dataset.template  # else it looks at the last days, whatever the range
        # What is compared reads as many days again, those before.
        before = count or 0 if "${twice" in dataset.sql else 0
        most = max(7, _most_days(dataset.sql))
        first, end = (-before, count or 0) if follows else (4 - most, 4)
        wanted = {f"{monday + timedelta(days=n):%Y-%m-%d}" for n in range(first, end)}
        for table, days in read:
            assert days <= wanted
            if follows:
                assert days == wanted & partitions(shown, table)
            else:
                assert (f"{today:%Y-%m-%d}" in days) == (f"{today:%Y-%m-%d}" in partitions(shown, table))


def _most_days(sql: str) -> int:
    """How many days a dataset reads if nobody chooses a time."""
    days = [int(count) * (1 + (kind == "twice")) for kind, count in re.findall(r"(days|recent|twice) (\d+)", sql)]
    # Hours begin within a day.
    hours = [int(count) + int(before or 0) for count, before in re.findall(r"hours (\d+)(?: -(\d+))?", sql)]
    return max([*days, *(ceil(count / 24) + 1 for count in hours)], default=0)


def test_many_viewers_who_look_at_once_are_one_query(shown: Shown) -> None:
    mark = uuid.uuid4().hex
    filters = [{"col": "city", "op": "!=", "val": mark}]
    asked = query(shown, "latest_slot", chart="Countries now", columns=["country"], filters=filters)
    viewers = [shown.client("viewer") for _ in range(VIEWERS)]
    with ThreadPoolExecutor(VIEWERS) as pool:
        answers = list(pool.map(lambda viewer: viewer.post("chart/data", asked), viewers))
    assert {str(answer["result"][0]["data"]) for answer in answers} == {str(answers[0]["result"][0]["data"])}
    assert len(answers[0]["result"][0]["data"]) == 2
    assert _asked(shown, mark) == 1


def test_a_query_that_fails_holds_nobody_up(shown: Shown) -> None:
    """Each viewer is told of the failure itself, and none waits for one who does not answer any more."""
    mark = uuid.uuid4().hex
    # The division fails while it runs, not while it is planned.
    broken = {"label": "x", "expressionType": "SQL", "sqlExpression": f"sum(1 / (length('{mark}') - 32))"}
    asked = query(shown, "latest_slot", chart="Countries now", metrics=[broken])
    client = shown.client("viewer")
    for number in (1, 2):
        answer = _failure(client, asked)
        assert "Division by zero" in answer
        assert _asked(shown, mark) == number


def _failure(client: Any, asked: dict[str, Any]) -> str:
    from infra.errors import DeployError

    with pytest.raises(DeployError) as failure:
        client.post("chart/data", asked)
    return str(failure.value)


def _asked(shown: Shown, mark: str) -> int:
    """How many queries with the mark the engine has run for the dashboard."""
    rows = shown.lake.ask(
        f"""select count(*) as queries from system.runtime.queries
        where "user" = 'storewatch' and query like '%{mark}%'"""
    )
    return int(rows[0]["queries"])


def _on_chart(shown: Shown, chart: str) -> dict[str, Any]:
    return {"form_data": query(shown, "latest_slot", chart=chart)["form_data"]}


def _milliseconds(instant: datetime) -> float:
    return (instant - datetime(1970, 1, 1)).total_seconds() * 1000


def statement(shown: Shown, dataset: str, time_range: str, column: str | None) -> str:
    """The SQL that Superset writes for a dataset and a time range."""
    filters = [{"col": column, "op": "TEMPORAL_RANGE", "val": time_range}] if column else []
    wanted: dict[str, Any] = {"columns": ["country"], "filters": filters}
    if not column:
        wanted["time_range"] = time_range
    asked = query(shown, dataset, **wanted) | {"result_type": "query"}
    return str(shown.client("admin").post("chart/data", asked)["result"][0]["query"])


def days_read(shown: Shown, statement: str) -> list[tuple[str, set[str]]]:
    """The days that a plan reads of each table; none of a table that has no partitions there."""
    plan = json.loads(next(iter(shown.lake.ask(f"explain (type io, format json) {statement}")[0].values())))
    scans = [(one["table"]["schemaTable"]["table"], one) for one in plan["inputTableColumnInfos"]]
    # The list of partitions is no data: the catalog holds it.
    read = [(table, _days_of(one)) for table, one in scans if "$" not in table]
    # outages_of looks for later rows of open outages, and learns which days these have once the query runs.
    later = max((one for one in read if one[0] == "outages"), key=lambda one: len(one[1]), default=None)
    return [one for one in read if not ("outages_of" in statement and one is later)]


def partitions(shown: Shown, table: str) -> set[str]:
    """The days that the lake has of a table."""
    return {row["day"] for row in shown.lake.ask(f'select distinct day from "{table}$partitions"')}


def _days_of(table: dict[str, Any]) -> set[str]:
    constraints = {one["columnName"]: one["domain"]["ranges"] for one in table["constraint"]["columnConstraints"]}
    name = table["table"]["schemaTable"]["table"]
    assert "day" in constraints, f"every day of {name} is read"
    for one in constraints["day"]:
        assert one["low"].get("value") == one["high"].get("value"), f"{name} is read by open days: {one}"
    return {one["low"]["value"] for one in constraints["day"]}
