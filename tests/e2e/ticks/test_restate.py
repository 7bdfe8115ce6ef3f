"""The deployed function judges a day again, as `make restate` asks it to. The result is what the current schedules say
about what was observed, and the first judgement is kept."""

import contextlib
import io
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from pyarrow import parquet

from infra import days
from infra.local.config import Stack
from infra.local.sample.load import drop, load
from infra.vocabulary import STATUSES
from tests.e2e.conftest import Sources, ticking
from tests.e2e.ticks.test_tick import utc
from tests.harness.deployment import TABLES, Deployed
from tests.harness.oracle import Country, expected_orphan, expected_row, read_live_view, read_schedules

Rows = dict[str, dict[str, Any]]
# The columns that hold what was observed.
SEEN = ("slot", "store_id", "observed_at", "listed", "online")


@dataclass(frozen=True)
class Restated:
    """A country's day after it was judged again."""

    deployed: Deployed
    sources: Sources
    slot: datetime
    before: dict[str, list[dict[str, Any]]]  # the tables' rows of the first judgement
    changed: dict[str, str]  # kind of change in the schedules -> store
    told: str

    @property
    def day(self) -> str:
        """The day of the tick."""
        return f"{self.slot:%Y-%m-%d}"

    @property
    def conninfo(self) -> str:
        """The address of the country's schedules."""
        return self.deployed.stack.postgres.conninfo(self.sources.places["es"].database)

    def rows(self, table: str = "store_availability") -> list[dict[str, Any]]:
        """The rows that a query of the day sees."""
        return rows_of(self.deployed, table, self.day)


def command(deployed: Deployed, monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    """What `make restate` runs."""
    for name, value in deployed.stack.aws.environment().items():
        monkeypatch.setenv(name, value)
    return days.main([*args, "--prefix", deployed.prefix])


def rows_at(deployed: Deployed, location: str) -> list[dict[str, Any]]:
    """The rows of the files at a location."""
    prefix = location.removeprefix(f"s3://{deployed.bucket}/")
    found = [parquet.ParquetFile(io.BytesIO(deployed.body(entry.key))).read() for entry in deployed.objects(prefix)]
    return [row for one in found for row in one.to_pylist()]


def rows_of(deployed: Deployed, table: str, day: str) -> list[dict[str, Any]]:
    """The rows that a query of a day sees."""
    (one,) = [one for one in deployed.partitions(table, "es") if one["Values"] == ["es", day]]
    return rows_at(deployed, one["StorageDescriptor"]["Location"])


def by_id(rows: list[dict[str, Any]]) -> Rows:
    """The rows of the only slot, by store."""
    found = {row["store_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def change(conninfo: str, before: Rows) -> dict[str, str]:
    """Corrects and breaks schedules in every way that matters. Returns the kind of change -> store."""
    by_status: dict[str, list[str]] = {}
    for store_id, row in before.items():
        by_status.setdefault(row["status"], []).append(store_id)
    judged = iter([*by_status["closed"][:2], *by_status["available"]])
    stores = {what: next(judged) for what in ("open all day", "zone", "no hours", "gone", "named")}
    stores["was an orphan"] = by_status["orphan"][0]
    stores["entered late"] = str(max(map(int, before)) + 7)
    ids = {what: int(store_id) for what, store_id in stores.items()}
    with psycopg.connect(conninfo) as connection:
        for what in ("open all day", "no hours"):
            for table in ("store_hours", "store_exceptions"):
                connection.execute(f"delete from {table} where store_id = %s", [ids[what]])
        connection.execute(
            "update stores set timezone = 'Pacific/Auckland', city = 'Moved', owner = 'Moved' where id = %s",
            [ids["zone"]],
        )
        connection.execute("delete from stores where id = %s", [ids["gone"]])
        for what in ("was an orphan", "entered late"):
            connection.execute("insert into stores (id, name, city) values (%s, %s, 'New')", [ids[what], what])
        for what in ("open all day", "was an orphan", "entered late"):
            hours = [(ids[what], weekday) for weekday in range(1, 8)]
            connection.cursor().executemany("insert into store_hours values (%s, %s, '00:00', '24:00')", hours)
    return stores


@pytest.fixture(scope="module")
def restated(stack: Stack, country_files: Path) -> Iterator[Restated]:
    """A country of its own, whose schedules change after its tick. The day is then judged again."""
    prefix = f"re-{uuid.uuid4().hex[:6]}"
    try:
        places = load(stack, count=400, seed=7, countries=["es"], prefix=prefix)
        sources = Sources(prefix, places, {}, {})
        for done in ticking(stack, prefix, sources, country_files, {}, countries=("es",)):
            assert [country.outcome for country in done.tick.countries] == ["complete"]
            deployed, day = done.deployed, f"{done.slot:%Y-%m-%d}"
            before = {table: rows_of(deployed, table, day) for table in TABLES}
            conninfo = stack.postgres.conninfo(places["es"].database)
            changed = change(conninfo, by_id(before["store_availability"]))
            with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as told:
                assert command(deployed, patch, "restate", "es", "--from", day) == 0
            yield Restated(deployed, sources, done.slot, before, changed, told.getvalue())
    finally:
        drop(stack, prefix=prefix)


def test_every_row_follows_the_current_schedules_and_the_first_observation(
    restated: Restated, rules: dict[str, Country]
) -> None:
    schedules = read_schedules(restated.conninfo)
    live_view = read_live_view(restated.deployed.stack.elasticsearch.url, restated.sources.places["es"].index)
    before, found = by_id(restated.before["store_availability"]), by_id(restated.rows())
    gone = restated.changed["gone"]
    assert found.keys() == schedules.keys() | live_view.keys() | {gone}
    for store_id, row in found.items():
        if store_id == gone:
            # It was in the live view, and the schedules do not know it.
            assert row == before[store_id]
        elif store_id in schedules:
            expected = expected_row(
                rules["es"], restated.slot, schedules[store_id], live_view.get(store_id), utc(row["observed_at"])
            )
            assert {key: row[key] for key in expected} == expected
            assert row["schedule_as_of"] > before[next(iter(before))]["schedule_as_of"]
        else:
            expected = expected_orphan(rules["es"], restated.slot, store_id, live_view[store_id])
            assert {key: row[key] for key in expected} == expected
            assert row == before[store_id]
    # What was observed, and when, is unchanged.
    for store_id in before:
        assert [found[store_id][key] for key in SEEN] == [before[store_id][key] for key in SEEN]
    assert found[restated.changed["entered late"]]["status"] == "unlisted"
    assert found[restated.changed["zone"]]["city"] == found[restated.changed["zone"]]["owner"] == "Moved"


def test_cities_are_summed_again_and_country_ticks_are_unchanged(restated: Restated) -> None:
    sums: dict[str | None, Counter[str]] = {}
    for row in restated.rows():
        sums.setdefault(row["city"], Counter())[row["status"]] += 1
    found = {row["city"]: row for row in restated.rows("availability_by_city")}
    assert found.keys() == sums.keys()
    for city, row in found.items():
        assert {status: row[status] for status in STATUSES if row[status]} == dict(sums[city])
    assert restated.rows("country_ticks") == restated.before["country_ticks"]


def test_every_row_has_the_schedules_that_judged_it(restated: Restated) -> None:
    schedules: dict[str, list[dict[str, Any]]] = {}
    for row in restated.rows("store_schedules"):
        schedules.setdefault(row["store_id"], []).append(row)

    def judged_by(row: dict[str, Any]) -> dict[str, Any]:
        (found,) = [
            one
            for one in schedules[row["store_id"]]
            if one["valid_from"] <= row["schedule_as_of"]
            and (one["valid_until"] is None or row["schedule_as_of"] < one["valid_until"])
        ]
        return found

    before, now = by_id(restated.before["store_availability"]), by_id(restated.rows())
    for row in [*before.values(), *now.values()]:
        if row["status"] != "orphan":
            assert judged_by(row)["name"] == row["name"]
    changed = restated.changed
    all_day = "; ".join(f"{day} 00:00-24:00" for day in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"))
    assert judged_by(now[changed["open all day"]])["weekly"] == all_day
    assert judged_by(before[changed["open all day"]])["weekly"] != all_day
    assert judged_by(now[changed["zone"]])["timezone"] == "Pacific/Auckland"
    assert judged_by(before[changed["gone"]])["valid_until"] is not None


def test_the_command_prints_where_the_first_judgement_is(restated: Restated) -> None:
    (line,) = [line for line in restated.told.splitlines() if "first judgement" in line]
    location = line.partition(": ")[2]
    first = rows_at(restated.deployed, location)
    assert by_id(first) == by_id(restated.before["store_availability"])
    deployed = restated.deployed
    for entry in deployed.objects(location.removeprefix(f"s3://{deployed.bucket}/")):
        assert deployed.s3.get_object_tagging(Bucket=deployed.bucket, Key=entry.key)["TagSet"] == []


def test_the_command_prints_how_many_rows_changed_their_status(restated: Restated) -> None:
    before, now = by_id(restated.before["store_availability"]), by_id(restated.rows())
    changes = Counter(
        f"{before[store_id]['status'] if store_id in before else 'nothing'} to {row['status']}"
        for store_id, row in now.items()
        if store_id not in before or before[store_id]["status"] != row["status"]
    )
    assert changes["nothing to unlisted"] == 1
    lines = [line.split(" rows from ") for line in restated.told.splitlines() if " rows from " in line]
    assert {change: int(rows) for rows, change in lines} == changes
    assert restated.told.startswith(f"es {restated.day}: all stores judged again by the schedules of ")


def test_only_named_stores_are_judged_again_and_an_unknown_one_is_refused(
    restated: Restated, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, before = restated.changed["named"], by_id(restated.rows())
    with psycopg.connect(restated.conninfo) as connection:
        connection.execute("delete from store_exceptions")
        connection.execute("delete from store_hours")
    arguments = ["restate", "es", "--from", restated.day, "--stores"]
    assert command(restated.deployed, monkeypatch, *arguments, f"{store},none-such") == 1
    assert 'BadEvent: store "none-such" is not in the schedules of es' in capsys.readouterr().err
    assert by_id(restated.rows()) == before
    assert command(restated.deployed, monkeypatch, *arguments, store) == 0
    assert "1 of the stores judged again" in capsys.readouterr().out
    now = by_id(restated.rows())
    assert {store_id for store_id in now if now[store_id] != before[store_id]} == {store}
    assert now[store]["status"] in ("unexpected", "closed")


def test_without_the_schedules_the_day_is_unchanged_and_the_command_fails(
    restated: Restated, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = by_id(restated.rows())
    with psycopg.connect(restated.deployed.stack.postgres.conninfo(), autocommit=True) as admin:
        database = sql.Identifier(restated.sources.places["es"].database)
        admin.execute(sql.SQL("alter database {} with allow_connections false").format(database))
        try:
            assert command(restated.deployed, monkeypatch, "restate", "es", "--from", restated.day) == 1
        finally:
            admin.execute(sql.SQL("alter database {} with allow_connections true").format(database))
    assert "ScheduleUnavailable" in capsys.readouterr().err
    assert by_id(restated.rows()) == before


def test_make_repair_repairs_the_catalog(
    restated: Restated, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed, day = restated.deployed, restated.day
    deployed.glue.delete_partition(
        DatabaseName=deployed.database, TableName="store_availability", PartitionValues=["es", day]
    )
    assert command(deployed, monkeypatch, "repair", "es", "--from", day, "--to", day) == 0
    assert capsys.readouterr().out.startswith(f"es {day} to {day}: partitions 1 created, 0 updated, 0 deleted, ")
    assert restated.rows()
    with pytest.raises(SystemExit):
        command(deployed, monkeypatch, "repair", "es", "--from", day, "--to", "2020-01-01")
    assert "is before" in capsys.readouterr().err
    assert command(deployed, monkeypatch, "repair", "xx", "--from", day) == 1
    assert f"there is no function {deployed.prefix}-xx-repair: deploy the country first" in capsys.readouterr().err
