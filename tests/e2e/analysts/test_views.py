"""Every view on Trino gives what plain Python computes from the same rows: ticks' rows and a sample week's."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from infra import schema, vocabulary
from tests.e2e.conftest import Ticked
from tests.harness import outage_views_oracle as outages
from tests.harness import views_oracle as oracle
from tests.harness.interval_oracle import availability_interval
from tests.harness.lakes import Lake
from tests.harness.oracle import LABELS, Country, expected_unseen_row
from tests.harness.schedule_texts import read_texts
from tests.harness.views_oracle import Rows, Tables

VIEWS = {view.name: view for view in schema.views()}
# The columns that identify a row of each view.
KEYS = {
    "availability_hourly": ("country", "day", "hour"),
    "availability_city_daypart": ("country", "day", "city", "local_date", "daypart"),
    "worst_stores": ("country", "week", "store_id"),
    "unexpected_stores": ("country", "day", "store_id"),
    "reasons_ranked": ("country", "day", "status", "reason"),
    "orphans_and_unlisted": ("country", "day", "status", "store_id"),
    "expected_slots": ("country", "day", "slot"),
    "coverage_daily": ("country", "day"),
    "schedule_staleness": ("country", "day", "slot"),
    "judged_by": ("country", "day", "slot", "store_id"),
    "outages_of": ("country", "outage_id"),
    "down_now": ("country", "store_id"),
    "mean_time_to_recover": ("country", "week", "region", "chain", "kind"),
    "worst_chains": ("country", "week", "chain"),
    "flapping_stores": ("country", "week", "store_id"),
    "availability_interval": ("country", "period", "since", "scope", "region", "chain"),
}
# What computes a view, if not the function of its name in views_oracle.
COMPUTED: dict[str, Callable[[Tables], Rows]] = {**outages.VIEWS, "availability_interval": availability_interval}
# These depend on the clock.
CALENDARS: dict[str, Callable[[Tables, datetime], Rows]] = {
    "expected_slots": oracle.expected_slots,
    "coverage_daily": oracle.coverage_daily,
}


def keyed(view: str, rows: Rows) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rows by key, with the columns of the view."""
    assert all(row.keys() == {column.name for column in VIEWS[view].columns} for row in rows)
    found = {tuple(row[name] for name in KEYS[view]): row for row in rows}
    assert len(found) == len(rows), f"{view} has several rows with the same {', '.join(KEYS[view])}"
    return found


def is_same(found: dict[Any, dict[str, Any]], expected: dict[Any, dict[str, Any]]) -> bool:
    """Whether all rows agree."""
    return found.keys() == expected.keys() and all(oracle.is_same(row, expected[key]) for key, row in found.items())


def test_every_view_has_an_oracle() -> None:
    assert VIEWS.keys() == KEYS.keys()


@pytest.mark.parametrize("view", [name for name in KEYS if name not in {*CALENDARS, "down_now"}])
def test_a_view_agrees_with_python(lake: Lake, view: str) -> None:
    computed = COMPUTED.get(view) or getattr(oracle, view)
    expected = keyed(view, computed(lake.tables))
    found = keyed(view, lake.ask(f"select * from {view}").dicts)
    # The ticks' lake has no outages: its one compacted day has looks that were late.
    assert expected or (lake.day and view in outages.VIEWS)
    assert found.keys() == expected.keys()
    for key, row in found.items():
        assert oracle.is_same(row, expected[key]), (row, expected[key])


def test_who_is_down_now_agrees_with_python(lake: Lake) -> None:
    def expected() -> dict[Any, dict[str, Any]]:
        return keyed("down_now", outages.down_now(lake.tables, datetime.now(UTC).replace(tzinfo=None)))

    before = expected()
    found = keyed("down_now", lake.ask("select * from down_now").dicts)
    assert found.keys() == before.keys() and found
    for key, row in found.items():
        # The age is of an instant between the two.
        assert before[key]["age_minutes"] <= row["age_minutes"] <= expected()[key]["age_minutes"]
        assert oracle.is_same(row | {"age_minutes": None}, before[key] | {"age_minutes": None}), (row, before[key])


def test_bounds_hold_the_availability_and_meet_it_where_all_was_seen(sample_week: Lake) -> None:
    rows = [
        row
        for view in ("availability_hourly", "availability_city_daypart", "worst_stores", "worst_chains")
        for row in sample_week.ask(
            f"select availability, availability_low, availability_high, unseen from {view}"
        ).dicts
    ]
    rated = [row for row in rows if row["availability"] is not None]
    assert {bool(row["unseen"]) for row in rated} == {True, False}
    for row in rated:
        assert row["availability_low"] <= row["availability"] <= row["availability_high"], row
        assert row["unseen"] or row["availability_low"] == row["availability"] == row["availability_high"], row


def test_time_lost_in_outages_is_that_of_the_bad_looks(sample_week: Lake) -> None:
    lost = sample_week.ask("select country, sum(lost_seconds) from outages_of group by 1 order by 1").rows
    of_looks = sample_week.ask(
        "select country, sum(scheduled_seconds) from store_availability where status in ('unavailable', 'unlisted')"
        " group by 1 order by 1"
    ).rows
    assert lost == of_looks and len(lost) == 2


@pytest.mark.parametrize("view", CALENDARS)
def test_missed_slots_show_from_the_first_slot_until_now(lake: Lake, view: str) -> None:
    # All days with rows, and the day after. The months of silence since are all alike.
    last = max(row["day"] for row in lake.tables["country_ticks"])
    until = f"{date.fromisoformat(last) + timedelta(days=1)}"

    def expected() -> dict[Any, dict[str, Any]]:
        rows = CALENDARS[view](lake.tables, datetime.now(UTC).replace(tzinfo=None))
        return keyed(view, [row for row in rows if row["day"] <= until])

    before = expected()
    found = keyed(view, lake.ask(f"select * from {view} where day <= '{until}'").dicts)
    assert any(row.get("outcome") == "missing" or row.get("missing") for row in found.values())
    # A slot may have ended meanwhile.
    assert is_same(found, before) or is_same(found, expected())


def test_the_ticks_lake_has_rows_for_every_view(ticked_lake: Lake) -> None:
    stores, ticks = ticked_lake.tables["store_availability"], ticked_lake.tables["country_ticks"]
    assert {row["status"] for row in stores} == set(vocabulary.STATUSES)
    assert {row["outcome"] for row in ticks} == set(vocabulary.OUTCOMES)
    assert "late" in {row["reason"] for row in stores}
    assert len({row["day"] for row in stores}) >= 2


def test_only_rows_of_compacted_days_have_their_schedule(
    ticked_lake: Lake,
) -> None:
    where = "where status <> 'orphan'"
    found = {
        (row["country"], row["day"] == ticked_lake.day): (row["rows"], row["explained"])
        for row in ticked_lake.ask(
            f"select country, day, count(*) as rows, count(valid_from) as explained from judged_by {where} group by 1, 2"
        ).dicts
    }
    assert found.keys() == {(country, today) for country in ("es", "mx", "pt") for today in (False, True)}
    for (country, today), (rows, explained) in found.items():
        assert explained == (0 if today or country == "mx" else rows)


def test_the_sample_week_s_rows_have_the_schedule_that_judged_them(
    sample_week: Lake,
) -> None:
    """Reads the columns as an analyst would, and judges them by the tests' own hours."""
    rules = Country("UTC", "closed")  # every store names its zone
    rows = sample_week.ask(
        "select * from judged_by where country = 'es' and day between '2026-03-26' and '2026-03-29'"
        " and status <> 'orphan' and store_id in ('105', '108', '110', '114')"
    ).dicts
    assert len(rows) == 4 * 4 * 96
    assert {row["store_id"] for row in rows if row["problem"]} == {"114"}
    assert {row["exceptions"] for row in rows} == {None, "2026-03-27 closed"}
    assert len({row["weekly"] for row in rows if row["store_id"] == "105"}) == 2
    for row in rows:
        slot = row["slot"].replace(tzinfo=UTC)
        told = expected_unseen_row(rules, slot, read_texts(dict.fromkeys(LABELS) | row), "late")
        assert row["scheduled_seconds"] == (None if row["problem"] else told["scheduled_seconds"]), row


@pytest.mark.parametrize("view", VIEWS)
def test_a_views_columns_have_the_types_in_its_file(sample_week: Lake, view: str) -> None:
    found = sample_week.ask(f"select * from ({VIEWS[view].sql}) limit 0").columns
    # Engines and readers would silently cast a wrong type.
    types = [
        (column.name, column.type.partition("(")[0] if "varchar" in column.type else column.type) for column in found
    ]
    assert types == [(column.name, column.type) for column in VIEWS[view].columns]


@pytest.mark.parametrize("view", VIEWS)
def test_a_deployed_view_has_the_text_of_its_file(analysed: Ticked, view: str) -> None:
    deployed = analysed.deployed
    found = deployed.glue.get_table(DatabaseName=deployed.database, Name=view)["Table"]
    assert (found["TableType"], found["Description"]) == ("VIRTUAL_VIEW", "Presto View")
    text = found["ViewOriginalText"].removeprefix("/* Presto View: ").removesuffix(" */")
    kept = json.loads(base64.b64decode(text, validate=True))
    assert kept["originalSql"] == VIEWS[view].sql
    assert (kept["catalog"], kept["schema"], kept["runAsInvoker"]) == ("awsdatacatalog", deployed.database, True)
    comments = [column["Comment"] for column in found["StorageDescriptor"]["Columns"]]
    assert comments == [column.comment for column in VIEWS[view].columns]
