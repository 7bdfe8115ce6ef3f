"""What docs/scale-and-cost.md says is what the templates, the machines and a tick are counted to use."""

from typing import Any

import pytest

from infra.cost import page
from infra.cost.counts import alarms, counts, machine
from infra.cost.month import Month, Prices, emr, measured
from tests.e2e.conftest import COUNTRIES, Ticked
from tests.harness.alarm_stories import COUNTRY, PREFIX, Alarms

METRIC = {"MetricStat": {"Metric": {"Namespace": "N", "MetricName": "M"}}}


def month(countries: int = 30, stores: int = 10_000, **other: Any) -> Month:
    """A month of the page."""
    return Month(counts(), Prices.load(), measured()["runs"][str(stores)], countries, stores, **other)


def test_the_page_s_tables_are_what_make_cost_writes() -> None:
    assert page.problems() == []


def test_a_page_without_a_place_for_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for the table months"):
        page.rendered("# Scale and cost", page.tables())


def test_thirty_countries_of_10_000_stores_cost_less_than_120_dollars_a_month() -> None:
    """After the allowances that AWS gives every account."""
    assert month().total - month().free < 120


def test_a_tenth_of_an_emr_cluster_s_price_is_enough_for_ten_countries() -> None:
    assert month(10).total < sum(emr(Prices.load()).values()) / 10


def test_arm64_saves_a_fifth_of_the_functions_time() -> None:
    each = [month(architecture=name).parts["Lambda"] for name in ("x86_64", "arm64")]
    assert 0.8 < each[1] / each[0] < 0.9


def test_a_month_grows_with_countries_and_stores() -> None:
    one, two = month(1), month(2)
    grows = [part for part in one.parts if two.parts[part] > one.parts[part]]
    assert grows == [part for part in one.parts if part not in ("metrics", "dashboard")]
    assert month(30, 100_000).total > month(30, 10_000).total > 10 * one.tick


def test_an_alarm_is_billed_for_each_metric_that_it_reads() -> None:
    kinds: list[dict[str, Any]] = [
        {"MetricName": "M"},
        {"Metrics": [METRIC, METRIC, {"Expression": "a + b"}]},
        {"Metrics": [METRIC, {"Expression": "ANOMALY_DETECTION_BAND(a, 2)"}]},
    ]
    for kind, billed in zip(kinds, (1, 2, 3), strict=True):
        assert alarms({"Resources": {"A": {"Type": "AWS::CloudWatch::Alarm", "Properties": kind}}}).metrics == billed


def test_the_templates_alarms_are_all_counted() -> None:
    """Counted a second time, in the templates with their references resolved."""
    found = Alarms()
    metrics = {True: 0, False: 0}
    for name, alarm in found.single.items():
        read = sum("MetricStat" in query for query in alarm["Metrics"]) if "Metrics" in alarm else 1
        metrics[name.startswith(f"{PREFIX}-{COUNTRY}-")] += read
    counted = counts()
    assert (counted.country.metrics, counted.lake.metrics) == (metrics[True], metrics[False])
    assert counted.country.composite + counted.lake.composite == len(found.composite)


def test_the_states_are_those_that_executions_enter(ticked: Ticked) -> None:
    """The local Step Functions leaves those of an inline Map out of the history."""
    machines = counts().machines
    assert entered(ticked, "tick") == machines["tick"].once
    for country in COUNTRIES:
        assert entered(ticked, f"country-{country}") == machines["country"].once


def entered(ticked: Ticked, name: str) -> int:
    """How many states the machine's first execution entered. Those of chunks are executions of their own."""
    step_functions = ticked.deployed.step_functions
    pages = step_functions.get_paginator("list_executions").paginate(stateMachineArn=ticked.deployed.machine(name))
    run = min((run for found in pages for run in found["executions"]), key=lambda run: run["startDate"])
    history = step_functions.get_paginator("get_execution_history").paginate(executionArn=run["executionArn"])
    return sum(event["type"].endswith("StateEntered") for found in history for event in found["events"])


def test_a_map_s_states_are_counted_for_each_item() -> None:
    inner = {"StartAt": "B", "States": {"B": {"Type": "Task", "Next": "C"}, "C": {"Type": "Pass", "End": True}}}
    states = {"A": {"Type": "Map", "ItemProcessor": {"ProcessorConfig": {"Mode": "INLINE"}, **inner}, "End": True}}
    found = machine({"StartAt": "A", "States": states})
    assert (found.once, found.each) == (1, 2)


def test_what_was_measured_sends_no_metric_while_all_is_well() -> None:
    """test_tick.py shows the same of the functions as they are now."""
    assert [run["metrics"] for run in measured()["runs"].values()] == [[], []]
