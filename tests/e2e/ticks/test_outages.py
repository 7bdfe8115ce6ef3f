"""The outages of a generated month: what the deployed functions make of its days, whatever the order, is what plain
Python computes from all rows at once.

By default six days around two changes of the clocks, with three weeks without a tick between them, of which one day is
compacted too.
STOREWATCH_MONTH=whole takes all of October 2026, which needs some minutes.
"""

import os
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pytest

from infra.local.commands.deploy import deploy
from infra.local.config import Stack
from infra.local.sample.load import drop, load
from tests.e2e.conftest import remove
from tests.harness import lakes
from tests.harness.deployment import SCHEDULES, Deployed
from tests.harness.month.lake import put_readings, put_ticks, replace_stores
from tests.harness.month.rows import Month, month
from tests.harness.month.stores import COUNTRY, RULES, moment
from tests.harness.month.story import Tick
from tests.harness.oracle import SLOT
from tests.harness.outages_oracle import History, histories, kind_of, missed_looks, ordered, outages, outages_of
from tests.harness.views_oracle import Row, Rows, Tables

MADE = ("outages", "missed_looks")
DAYS = range(1, 32) if os.environ.get("STOREWATCH_MONTH") == "whole" else (3, 4, 5, 14, 24, 25, 26)
RESTATED = 25
# Slots whose ticks come after their days are compacted. Other ticks name the same readings of the schedules: one that is
# older than those of a compacted day is not taken up any more.
LATE = {
    *(moment(day, hour) + n * SLOT for day in (3, 4, 5, 24, 25) for hour in (1, 13) for n in range(3)),
    *(moment(24, 23) + n * SLOT for n in (0, 1, 2, 3, 5)),
}


@dataclass
class Lake:
    """A deployment with the month's files."""

    deployed: Deployed
    month: Month
    conninfo: str

    @cached_property
    def ticks(self) -> list[tuple[Tick, Row, Rows]]:
        """The ticks of the days."""
        return list(self.month.ticks(DAYS))

    def tables(self) -> Tables:
        """The rows of all tables, as queries find them."""
        return lakes.read(self.deployed, ("store_availability", "country_ticks", SCHEDULES, *MADE))

    def compact(self, *days: int) -> None:
        """Compacts days, one after the other."""
        for day in days:
            done = self.deployed.invoke(f"{COUNTRY}-compact", {"country": COUNTRY, "day": named(day)})
            assert not done.is_error, done.message

    def due(self) -> list[str]:
        """The days that are still to be compacted."""
        done = self.deployed.invoke(f"{COUNTRY}-compact", {"country": COUNTRY})
        assert not done.is_error, done.message
        return done.payload["days"]


@pytest.fixture(scope="module")
def lake(stack: Stack, country_files: Path) -> Iterator[Lake]:
    """A deployment in which nothing has ticked, with the schedules that the month's ticks read."""
    prefix = f"out-{uuid.uuid4().hex[:6]}"
    try:
        place = load(stack, count=10, seed=7, countries=[COUNTRY], prefix=prefix)[COUNTRY]
        made = deploy(
            stack,
            prefix=prefix,
            database=prefix.replace("-", "_"),
            countries=[COUNTRY],
            country_files=country_files,
            rule="DISABLED",
            sample=prefix,
        )
        deployed = Deployed(stack, prefix, prefix.replace("-", "_"), f"Test/{prefix}", made["LakeBucket"])
        filled = Lake(deployed, month(), stack.postgres.conninfo(place.database))
        put_readings(deployed, filled.month, DAYS)
        yield filled
    finally:
        remove(stack, prefix)
        drop(stack, prefix=prefix)


@pytest.fixture(scope="module")
def compacted(lake: Lake) -> Tables:
    """The tables after the days were compacted in any order, some ticks missing."""
    put_ticks(lake.deployed, (found for found in lake.ticks if found[0].slot not in LATE))
    lake.compact(*random.Random(3).sample(DAYS, len(DAYS)))
    return lake.tables()


@pytest.fixture(scope="module")
def completed(lake: Lake, compacted: Tables) -> Tables:
    """The tables after the late ticks came, and their days were compacted again in any order."""
    del compacted
    put_ticks(lake.deployed, (found for found in lake.ticks if found[0].slot in LATE))
    lake.compact(*random.Random(4).sample(DAYS, len(DAYS)))
    return lake.tables()


@pytest.fixture(scope="module")
def restated(lake: Lake, completed: Tables) -> Tables:
    """The tables after a day was judged again by schedules in which a third of the stores opens and closes later."""
    del completed
    stores = []
    for number, version in enumerate([store.at(moment(RESTATED, 12)) for store in lake.month.stores]):
        if version and number % 3 == 0:
            later = [
                (day, opens and opens + 5400, closes and (closes + 5400) % 86400)
                for day, opens, closes in version.store.weekly
            ]
            stores.append(replace(version.store, weekly=later))
        elif version:
            stores.append(version.store)
    replace_stores(lake.conninfo, stores)
    done = lake.deployed.invoke(f"{COUNTRY}-restate", {"country": COUNTRY, "day": named(RESTATED)})
    assert not done.is_error, done.message
    assert done.payload["restated"]["changes"]
    return lake.tables()


STAGES = pytest.mark.parametrize("stage", ["compacted", "completed", "restated"])


@STAGES
def test_outages_are_those_of_all_rows_at_once(request: pytest.FixtureRequest, stage: str) -> None:
    tables = request.getfixturevalue(stage)
    same(tables["outages"], outages(judged(tables)), "outage_id")


@STAGES
def test_missed_looks_are_those_of_all_rows_at_once(request: pytest.FixtureRequest, stage: str) -> None:
    tables = request.getfixturevalue(stage)
    same(tables["missed_looks"], missed_looks(judged(tables), tables, map(named, DAYS)), "store_id", "slot")


@STAGES
def test_lost_seconds_are_those_of_store_availability(request: pytest.FixtureRequest, stage: str) -> None:
    tables = request.getfixturevalue(stage)
    days: dict[str, Rows] = {}
    for row in tables["outages"]:
        days.setdefault(row["day"], []).append(row)
    lost = sum(row["scheduled_seconds"] for row in tables["store_availability"] if kind_of(row) == "bad")
    assert sum(row["lost_seconds"] for row in outages_of(days)) == lost > 0


def test_only_days_without_ticks_are_due(lake: Lake, restated: Tables) -> None:
    del restated
    missed = [named(day) for day in range(DAYS[0], DAYS[-1]) if day not in DAYS]
    assert [day for day in lake.due() if day <= named(DAYS[-1])] == missed


def test_the_day_holds_the_rows_that_its_ticks_wrote(lake: Lake, completed: Tables) -> None:
    names = set(completed["store_availability"][0]) - {"country", "day"}
    written = [{name: row.get(name) for name in names} for _, _, rows in lake.ticks for row in rows]
    found = [{name: row[name] for name in names} for row in completed["store_availability"]]
    assert ordered(found, "slot", "store_id") == ordered(written, "slot", "store_id")


def test_the_month_has_outages_of_every_kind(completed: Tables) -> None:
    rows = [row for rows in outages(judged(completed)).values() for row in rows]
    kinds = {row["kind"] for row in rows}
    assert kinds == {"late_opening", "early_closing", "whole_shift", "mid_shift", None}
    assert {row["flaps"] for row in rows} == {0, 1, 2}
    assert any(row["began_after"] is None for row in rows)
    assert any(0 < row["unlisted_looks"] < row["bad_looks"] for row in rows)
    assert any(row["unseen_looks"] > 96 for row in rows)
    assert any(row["bad_looks"] == 1 for row in rows) and any(row["is_open"] for row in rows)


def named(day: int) -> str:
    """A day of the month as in partitions."""
    return f"{moment(day):%Y-%m-%d}"


def judged(tables: Tables) -> list[History]:
    """The stores' looks, after a check that the schedules explain their rows."""
    found = histories(tables, RULES)
    for history in found:
        for slot, row in history.looks.items():
            if row["scheduled_seconds"] is not None:
                assert history.hours.of(slot).seconds(slot) == row["scheduled_seconds"], row
    return found


def same(found: Rows, expected: dict[str, Rows], *order: str) -> None:
    """Checks a table of the catalog, partition by partition."""
    days = {day: ordered([row for row in found if row["day"] == day], *order) for day in {row["day"] for row in found}}
    for day in sorted(days.keys() | expected.keys()):
        own = [
            {name: value for name, value in row.items() if name not in ("country", "day")} for row in days.get(day, [])
        ]
        for one, other in zip(own, expected.get(day, []), strict=False):
            assert one == other, day
        assert len(own) == len(expected.get(day, [])), day
