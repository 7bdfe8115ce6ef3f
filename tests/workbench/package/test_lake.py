"""Availability, the worst and outages, compared with the sample week's rows, counted a second time in plain Python."""

from collections.abc import Callable
from typing import Any

import pytest

from infra.vocabulary import RATED
from tests.harness import outage_views_oracle, views_oracle
from tests.harness.lakes import Lake
from tests.harness.views_oracle import Row, Rows, bounds, grouped, looks, statuses
from tests.workbench.package.notebook import Notebook, opened

_WEEK = [f"2026-03-{day}" for day in range(23, 30)]
_ISO = "%Y-%m-%dT%H:%M:%S.%f"
# Every `by` and how a row's key is told from it.
_KEYS: dict[str, Callable[[Row], Any]] = {
    "slot": lambda row: row["slot"].strftime(_ISO),
    "hour": lambda row: views_oracle.hour(row["slot"]).strftime(_ISO),
    "day": lambda row: row["day"],
    "week": lambda row: views_oracle.monday(row["day"]),
    "city": lambda row: row["city"],
    "store": lambda row: row["store_id"],
    "region": lambda row: row["region"],
    "chain": lambda row: row["chain"],
    "segment": lambda row: row["segment"],
    "owner": lambda row: row["owner"],
}


def _counted(rows: Rows) -> Row:
    """What availability should tell of some looks."""
    counts = statuses(rows)
    rated = [row for row in rows if row["status"] in RATED]
    seconds = sum(row["scheduled_seconds"] for row in rated)
    good = sum(row["scheduled_seconds"] for row in rated if row["status"] == "available")
    ticks = sum(row["status"] not in ("orphan", "missed") for row in rows)
    return {
        "store_ticks": ticks,
        **{status: counts[status] for status in (*RATED, "unknown")},
        "scheduled_minutes": seconds / 60,
        "lost_minutes": (seconds - good) / 60,
        "availability": counts["available"] / len(rated) if rated else None,
        "availability_weighted": good / seconds if seconds else None,
        "coverage": 1 - counts["unknown"] / ticks if ticks else None,
        **bounds(rows),
    }


def _of(lake: Lake, country: str, *days: str) -> Rows:
    return [row for row in looks(lake.tables) if row["country"] == country and row["day"] in days]


def _same(found: Rows, expected: dict[Any, Row], key: str) -> None:
    by_key = {row[key]: row for row in found}
    assert len(by_key) == len(found)
    # Times of which nothing is known have a row of nulls.
    known = {key: row for key, row in by_key.items() if row["store_ticks"] is not None}
    assert set(known) == set(expected)
    for name, row in expected.items():
        assert {column: known[name][column] for column in row} == pytest.approx(row), name


@pytest.mark.smoke
@pytest.mark.parametrize("country", ["es", "mx"])
def test_availability_by_day_is_that_of_the_stores_rows(notebook: Notebook, lake: Lake, country: str) -> None:
    found = notebook.run(f"result = availability('{country}', '2026-03-23', '2026-03-29')").dicts
    _same(found, {day: _counted(rows) for day, rows in grouped(_of(lake, country, *_WEEK), _KEYS["day"])}, "day")


@pytest.mark.parametrize("by", _KEYS)
def test_availability_is_the_same_counts_however_it_is_told(notebook: Notebook, lake: Lake, by: str) -> None:
    found = notebook.run(f"result = availability('mx', '2026-03-24', '2026-03-26', by={by!r})").dicts
    rows = _of(lake, "mx", "2026-03-24", "2026-03-25", "2026-03-26")
    if by == "store" or by in ("region", "chain", "segment", "owner"):
        rows = [row for row in rows if row["status"] != "orphan"]  # of no owner, no region
    expected = {key: _counted(own) for key, own in grouped(rows, _KEYS[by])}
    # A slot that was missed in which no store was scheduled has no row of its own.
    _same(found, expected, "store_id" if by == "store" else by)


def test_one_row_for_all_is_the_sum(notebook: Notebook, lake: Lake) -> None:
    [found] = notebook.run("result = availability('mx', '2026-03-23', '2026-03-29', by=None)").dicts
    expected = _counted(_of(lake, "mx", *_WEEK))
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_by_local_hour_follows_the_citys_clock(notebook: Notebook, lake: Lake) -> None:
    found = notebook.run("result = availability('mx', '2026-03-24', '2026-03-25', by='local_hour')").dicts
    # The sum over hours is that of the days, and each hour has looks of both zones of the country, an hour or more apart.
    expected = _counted(_of(lake, "mx", "2026-03-24", "2026-03-25"))
    assert [row["local_hour"] for row in found] == list(range(24)) + ([None] if len(found) > 24 else [])
    for name in ("store_ticks", *RATED, "unknown", "unseen"):
        assert sum(row[name] for row in found) == expected[name], name


def test_a_time_without_a_tick_has_no_counts_instead_of_zeros(notebook: Notebook) -> None:
    found = notebook.run("result = availability('mx', '2026-03-23', by='hour')").dicts
    assert [row["hour"][11:13] for row in found] == [f"{hour:02}" for hour in range(24)]
    before = found[:6]  # its first tick is at 06:00
    assert all(value is None for row in before for name, value in row.items() if name != "hour")
    assert all(row["store_ticks"] == 40 for row in found[6:])


def test_hours_that_are_to_come_have_no_row(notebook: Notebook) -> None:
    ran = notebook.run("""
        today = pd.Timestamp.now("UTC").tz_localize(None)
        result = availability("es", today, today + pd.Timedelta(days=2), by="slot")
        assert result["slot"].max() <= pd.Timestamp.now("UTC").tz_localize(None)
    """)
    assert all(row["store_ticks"] is None and row["availability"] is None for row in ran.dicts)


def test_a_share_of_nothing_is_nan(notebook: Notebook) -> None:
    found = notebook.run("result = availability('es', '2026-03-24', by='hour')").dicts
    night = found[2]
    assert (night["available"], night["store_ticks"], night["availability"]) == (0, 96, None)
    assert night["availability_low"] == 0.0 and night["availability_high"] == 1.0  # of the stores that are unknown


def test_shares_of_a_sum_divide_the_sums(notebook: Notebook, lake: Lake) -> None:
    ran = notebook.run("""
        both = pd.concat([availability("es", "2026-03-24"), availability("mx", "2026-03-24")])
        counts = both.select_dtypes("number").sum().to_frame().T
        result = shares(counts)
    """)
    rows = _of(lake, "es", "2026-03-24") + _of(lake, "mx", "2026-03-24")
    expected = _counted(rows)
    assert {name: ran.dicts[0][name] for name in expected} == pytest.approx(expected)


def test_the_worst_stores_of_a_week_are_those_of_the_view(notebook: Notebook, lake: Lake) -> None:
    found = notebook.run("result = worst('es', '2026-03-23', '2026-03-29', n=100)").dicts
    expected = {row["store_id"]: row for row in views_oracle.worst_stores(lake.tables) if row["country"] == "es"}
    assert {row["store_id"] for row in found} == set(expected)
    renamed = {"unavailable_minutes": "lost_minutes", "p50_minutes": "usual_minutes"}
    for row in found:
        one = {renamed.get(name, name): value for name, value in expected[row["store_id"]].items()}
        del one["country"], one["week"]
        assert {name: row[name] for name in one} == pytest.approx(one)
    lost = [row["lost_minutes"] for row in found]
    assert lost == sorted(lost, reverse=True)


def test_the_worst_may_be_chains_too(notebook: Notebook, lake: Lake) -> None:
    found = notebook.run("result = worst('es', '2026-03-23', '2026-03-29', by='chain', n=2)").dicts
    rows = [row for row in _of(lake, "es", *_WEEK) if row["status"] != "orphan"]
    lost = {chain: _counted(own)["lost_minutes"] for chain, own in grouped(rows, _KEYS["chain"])}
    assert [(row["chain"], row["lost_minutes"]) for row in found] == sorted(lost.items(), key=lambda one: -one[1])[:2]


def test_outages_of_the_whole_lake_are_those_of_the_view(notebook: Notebook, lake: Lake) -> None:
    found = notebook.run("result = outages('es', '2026-03-23', '2026-03-29')").dicts
    expected = {row["outage_id"]: row for row in outage_views_oracle.outages_of(lake.tables) if row["country"] == "es"}
    _same_outages(found, expected)
    assert any(row["is_open"] for row in found) and any(not row["is_open"] for row in found)


def test_outages_of_a_day_are_told_as_they_stood_at_its_end(notebook: Notebook, lake: Lake) -> None:
    found = notebook.run("result = outages('es', '2026-03-24')").dicts
    of_day = {
        "outages": [row for row in lake.tables["outages"] if row["day"] == "2026-03-24" and row["country"] == "es"]
    }
    _same_outages(found, {row["outage_id"]: row for row in outage_views_oracle.outages_of(of_day)})
    # One goes on after it, and began before it.
    assert [row["store_id"] for row in found if row["is_open"] and row["began_by"] < "2026-03-24"] == ["106"]


def test_days_that_are_not_compacted_are_named(notebook: Notebook, young: dict[str, str], python: str) -> None:
    said = "Nothing is told of days that are not compacted"
    assert said not in notebook.run("outages('es', '2026-03-23', '2026-03-29')").printed
    with opened(python, young) as other:
        ran = other.run("day = newest_day('es'); result = [day, len(outages('es', day))]")
    assert f"{said}: {ran.result[0]}\n" in ran.printed and ran.result[1] == 0


def _same_outages(found: Rows, expected: dict[str, Row]) -> None:
    assert {row["outage_id"] for row in found} == set(expected) and len(found) == len(expected)
    for row in found:
        one = expected[row["outage_id"]]
        for name in set(row) & set(one):
            value = one[name]
            if name.startswith(("began_", "ended_")) and value:
                value = views_oracle.rounded(value).strftime(_ISO)
            assert row[name] == (pytest.approx(value) if isinstance(value, float) else value), (row["outage_id"], name)


@pytest.mark.parametrize(
    ("call", "tables"),
    [
        ("availability('es', '2026-03-24', '2026-03-25', by='hour')", ("availability_by_city", "missed_looks")),
        ("availability('es', '2026-03-24', '2026-03-25', by='store')", ("store_availability", "missed_looks")),
        ("worst('es', '2026-03-24', '2026-03-25')", ("store_availability", "missed_looks")),
        ("outages('es', '2026-03-24', '2026-03-25')", ("outages",)),
    ],
)
def test_only_the_named_days_are_read(notebook: Notebook, lake: Lake, call: str, tables: tuple[str, ...]) -> None:
    statements = notebook.run(f"""
        from storewatch import on_trino
        run, result = on_trino.run, []
        def kept(statement, *rest):
            if "$partitions" not in statement:  # which asks the catalog alone
                result.append(statement)
            return run(statement, *rest)
        on_trino.run = kept
        try:
            {call}
        finally:
            on_trino.run = run
    """).result
    [statement] = statements
    wanted = sum(lake.rows_of(table, "es", "2026-03-24", "2026-03-25") for table in tables)
    read = lake.ask(statement).stats["processedRows"]
    # Statistics of the files may save some rows of a status that is not wanted.
    assert 0 < read <= wanted


def test_newest_days_and_weeks_are_whole(notebook: Notebook) -> None:
    ran = notebook.run("result = [countries(), newest_day('es'), newest_week('es'), newest_week('mx')]")
    assert ran.result == [["es", "mx"], "2026-03-29", "2026-03-23", "2026-03-23"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("availability('fr', '2026-03-24')", "the lake has no country 'fr': it has es, mx"),
        ("outages('fr', '2026-03-24')", "the lake has no country 'fr': it has es, mx"),
        ("newest_day('fr')", "the lake has no country 'fr': it has es, mx"),
        ("worst('ES', '2026-03-24')", "country 'ES': use its two small letters, such as 'es'"),
        ("availability('es', '24.3.2026')", "'24.3.2026' is no day: write it as '2026-03-24'"),
        ("availability('es', None)", "None is no day: write it as '2026-03-24'"),
        ("outages('es', '2026-03-25', '2026-03-24')", "the days 2026-03-25 to 2026-03-24 are in the wrong order"),
        ("availability('es', '2026-03-24', by='planet')", "by='planet': use one of slot, hour, day"),
        (
            "plot.availability(availability('es', '2026-03-24', by='city'))",
            "the frame has none of slot, hour, day, week",
        ),
        ("plot.slots(sql('select 1 as slot'))", "the frame has no status, store_id"),
    ],
)
def test_bad_input_gets_a_sentence(notebook: Notebook, call: str, says: str) -> None:
    failure = notebook.fail(call)
    assert failure.kind == "StorewatchError" and says in failure.message, failure.message
