"""Trino lets nobody in without a password, and a user of the workbench only reads the lake."""

import http.client
import json
import secrets
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from infra.local.config import Stack
from infra.local.errors import StackError
from infra.local.servers import sql, trino
from infra.local.servers.processes import wait_for
from infra.local.servers.sql import Engine
from tests.harness.lakes import LONG, Bench, Lake

# The password file is read again every second.
SECONDS = 20
DENIED = "PERMISSION_DENIED"


@contextmanager
def user(stack: Stack, engine: Engine, prefix: str = "ana") -> Iterator[Engine]:
    """A user of the workbench."""
    name, password = f"{prefix}.{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    trino.set_password(stack, name, password)
    try:
        login = replace(engine, user=name, password=password)
        assert wait_for(lambda: may_log_in(login), SECONDS)
        yield login
    finally:
        trino.remove_user(stack, name)


def may_log_in(engine: Engine) -> bool:
    """Whether the engine takes the password."""
    try:
        sql.run(engine, "select 1")
    except sql.QueryError as error:
        assert error.name == "HTTP 401", error
        return False
    return True


@pytest.fixture(scope="module")
def analyst(stack: Stack, engine: Engine) -> Iterator[Engine]:
    """One of them."""
    with user(stack, engine) as login:
        yield login


def ask(engine: Engine, statement: str, database: str | None = None) -> list[list[object]]:
    """The rows."""
    return sql.run(engine, statement, catalog=trino.CATALOG, database=database).rows


def test_nobody_is_let_in_without_a_password_or_by_a_wrong_one(engine: Engine, analyst: Engine) -> None:
    for wrong in (replace(engine, password="wrong"), replace(analyst, password=engine.password)):
        assert not may_log_in(wrong)
    for path in ("/v1/statement", "/v1/query", "/v1/node", "/v1/jmx"):
        request = urllib.request.Request(f"{engine.url}{path}", headers={"X-Trino-User": engine.user})
        if path == "/v1/statement":
            request.data = b"select 1"
        with pytest.raises(urllib.error.HTTPError) as refused:
            engine.opener().open(request, timeout=30)
        assert refused.value.code == 401, path


def test_it_speaks_https_only_and_its_certificate_is_checked(engine: Engine) -> None:
    port = urlsplit(engine.url).port
    plain = http.client.HTTPConnection("localhost", port, timeout=30)
    plain.request("GET", "/v1/info")
    # It answers plain HTTP with an error of TLS or not at all.
    with pytest.raises((http.client.HTTPException, OSError)):
        plain.getresponse()
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=ssl.create_default_context())
        ).open(f"{engine.url}/v1/info", timeout=30)


def test_a_password_that_is_changed_or_taken_back_lets_in_no_more(stack: Stack, engine: Engine) -> None:
    with user(stack, engine) as login:
        trino.set_password(stack, login.user, "another")
        assert wait_for(lambda: may_log_in(replace(login, password="another")), SECONDS)
        assert not may_log_in(login)
        trino.remove_user(stack, login.user)
        assert wait_for(lambda: not may_log_in(replace(login, password="another")), SECONDS)
        assert may_log_in(engine)


@pytest.mark.parametrize("name", ["root", "storewatch", "analysts", "", "Ana", "a:b", "a\nb", ".*", "-"])
def test_a_name_of_the_stacks_own_or_one_that_is_none_is_refused(stack: Stack, name: str) -> None:
    with pytest.raises(StackError, match="name"):
        trino.set_password(stack, name, "x")
    with pytest.raises(StackError, match="name"):
        trino.remove_user(stack, name)


def test_settings_are_readable_by_their_owner_only(stack: Stack, analyst: Engine, engine: Engine) -> None:
    etc = stack.run_dir / trino.NAME / "etc"
    found = [file for file in etc.rglob("*") if file.is_file() and file.name != "passwords.lock"]
    assert {"password.db", "own.json", "config.properties"} <= {file.name for file in found}
    assert not [file for file in found if file.stat().st_mode & 0o077]
    assert analyst.password not in (etc / "password.db").read_text()
    for file in (stack.run_dir / "trino" / "tls").iterdir():
        assert file.suffix == ".pem"
        assert bool(file.stat().st_mode & 0o077) == (b"PRIVATE" not in file.read_bytes()), file
    assert engine.password not in repr(engine)


def test_an_analyst_reads_tables_and_views(analyst: Engine, sample_week: Lake) -> None:
    for name in ("store_availability", "worst_stores"):
        asked = f"select count(*) from {name}"
        assert ask(analyst, asked, sample_week.database) == sample_week.ask(asked).rows
        assert [name] in ask(analyst, "show tables", sample_week.database)
    assert ask(analyst, "select current_user") == [[analyst.user]]
    assert ask(analyst, "show catalogs") == [[trino.CATALOG], ["system"]]


@pytest.mark.parametrize(
    "statement",
    [
        "create table mine as select 1 as one",
        "insert into country_ticks (country) values ('es')",
        "delete from country_ticks",
        "drop table country_ticks",
        "drop view worst_stores",
        "create or replace view worst_stores as select 1 as one",
        "alter table country_ticks add column mine bigint",
        "create schema mine",
        "alter schema {database} rename to mine",
        "comment on table country_ticks is 'mine'",
        "create catalog mine using hive with (\"hive.metastore\" = 'glue')",
        f"drop catalog {trino.CATALOG}",
        "call system.flush_metadata_cache()",
        "call system.drop_stats('{database}', 'country_ticks')",
        "select * from system.runtime.nodes",
        "select * from system.runtime.tasks",
        "select * from system.metadata.catalogs",
        "set session query_max_scan_physical_bytes = '1TB'",
        "set session query_max_run_time = '30d'",
        f"set session {trino.CATALOG}.max_initial_split_size = '1GB'",
    ],
)
def test_an_analyst_changes_nothing_and_lifts_no_limit(analyst: Engine, bench: Bench, statement: str) -> None:
    with pytest.raises(sql.QueryError, match="Access Denied|Cannot|cannot") as refused:
        ask(analyst, statement.format(database=bench.database), bench.database)
    assert refused.value.name == DENIED, refused.value


def test_a_limit_is_not_lifted_by_a_header_either(analyst: Engine) -> None:
    headers = analyst.headers() | {"X-Trino-Session": "query_max_scan_physical_bytes=1TB"}
    request = urllib.request.Request(f"{analyst.url}/v1/statement", b"select 1", headers)
    while True:
        with analyst.opener().open(request, timeout=30) as answer:
            told = json.load(answer)
        if "nextUri" not in told:
            break
        request = urllib.request.Request(told["nextUri"], headers=headers)
    assert told["error"]["errorName"] == DENIED


@pytest.mark.parametrize("other", ["root", "storewatch", "analysts", "somebody"])
def test_an_analyst_asks_as_nobody_else(analyst: Engine, other: str) -> None:
    with pytest.raises(sql.QueryError, match="cannot impersonate") as refused:
        sql.run(analyst, "select 1", user=other)
    assert refused.value.name == DENIED


@pytest.mark.parametrize("own", ["root", "storewatch"])
def test_a_name_that_begins_as_one_of_the_stacks_own_has_none_of_its_rights(
    stack: Stack, engine: Engine, own: str
) -> None:
    with user(stack, engine, own) as login:
        with pytest.raises(sql.QueryError, match="Access Denied"):
            ask(login, "create catalog mine using hive with (\"hive.metastore\" = 'glue')")
        with pytest.raises(sql.QueryError, match="cannot impersonate"):
            sql.run(login, "select 1", user="analysts")
        asked = f"select distinct resource_group_id from system.runtime.queries where \"user\" = '{login.user}'"
        assert ask(login, f"{asked} and resource_group_id is not null") == [[["analysts", login.user]]]


def test_an_analyst_has_the_workgroups_scan_limit(analyst: Engine) -> None:
    (row,) = sql.run(analyst, "show session like 'query_max_scan_physical_bytes'").dicts
    assert row["Value"] == "100GB"


@contextmanager
def running(engine: Engine, logins: list[Engine]) -> Iterator[None]:
    """A long query of each login, ended afterwards."""
    with ThreadPoolExecutor(len(logins)) as pool:
        asked = [pool.submit(sql.run, login, LONG) for login in logins]
        try:
            assert wait_for(lambda: len(states(engine, logins)) == len(logins), 60)
            yield
        finally:
            deadline = time.monotonic() + 60
            while not all(one.done() for one in asked) and time.monotonic() < deadline:
                for number in queries(engine, logins):
                    kill(engine, number)
        for one in asked:
            with pytest.raises(sql.QueryError, match="done"):
                one.result()


def kill(engine: Engine, number: str) -> None:
    """Ends a query."""
    ask(engine, f"call system.runtime.kill_query(query_id => '{number}', message => 'done')")


def _listed(engine: Engine, logins: list[Engine], column: str) -> list[str]:
    names = ", ".join(f"'{login.user}'" for login in logins)
    rows = ask(
        engine,
        f"select {column} from system.runtime.queries where \"user\" in ({names}) and query like '%sequence(1, 1000)%' "
        "and query not like '%system.runtime%' and state not in ('FINISHED', 'FAILED')",
    )
    return sorted(str(row[0]) for row in rows)


def queries(engine: Engine, logins: list[Engine]) -> list[str]:
    """The ids of the logins' long queries, as one user sees them."""
    return _listed(engine, logins, "query_id")


def states(engine: Engine, logins: list[Engine]) -> list[str]:
    """Their states."""
    return _listed(engine, logins, "state")


def test_analysts_see_and_end_their_own_queries_and_no_others(stack: Stack, engine: Engine, analyst: Engine) -> None:
    with user(stack, engine) as other, running(engine, [analyst]):
        (number,) = queries(engine, [analyst])
        assert queries(analyst, [analyst]) == [number]
        assert queries(other, [analyst]) == []
        with pytest.raises(sql.QueryError, match="Access Denied|Cannot"):
            kill(other, number)
        for method, path in (("GET", f"/v1/query/{number}"), ("DELETE", f"/v1/query/{number}")):
            request = urllib.request.Request(f"{engine.url}{path}", headers=other.headers(), method=method)
            with pytest.raises(urllib.error.HTTPError) as refused:
                other.opener().open(request, timeout=30)
            assert refused.value.code == 403, method
        assert states(engine, [analyst]) == ["RUNNING"]
        kill(analyst, number)
        assert wait_for(lambda: queries(engine, [analyst]) == [], 30)


def test_an_analyst_runs_three_queries_at_once_and_all_of_them_six(stack: Stack, engine: Engine) -> None:
    with user(stack, engine) as one, user(stack, engine) as two, user(stack, engine) as three:
        with running(engine, [one] * 4):
            assert wait_for(lambda: states(engine, [one]) == ["QUEUED"] + ["RUNNING"] * 3, 30), states(engine, [one])
        everybody = [one, two, three]
        with running(engine, everybody * 3):
            assert wait_for(lambda: states(engine, everybody) == ["QUEUED"] * 3 + ["RUNNING"] * 6, 30)
            # The project's own do not wait for them.
            assert ask(engine, "select 1") == [[1]]
