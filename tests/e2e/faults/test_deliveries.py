"""A slot delivered twice at once, and slots out of order: one file per table, and the first complete one stays."""

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
    """A store that appears in PostgreSQL while a slot is being planned, among those of the sample."""
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


def test_two_parallel_ticks_of_a_country_end_like_one(faulty: Faulty) -> None:
    slot = faulty.afresh()
    executions = [faulty.deployed.start_machine(f"country-{COUNTRY}", faulty.event(slot)) for _ in range(2)]
    ends = [faulty.deployed.end_of(execution) for execution in executions]
    assert [end["status"] for end in ends] == ["SUCCEEDED"] * 2, [end.get("cause") for end in ends]
    faulty.assert_holds(slot)
    assert faulty.deployed.objects(f"pending/country={COUNTRY}/") == []


def test_a_late_plan_does_not_replace_the_first(faulty: Faulty) -> None:
    """A slot is planned twice at once. The slower plan read PostgreSQL before a store was added."""
    slot = faulty.afresh()
    go_on = threading.Event()
    with (
        # The three chunks that the first plan read, each held on its way to S3.
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


def test_an_older_slot_after_a_newer_one_is_late_and_does_not_change_it(faulty: Faulty) -> None:
    slot = faulty.afresh()
    older = slot - slots.SLOT
    assert faulty.run(slot)["outcome"] == "complete"
    before = faulty.files(slot)
    assert faulty.run(older)["outcome"] == "partial"
    assert faulty.files(slot) == before
    faulty.assert_holds(slot)
    assert len(faulty.files(older)) == len(TABLES)
    faulty.assert_holds(older, unknown=dict.fromkeys(range(len(faulty.items(older))), "late"))
