"""`sql` in a notebook, against the engine."""

import re
import socket
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from infra.local.config import Stack
from infra.local.servers.processes import wait_for
from infra.local.servers.sql import Engine
from tests.harness.lakes import Lake
from tests.workbench.package.conftest import over
from tests.workbench.package.notebook import Notebook, opened

_MANY = ", ".join(f"store_availability as t{number}" for number in range(5))
# The engine's own limit is too high to reach with a small lake. Only the engine's root may set another one.
_WITH_LIMIT = """
from storewatch import on_trino
connect = on_trino.trino.dbapi.connect
on_trino.trino.dbapi.connect = lambda **settings: connect(
    **settings, session_properties={"query_max_scan_physical_bytes": "1kB"}
)
# The engine looks at what was read once a second, so the query takes longer.
sql("select count(*) from store_availability as a, store_availability as b where a.reason < b.name || a.name")
"""


@pytest.mark.smoke
def test_a_query_returns_the_lakes_rows(notebook: Notebook, lake: Lake) -> None:
    ran = notebook.run("""
        result = sql("select slot, outcome, stores, coverage, error from country_ticks where country = :c and day = :d",
                     c="mx", d="2026-03-25").sort_values("slot")
    """)
    expected = [row for row in lake.tables["country_ticks"] if (row["country"], row["day"]) == ("mx", "2026-03-25")]
    found = [row | {"slot": row["slot"][:19]} for row in ran.dicts]
    names = ("outcome", "stores", "coverage", "error")
    wanted = [{"slot": row["slot"].isoformat()} | {name: row[name] for name in names} for row in expected]
    assert found == sorted(wanted, key=lambda row: row["slot"])
    assert any(row["stores"] is None for row in found) and any(row["stores"] == 10 for row in found)


def test_it_shows_rows_seconds_bytes_and_the_limit(notebook: Notebook) -> None:
    printed = notebook.run("sql(\"select * from country_ticks where country = 'mx' and day = '2026-03-25'\")").printed
    assert re.fullmatch(r"92 rows in \d+\.\d s, [\d.]+ kB read \(limit 100 GB\)\n", printed)


def test_types_do_not_depend_on_nulls(notebook: Notebook) -> None:
    columns = (
        "cast(null as bigint) as whole, cast(1 as tinyint) as small, cast(1.5 as decimal(10, 2)) as money, "
        "date '2026-03-24' as date, timestamp '2026-03-24 01:02:03.123456' as naive, cast(null as timestamp(3)) as never, "
        "timestamp '2026-03-24 02:00:00 Europe/Madrid' as instant, cast(null as varchar) as nothing, 'x' as text, "
        "true as yes, cast(null as boolean) as maybe, nan() as undefined, 0.25e0 as share, array[1, null] as list"
    )
    ran = notebook.run(f"""
        from decimal import Decimal
        import datetime
        found = sql("select {columns} union all select {columns}")
        result = found
        one = found.iloc[0]
        assert one["money"] == Decimal("1.50") and isinstance(one["money"], Decimal)
        assert one["date"] == datetime.date(2026, 3, 24)
        assert one["naive"] == pd.Timestamp("2026-03-24 01:02:03.123456")
        assert one["instant"] == pd.Timestamp("2026-03-24 01:00", tz="UTC")
        assert one["list"] == [1, None]
        assert list(found.columns[found.isna().all()]) == ["whole", "never", "nothing", "maybe", "undefined"]
    """)
    assert ran.types == {
        "whole": "Int64",
        "small": "Int64",
        "money": "object",
        "date": "object",
        "naive": "datetime64[us]",
        "never": "datetime64[us]",
        "instant": "datetime64[us, UTC]",
        "nothing": "str",
        "text": "str",
        "yes": "boolean",
        "maybe": "boolean",
        "undefined": "float64",
        "share": "float64",
        "list": "object",
    }


def test_an_empty_result_keeps_its_columns_and_types(notebook: Notebook) -> None:
    ran = notebook.run(
        "result = sql(\"select slot, stores from country_ticks where country = 'zz' and day = '2026-03-25'\")"
    )
    assert (ran.types, ran.dicts) == ({"slot": "datetime64[us]", "stores": "Int64"}, [])


def test_two_columns_may_have_one_name(notebook: Notebook) -> None:
    assert notebook.run("result = sql('select 1 as a, 2 as a')").result["rows"] == [[1, 2]]


def test_parameters_arrive_as_they_are(notebook: Notebook) -> None:
    notebook.run("""
        import datetime, numpy as np
        from decimal import Decimal
        given = {
            "quoted": "O'Brien", "injected": "x' or '1'='1", "comment": "-- :no /*", "colon": ":quoted", "snow": "Öl ☃",
            "whole": 7, "negative": -7, "large": 2**60, "numpy": np.int64(5), "share": 0.1, "tiny": -1e-300, "none": None,
            "gone": pd.NA, "yes": True, "numpy_no": np.bool_(False), "money": Decimal("-12.30"),
            "date": datetime.date(2026, 3, 24), "time": datetime.datetime(2026, 3, 24, 1, 2, 3, 456),
            "stamp": pd.Timestamp("2026-03-24 02:00", tz="Europe/Madrid"),
        }
        one = sql("select " + ", ".join(f":{name} as {name}" for name in given), **given).iloc[0]
        expected = given | {"gone": None, "stamp": pd.Timestamp("2026-03-24 01:00")}
        for name, value in expected.items():
            assert (one[name] is None or pd.isna(one[name])) if value is None else one[name] == value, (name, one[name])
    """)


def test_a_list_is_every_value_of_it(notebook: Notebook) -> None:
    ran = notebook.run("""
        days = pd.Series(["2026-03-24", "2026-03-25"])
        result = sql("select distinct day from country_ticks where country = 'es' and day in (:days) order by 1", days=days)
    """)
    assert ran.dicts == [{"day": "2026-03-24"}, {"day": "2026-03-25"}]


def test_names_in_texts_and_comments_are_no_parameters(notebook: Notebook) -> None:
    ran = notebook.run("""result = sql("select ':a' as one, :a - :a /* :b */ as two -- :c", a=-3)""")
    assert ran.dicts == [{"one": ":a", "two": 0}]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("sql('select :day')", "names :day, and no value is given for it: add day=…"),
        ("sql('select 1', day='2026-03-24')", "does not name :day"),
        ("sql('select :days', days=[])", "days is an empty list"),
        ("sql('select :x', x={})", r"parameter x is \{\} \(dict\): use text, numbers"),
        ('sql("select \'x, :y", y=1)', "has a ' without its end"),
        ("sql('select nothing from country_ticks')", "line 1:8: Column 'nothing' cannot be resolved"),
        ("sql('selec 1')", "mismatched input 'selec'"),
        ("sql('select * from no_table')", "no_table' does not exist"),
        (
            "sql('select * from country_ticks where day = :d', d=pd.Timestamp('2026-03-24').date())",
            "varchar = date .day is text in the lake: give it as '2026-03-24'",
        ),
        ("sql('select * from country_ticks', max_rows=5)", "more than 5 rows.*max_rows="),
    ],
)
def test_a_wrong_query_says_what_to_do(notebook: Notebook, call: str, says: str) -> None:
    failure = notebook.fail(call)
    assert failure.kind == "QueryError"
    assert re.search(says, failure.message), failure.message


def test_a_failure_shows_its_message_alone_and_keeps_its_cause(notebook: Notebook) -> None:
    failure = notebook.fail("sql('select nothing from country_ticks')")
    assert failure.cause == "TrinoUserError"
    assert failure.shown == f"QueryError: {failure.message}"
    assert "\n" not in failure.message and "query_id" not in failure.message and "io.trino" not in failure.message


def test_a_query_that_reads_too_much_is_told_to_name_country_and_day(python: str, lake: Lake, tmp_path: Path) -> None:
    with opened(python, over(lake.engine, lake.database, tmp_path)) as notebook:
        failure = notebook.fail(_WITH_LIMIT)
    assert (failure.kind, failure.cause) == ("ScanLimitError", "TrinoQueryError")
    assert "would read more than the 1 kB that a query may. Filter by country and day" in failure.message


def test_a_user_cannot_lift_the_limit(notebook: Notebook) -> None:
    failure = notebook.fail("""
        from storewatch import on_trino
        connection = on_trino._connect()
        cursor = connection.cursor()
        cursor.execute("set session query_max_scan_physical_bytes = '1PB'")
        cursor.fetchall()
    """)
    assert "Access Denied" in failure.message


@pytest.mark.parametrize("statement", ["delete from country_ticks", "create table mine as select 1 as one"])
def test_the_lake_is_only_read(notebook: Notebook, statement: str) -> None:
    failure = notebook.fail(f"sql('{statement}')")
    assert (failure.kind, failure.cause) == ("AccessError", "TrinoUserError")
    assert "You may not do all that the query says: Access Denied" in failure.message


def test_a_login_that_is_refused_says_so(python: str, analyst: Engine, lake: Lake, tmp_path: Path) -> None:
    with opened(python, over(replace(analyst, password="s3cret"), lake.database, tmp_path)) as notebook:
        failure = notebook.fail("sql('select 1')")
    assert failure.kind == "AccessError" and "refuses your login" in failure.message
    assert "s3cret" not in failure.shown


def test_a_certificate_that_is_not_trusted_gets_no_password(
    python: str, stack: Stack, analyst: Engine, lake: Lake, tmp_path: Path
) -> None:
    other = Path(stack.postgres.ca_file)
    with opened(python, over(replace(analyst, ca=other), lake.database, tmp_path)) as notebook:
        failure = notebook.fail("sql('select 1')")
    assert failure.kind == "UnavailableError" and "its certificate is not trusted" in failure.message


def test_a_query_that_takes_too_long_is_stopped(notebook: Notebook, lake: Lake) -> None:
    mark = uuid.uuid4().hex
    failure = notebook.fail(f"sql('select count(*) /* {mark} */ from {_MANY}', timeout=1)")
    assert (failure.kind, "stopped after 1 seconds" in failure.message) == ("QueryError", True)
    assert wait_for(lambda: _states(lake, mark) == {"FAILED"}, seconds=10)


def test_a_query_that_is_interrupted_stops_in_the_engine(notebook: Notebook, lake: Lake) -> None:
    mark = uuid.uuid4().hex
    # As the Stop button does: SIGINT in the middle of the query.
    failure = notebook.fail(f"""
        import os, signal, threading
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, if the tests run in the background
        threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
        sql('select count(*) /* {mark} */ from {_MANY}')
    """)
    assert failure.kind == "KeyboardInterrupt"
    assert wait_for(lambda: _states(lake, mark) == {"FAILED"}, seconds=10)


def test_an_engine_that_is_down_is_named(python: str, settings: dict[str, str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"{settings['STOREWATCH_TRINO_URL'].rpartition(':')[0]}:{free.getsockname()[1]}"
        with opened(python, settings | {"STOREWATCH_TRINO_URL": url}) as notebook:
            failure = notebook.fail("sql('select 1')")
    assert failure.kind == "UnavailableError"
    assert failure.message.startswith(f"Trino at {url} does not answer")


def test_without_the_workbenchs_settings_it_says_so(python: str) -> None:
    with opened(python, {}) as notebook:
        assert "STOREWATCH_ENGINE is not set" in notebook.fail("sql('select 1')").message
    with opened(python, {"STOREWATCH_ENGINE": "presto"}) as notebook:
        assert "must be trino or athena" in notebook.fail("sql('select 1')").message


def _states(lake: Lake, comment: str) -> set[str]:
    """The states of queries whose text has a comment."""
    found = lake.ask(f"select state from system.runtime.queries where query like 'select count(%/* {comment} */%' ")
    return {row[0] for row in found.rows}
