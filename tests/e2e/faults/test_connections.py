"""Ticks are kind to their sources: one connection and one transaction in PostgreSQL, and connections that are kept."""

from datetime import datetime

import psycopg

from tests.e2e.faults.faulty import Faulty
from tests.harness.deployment import TABLES

_TICKS = 5


def test_a_tick_opens_one_connection_to_postgresql_with_one_transaction(faulty: Faulty) -> None:
    slot = faulty.afresh()
    before = counted(faulty)
    with faulty.postgres.reading() as reading:
        assert faulty.run(slot)["outcome"] == "complete"
    # PostgreSQL counts a session and its transactions when the session ends.
    faulty.wait_until(lambda: counted(faulty) != before)
    assert reading.connections == 1
    sessions, rolled_back = (now - then for now, then in zip(counted(faulty), before, strict=True))
    assert (sessions, rolled_back) == (1, 1)


def test_functions_that_are_warm_open_no_connection_but_the_one_to_postgresql(faulty: Faulty) -> None:
    slot = faulty.afresh()
    # The first tick makes the connections, and the second those that its functions want at once.
    for _ in range(2):
        tick(faulty, slot)
    proxies = (faulty.elasticsearch, faulty.aws, faulty.postgres)
    before = [proxy.accepted for proxy in proxies]
    for _ in range(_TICKS):
        tick(faulty, slot)
    assert [proxy.accepted - then for proxy, then in zip(proxies, before, strict=True)] == [0, 0, _TICKS]
    assert len(faulty.elasticsearch.seen("_search")) == (2 + _TICKS) * len(faulty.items(slot))


def tick(faulty: Faulty, slot: datetime) -> None:
    """Runs the functions of a tick one after the other, as if there had been none before."""
    faulty.forget("staging", "pending", "schedules", *TABLES)
    faulty.plan(slot)
    assert not any(answer.is_error for answer in faulty.observe(slot))
    assert faulty.finish(slot)["outcome"] == "complete"


def counted(faulty: Faulty) -> tuple[int, int]:
    """The sessions in the country's database so far, and the transactions that were rolled back, as a reading is."""
    query = "select sessions, xact_rollback from pg_stat_database where datname = %s"
    with psycopg.connect(faulty.own_postgres.address.conninfo()) as connection:
        row = connection.execute(query, [faulty.place.database]).fetchone()
    assert row
    return row
