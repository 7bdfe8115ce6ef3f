"""Every number of Trends and Health, beside the lake asked directly, by another way where there is one."""

from datetime import UTC, date, datetime, timedelta
from statistics import fmean
from typing import Any

import pytest

from infra.dashboard import files
from tests.dashboard.conftest import Shown, query
from tests.dashboard.test_queries import days_read, partitions, statement

DATASETS = files.load().datasets
TODAY = datetime.now(UTC).date()
# Whole days, with as many before them in the lake.
FIRST, END, LENGTH = TODAY - timedelta(days=6), TODAY, 6
LAST_MONDAY = TODAY - timedelta(days=TODAY.weekday() + 7)
DAYS = f"day >= '{FIRST}' and day < '{END}'"
WEEKDAYS = "array['1 Mon', '2 Tue', '3 Wed', '4 Thu', '5 Fri', '6 Sat', '7 Sun']"
Row = dict[str, Any]


def _asked(
    shown: Shown,
    dataset: str,
    columns: list[str],
    metrics: list[str],
    filters: list[Row] | None = None,
    since: date = FIRST,
) -> list[Row]:
    """What a chart of the dataset is told for the days."""
    text = f"{since}T00:00:00 : {END}T00:00:00"
    time_column = DATASETS[dataset].main_dttm_col
    ranged: list[Row] = [{"col": time_column, "op": "TEMPORAL_RANGE", "val": text}] if time_column else []
    wanted: Row = {"columns": columns, "metrics": metrics, "filters": ranged + (filters or []), "time_range": text}
    body = query(shown, dataset, **wanted, force=True)
    return list(shown.client("admin").post("chart/data", body)["result"][0]["data"])


def _same(found: list[Row], expected: list[Row]) -> None:
    def plain(rows: list[Row]) -> list[list[tuple[str, Any]]]:
        return sorted(
            (
                [(name, float(v) if isinstance(v := row[name], int | float) else v) for name in sorted(row)]
                for row in rows
            ),
            key=str,
        )

    assert expected, "the lake has nothing to compare with"
    for one, other in zip(plain(found), plain(expected), strict=True):
        assert [name for name, _ in one] == [name for name, _ in other]
        assert [value for _, value in one] == pytest.approx([value for _, value in other], nan_ok=True)


# Dataset, columns, metrics, and the same asked of the lake.
CASES: dict[str, tuple[str, list[str], list[str], str]] = {
    "availability by day": (
        "looks",
        ["country", "day"],
        ["availability"],
        f"""select country, day, sum(available) * 1e0 / sum(available + unavailable + unlisted) as availability
        from availability_by_city where {DAYS} group by country, day""",
    ),
    "availability by local weekday and hour": (
        "looks",
        ["local_weekday", "local_hour"],
        ["availability"],
        f"""select {WEEKDAYS}[day_of_week(local_date)] as local_weekday, lpad(cast(local_hour as varchar), 2, '0') as local_hour,
            sum(available) * 1e0 / nullif(sum(available + unavailable + unlisted), 0) as availability
        from availability_by_city where {DAYS} group by 1, 2""",
    ),
    "calendar": (
        "looks",
        ["week_of_day", "weekday"],
        ["availability"],
        f"""select cast(date_trunc('week', date(day)) as varchar) as week_of_day, {WEEKDAYS}[day_of_week(date(day))] as weekday,
            sum(available) * 1e0 / sum(available + unavailable + unlisted) as availability
        from availability_by_city where {DAYS} group by 1, 2""",
    ),
    "what was not seen": (
        "looks",
        ["country"],
        ["seen", "availability_low", "availability_high"],
        f"""select country, sum(available + unavailable + unlisted) * 1e0 / sum(available + unavailable + unlisted + unseen) as seen,
            sum(available) * 1e0 / sum(available + unavailable + unlisted + unseen) as availability_low,
            sum(available + unseen) * 1e0 / sum(available + unavailable + unlisted + unseen) as availability_high
        from availability_hourly where {DAYS} group by country""",
    ),
    "regions": (
        "looks",
        ["country", "region"],
        ["lost_hours", "stores"],
        f"""select country, region, count(distinct store_id) as stores,
            coalesce(sum(scheduled_seconds) filter (where status <> 'available'), 0) / 3600e0 as lost_hours
        from store_availability where {DAYS} and status in ('available', 'unavailable', 'unlisted')
        group by country, region""",
    ),
    "health by country": (
        "health_slots",
        ["country"],
        ["slots", "complete", "partial", "failed", "missing", "slots_observed"],
        f"""select country, sum(expected) as slots, sum(complete) as complete, sum(partial) as partial,
            sum(failed) as failed, sum(missing) as missing, sum(complete + partial) * 1e0 / sum(expected) as slots_observed
        from coverage_daily where {DAYS} group by country""",
    ),
    "coverage": (
        "health_slots",
        ["country", "day"],
        ["coverage_of_stores"],
        f"""select country, day, 1 - sum(unknown) * 1e0 / sum(stores) as coverage_of_stores
        from availability_by_city where {DAYS} group by country, day""",
    ),
    "lag and work": (
        "health_slots",
        ["country"],
        ["max_lag", "seconds_a_tick", "chunks_a_tick", "stores_a_tick"],
        f"""select country, max(to_unixtime(finished_at) - to_unixtime(slot)) as max_lag,
            avg(to_unixtime(finished_at) - to_unixtime(started_at)) as seconds_a_tick,
            sum(chunks) * 1e0 / count(chunks) as chunks_a_tick, sum(stores) * 1e0 / count(stores) as stores_a_tick
        from country_ticks where {DAYS} group by country""",
    ),
    "age of schedules": (
        "health_slots",
        ["country"],
        ["schedule_age"],
        f"""select country, greatest(max(stale_seconds), 0) / 60e0 as schedule_age
        from schedule_staleness where {DAYS} group by country""",
    ),
    "days": (
        "health_days",
        ["country", "day", "expected", "complete", "partial", "failed", "missing", "slots_observed", "coverage"],
        [],
        f"""select country, day, expected, complete, partial, failed, missing, slots_observed, coverage
        from coverage_daily where {DAYS}""",
    ),
    "slots that went wrong": (
        "health_slots",
        ["country", "day", "outcome", "error"],
        ["slots"],
        f"select country, day, outcome, error, count(*) as slots from expected_slots where {DAYS} group by 1, 2, 3, 4",
    ),
    "chains": (
        "chains_of_week",
        ["country", "chain"],
        ["availability", "interval_low", "interval_high", "chain_stores", "lost_minutes_per_store_day"],
        f"""select c.country, c.chain, c.availability, i.low as interval_low, i.high as interval_high, c.stores as chain_stores,
            c.lost_minutes_per_store_day
        from worst_chains c join availability_interval i on i.country = c.country and i.chain = c.chain
        where c.week = '{LAST_MONDAY}' and i.period = 'week' and i.scope = 'chain' and i.since = '{LAST_MONDAY}'""",
    ),
    "stores": (
        "stores_of_week",
        ["country", "store_id", "name", "city"],
        ["lost_minutes", "store_availability_share"],
        f"""select country, store_id, name, city, unavailable_minutes as lost_minutes, availability as store_availability_share
        from worst_stores where week = '{LAST_MONDAY}'""",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_chart_has_the_numbers_of_the_lake(shown: Shown, case: str) -> None:
    dataset, columns, metrics, sql = CASES[case]
    _same(_asked(shown, dataset, columns, metrics), shown.lake.ask(sql))


def test_reasons_have_the_lost_time_of_the_view(shown: Shown) -> None:
    down = [{"col": "status", "op": "IN", "val": ["unavailable", "unlisted"]}]
    expected = shown.lake.ask(
        f"""select if(status = 'unlisted', '(not in the live view)', coalesce(reason, '(none given)')) as reason,
            sum(scheduled_minutes) / 60e0 as lost_hours
        from reasons_ranked where {DAYS} and status in ('unavailable', 'unlisted') group by 1"""
    )
    _same(_asked(shown, "looks", ["reason"], ["lost_hours"], down), expected)


def test_usual_weeks_are_the_whole_weeks_of_the_time_range(shown: Shown) -> None:
    first = LAST_MONDAY - timedelta(days=3)
    weeks = [
        f"'{first + timedelta(days=n)}'"
        for n in range((END - first).days - 6)
        if (first + timedelta(days=n)).weekday() == 0
    ]
    expected = shown.lake.ask(
        f"""select country, week, max(p50_minutes) as p50, max(p95_minutes) as p95, max(unavailable_minutes) as worst,
            count(*) as stores
        from worst_stores where week in ({", ".join(weeks)}) group by country, week"""
    )
    _same(_asked(shown, "usual_weeks", ["country", "week"], ["p50", "p95", "worst", "stores"], since=first), expected)


def _ended(shown: Shown, first: date, end: date) -> list[Row]:
    """Each outage as its last row tells, of the days: in Python."""
    last: dict[tuple[str, str], Row] = {}
    for row in sorted(shown.lake.ask("select * from outages"), key=lambda row: row["day"]):
        last[row["country"], row["outage_id"]] = row
    return [row for row in last.values() if f"{first}" <= row["day"] < f"{end}"]


def _minutes(rows: list[Row]) -> list[float]:
    return sorted((row["seconds_at_least"] + row["seconds_at_most"]) / 120 for row in rows if row["seconds_at_most"])


def _mean(numbers: list[float]) -> float | None:
    return fmean(numbers) if numbers else None


def test_kinds_of_outages_have_the_numbers_of_the_table(shown: Shown) -> None:
    rows = _ended(shown, FIRST, END)
    expected = []
    for kind in {row["kind"] for row in rows}:
        own = [row for row in rows if row["kind"] == kind]
        minutes = _minutes(own)
        expected.append(
            {
                "kind": kind or "hours not known",
                "outages": len(own),
                "still_open": sum(row["is_open"] for row in own),
                "mean_minutes": _mean(minutes),
                "mean_at_least": _mean([row["seconds_at_least"] / 60 for row in own if row["seconds_at_most"]]),
                "mean_at_most": _mean([row["seconds_at_most"] / 60 for row in own if row["seconds_at_most"]]),
                "median_minutes": minutes[-(-len(minutes) * 50 // 100) - 1] if minutes else None,
                "p95_minutes": minutes[-(-len(minutes) * 95 // 100) - 1] if minutes else None,
            }
        )
    _same(_asked(shown, "ended_outages", ["kind"], sorted(expected[0].keys() - {"kind"})), expected)


def test_a_period_stands_beside_as_many_days_before_it(shown: Shown) -> None:
    expected = []
    for country in ("es", "mx"):
        row: Row = {"country": country}
        for name, first in (("", FIRST), ("_before", FIRST - timedelta(days=LENGTH))):
            end = first + timedelta(days=LENGTH)
            sums = shown.lake.ask(
                f"""select sum(available) as good, sum(available + unavailable + unlisted) as rated,
                    sum(scheduled_seconds - available_seconds) as lost
                from availability_by_city where country = '{country}' and day >= '{first}' and day < '{end}'"""
            )[0]
            outages = [one for one in _ended(shown, first, end) if one["country"] == country]
            row["availability" + name] = sums["good"] / sums["rated"]
            row["lost_hours" + name] = sums["lost"] / 3600
            row["outages" + name] = len(outages)
            row["recovery" + name] = fmean(_minutes(outages))
        for name, factor in {"availability": 100, "lost_hours": 1, "outages": 1, "recovery": 1}.items():
            row[f"{name}_change"] = factor * (row[name] - row[f"{name}_before"])
        expected.append(row)
    _same(_asked(shown, "two_periods", ["country"], sorted(expected[0].keys() - {"country"})), expected)


@pytest.mark.parametrize(
    "name", ["looks", "two_periods", "ended_outages", "health_slots", "chains_of_week", "stores_of_week"]
)
def test_shares_and_times_of_no_data_are_empty(shown: Shown, name: str) -> None:
    dataset = DATASETS[name]
    shares = [one for one, metric in dataset.metrics.items() if metric["d3format"] != ",d"]
    nowhere = [{"col": "country", "op": "==", "val": "zz"}]
    assert _asked(shown, name, [], shares, nowhere) == [dict.fromkeys(shares)]


@pytest.mark.parametrize("name", ["chains_of_week", "stores_of_week"])
def test_a_week_reads_its_seven_days_only(shown: Shown, name: str) -> None:
    week = {f"{LAST_MONDAY + timedelta(days=n)}" for n in range(7)}
    read = days_read(shown, statement(shown, name, f"{FIRST}T00:00:00 : {END}T00:00:00", None))
    assert {table for table, _ in read} >= {"store_availability"}
    for table, days in read:
        assert days == week & partitions(shown, table)
