"""`postgres` in a notebook, against the stack's PostgreSQL."""

import re
import socket
from typing import Any

import psycopg
import pytest

from infra.local.servers.processes import wait_for
from tests.workbench.package.conftest import Sources
from tests.workbench.package.notebook import Notebook


def _rows(sources: Sources, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(sources.stack.postgres.conninfo(sources.place.database)) as connection:
        return connection.execute(query).fetchall()


def test_it_returns_the_rows_of_a_query(reader: Notebook, sources: Sources) -> None:
    ran = reader.run("result = postgres('es').sql('select id, name, city, timezone, active from stores order by id')")
    expected = _rows(sources, "select id, name, city, timezone, active from stores order by id")
    assert [tuple(row) for row in ran.result["rows"]] == expected and len(expected) >= 600
    assert ran.types == {"id": "Int64", "name": "str", "city": "str", "timezone": "str", "active": "boolean"}
    assert ran.warned == []


def test_types_do_not_depend_on_nulls(reader: Notebook) -> None:
    ran = reader.run("""
        import datetime
        from decimal import Decimal
        result = postgres("es").sql('''
            select null::int8 as whole, 1.5::numeric as money, 0.5::float4 as share, time '24:00' as midnight,
                date '2026-03-24' as date, timestamp '2026-03-24 01:02:03' as naive,
                timestamptz '2026-03-24 02:00+01' as instant, '{"a": [1]}'::jsonb as json, null::text as nothing,
                '00000000-0000-0000-0000-000000000001'::uuid as id, array[1, null] as list, null::bool as maybe
        ''')
        one = result.iloc[0]
        assert one["money"] == Decimal("1.5") and one["midnight"] == "24:00:00" and one["json"] == {"a": [1]}
        assert one["date"] == datetime.date(2026, 3, 24) and one["list"] == [1, None]
        assert one["instant"] == pd.Timestamp("2026-03-24 01:00", tz="UTC")
    """)
    named = ("whole", "share", "naive", "instant", "nothing", "id", "maybe", "money")
    kinds = ("Int64", "float64", "datetime64[us]", "datetime64[us, UTC]", "str", "str", "boolean", "object")
    assert {name: ran.types[name] for name in named} == dict(zip(named, kinds, strict=True))


def test_parameters_are_bound(reader: Notebook, sources: Sources) -> None:
    [(name, one), (_, other)] = _rows(sources, "select name, id from stores where active order by id limit 2")
    ran = reader.run(f"""
        stores = postgres("es")
        result = stores.sql("select name from stores where name = :name and id in (:ids) and name not like '%~%'",
                            name={name!r}, ids=[{one}, {other}])
        assert stores.sql("select :text::text as text", text="'; drop table stores --")["text"][0].startswith("';")
        assert stores.sql("select count(*) as n from stores where name like '%a%'")["n"][0] > 0
        assert stores.sql("select 7 % 4 as rest")["rest"][0] == 3
    """)
    assert ran.dicts == [{"name": name}]


def test_more_rows_than_allowed_are_cut_and_it_says_so(reader: Notebook) -> None:
    ran = reader.run("""
        result = postgres("es").sql("select id from stores order by id", max_rows=7)
        assert result.attrs["is_cut"]
    """)
    assert len(ran.dicts) == 7
    [warning] = ran.warned
    assert warning.startswith("Only the first 7 rows were read, and there are more")


def test_the_default_limit_is_ten_thousand_rows(reader: Notebook) -> None:
    ran = reader.run("""
        result = postgres("es").sql("select generate_series(1, 10001) as n")
        whole = postgres("es").sql("select generate_series(1, 10000) as n")
        assert len(whole) == 10000 and not whole.attrs["is_cut"]
    """)
    assert (len(ran.dicts), len(ran.warned)) == (10_000, 1)


def test_an_answer_that_is_cut_is_stopped_in_the_server(reader: Notebook, sources: Sources) -> None:
    ran = reader.run("result = postgres('es').sql('select generate_series(1, 100000000) as endless', max_rows=5)")
    assert [row["endless"] for row in ran.dicts] == [1, 2, 3, 4, 5]
    running = "select count(*) from pg_stat_activity where application_name = 'storewatch-workbench'"
    assert wait_for(lambda: _rows(sources, running) == [(0,)], seconds=10)


@pytest.mark.parametrize(
    "statement",
    [
        "delete from stores",
        "create table mine as select 1",
        "with gone as (delete from stores returning id) select * from gone",
    ],
)
def test_writing_is_refused_whatever_the_login_may(reader: Notebook, sources: Sources, statement: str) -> None:
    postgres = sources.stack.postgres
    before = _rows(sources, "select count(*) from stores")
    sources.grant("pt", postgres=sources.postgres(postgres.admin_user, postgres.admin_password))
    try:
        failure = reader.fail(f"postgres('pt').sql('{statement}')")
    finally:
        sources.revoke("pt")
    assert (failure.kind, failure.cause) == ("QueryError", "ReadOnlySqlTransaction")
    assert "can only be read here" in failure.message
    assert _rows(sources, "select count(*) from stores") == before


def test_a_text_with_two_statements_is_refused(reader: Notebook, sources: Sources) -> None:
    postgres = sources.stack.postgres
    before = _rows(sources, "select count(*) from stores")
    sources.grant("pt", postgres=sources.postgres(postgres.admin_user, postgres.admin_password))
    try:
        failure = reader.fail("postgres('pt').sql('select 1; commit; delete from stores')")
    finally:
        sources.revoke("pt")
    assert failure.kind == "QueryError" and "multiple commands" in failure.message
    assert _rows(sources, "select count(*) from stores") == before


def test_a_long_statement_is_stopped(reader: Notebook) -> None:
    failure = reader.fail("postgres('es').sql('select pg_sleep(30)', timeout=0.5)")
    assert (failure.kind, failure.cause) == ("QueryError", "QueryCanceled")
    assert "stopped after 0.5 seconds" in failure.message


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        ("postgres('es').sql('select nothing from stores')", "QueryError", 'column "nothing" does not exist'),
        ("postgres('es').sql('select :id')", "QueryError", "names :id, and no value is given for it"),
        ("postgres('es').sql('select * from pg_authid')", "AccessError", "you may not read that: permission denied"),
        (
            "postgres('es').sql(\"select 'infinity'::date\")",
            "QueryError",
            "does not fit into Python, cast its column to text",
        ),
        (
            "postgres('mx')",
            "AccessError",
            "You may not reach the PostgreSQL of 'mx', or there is none. You may reach sources of: es.",
        ),
        ("postgres('../es')", "StorewatchError", "country '../es': use its two small letters"),
    ],
)
def test_what_goes_wrong_is_a_sentence(reader: Notebook, call: str, kind: str, says: str) -> None:
    failure = reader.fail(call)
    assert failure.kind == kind
    assert says in failure.message and failure.shown == f"{kind}: {failure.message}", failure.message


def test_a_server_that_is_down_is_named_without_its_password(reader: Notebook, sources: Sources) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        login = sources.postgres("reader", "s3cret")
        sources.grant("pt", postgres=login | {"url": re.sub(r"localhost:\d+", f"localhost:{port}", login["url"])})
        try:
            failure = reader.fail("postgres('pt').sql('select 1')")
        finally:
            sources.revoke("pt")
    assert failure.kind == "UnavailableError" and f"PostgreSQL of pt at localhost:{port}" in failure.message
    assert "s3cret" not in failure.shown


def test_a_login_that_is_refused_says_so(reader: Notebook, sources: Sources) -> None:
    sources.grant("pt", postgres=sources.postgres(sources.place.role, "s3cret"))
    try:
        failure = reader.fail("postgres('pt').sql('select 1')")
    finally:
        sources.revoke("pt")
    assert failure.kind == "AccessError" and "refuses the login of the workbench" in failure.message
    assert "s3cret" not in failure.shown


def test_a_renewed_login_is_used_at_the_next_query(reader: Notebook, sources: Sources) -> None:
    sources.grant("pt", postgres=sources.postgres(sources.place.role, "old"))
    try:
        reader.run("import builtins; builtins.stores = postgres('pt')")
        assert reader.fail("stores.sql('select 1')").kind == "AccessError"
        sources.grant("pt", postgres=sources.postgres(sources.place.role, sources.place.password))
        assert reader.run("result = stores.sql('select 1 as one')").dicts == [{"one": 1}]
    finally:
        sources.revoke("pt")
    assert reader.fail("stores.sql('select 1')").kind == "AccessError"
