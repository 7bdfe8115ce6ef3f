"""Functions are killed at every point, and state machines between their states: run again, a slot is as if nothing was.

A function that runs out of memory is killed by the kernel, as here; the local AWS limits nobody's memory.
"""

import threading
from collections.abc import Callable
from datetime import datetime

import pytest

from e2e.deployment import TABLES
from e2e.faults.faulty import COUNTRY, Faulty, of_chunk
from e2e.faults.test_lake import PUTS
from e2e.faults.test_live_view import SEARCH, UNAVAILABLE
from faults.kinds import Hold, Kill
from stack import slots

# Once a function's request was done, it is killed: every request that changes something, and two that read.
POINTS = {
    **PUTS,
    "the search": SEARCH,
    "the partitions": r"AWSGlue\.BatchGetPartition",
    "the note's end": r"DELETE /.*/pending/",
}
# A request of each state of the country's machine.
STATES = {
    "Plan": PUTS["the manifest"],
    "Observe": SEARCH,
    "Merge": PUTS["store_availability"],
    "Register": POINTS["the partitions"],
}
# A function that was killed is tried once more; after that the country tick, or the chunk, has failed.
_TRIES = 2
# A tick's looks at a chunk that stays missing.
_LOOKS = 4


@pytest.fixture(scope="module")
def undisturbed(faulty: Faulty) -> Callable[[datetime], dict[str, list[dict[str, object]]]]:
    """What a slot comes to if nothing fails."""
    known: dict[datetime, dict[str, list[dict[str, object]]]] = {}

    def rows_of(slot: datetime) -> dict[str, list[dict[str, object]]]:
        if slot not in known:
            assert faulty.run(slot)["outcome"] == "complete"
            known[slot] = faulty.timeless(slot)
            faulty.forget("staging", "pending", "schedules", *TABLES)
        return known[slot]

    return rows_of


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
def test_a_slot_whose_function_was_killed_is_once_run_again_as_if_it_was_not_after(
    faulty: Faulty, undisturbed: Callable[[datetime], object], point: str
) -> None:
    slot = faulty.afresh()
    wanted = undisturbed(slot)
    proxy = faulty.elasticsearch if point == SEARCH else faulty.aws
    with proxy.fault(Kill(faulty.deployed.prefix, after=True), point, times=_TRIES) as killed:
        faulty.deployed.run_machine(f"country-{COUNTRY}", faulty.event(slot))
    assert killed.met
    assert faulty.run(slot)["outcome"] == "complete"
    faulty.assert_holds(slot)
    assert faulty.timeless(slot) == wanted
    assert faulty.deployed.objects(f"pending/country={COUNTRY}/") == []


@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
@pytest.mark.parametrize("put", ["the pending note", *TABLES])
def test_a_merge_that_was_killed_and_runs_again_writes_the_same_bytes(faulty: Faulty, put: str, after: bool) -> None:
    slot = faulty.afresh()
    faulty.plan(slot)
    faulty.observe(slot)
    faulty.merge(slot)
    wanted = faulty.files(slot)
    faulty.forget("pending", *TABLES)
    with faulty.aws.fault(Kill(faulty.deployed.prefix, after), PUTS[put], times=1):
        assert faulty.merge(slot).error_type == "Runtime.ExitError"
    assert not faulty.merge(slot).is_error
    # The row of the tick holds when it was finished.
    found = faulty.files(slot)
    assert found.keys() == wanted.keys()
    assert {key for key in found if found[key] != wanted[key]} <= {key for key in found if "country_ticks" in key}


@pytest.mark.parametrize("point", STATES.values(), ids=STATES)
def test_an_execution_that_is_stopped_and_one_after_it_end_as_an_undisturbed_one_when_it_was_stopped_in(
    faulty: Faulty, undisturbed: Callable[[datetime], object], point: str
) -> None:
    """As on AWS, the function that is at work then is not stopped with it: it goes on once the execution has ended."""
    slot = faulty.afresh()
    wanted = undisturbed(slot)
    go_on = threading.Event()
    proxy = faulty.elasticsearch if point == SEARCH else faulty.aws
    with proxy.fault(Hold(go_on), point) as held:
        execution = faulty.deployed.start_machine(f"country-{COUNTRY}", faulty.event(slot))
        faulty.wait_until(lambda: bool(held.met))
        faulty.deployed.step_functions.stop_execution(executionArn=execution)
        go_on.set()
        assert faulty.deployed.end_of(execution)["status"] == "ABORTED"
    assert faulty.run(slot)["outcome"] == "complete"
    faulty.assert_holds(slot)
    assert faulty.timeless(slot) == wanted
    assert faulty.deployed.objects(f"pending/country={COUNTRY}/") == []


def test_a_chunk_whose_function_is_killed_for_a_moment_is_tried_again(faulty: Faulty) -> None:
    slot = faulty.afresh()
    with faulty.elasticsearch.fault(Kill(faulty.deployed.prefix, after=False), SEARCH, times=1) as killed:
        assert faulty.run(slot)["outcome"] == "complete"
    assert killed.met
    faulty.assert_holds(slot)


def test_only_the_stores_of_a_chunk_whose_function_is_killed_each_time_are_unknown(faulty: Faulty) -> None:
    slot = faulty.afresh()
    faulty.plan(slot)
    items = faulty.items(slot)
    kill = Kill(faulty.deployed.prefix, after=False)
    with faulty.elasticsearch.fault(kill, SEARCH, where=lambda request: of_chunk(items[1], request)) as killed:
        assert faulty.run(slot)["outcome"] == "partial"
    assert len(killed.met) == _LOOKS * _TRIES
    faulty.assert_holds(slot, unknown={1: UNAVAILABLE})


def test_only_the_stores_of_a_chunk_that_runs_out_of_time_are_unknown(faulty: Faulty) -> None:
    slot = faulty.afresh()
    with (
        faulty.time_limit("observe", 3),
        faulty.aws.fault(Hold(), PUTS["a staged chunk"]) as held,
    ):
        assert faulty.run(slot)["outcome"] == "partial"
    assert len(held.met) == _LOOKS * _TRIES
    faulty.assert_holds(slot, unknown={1: UNAVAILABLE})


def test_a_slot_is_left_as_it_is_by_a_process_that_wakes_up_once_all_is_done(faulty: Faulty) -> None:
    """A function that was given up is not gone: what it still writes must change nothing."""
    slot = faulty.afresh()
    assert faulty.run(slot)["outcome"] == "complete"
    before = faulty.files(slot)
    assert not faulty.invoke("observe", faulty.items(slot)[0]).is_error
    assert faulty.merge(slot).payload["outcome"] == "complete"
    assert faulty.files(slot) == before
    assert [slots.in_key(key) for key in before] == [slot] * len(TABLES)
