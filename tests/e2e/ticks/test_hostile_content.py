"""Sources may hold anything. Text that looks like SQL, a path, a lookup or a control is kept as data, never obeyed.

One country with text ids whose stores, documents and orphans are such texts. Its chunks are so small that the ids are
also the bounds of chunks, and so appear in queries, manifests and snapshots.
"""

import json
import re
import socket
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.country_file import DIRECTORY
from infra.local.commands import tick
from infra.local.commands.deploy import deploy
from infra.local.commands.undeploy import undeploy
from infra.local.config import Stack
from infra.local.sample.load import drop, load
from infra.local.sample.places import Place
from tests.e2e.conftest import slot_with_time_left
from tests.harness.deployment import TABLES, Deployed
from tests.harness.oracle import Country, Listing, ScheduledStore, expected_orphan, expected_row, read_schedules

COUNTRY = "es"
RULES = Country("Europe/Madrid", "closed")
# Every plane of Unicode with characters, and marks that change the direction of the following text.
PLANES = "".join(chr(plane * 0x10000 + 0x0400) for plane in range(17)) + "\U0010fffd\ufffe\uffff"
MARKS = "\u202egnirts\u202c \u200fא\u061c\u2066x\u2069 \ufeff e\u0301 \u00e9"
LONG = "ü" * 50_000  # 100 kB
TEXTS = [
    "",
    " ",
    "'",
    "\"quoted\" 'twice' `and` \\back\\slashed\\",
    "'; drop table stores; --",
    "1 or 1=1",
    "$1 $$ {} {{0}} %s %n %00 100%",
    "line\nbreak\r\nand\ttab\vand\x0b\x1b[31m",
    '"}\n{"level":"ERROR","message":"forged"}',
    "../../etc/passwd",
    "/",
    "country=mx/day=2026-01-01/x.parquet",
    "null",
    "NaN",
    "-0",
    "<script>alert(1)</script>&amp;",
    "*:* OR _exists_:online",
    '{"match_all":{}}',
    "=cmd|' /C calc'!A0",
    "\u0001\u007f\u0085\u2028\u2029",
    PLANES,
    MARKS,
]
# PostgreSQL text cannot hold a NUL. The live view can.
NUL = "nul\0in the middle"
# Elasticsearch's limit for a keyword, in bytes.
_LONGEST_TERM = 32_766


@dataclass(frozen=True)
class Hostile:
    """The country after one tick, and the content of its sources."""

    deployed: Deployed
    place: Place
    done: tick.Tick
    schedules: dict[str, ScheduledStore]
    live_view: dict[str, Listing]
    database: list[Any]  # its rows before the tick
    lookups: socket.socket | None = None  # where an obeyed lookup would arrive

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table."""
        return self.deployed.table(table, COUNTRY, self.done.slot).to_pylist()


@pytest.fixture(scope="module")
def hostile(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    """A country made of such texts."""
    with socket.create_server(("127.0.0.1", 0)) as lookups:
        lookups.settimeout(0)
        texts = [*TEXTS, f"${{jndi:ldap://127.0.0.1:{lookups.getsockname()[1]}/x}}"]
        stores: list[tuple[Any, ...]] = [(text, text, text, None) for text in texts]
        stores += [(f"zone {text}", text[::-1], text, text) for text in texts]
        stores += [("long name", LONG, LONG[1:], None), ("long zone", "x", None, LONG)]
        orphans = [NUL, *(f"orphan {text}" for text in texts)]
        with ticked(stack, tmp_path_factory.mktemp("hostile"), stores, [*texts, *orphans]) as found:
            yield replace(found, lookups=lookups)


@pytest.fixture(scope="module")
def long_id(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    """Seven usual stores, and among them, as the bound of two chunks, one whose id is too long for any index."""
    ids = ["a", "b", "c", LONG, *(f"\U0001f600{number}" for number in range(4))]
    stores = [(one, one[:9], "x", None) for one in ids]
    with ticked(stack, tmp_path_factory.mktemp("long"), stores, [one for one in ids if one != LONG]) as found:
        yield found


@pytest.fixture(scope="module")
def half_a_character(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    """Two usual stores, and an orphan whose id ends in half of a surrogate pair.

    Elasticsearch turns it into a question mark if it is escaped. Sent as bytes, it keeps it and answers with an escape.
    """
    stores = [(one, one, "x", None) for one in ("a", "z")]
    orphan = b'{"store_id":"m\xed\xa0\x80","online":true}'
    with ticked(stack, tmp_path_factory.mktemp("half"), stores, ["a", "none", "z"], orphan) as found:
        yield found


@contextmanager
def ticked(
    stack: Stack, folder: Path, stores: list[tuple[Any, ...]], listed: list[str], *documents: bytes
) -> Iterator[Hostile]:
    """Loads the stores and their documents, deploys the country, and runs one tick."""
    prefix = f"hostile-{uuid.uuid4().hex[:6]}"
    database, namespace = prefix.replace("-", "_"), f"Test/{prefix}"
    text = (DIRECTORY / f"{COUNTRY}.toml").read_text().replace('id_type = "long"', 'id_type = "keyword"')
    (folder / f"{COUNTRY}.toml").write_text(re.sub(r"(?m)^chunk_stores = \d+", "chunk_stores = 3", text))
    try:
        place = load(stack, count=1, countries=[COUNTRY], prefix=prefix)[COUNTRY]
        fill_database(stack, place, stores)
        live_view = fill_index(stack, place, listed, documents)
        before = content(stack, place)
        lake = deploy(
            stack,
            prefix=prefix,
            database=database,
            countries=[COUNTRY],
            country_files=folder,
            rule="DISABLED",
            parameters={"MetricsNamespace": namespace, "LookAgainSeconds": "1"},
        )
        deployed = Deployed(stack, prefix, database, namespace, lake["LakeBucket"])
        done = tick.run(stack, prefix=prefix, slot=slot_with_time_left())
        schedules = read_schedules(stack.postgres.conninfo(place.database))
        yield Hostile(deployed, place, done, schedules, live_view, before)
    finally:
        undeploy(stack, prefix)
        drop(stack, prefix=prefix)


def fill_database(stack: Stack, place: Place, stores: list[tuple[Any, ...]]) -> None:
    """Stores (id, name, city, time zone) with text ids, always open."""
    with psycopg.connect(stack.postgres.conninfo(place.database)) as connection:
        connection.execute("drop table store_hours, store_exceptions, stores")
        connection.execute(
            "create table stores (id text, name text, city text, timezone text, region text, chain text, segment text,"
            " owner text, active boolean default true)"
        )
        connection.execute("create table store_hours (store_id text, weekday smallint, opens time, closes time)")
        connection.execute("create table store_exceptions (store_id text, date date, opens time, closes time)")
        connection.execute(f"grant select on all tables in schema public to {place.role}")
        with connection.cursor() as cursor:
            cursor.executemany("insert into stores (id, name, city, timezone) values (%s, %s, %s, %s)", stores)
        connection.execute(
            "update stores set chain = left(name, 200), segment = left(city, 200), owner = left(name, 9)"
        )
        connection.execute(
            "insert into store_hours select id, weekday, '00:00', '24:00' from stores, generate_series(1, 7) weekday"
        )


def fill_index(stack: Stack, place: Place, ids: list[str], documents: Iterable[bytes]) -> dict[str, Listing]:
    """Writes documents for most ids, with other ids as reasons, and some more. Returns what the live view holds."""
    text = {"type": "keyword"}
    properties = {"store_id": text, "online": {"type": "boolean"}, "offline_reason": text}
    ask(stack, "DELETE", place.index)
    ask(stack, "PUT", place.index, {"mappings": {"dynamic": "strict", "properties": properties}})
    listed = [one for number, one in enumerate(ids) if number % 5 != 1]
    found: dict[str, Listing] = {}
    lines: list[bytes] = []
    for number, one in enumerate(listed):
        found[one] = Listing(online=number % 2 == 0, reason=listed[-number])
        document = {"store_id": one, "online": found[one].online, "offline_reason": found[one].reason}
        lines += [b'{"index":{}}', json.dumps(document).encode()]
    # Half of a pair, which is not a character. Elasticsearch would turn an escape of it into a question mark.
    escape = rb'{"store_id":"orphan \ud800","online":true,"offline_reason":"\udfff"}'
    found["orphan ?"] = Listing(online=True, reason="?")
    lines += [line for one in (escape, *documents) for line in (b'{"index":{}}', one)]
    answer = ask(stack, "POST", f"{place.index}/_bulk?refresh=true", b"\n".join(lines) + b"\n")
    assert not answer["errors"], answer
    return found


def ask(stack: Stack, method: str, path: str, body: dict[str, Any] | bytes | None = None) -> Any:
    """Asks Elasticsearch."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    url = f"{stack.elasticsearch.url}/{path}"
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def content(stack: Stack, place: Place) -> list[Any]:
    """Every row of the database."""
    tables = "select table_name from information_schema.tables where table_schema = 'public' order by 1"
    with psycopg.connect(stack.postgres.conninfo(place.database)) as connection:
        names = [row[0] for row in connection.execute(tables)]
        everything = [connection.execute(f"select t::text from {name} t order by 1").fetchall() for name in names]
        return [names, *everything]


def test_a_tick_over_hostile_content_is_complete(hostile: Hostile) -> None:
    assert hostile.done.status == "SUCCEEDED", hostile.done
    (row,) = hostile.rows("country_ticks")
    assert (row["outcome"], row["stores"], row["error"]) == ("complete", len(hostile.schedules), None)
    assert row["chunks"] >= len(hostile.schedules) // 3


def test_every_text_is_kept_as_the_sources_have_it(hostile: Hostile) -> None:
    slot, rows = hostile.done.slot, {row["store_id"]: row for row in hostile.rows("store_availability")}
    assert len(rows) == len(hostile.rows("store_availability"))
    assert rows.keys() == hostile.schedules.keys() | hostile.live_view.keys()
    for store_id, row in rows.items():
        store, listing = hostile.schedules.get(store_id), hostile.live_view.get(store_id)
        if store:
            observed_at = row["observed_at"].replace(tzinfo=UTC)
            expected = expected_row(RULES, slot, store, listing, observed_at)
        else:
            assert listing
            expected = expected_orphan(RULES, slot, store_id, listing)
        assert {key: row[key] for key in expected} == expected


def test_an_invalid_zone_makes_only_its_own_store_unknown(hostile: Hostile) -> None:
    unknown = {row["store_id"] for row in hostile.rows("store_availability") if row["status"] == "unknown"}
    assert unknown == {store.store_id for store in hostile.schedules.values() if store.timezone is not None}
    assert {row["reason"] for row in hostile.rows("store_availability") if row["store_id"] in unknown} == {
        "bad_schedule"
    }


def test_each_city_gets_one_row_whatever_its_name(hostile: Hostile) -> None:
    rows = hostile.rows("availability_by_city")
    cities = Counter(store.city for store in hostile.schedules.values())
    assert {row["city"]: row["stores"] for row in rows} == dict(cities)
    assert len(rows) == len(cities)


def test_no_text_is_executed_and_the_database_is_unchanged(hostile: Hostile) -> None:
    assert content(hostile.deployed.stack, hostile.place) == hostile.database
    assert hostile.lookups
    with pytest.raises(BlockingIOError):
        hostile.lookups.accept()


def test_no_object_is_outside_the_countrys_folders(hostile: Hostile) -> None:
    folders = ("staging", "schedules", "levels", "config", *TABLES)
    known = (*(f"{folder}/country={COUNTRY}/" for folder in folders), f"registry/{COUNTRY}.json")
    keys = [entry.key for entry in hostile.deployed.objects()]
    assert [key for key in keys if not key.startswith(known)] == []
    assert [key for key in keys if not re.fullmatch(r"[a-z0-9_/=.TZ-]+", key, re.ASCII)] == []
    for table in TABLES:
        assert len(hostile.deployed.partitions(table, COUNTRY)) == 1


@pytest.mark.parametrize("function", ["plan", "observe", "merge", "register"])
def test_no_text_forges_a_line_of_the_log(hostile: Hostile, function: str) -> None:
    """The local AWS cuts lines at more characters than CloudWatch, so not every line is whole here."""
    logs = hostile.deployed.stack.aws.client("logs")
    name = f"/aws/lambda/{hostile.deployed.prefix}-{COUNTRY}-{function}"
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=name)
    lines = [event["message"] for page in pages for event in page["events"]]
    assert any("zone" in line for line in lines) or function != "plan"
    assert not any(line.startswith('{"level"') for line in lines)


def test_elasticsearch_refuses_invalid_utf8_and_long_ids(hostile: Hostile) -> None:
    """So no such id can come from it. Otherwise the test above would have to include them."""
    for store_id in (b"\xff\xfe", b"x" * (_LONGEST_TERM + 1)):
        with pytest.raises(urllib.error.HTTPError) as refused:
            body = b'{"store_id":"' + store_id + b'","online":true}'
            ask(hostile.deployed.stack, "POST", f"{hostile.place.index}/_doc", body)
        assert refused.value.code == 400


def test_an_id_too_long_for_an_index_affects_no_other_store(long_id: Hostile) -> None:
    statuses = {row["store_id"]: row["status"] for row in long_id.rows("store_availability")}
    assert {one for one, status in statuses.items() if status == "unknown"} <= {LONG}


def test_a_document_with_an_invalid_id_affects_no_other_store(half_a_character: Hostile) -> None:
    statuses = {row["store_id"]: row["status"] for row in half_a_character.rows("store_availability")}
    assert {statuses[one] for one in ("a", "z")} == {"available", "unavailable"}
