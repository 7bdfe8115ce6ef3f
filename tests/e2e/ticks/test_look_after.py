"""A country whose file says so is looked at later in the slot, while the others are not held up."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra import stacks
from infra.local import slots
from infra.local.config import Stack
from tests.e2e.conftest import Sources, Ticked, slot_with_time_left, ticking
from tests.e2e.ticks.test_tick import rows_of, utc

# Long enough for the deployment and a country's plan.
_AHEAD = timedelta(seconds=60)
_LATEST = timedelta(seconds=600)


@pytest.fixture(scope="module")
def late(
    stack: Stack, sources: Sources, country_files: Path, ticked: Ticked, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Ticked, datetime]]:
    """es and pt after a tick, and the time from which pt may be looked at."""
    del ticked  # one tick at a time
    folder = tmp_path_factory.mktemp("late")
    slot = slot_with_time_left(slots.SLOT - _LATEST + _AHEAD)
    after = int((datetime.now(UTC) - slot + _AHEAD).total_seconds())
    for code in ("es", "pt"):
        text = (country_files / f"{code}.toml").read_text()
        text += f"look_after_seconds = {after}\n" if code == "pt" else ""
        (folder / f"{code}.toml").write_text(text)
    for done in ticking(stack, f"{sources.prefix}-l", sources, folder, {}, countries=("es", "pt")):
        assert done.slot == slot
        yield done, slot + timedelta(seconds=after)


def observed(done: Ticked, country: str) -> list[datetime]:
    """When the country's stores were looked at."""
    return [utc(row["observed_at"]) for row in rows_of(done, "store_availability", country)]


def test_a_country_is_looked_at_after_its_seconds_of_the_slot_and_within_it(late: tuple[Ticked, datetime]) -> None:
    done, look_at = late
    assert {country.country: country.outcome for country in done.tick.countries} == {"es": "complete", "pt": "complete"}
    instants = observed(done, "pt")
    assert look_at <= min(instants) <= max(instants) < done.slot + slots.SLOT


def test_a_country_without_the_setting_is_not_held_up(late: tuple[Ticked, datetime]) -> None:
    done, look_at = late
    assert max(observed(done, "es")) < look_at
    seconds = {country.country: country.seconds for country in done.tick.countries}
    assert seconds["es"] and seconds["pt"] and seconds["es"] < seconds["pt"]


def test_the_alarm_on_slow_ticks_knows_the_wait(late: tuple[Ticked, datetime]) -> None:
    done, look_at = late
    begin = f"{done.deployed.prefix}-country-"
    found = stacks.parameters(done.deployed.stack.aws.client("cloudformation"), begin)
    seconds = {name.removeprefix(begin): int(values["LookAfterSeconds"]) for name, values in found.items()}
    assert seconds == {"es": 0, "pt": (look_at - done.slot).total_seconds()}
