"""What was missed, half done or could not be told is made good where that is possible, and shows where it is not."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import psycopg
from psycopg import sql

from infra.local import slots
from tests.e2e.conftest import Sources, Ticked
from tests.e2e.test_tick import rows_of, utc
from tests.harness.deployment import TABLES, Deployed
from tests.harness.oracle import Country, expected_row, expected_unseen_row


def run(deployed: Deployed, country: str, slot: datetime) -> dict[str, object]:
    """Runs a country tick and returns what it says; it must have succeeded."""
    done = deployed.run_machine(f"country-{country}", {"country": country, "slot": slots.iso(slot)})
    assert done["status"] == "SUCCEEDED", done.get("cause")
    return json.loads(done["output"])


def files(deployed: Deployed, country: str, slot: datetime) -> list[str]:
    """The tables' files of a slot."""
    keys = [entry.key for table in TABLES for entry in deployed.objects(f"{table}/country={country}/")]
    return [key for key in keys if slots.in_key(key) == slot]


def test_a_failed_and_a_partial_slot_are_replaced_by_a_complete_one_while_the_slot_lasts(
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


def test_a_slot_that_has_passed_is_not_observed_and_all_of_it_is_unknown_because_late(
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


def test_executions_of_one_slot_at_once_end_as_one_would(mended: Ticked, sources: Sources) -> None:
    deployed, slot = mended.deployed, mended.slot - 8 * slots.SLOT
    event = {"country": "pt", "slot": slots.iso(slot)}
    executions = [deployed.start_machine("country-pt", event) for _ in range(3)]
    ends = [deployed.end_of(execution) for execution in executions]
    assert [end["status"] for end in ends] == ["SUCCEEDED"] * 3, [end.get("cause") for end in ends]
    assert len(files(deployed, "pt", slot)) == len(TABLES)
    ids = deployed.table("store_availability", "pt", slot)["store_id"].to_pylist()
    assert sorted(ids) == sorted(sources.schedules["pt"])
    assert deployed.table("country_ticks", "pt", slot).num_rows == 1


def test_without_postgresql_the_last_good_schedules_serve_and_are_called_stale(
    mended: Ticked, sources: Sources
) -> None:
    deployed, place = mended.deployed, sources.places["pt"]
    # A slot that was not planned yet; it is not observed here.
    event = {"country": "pt", "slot": slots.iso(mended.slot + 4 * slots.SLOT)}
    last = json.loads(deployed.body("schedules/country=pt/latest.json"))
    with without_login(deployed, place.role):
        answer = deployed.invoke("pt-plan", event)
    assert not answer.is_error, answer.payload
    assert answer.payload["stale"] is True
    assert answer.payload["schedule_as_of"] == last["schedule_as_of"]
    manifest = json.loads(deployed.body(answer.payload["manifest"]))
    assert [item["key"] for item in manifest] == [chunk["key"] for chunk in last["chunks"]]
    assert place.password not in json.dumps(deployed.logged("pt-plan"))


def test_while_the_catalog_is_away_data_is_kept_and_registered_by_the_next_tick(mended: Ticked) -> None:
    deployed = mended.deployed
    # A day that has no partition yet.
    slot = mended.slot - timedelta(days=2)
    pending = f"pending/country=mx/{slots.compact(slot)}.json"
    with without_catalog(deployed, "mx"):
        assert run(deployed, "mx", slot)["registered"] is False
    assert len(files(deployed, "mx", slot)) == len(TABLES)
    assert [entry.key for entry in deployed.objects("pending/country=mx/")] == [pending]
    day = ["mx", f"{slot:%Y-%m-%d}"]
    assert day not in [found["Values"] for found in deployed.partitions("country_ticks", "mx")]

    assert run(deployed, "mx", mended.slot)["registered"] is True
    for table in TABLES:
        assert deployed.table(table, "mx", slot).num_rows > 0
    assert deployed.objects("pending/country=mx/") == []
    since, until = mended.slot - timedelta(minutes=1), mended.slot + timedelta(hours=1)
    assert max(deployed.metric("PartitionsPending", "mx", since, until)) >= len(TABLES)


@contextmanager
def without_login(deployed: Deployed, role: str) -> Iterator[None]:
    """PostgreSQL refuses a reader."""
    with psycopg.connect(deployed.stack.postgres.conninfo(), autocommit=True) as admin:
        admin.execute(sql.SQL("alter role {} nologin").format(sql.Identifier(role)))
        try:
            yield
        finally:
            admin.execute(sql.SQL("alter role {} login").format(sql.Identifier(role)))


@contextmanager
def without_catalog(deployed: Deployed, country: str) -> Iterator[None]:
    """The country's register function finds no catalog: it is told of a database that its role does not reach."""
    lambdas, name = deployed.stack.aws.client("lambda"), f"{deployed.prefix}-{country}-register"
    variables = lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    away = variables | {"STOREWATCH_DATABASE": "elsewhere"}
    lambdas.update_function_configuration(FunctionName=name, Environment={"Variables": away})
    try:
        yield
    finally:
        lambdas.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
