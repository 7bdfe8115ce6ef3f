"""Every alarm rings when it should, and a failure rings once: evaluated over real ticks, over failures and over silence.

The local CloudWatch evaluates neither math, nor silence, nor dimensions. tests/harness/cloudwatch.py does, as AWS documents
it, on what real ticks sent.
"""

import random
from typing import Any

import pytest

from tests.e2e.conftest import Ticked
from tests.harness.alarm_stories import (
    COUNTRY,
    PREFIX,
    Alarms,
    Point,
    Recording,
    alarm_names,
    but,
    machine,
    metric,
    record,
    sent,
    states,
    string,
    used,
)
from tests.harness.cloudwatch import CloudWatch

# Four hours of slots. The first hour is for what alarms look back to.
SLOTS, FIRST = 16, 5
MINUTES = range(FIRST * 15, SLOTS * 15)
MINUTE = 60
# How late points arrive, in seconds: at once, and as late as they do at worst when all is well.
DELAYS = (0, 60, 150)


@pytest.fixture(scope="module")
def alarms() -> Alarms:
    """The templates' alarms."""
    return Alarms()


@pytest.fixture(scope="module")
def complete(ticked: Ticked) -> Recording:
    """A tick that was complete."""
    return record(ticked.deployed, "es")


@pytest.fixture(scope="module")
def failed(broken: Ticked) -> Recording:
    """A tick in which the country failed, for want of its database."""
    return record(broken.deployed, "mx")


@pytest.fixture(scope="module")
def partial(broken: Ticked) -> Recording:
    """A tick that did not see the country's live view. Another country failed, and so did the tick."""
    return record(broken.deployed, "pt")


def names(rung: Any) -> list[str]:
    """Which alarms the topic heard of, in order."""
    return [one.alarm for one in rung]


def raised(alarms: Alarms, watch: CloudWatch, minutes: range = MINUTES) -> set[str]:
    """Every alarm that was raised at some minute, composite ones apart."""
    found = set().union(*(alarms.raised(watch, minute * MINUTE) for minute in minutes))
    return alarm_names(found - alarms.composite.keys())


def growing(ticks: list[Recording]) -> list[Recording]:
    """The same, with one tick more that waits for the catalog in each that has any."""
    waiting, found = 0, []
    for tick in ticks:
        waits = any(point.name == "TicksPending" for point in tick)
        waiting = waiting + 1 if waits else 0
        found.append(but(tick, sent("TicksPending", waiting)) if waits else tick)
    return found


def later(recording: Recording, seconds: float) -> Recording:
    """A tick that starts in time and takes longer: the end of its executions, and what functions send."""
    start = "ExecutionsStarted"
    return tuple(p if p.name == start else Point(p.metric, p.second + seconds, p.value) for p in recording)


def lasting(bad: Recording, good: Recording, slots: int) -> list[Recording]:
    """Good ticks, then so many bad ones, then good ones again."""
    before = FIRST + 2
    return growing([good] * before + [bad] * slots + [good] * (SLOTS - before - slots))


# ---- what should not ring


@pytest.mark.parametrize("delay", DELAYS)
def test_complete_ticks_raise_no_alarm(alarms: Alarms, complete: Recording, delay: float) -> None:
    names_sent = {point.name for point in complete}
    assert {"ExecutionsSucceeded", "ExecutionsStarted", "Errors", "Throttles"} <= names_sent
    assert raised(alarms, string([complete] * SLOTS, delay)) == set()


@pytest.mark.parametrize(
    "mended",
    [
        pytest.param([sent("SchedulesStale", 1)], id="stale schedules"),
        pytest.param([sent("TicksPending", 1)], id="a tick that waits for the catalog"),
        pytest.param([states("ExecutionTime", f"country-{COUNTRY}", 400, 400_000)], id="a slow tick"),
        pytest.param([used("Errors", "dispatch", 1)], id="an error of dispatch"),
        pytest.param([used("Errors", f"{COUNTRY}-observe", 2)], id="errors of observe"),
        pytest.param([used("Throttles", f"{COUNTRY}-observe", 9)], id="throttles"),
        pytest.param([sent("Coverage", 0.985)], id="coverage a little under 1"),
        pytest.param([sent("StoresChange", 0.2), sent("ListedShareFall", 0.05)], id="small changes"),
        pytest.param([sent("AvailabilityFall", 10)], id="unusual availability of one tick"),
    ],
)
def test_what_the_next_tick_mends_does_not_ring(alarms: Alarms, complete: Recording, mended: list[Point]) -> None:
    watch = string(lasting(but(complete, *mended), complete, 1))
    assert names(alarms.rung(watch, MINUTES)) == []


def test_a_registration_that_a_retry_mended_is_not_pending(alarms: Alarms, complete: Recording) -> None:
    again = but(complete, sent("TicksPending", 1, second=60))
    assert raised(alarms, string([again] * SLOTS)) == set()


def test_waiting_for_the_place_in_the_slot_is_not_slow(complete: Recording) -> None:
    late = but(complete, states("ExecutionTime", f"country-{COUNTRY}", 700, 700_000))
    watch = string([late] * SLOTS)
    assert raised(Alarms(LookAfterSeconds="600"), watch) == set()
    assert raised(Alarms(LookAfterSeconds="0"), watch) == {"slow"}


# ---- silence


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("older_periods", [0, 3])
@pytest.mark.parametrize("fills_empty", [True, False])
def test_silence_rings_once_30_minutes_after_the_last_tick(
    alarms: Alarms, complete: Recording, delay: float, older_periods: int, fills_empty: bool
) -> None:
    watch = string(lasting((), complete, SLOTS), delay)
    watch = CloudWatch(watch.points, delay, older_periods, fills_empty)
    (rung,) = alarms.rung(watch, range(FIRST * 15, 6 * SLOTS * 15))
    started = max(time for time, _ in watch.points[metric("AWS/States", "ExecutionsStarted", machine("tick"))])
    assert rung.alarm == "tick" and 30 <= rung.minute - started / MINUTE < 32


def test_countries_stay_quiet_until_the_first_complete_tick_after_silence(alarms: Alarms, complete: Recording) -> None:
    slow = but(complete, states("ExecutionsSucceeded", f"country-{COUNTRY}", 700))
    watch = string([*lasting((), complete, 4)[:11], slow, *[complete] * 8])
    assert "no-complete-tick" in raised(alarms, watch)
    assert names(alarms.rung(watch, range(FIRST * 15, 19 * 15))) == ["tick"]


def test_a_country_that_fails_from_the_first_tick_after_silence_rings(
    alarms: Alarms, complete: Recording, failed: Recording
) -> None:
    watch = string([*[complete] * 7, *[()] * 4, *[failed] * 8])
    assert names(alarms.rung(watch, range(FIRST * 15, 19 * 15))) == ["tick", f"country-{COUNTRY}"]


@pytest.mark.parametrize("delay", DELAYS)
def test_one_missed_tick_raises_the_alarm_at_most_until_the_next_one_is_seen(
    alarms: Alarms, complete: Recording, delay: float
) -> None:
    """It is a gap of just 30 minutes, and the points of the tick that ends it arrive late."""
    watch = string(lasting((), complete, 1), delay)
    missing = alarms.single[f"{PREFIX}-tick-missing"]
    assert sum(watch.state(missing, minute * MINUTE) == "ALARM" for minute in MINUTES) <= 1 + delay / MINUTE


def test_a_country_without_ticks_rings_while_others_tick(alarms: Alarms, complete: Recording) -> None:
    others = tuple(point for point in complete if f"-{COUNTRY}" not in str(point.metric) and "Tick" not in point.name)
    others = tuple(point for point in others if point.metric[0] != "Storewatch")
    assert {point.metric[0] for point in others} == {"AWS/States", "AWS/Lambda"}
    watch = string(lasting(others, complete, 8))
    assert raised(alarms, watch) == {"no-complete-tick"}
    assert names(alarms.rung(watch, MINUTES)) == [f"country-{COUNTRY}"]


def test_what_has_never_run_rings(alarms: Alarms) -> None:
    assert {"tick-missing", "no-complete-tick", "daily-missing"} == raised(alarms, CloudWatch({}), range(1))


def test_without_fill_it_would_ring_later(alarms: Alarms, complete: Recording) -> None:
    """Why the alarms have it: the model must show what AWS warns of."""
    alarm = alarms.single[f"{PREFIX}-tick-missing"]
    stat = alarm["Metrics"][0]["MetricStat"]
    bare = (
        {key: value for key, value in alarm.items() if key != "Metrics"}
        | stat["Metric"]
        | {"Statistic": "Sum", "Period": 900}
    )
    watch = string([complete] * FIRST, 0)
    rings = [
        next(minute for minute in range(FIRST * 15, 300) if watch.state(one, minute * MINUTE) == "ALARM")
        for one in (alarm, bare)
    ]
    last = (FIRST - 1) * 15
    assert rings[0] - last <= 31 and rings[1] - last > 60


# ---- failures


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("slots", [1, 2, 6])
@pytest.mark.parametrize(("kind", "expected"), [("failed", {"failed"}), ("partial", {"coverage-low"})])
def test_a_country_that_fails_or_is_not_seen_rings_once(
    request: pytest.FixtureRequest,
    alarms: Alarms,
    complete: Recording,
    kind: str,
    expected: set[str],
    slots: int,
    delay: float,
) -> None:
    """The tick of all countries failed with it, and does not ring."""
    watch = string(lasting(request.getfixturevalue(kind), complete, slots), delay)
    assert expected | {"tick-failed"} <= raised(alarms, watch)
    assert names(alarms.rung(watch, MINUTES)) == [f"country-{COUNTRY}"]


# What a tick sends, and the alarms that it raises if it lasts.
LASTING: dict[str, tuple[list[Point], set[str]]] = {
    "stale schedules": ([sent("SchedulesStale", 1)], {"schedules-stale"}),
    "the catalog is down": (
        [sent("TicksPending", 1), used("Errors", f"{COUNTRY}-register", 4)],
        {"partitions-pending"},
    ),
    "a function fails and a retry mends it": ([used("Errors", f"{COUNTRY}-observe", 1)], {"function-errors"}),
    "plan is throttled": ([used("Throttles", f"{COUNTRY}-plan", 1)], {"function-throttles"}),
    "slow ticks": ([states("ExecutionTime", f"country-{COUNTRY}", 310, 310_000)], {"slow"}),
    "little coverage": ([sent("Coverage", 0.979)], {"coverage-low"}),
    "the live view refuses the query": (
        [sent("ConfigErrors", 3), sent("Coverage", 0), sent("TicksPartial", 1)],
        {"config-errors", "coverage-low", "partial-again"},
    ),
    "ids do not meet": ([sent("IdsUnmet", 1), sent("ListedShareFall", 0.9)], {"ids-unmet", "listed-share-fall"}),
    "stores change": ([sent("StoresChange", 0.3)], {"stores-change"}),
    "availability falls": ([sent("AvailabilityFall", 5)], {"availability-low"}),
    "timed out": (
        [
            states("ExecutionsTimedOut", f"country-{COUNTRY}", 840),
            states("ExecutionTime", f"country-{COUNTRY}", 840, 840_000),
        ],
        {"timed-out", "slow"},
    ),
}


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("story", LASTING)
def test_a_failure_that_lasts_rings_once(alarms: Alarms, complete: Recording, story: str, delay: float) -> None:
    points, expected = LASTING[story]
    watch = string(lasting(but(complete, *points), complete, 7), delay)
    assert raised(alarms, watch) == expected
    # Concurrency is the account's, so its alarm rings for all countries at once.
    rings = "function-throttles" if "function-throttles" in expected else f"country-{COUNTRY}"
    assert names(alarms.rung(watch, MINUTES)) == [rings]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("story", LASTING)
def test_no_failure_rings_twice_whenever_its_points_come(
    alarms: Alarms, complete: Recording, story: str, seed: int
) -> None:
    """Ticks of different lengths, and points that are late by different times."""
    drawn = random.Random(f"{story} {seed}")
    bad = but(complete, *LASTING[story][0])
    ticks = [later(tick, drawn.uniform(0, 200)) for tick in lasting(bad, complete, drawn.randint(1, 7))]
    watch = string(ticks, delay := drawn.choice(DELAYS))
    assert len(alarms.rung(CloudWatch(watch.points, delay, older_periods=seed % 4), MINUTES)) <= 1


@pytest.mark.parametrize("story", ["stale schedules", "the catalog is down", "plan is throttled"])
def test_some_failures_ring_only_after_an_hour(alarms: Alarms, complete: Recording, story: str) -> None:
    bad = but(complete, *LASTING[story][0])
    assert names(alarms.rung(string(lasting(bad, complete, 3)), MINUTES)) == []
    (rung,) = alarms.rung(string(lasting(bad, complete, 6)), MINUTES)
    assert 45 <= rung.minute - (FIRST + 2) * 15 <= 65


def test_two_failures_one_after_the_other_ring_twice(alarms: Alarms, complete: Recording, failed: Recording) -> None:
    ticks = [*[complete] * 6, failed, *[complete] * 5, failed, *[complete] * 3]
    assert names(alarms.rung(string(ticks), MINUTES)) == [f"country-{COUNTRY}"] * 2


# ---- failures of what all countries share

NOT_STARTED = (states("ExecutionsStarted", "tick", 0), states("ExecutionsFailed", "tick", 12))


@pytest.mark.parametrize("metric_name", ["Errors", "Throttles"])
@pytest.mark.parametrize("slots", [1, 6])
def test_a_tick_without_dispatch_rings_once_and_no_country_does(
    alarms: Alarms, complete: Recording, metric_name: str, slots: int
) -> None:
    bad = (*NOT_STARTED, used(metric_name, "dispatch", 3, second=10))
    watch = string(lasting(bad, complete, slots))
    assert names(alarms.rung(watch, MINUTES)) == ["tick"]


def test_a_tick_that_times_out_rings(alarms: Alarms, complete: Recording) -> None:
    bad = but(complete, states("ExecutionsTimedOut", "tick", 870))
    assert names(alarms.rung(string(lasting(bad, complete, 3)), MINUTES)) == ["tick"]


@pytest.mark.parametrize("slots", [1, 6])
def test_a_rule_that_cannot_start_ticks_rings_once(alarms: Alarms, complete: Recording, slots: int) -> None:
    lost = (
        Point(metric("AWS/Events", "FailedInvocations", f"{PREFIX}-tick"), 600, 1),
        Point(metric("AWS/SQS", "NumberOfMessagesSent", f"{PREFIX}-tick-dead-letters"), 602, 1),
    )
    watch = string(lasting(lost, complete, slots))
    assert {"tick-undelivered", "tick-dead-letters"} <= raised(alarms, watch)
    assert names(alarms.rung(watch, MINUTES)) == ["tick"]


DAY = 24 * 3600


def daily(*days: tuple[Point, ...]) -> CloudWatch:
    """Days of the daily work, and nothing else."""
    points = [Point(p.metric, n * DAY + 8400 + p.second, p.value) for n, day in enumerate(days) for p in day]
    return string([], others=points)


def daily_rung(alarms: Alarms, watch: CloudWatch, days: int) -> list[str]:
    """What the topic hears of the daily work from the end of the first day on. CloudWatch looks once an hour at this."""
    rung, was = [], False
    for hour in range(24, 24 * days):
        found = alarms.raised(watch, hour * 3600)
        if (now := f"{PREFIX}-daily" in found) and not was:
            rung.append(hour)
        was = now
    return [f"day {hour // 24}" for hour in rung]


DONE = (states("ExecutionsSucceeded", "daily", 300),)
NOT_DONE = {
    "failed": (states("ExecutionsFailed", "daily", 300),),
    "timed out": (states("ExecutionsTimedOut", "daily", 21_660),),
    "undelivered": (Point(metric("AWS/Events", "FailedInvocations", f"{PREFIX}-daily"), 3600, 1),),
    "dead letter": (Point(metric("AWS/SQS", "NumberOfMessagesSent", f"{PREFIX}-daily-dead-letters"), 3600, 1),),
    "missing": (),
}


def test_daily_work_that_is_done_raises_no_alarm(alarms: Alarms) -> None:
    assert daily_rung(alarms, daily(*[DONE] * 6), 6) == []


@pytest.mark.parametrize("kind", NOT_DONE)
@pytest.mark.parametrize("days", [1, 3])
def test_daily_work_that_is_not_done_rings_once(alarms: Alarms, kind: str, days: int) -> None:
    watch = daily(DONE, DONE, *[NOT_DONE[kind]] * days, *[DONE] * 4)
    assert daily_rung(alarms, watch, 6 + days) == ["day 2"]
