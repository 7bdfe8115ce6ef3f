"""The worked queries give the same answers as plain Python, and the page shows those answers."""

import argparse
import re
from pathlib import Path
from typing import Any

import pytest

from infra import schema, tables_page
from infra.local.commands import docs
from infra.local.commands.query import main as run_by_hand
from infra.local.servers.sql import Engine
from tests.e2e.conftest import Ticked
from tests.harness.lakes import Lake
from tests.harness.queries_oracle import ORACLES, Days, week_of
from tests.harness.views_oracle import is_near

QUERIES = {query.name: query for query in schema.queries()}
_DAY = r"day = '(\S+)'"
_WEEK = r"week = '(\S+)'"
_BETWEEN = r"day between '(\S+)' and '(\S+)'"


def about(statement: str, lake: Lake) -> tuple[str, Days]:
    """A query and the days it covers. For another lake than the one it was written for, with that lake's days."""
    if lake.day:
        first, last = week_of(lake.day)
        statement = re.sub(_DAY, f"day = '{lake.day}'", statement)
        statement = re.sub(_WEEK, f"week = '{first}'", statement)
        statement = re.sub(_BETWEEN, f"day between '{first}' and '{last}'", statement)
    day, week, between = (re.search(pattern, statement) for pattern in (_DAY, _WEEK, _BETWEEN))
    named = (between[1], between[2]) if between else (week[1], week[1]) if week else ("", "")
    return statement, Days(day[1] if day else "", named)


def is_same(query: str, found: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> bool:
    """Whether the rows agree, in order. Numbers are compared to the digit that the query rounds to."""
    within = 0.501 * 10 ** -min((int(digits) for digits in re.findall(r", (\d)\) as", QUERIES[query].sql)), default=9)
    return len(found) == len(expected) and all(
        len(row) == len(other) and all(is_near(*pair, within) for pair in zip(row, other, strict=True))
        for row, other in zip(found, expected, strict=True)
    )


def test_every_worked_query_has_an_oracle() -> None:
    assert QUERIES.keys() == ORACLES.keys()
    assert len(QUERIES) == 15


@pytest.mark.parametrize("query", QUERIES)
def test_a_worked_query_agrees_with_python(lake: Lake, query: str) -> None:
    statement, days = about(QUERIES[query].sql, lake)
    before = ORACLES[query](lake.tables, days)
    found = [tuple(row) for row in lake.ask(statement).rows]
    # If a slot has ended meanwhile, queries that count slots count one more.
    if not is_same(query, found, before):
        after = ORACLES[query](lake.tables, days)
        assert is_same(query, found, after), f"{found}\n{after}"


@pytest.mark.parametrize("query", QUERIES)
def test_a_worked_query_names_its_country_and_days(query: str) -> None:
    text = QUERIES[query].sql
    assert re.search(r"country (= '\w\w'|in \()", text)
    assert re.search(f"{_DAY}|{_WEEK}|{_BETWEEN}", text)


def test_the_page_shows_the_queries_results(sample_week: Lake) -> None:
    found = docs.run_queries(sample_week.engine, sample_week.database)
    assert tables_page.outputs() == {name: "\n".join(text.splitlines()) for name, text in found.items()}


def test_the_page_matches_the_schema() -> None:
    assert tables_page.problems() == []


def test_an_outdated_page_is_detected(tmp_path: Path) -> None:
    page = tmp_path / "tables.md"
    page.write_text(tables_page.PAGE.read_text().replace("start of the 15 minutes", "end of the 15 minutes", 1))
    assert tables_page.problems(page) != []
    page.write_text(
        re.sub(
            r"(<!-- output of 05\w+ -->\n\n```text\n).*?\n```",
            r"\1\n```",
            tables_page.PAGE.read_text(),
            flags=re.DOTALL,
        )
    )
    assert tables_page.problems(page) == ["docs/tables.md has no output of 05_online_out_of_hours: run `make docs`"]


def test_make_query_prints_the_rows_and_the_bytes_read(
    analysed: Ticked, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    del engine  # must run
    statement = "select outcome, count(*) as slots from country_ticks where country = 'mx' group by 1 order by 1"
    assert run_by_hand(argparse.Namespace(prefix=analysed.deployed.prefix, statement=statement)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == ["outcome   slots", "complete      1", "failed        1", "partial       2"]
    assert re.fullmatch(r"3 rows in [\d.]+ s, [\d,]+ bytes read", lines[-1])
