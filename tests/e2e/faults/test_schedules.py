"""PostgreSQL fails: ticks use the last good snapshot and say how old it is; without one they fail and say why."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from infra.local import slots
from tests.e2e.faults.faulty import COUNTRY, Faulty

LAST_GOOD = f"schedules/country={COUNTRY}/last-good.json"
Failing = Callable[[Faulty, int], AbstractContextManager[object]]
FAILINGS: dict[str, Failing] = {
    "down": lambda faulty, _: faulty.own_postgres.stopped(),
    "refusing": lambda faulty, _: faulty.postgres.refusing(),
    "frozen": lambda faulty, _: faulty.own_postgres.frozen(),
    "slower than its time limit": lambda faulty, _: faulty.postgres.trickling(pause=0.5),
    "dropping the connection in mid-COPY": lambda faulty, half: faulty.postgres.resetting(after=half),
}


@pytest.fixture(scope="module")
def half(faulty: Faulty) -> int:
    """Half the bytes of a whole reading. Most bytes are rows, so that is in the middle of a COPY."""
    slot = faulty.afresh()
    with faulty.postgres.reading() as reading:
        faulty.plan(slot)
    assert reading.connections == 1 and reading.received > 20_000
    return reading.received // 2


@pytest.mark.parametrize("failing", FAILINGS.values(), ids=FAILINGS)
def test_a_tick_completes_with_the_last_snapshot_and_says_so_with_postgresql(
    faulty: Faulty, half: int, failing: Failing
) -> None:
    slot = faulty.afresh()
    faulty.plan(slot - 4 * slots.SLOT)
    snapshot = faulty.deployed.body(LAST_GOOD)
    as_of = json.loads(snapshot)["schedule_as_of"]
    with failing(faulty, half):
        planned = faulty.plan(slot)
        assert (planned["stale"], planned["schedule_as_of"]) == (True, as_of)
        assert faulty.run(slot)["outcome"] == "complete"
    faulty.assert_holds(slot, stale=True)
    assert faulty.tick(slot)["error"].startswith(f"stale schedules of {as_of}: ScheduleUnavailable: PostgreSQL at ")
    assert ("SchedulesStale", 1) in faulty.metrics_sent()
    for table in ("store_availability", "country_ticks"):
        assert {f"{row['schedule_as_of']:%Y-%m-%dT%H:%M:%S.%fZ}" for row in faulty.rows(table, slot)} == {as_of}
    # A partial reading did not become a snapshot.
    assert faulty.deployed.body(LAST_GOOD) == snapshot


def test_a_query_that_used_to_work_counts_as_an_outage(faulty: Faulty) -> None:
    """A renamed column is a wrong country file if there is no snapshot. With one, ticks go on."""
    slot = faulty.afresh()
    faulty.plan(slot - 4 * slots.SLOT)
    with faulty.renamed_column():
        assert faulty.run(slot)["outcome"] == "complete"
    faulty.assert_holds(slot, stale=True)
    assert ": BadConfig: " in faulty.tick(slot)["error"] and "opens" in faulty.tick(slot)["error"]
    slot = faulty.afresh()
    with faulty.renamed_column():
        assert "BadConfig" in faulty.fail(slot)


def test_planning_a_stale_slot_again_still_calls_it_stale(faulty: Faulty) -> None:
    """A tick that is delivered twice, or whose plan was killed after it had planned, plans a second time."""
    slot = faulty.afresh()
    faulty.plan(slot - 4 * slots.SLOT)
    with faulty.postgres.refusing():
        first, second = faulty.plan(slot), faulty.plan(slot)
    assert first["stale"] is True
    assert second == first


def test_without_a_snapshot_the_read_is_retried_within_the_slot(faulty: Faulty, half: int) -> None:
    slot = faulty.afresh()
    with faulty.postgres.resetting(after=half, times=2) as reading:
        assert faulty.run(slot)["outcome"] == "complete"
    assert reading.connections == 3
    faulty.assert_holds(slot)


def test_without_a_snapshot_and_postgresql_the_slot_gets_a_failed_row_that_says_why(faulty: Faulty) -> None:
    slot = faulty.afresh()
    with faulty.postgres.refusing():
        assert "ScheduleUnavailable" in faulty.fail(slot)
    (file,) = faulty.files(slot)
    assert file.startswith("country_ticks/")
    row = faulty.tick(slot)
    assert row["outcome"] == "failed"
    assert row["error"].startswith(f"ScheduleUnavailable: PostgreSQL at localhost:{faulty.postgres.port}")
    assert faulty.place.password not in row["error"]
    empty = ("stores", "chunks", "chunks_unknown", "coverage", "schedule_as_of")
    assert {key: row[key] for key in empty} == dict.fromkeys(empty)
    # Retried. Each try first checks whether the slot is planned.
    pauses = faulty.pauses(faulty.aws.seen(r"GET .*list-type=2&prefix=staging/.*/manifest\.json"))
    assert len(pauses) == 2 and pauses[1] > pauses[0] > 1, pauses
