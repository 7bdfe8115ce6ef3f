"""Wrong events and country files are refused with their stable error name and a message that names the mistake."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.local import slots
from tests.e2e.conftest import Sources, Ticked, redeploy


def refused(ticked: Ticked, function: str, event: Any, *words: str) -> None:
    """Asserts that the function answers BadEvent with these words, and leaves the country's lake as it is."""
    before = ticked.deployed.objects()
    answer = ticked.deployed.invoke(function, event)
    assert answer.is_error, answer.payload
    assert answer.error_type == "BadEvent"
    for word in words:
        assert word in answer.message
    assert ticked.deployed.objects() == before


@pytest.mark.parametrize("function", ["plan", "merge"])
def test_an_event_for_another_country_is_refused(ticked: Ticked, function: str) -> None:
    event = {"country": "mx", "slot": slots.iso(ticked.slot), **({"error": "x"} if function == "merge" else {})}
    refused(ticked, f"es-{function}", event, function, "mx", "es")


def test_a_chunk_of_another_country_is_refused(ticked: Ticked) -> None:
    event = {
        "country": "mx",
        "slot": slots.iso(ticked.slot),
        "schedule_as_of": slots.iso(ticked.slot),
        "chunk": 0,
        "key": f"schedules/country=mx/{slots.compact(ticked.slot)}/1/chunk-00000.postcard.zst",
        "first": None,
        "last": None,
        "stores": 400,
    }
    refused(ticked, "es-observe", event, "observe", "mx", "es")


def test_a_partition_of_another_country_is_refused(ticked: Ticked) -> None:
    day = f"{ticked.slot:%Y-%m-%d}"
    location = f"s3://{ticked.deployed.bucket}/country_ticks/country=mx/day={day}/"
    partition = {"table": "country_ticks", "country": "mx", "day": day, "location": location}
    refused(ticked, "es-register", {"partitions": [partition]}, "register", "mx", "es")


@pytest.mark.parametrize("value", ["yesterday", "2026-13-01T00:00:00Z", "2026-11-23 04:15", ""])
@pytest.mark.parametrize("function", ["es-plan", "es-merge", "dispatch"])
def test_an_invalid_slot_is_refused_and_quoted(ticked: Ticked, function: str, value: str) -> None:
    event = {"slot": value} if function == "dispatch" else {"country": "es", "slot": value, "error": "x"}
    refused(ticked, function, event, function.rpartition("-")[2], "slot", f'"{value}"')


@pytest.mark.parametrize(("value", "shown"), [(7, "7"), (None, "null")])
@pytest.mark.parametrize("function", ["es-plan", "es-merge", "dispatch"])
def test_a_slot_that_is_not_text_is_refused_and_quoted(ticked: Ticked, function: str, value: Any, shown: str) -> None:
    event = {"slot": value} if function == "dispatch" else {"country": "es", "slot": value, "error": "x"}
    refused(ticked, function, event, function.rpartition("-")[2], "slot", shown)


@pytest.mark.parametrize("event", [{}, [], "text", None, 7])
@pytest.mark.parametrize("function", ["es-plan", "es-observe", "es-merge", "es-register", "dispatch"])
def test_a_malformed_event_is_refused(ticked: Ticked, function: str, event: Any) -> None:
    refused(ticked, function, event, function.rpartition("-")[2])


def test_an_unregistered_country_is_refused(ticked: Ticked) -> None:
    refused(ticked, "dispatch", {"slot": slots.iso(ticked.slot), "countries": ["es", "fr"]}, "fr", "registry")


@pytest.fixture(scope="session")
def plan_with(
    broken: Ticked, sources: Sources, country_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], str]:
    """Deploys pt with one line of its country file changed, and runs plan. Returns the message of the BadConfig."""

    def plan(old: str, new: str) -> str:
        folder = tmp_path_factory.mktemp("changed")
        text = (country_files / "pt.toml").read_text()
        assert old in text
        (folder / "pt.toml").write_text(text.replace(old, new, 1))
        deployed = broken.deployed
        redeploy(deployed, sources, ["pt"], folder)
        # Another slot: a slot that is planned already would not ask its sources again.
        slot = broken.slot - slots.SLOT
        before = {entry.key for entry in deployed.country_objects("pt")}
        answer = deployed.invoke("pt-plan", {"country": "pt", "slot": slots.iso(slot)})
        assert answer.error_type == "BadConfig", answer.payload
        assert {entry.key for entry in deployed.country_objects("pt")} == before
        assert f"country file of pt (s3://{deployed.bucket}/config/country=pt/" in answer.message
        return answer.message

    return plan


def test_an_unknown_key_in_a_country_file_is_named(plan_with: Callable[[str, str], str]) -> None:
    message = plan_with("timeout_seconds = 20", "timeout_secs = 20")
    assert "timeout_secs" in message


def test_an_unknown_time_zone_is_named(plan_with: Callable[[str, str], str]) -> None:
    message = plan_with('default_timezone = "Europe/Lisbon"', 'default_timezone = "Europe/Lisboa"')
    assert "default_timezone" in message and "Europe/Lisboa" in message


def test_a_query_with_the_wrong_columns_is_named(plan_with: Callable[[str, str], str]) -> None:
    query = 'timeout_seconds = 20\nweekly = "select store_id, weekday, opens from store_hours"'
    message = plan_with("timeout_seconds = 20", query)
    assert "[schedule].weekly" in message and "closes" in message


def test_a_query_on_a_missing_table_is_named(plan_with: Callable[[str, str], str]) -> None:
    message = plan_with("from stores where active", "from shops")
    assert "[schedule].stores" in message and "shops" in message
