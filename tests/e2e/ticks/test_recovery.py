"""Missed, partial and unregistered work is completed later if possible, and shows if not."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import psycopg
from psycopg import sql

from infra.local import slots
from tests.e2e.conftest import Sources, Ticked
from tests.e2e.ticks.test_tick import rows_of, utc
from tests.harness.deployment import TABLES, Deployed
from tests.harness.oracle import Country, expected_row, expected_unseen_row


def run(deployed: Deployed, country: str, slot: datetime) -> dict[str, object]:
    """Runs a country tick, which must succeed, and returns its output."""
    done = deployed.run_machine(f"country-{country}", {"country": country, "slot": slots.iso(slot)})
    assert done["status"] == "SUCCEEDED", done.get("cause")
    return json.loads(done["output"])


def files(deployed: Deployed, country: str, slot: datetime) -> list[str]:
    """The tables' files of a slot."""
    keys = [entry.key for table in TABLES for entry in deployed.objects(f"{table}/country={country}/")]
    return [key for key in keys if slots.in_key(key) == slot]


def test_a_complete_tick_replaces_a_failed_or_partial_one_in_the_same_slot(
    mended: Ticked, sources: Sources, rules: dict[str, Country]
) -> None:
    before = {country.country: country.outcome for country in mended.tick.countries}
    assert before == {"mx": "failed", "pt": "partial"}
    for country in before:
        assert run(mended.deployed, country, mended.slot)["outcome"] == "complete"
        schedules, live_view = sources.schedules[country], sources.live_views[country]
        found = {row["store_id"]: row for row in rows_of(mended, "store_availability", country)}
        assert found.keys() == schedules.keys() | live_view.keys()
        for store_id, store in schedules.items():
            row = found[store_id]
            expected = expected_row(
                rules[country], mended.slot, store, live_view.get(store_id), utc(row["observed_at"])
            )
            assert {key: row[key] for key in expected} == expected
        (tick,) = rows_of(mended, "country_ticks", country)
        assert (tick["outcome"], tick["chunks_unknown"], tick["error"]) == ("complete", 0, None)
        assert len(files(mended.deployed, country, mended.slot)) == len(TABLES)


def test_a_past_slot_is_not_observed_and_its_stores_are_late(
    mended: Ticked, sources: Sources, rules: dict[str, Country]
) -> None:
    deployed, slot = mended.deployed, mended.slot - 4 * slots.SLOT
    done = run(deployed, "pt", slot)
    assert (done["outcome"], done["coverage"]) == ("partial", 0)
    rows = deployed.table("store_availability", "pt", slot).to_pylist()
    assert {row["store_id"] for row in rows} == sources.schedules["pt"].keys()
    for row in rows:
        assert row["observed_at"] is None
        expected = expected_unseen_row(rules["pt"], slot, sources.schedules["pt"][row["store_id"]], "late")
        assert {key: row[key] for key in expected} == expected


def test_parallel_executions_of_a_slot_end_like_one(mended: Ticked, sources: Sources) -> None:
    deployed, slot = mended.deployed, mended.slot - 8 * slots.SLOT
    event = {"country": "pt", "slot": slots.iso(slot)}
    executions = [deployed.start_machine("country-pt", event) for _ in range(3)]
    ends = [deployed.end_of(execution) for execution in executions]
    assert [end["status"] for end in ends] == ["SUCCEEDED"] * 3, [end.get("cause") for end in ends]
    assert len(files(deployed, "pt", slot)) == len(TABLES)
    ids = deployed.table("store_availability", "pt", slot)["store_id"].to_pylist()
    assert sorted(ids) == sorted(sources.schedules["pt"])
    assert deployed.table("country_ticks", "pt", slot).num_rows == 1


def test_without_postgresql_the_last_schedules_are_used_and_marked_stale(mended: Ticked, sources: Sources) -> None:
    deployed, place = mended.deployed, sources.places["pt"]
    # A slot that is not planned yet. It is not observed here.
    event = {"country": "pt", "slot": slots.iso(mended.slot + 4 * slots.SLOT)}
    last = json.loads(deployed.body("schedules/country=pt/last-good.json"))
    with without_login(deployed, place.role):
        answer = deployed.invoke("pt-plan", event)
    assert not answer.is_error, answer.payload
    assert answer.payload["stale"] is True
    assert answer.payload["schedule_as_of"] == last["schedule_as_of"]
    manifest = json.loads(deployed.body(answer.payload["manifest"]))
    assert [item["key"] for item in manifest] == [chunk["key"] for chunk in last["chunks"]]
    assert place.password not in json.dumps(deployed.logged("pt-plan"))


def test_the_next_tick_registers_what_was_written_while_the_catalog_was_down(mended: Ticked) -> None:
    deployed = mended.deployed
    # A day without a partition so far.
    slot = mended.slot - timedelta(days=2)
    pending = f"pending/country=mx/{slots.compact(slot)}.json"
    with without_catalog(deployed, "mx"):
        assert run(deployed, "mx", slot)["registered"] is None
    assert len(files(deployed, "mx", slot)) == len(TABLES)
    assert [entry.key for entry in deployed.objects("pending/country=mx/")] == [pending]
    day = ["mx", f"{slot:%Y-%m-%d}"]
    assert day not in [found["Values"] for found in deployed.partitions("country_ticks", "mx")]

    assert run(deployed, "mx", mended.slot)["registered"] is not None
    for table in TABLES:
        # The slot was over, so every store is unknown, and none is known to be down.
        assert (deployed.table(table, "mx", slot).num_rows > 0) == (table != "current_outages")
    assert deployed.objects("pending/country=mx/") == []
    since, until = mended.slot - timedelta(minutes=1), mended.slot + timedelta(hours=1)
    assert max(deployed.metric("TicksPending", "mx", since, until)) >= 1


@contextmanager
def without_login(deployed: Deployed, role: str) -> Iterator[None]:
    """Makes PostgreSQL refuse a reader."""
    with psycopg.connect(deployed.stack.postgres.conninfo(), autocommit=True) as admin:
        admin.execute(sql.SQL("alter role {} nologin").format(sql.Identifier(role)))
        try:
            yield
        finally:
            admin.execute(sql.SQL("alter role {} login").format(sql.Identifier(role)))


@contextmanager
def without_catalog(deployed: Deployed, country: str) -> Iterator[None]:
    """Takes the catalog from the country's register function, by naming a database that its role may not use."""
    lambdas, name = deployed.stack.aws.client("lambda"), f"{deployed.prefix}-{country}-register"
    variables = lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    away = variables | {"STOREWATCH_DATABASE": "elsewhere"}
    lambdas.update_function_configuration(FunctionName=name, Environment={"Variables": away})
    try:
        yield
    finally:
        lambdas.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
