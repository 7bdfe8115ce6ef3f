"""A country with hanging sources or a wrong file does not slow down or change its neighbours."""

from datetime import datetime

from infra.local.commands import tick
from tests.e2e.faults.faulty import COUNTRY, NEIGHBOUR, Faulty
from tests.e2e.faults.test_live_view import SEARCH, UNAVAILABLE
from tests.faults.kinds import Hold
from tests.harness.deployment import TABLES

# How much an execution's time varies on a busy machine.
_NOISE_SECONDS = 4


def neighbour_of(faulty: Faulty, done: tick.Tick) -> tuple[float, list[dict[str, object]]]:
    """How long the neighbour took, and its rows without the times of observation."""
    (found,) = [country for country in done.countries if country.country == NEIGHBOUR]
    assert (found.status, found.outcome) == ("SUCCEEDED", "complete")
    assert found.seconds is not None
    rows = faulty.deployed.table("store_availability", NEIGHBOUR, done.slot).to_pylist()
    return found.seconds, [{key: row[key] for key in row.keys() - {"observed_at", "schedule_as_of"}} for row in rows]


def run(faulty: Faulty, slot: datetime) -> tick.Tick:
    """Runs a tick of both countries, in a slot that the neighbour has not run yet."""
    faulty.forget("staging", "schedules", *TABLES, country=NEIGHBOUR)
    return tick.run(faulty.deployed.stack, prefix=faulty.deployed.prefix, slot=slot)


def country_of(done: tick.Tick) -> tick.CountryTick:
    """How the broken country did."""
    (found,) = [country for country in done.countries if country.country == COUNTRY]
    return found


def test_hanging_sources_do_not_slow_down_or_change_a_neighbour(faulty: Faulty) -> None:
    slot = faulty.afresh()
    alone_seconds, alone_rows = neighbour_of(faulty, run(faulty, slot))
    # The hanging country keeps its snapshot, so that it gets as far as its live view.
    faulty.forget("staging", *TABLES)
    with faulty.postgres.trickling(pause=0.5), faulty.elasticsearch.fault(Hold(), SEARCH):
        done = run(faulty, slot)
    hanging = country_of(done)
    assert hanging.outcome == "partial"
    seconds, rows = neighbour_of(faulty, done)
    assert rows == alone_rows
    assert hanging.seconds is not None and hanging.seconds > alone_seconds + 2 * _NOISE_SECONDS
    assert seconds < alone_seconds + _NOISE_SECONDS
    faulty.assert_holds(slot, unknown=dict.fromkeys(range(len(faulty.items(slot))), UNAVAILABLE))


def test_a_wrong_country_file_does_not_change_a_neighbour(faulty: Faulty) -> None:
    slot = faulty.afresh()
    _, alone_rows = neighbour_of(faulty, run(faulty, slot))
    faulty.forget("staging", *TABLES)
    with faulty.misconfigured():
        done = run(faulty, slot)
    assert country_of(done).outcome == "failed"
    assert "BadConfig" in country_of(done).error and "no_such_key" in country_of(done).error
    assert neighbour_of(faulty, done)[1] == alone_rows


def test_a_wrong_country_file_leads_to_a_failed_row_that_says_so(faulty: Faulty) -> None:
    slot = faulty.afresh()
    with faulty.misconfigured():
        assert "BadConfig" in faulty.fail(slot)
    assert [file.partition("/")[0] for file in faulty.files(slot)] == ["country_ticks"]
    row = faulty.tick(slot)
    assert row["outcome"] == "failed" and "no_such_key" in row["error"]
