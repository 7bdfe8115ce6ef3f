"""The alarms on silence ring after half an hour, and on nothing else.

The local CloudWatch evaluates neither math nor silence. `state` does, as AWS documents it (Using Amazon CloudWatch alarms,
"Configuring how alarms treat missing data" and "Using math expressions with CloudWatch metrics").
"""

import re
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from infra.deploy import TEMPLATES

SLOT = 900
# How many periods more than it evaluates an alarm retrieves, to find data where some are missing.
_OLDER_PERIODS = 3
SILENCES = [("lake.yaml", "TickMissingAlarm"), ("country.yaml", "CompleteTickMissingAlarm")]


def alarm_of(template: str, name: str) -> dict[str, Any]:
    """An alarm's properties."""
    return yaml_parse((TEMPLATES / template).read_text())["Resources"][name]["Properties"]


def values(alarm: dict[str, Any], points: dict[int, float], now: int) -> list[float | None]:
    """What the alarm retrieves per period, the newest first. A point is a time in seconds and a value."""
    metrics = alarm.get("Metrics", [])
    stats = [query["MetricStat"] for query in metrics if "MetricStat" in query]
    period = stats[0]["Period"] if stats else alarm["Period"]
    assert (stats[0]["Stat"] if stats else alarm["Statistic"]) == "Sum"
    retrieved: list[float | None] = []
    for number in range(1, alarm["EvaluationPeriods"] + _OLDER_PERIODS + 1):
        start = (now // period - number) * period
        inside = [value for time, value in points.items() if start <= time < start + period]
        retrieved.append(sum(inside) if inside else None)
    for expression in (query["Expression"] for query in metrics if "Expression" in query):
        filled = re.fullmatch(r"FILL\((\w+), (\d+)\)", expression)
        assert filled and filled[1] in {query["Id"] for query in metrics}, expression
        # There is nothing to fill in a metric that has never been sent.
        if points:
            retrieved = [float(filled[2]) if value is None else value for value in retrieved]
    return retrieved


def state(alarm: dict[str, Any], points: dict[int, float], now: int) -> str:
    """The alarm's state. Where data are missing it looks at older data first, and only then treats them as told."""
    assert alarm["ComparisonOperator"] == "LessThanThreshold" and alarm["TreatMissingData"] == "breaching"
    count = alarm["EvaluationPeriods"]
    retrieved = values(alarm, points, now)
    known = [value for value in retrieved if value is not None][:count]
    breaching = sum(value < alarm["Threshold"] for value in known) + count - len(known)
    return "ALARM" if breaching >= alarm.get("DatapointsToAlarm", count) else "OK"


@pytest.mark.parametrize(
    ("template", "name", "namespace", "metric", "dimension", "topic"),
    [
        (
            "lake.yaml",
            "TickMissingAlarm",
            "AWS/States",
            "ExecutionsStarted",
            {"Name": "StateMachineArn", "Value": {"Ref": "TickMachine"}},
            "Alerts",
        ),
        (
            "country.yaml",
            "CompleteTickMissingAlarm",
            {"Ref": "MetricsNamespace"},
            "TicksComplete",
            {"Name": "Country", "Value": {"Ref": "Country"}},
            "AlertsTopic",
        ),
    ],
)
def test_it_looks_at_its_own_metric_and_tells_the_topic(
    template: str, name: str, namespace: Any, metric: str, dimension: dict[str, Any], topic: str
) -> None:
    alarm = alarm_of(template, name)
    (stat,) = [query["MetricStat"] for query in alarm["Metrics"] if "MetricStat" in query]
    assert stat["Metric"] == {"Namespace": namespace, "MetricName": metric, "Dimensions": [dimension]}
    assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": topic}]


@pytest.mark.parametrize(("template", "name"), SILENCES)
def test_silence_rings_once_two_slots_have_passed(template: str, name: str) -> None:
    alarm = alarm_of(template, name)
    points = {slot * SLOT + 30: 1.0 for slot in range(96)}
    last = max(points) // SLOT * SLOT
    states = {minute: state(alarm, points, last + minute * 60) for minute in range(0, 120, 5)}
    # The slot of the last tick ends after 15 minutes, and two more pass without one.
    assert [minute for minute, found in states.items() if found == "ALARM"] == list(range(45, 120, 5))


@pytest.mark.parametrize(("template", "name"), SILENCES)
def test_a_tick_a_slot_keeps_it_quiet_and_one_that_is_missed_does_too(template: str, name: str) -> None:
    alarm = alarm_of(template, name)
    points = {slot * SLOT + 30 + slot: 1.0 for slot in range(96) if slot != 50}
    assert {state(alarm, points, 10 * SLOT + minute * 60) for minute in range(0, 1200, 5)} == {"OK"}


@pytest.mark.parametrize(("template", "name"), SILENCES)
def test_what_has_never_run_rings(template: str, name: str) -> None:
    assert state(alarm_of(template, name), {}, 96 * SLOT) == "ALARM"


def test_ticks_that_end_otherwise_than_complete_ring_as_silence_does() -> None:
    alarm = alarm_of("country.yaml", "CompleteTickMissingAlarm")
    points = {slot * SLOT + 30: 1.0 if slot < 90 else 0.0 for slot in range(96)}
    assert state(alarm, points, 91 * SLOT) == "OK"
    assert state(alarm, points, 92 * SLOT) == "ALARM"


def test_without_fill_it_would_ring_later() -> None:
    """Why the alarms have it: the model must show what AWS warns of."""
    alarm = alarm_of("lake.yaml", "TickMissingAlarm")
    bare = {**alarm, "Metrics": [query for query in alarm["Metrics"] if "Expression" not in query]}
    points = {slot * SLOT + 30: 1.0 for slot in range(96)}
    now = max(points) // SLOT * SLOT + 45 * 60
    assert (state(alarm, points, now), state(bare, points, now)) == ("ALARM", "OK")
