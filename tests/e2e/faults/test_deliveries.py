"""The same slot twice at once, and slots out of order: each has one file a table, and the first complete one stands."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import psycopg

from infra.local import slots
from tests.e2e.faults.faulty import COUNTRY, Faulty
from tests.faults.kinds import Hold
from tests.harness.deployment import TABLES
from tests.harness.oracle import read_schedules


@contextmanager
def further_store(faulty: Faulty) -> Iterator[Faulty]:
    """A store that comes into PostgreSQL while a slot is planned, between those of the sample."""
    conninfo = faulty.sources.postgres.conninfo(faulty.place.database)
    ids = sorted(int(store_id) for store_id in faulty.schedules)
    free = next(
        number for number in range(ids[0], ids[-1]) if str(number) not in faulty.schedules.keys() | faulty.live_view
    )
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("insert into stores (id, name, city) values (%s, 'New', 'New')", [free])
        try:
            yield replace(faulty, schedules=read_schedules(conninfo))
        finally:
            connection.execute("delete from stores where id = %s", [free])


def test_two_ticks_of_a_country_at_once_end_as_one_would(faulty: Faulty) -> None:
    slot = faulty.afresh()
    executions = [faulty.deployed.start_machine(f"country-{COUNTRY}", faulty.event(slot)) for _ in range(2)]
    ends = [faulty.deployed.end_of(execution) for execution in executions]
    assert [end["status"] for end in ends] == ["SUCCEEDED"] * 2, [end.get("cause") for end in ends]
    faulty.assert_holds(slot)
    assert faulty.deployed.objects(f"pending/country={COUNTRY}/") == []


def test_a_planning_that_comes_late_leaves_the_plan_that_stands_as_it_is(faulty: Faulty) -> None:
    """Two plannings of one slot at once, of which the slower has read what PostgreSQL said before a store was added."""
    slot = faulty.afresh()
    go_on = threading.Event()
    with (
        # Three chunks: those that the first planning has read, each held on its way to S3.
        faulty.aws.fault(Hold(go_on), r"PUT /.*/schedules/.*/chunk-", times=3) as held,
        ThreadPoolExecutor(1) as pool,
    ):
        slow = pool.submit(faulty.invoke, "plan", faulty.event(slot))
        faulty.wait_until(lambda: len(held.met) == 3)
        with further_store(faulty) as with_one_more:
            planned = faulty.plan(slot)
        go_on.set()
        answer = slow.result()
    assert planned["stores"] == len(faulty.schedules) + 1
    assert not answer.is_error and answer.payload["stores"] == planned["stores"]
    assert faulty.run(slot)["outcome"] == "complete"
    with_one_more.assert_holds(slot)


def test_an_older_slot_that_comes_after_a_newer_one_is_late_and_changes_nothing_of_it(faulty: Faulty) -> None:
    slot = faulty.afresh()
    older = slot - slots.SLOT
    assert faulty.run(slot)["outcome"] == "complete"
    before = faulty.files(slot)
    assert faulty.run(older)["outcome"] == "partial"
    assert faulty.files(slot) == before
    faulty.assert_holds(slot)
    assert len(faulty.files(older)) == len(TABLES)
    faulty.assert_holds(older, unknown=dict.fromkeys(range(len(faulty.items(older))), "late"))
