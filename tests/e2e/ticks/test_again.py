"""Running a complete slot again changes nothing, whoever does it and under whatever name."""

import hashlib
from collections.abc import Callable

from infra.local import slots
from infra.local.commands import tick
from tests.e2e.conftest import COUNTRIES, Ticked
from tests.harness.deployment import TABLES


def state(ticked: Ticked) -> dict[str, object]:
    """What analysts can see: every file with its bytes and ETag, and every partition."""
    deployed = ticked.deployed
    files = [found for table in TABLES for found in deployed.objects(f"{table}/")]
    partitions = [found for table in TABLES for code in COUNTRIES for found in deployed.partitions(table, code)]
    return {
        **{file.key: (file.etag, file.modified, hashlib.sha256(deployed.body(file.key)).digest()) for file in files},
        "partitions": sorted((found["TableName"], *found["Values"]) for found in partitions),
    }


def leaves_all_as_it_is(ticked: Ticked, run: Callable[[], None]) -> None:
    """Asserts that a run changes nothing."""
    before = state(ticked)
    assert len(before) == 1 + len(TABLES) * len(COUNTRIES)
    run()
    assert state(ticked) == before


def test_repeating_a_tick_changes_no_file_and_no_partition(ticked: Ticked) -> None:
    def run() -> None:
        again = tick.run(ticked.deployed.stack, prefix=ticked.deployed.prefix, slot=ticked.slot)
        assert again.status == "SUCCEEDED", again.error

    leaves_all_as_it_is(ticked, run)


def test_repeating_a_country_under_another_execution_name_changes_nothing(ticked: Ticked) -> None:
    def run() -> None:
        for country in COUNTRIES:
            done = ticked.deployed.run_machine(
                f"country-{country}", {"country": country, "slot": slots.iso(ticked.slot)}
            )
            assert done["status"] == "SUCCEEDED", done.get("cause")

    leaves_all_as_it_is(ticked, run)


def test_no_pending_note_is_left(ticked: Ticked) -> None:
    assert ticked.deployed.objects("pending/") == []
