"""The templates' alarms, dead-letter queues and dashboard: names, links, actions, and what the local AWS makes of them."""

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from infra.local.checks import links
from infra.local.config import Stack
from infra.packaging import ROOT
from tests.e2e.conftest import COUNTRIES, Ticked
from tests.harness.alarm_stories import COUNTRY, NAMESPACE, PREFIX, Alarms, alarm_names, put
from tests.harness.cloudwatch import metric_of, rule_holds
from tests.harness.templates import Template

DAY = 24 * 3600
# What a country's functions send only when it goes wrong. The tests of tests/pipeline send each.
FAULTS = {
    "AvailabilityFall",
    "ConfigErrors",
    "Coverage",
    "IdsUnmet",
    "ListedShareFall",
    "SchedulesStale",
    "StoresChange",
    "TicksFailed",
    "TicksPartial",
    "TicksPending",
}


@pytest.fixture(scope="module")
def alarms() -> Alarms:
    """The templates' alarms."""
    return Alarms()


def test_each_alarm_tells_the_topic_or_belongs_to_a_composite_one_that_does(alarms: Alarms) -> None:
    belong: set[str] = set()
    for alarm in alarms.composite.values():
        belong |= set(re.findall(r'ALARM\("([^"]+)"\)', alarm["AlarmRule"]))
    assert alarms.single.keys() - belong == {f"{PREFIX}-function-throttles"}
    assert alarms.telling.keys() == alarms.composite.keys() | alarms.single.keys() - belong
    for alarm in alarms.telling.values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == ["Alerts"]
    actions = {"AlarmActions", "OKActions", "InsufficientDataActions"}
    assert [name for name in belong if actions & alarms.single[name].keys()] == []


def test_a_country_far_from_the_lake_is_not_suppressed() -> None:
    """Alarms of another account cannot suppress."""
    far = Template("country.yaml", {"Country": COUNTRY, "TickAlarm": ""}).resources("AWS::CloudWatch::CompositeAlarm")
    assert not [key for key in far["CountryAlarm"] if key.startswith("ActionsSuppressor")]


def test_alarms_watch_only_what_functions_send(alarms: Alarms) -> None:
    named = [metric_of(one) for alarm in alarms.single.values() for one in _watched(alarm)]
    assert {name for namespace, name, _ in named if namespace == NAMESPACE} == FAULTS - {"TicksFailed"}


def _watched(alarm: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "MetricName" in alarm:
        yield alarm
    yield from (query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query)


def test_every_alarm_is_described_by_a_link_to_its_entry_and_every_entry_has_an_alarm(alarms: Alarms) -> None:
    page = (ROOT / "docs/operations.md").read_text()
    section = re.search(r"(?ms)^## Alarms$.*?(?=^## )", page)
    assert section
    entries = re.findall(r"(?m)^#### (.+)$", section[0])
    everything = {**alarms.single, **alarms.composite}
    assert len(entries) == len(set(entries)) and set(entries) == alarm_names(everything)
    assert set(entries) <= links.anchors(page)
    for name, alarm in everything.items():
        (short,) = alarm_names([name])
        assert alarm["AlarmDescription"].endswith(f": docs/operations.md#{short}")


def test_a_day_of_an_alarm_is_no_longer_than_cloudwatch_allows(alarms: Alarms) -> None:
    """PutMetricAlarm: a day, or seven if the period is an hour or longer."""
    for alarm in alarms.single.values():
        (period,) = set(_periods(alarm))
        assert period * alarm["EvaluationPeriods"] <= (7 * DAY if period >= 3600 else DAY)
        assert alarm.get("DatapointsToAlarm", 1) <= alarm["EvaluationPeriods"]


def _periods(alarm: dict[str, Any]) -> Iterator[int]:
    if "Period" in alarm:
        yield alarm["Period"]
    yield from (query["MetricStat"]["Period"] for query in alarm.get("Metrics", []) if "MetricStat" in query)


def test_the_local_cloudwatch_takes_the_rules_and_comes_to_the_same_states(stack: Stack) -> None:
    """Its reading of the rules is not ours. Every single alarm is raised alone, and the two that count together."""
    own, cloudwatch = f"test{uuid.uuid4().hex[:8]}", stack.aws.client("cloudwatch")
    alarms = Alarms(Prefix=own, MetricsNamespace=own)
    states = dict.fromkeys(alarms.single, "OK")
    with put(cloudwatch, alarms.single, alarms.composite.values()):
        for raised in [*([name] for name in states), [f"{own}-tick-failed", f"{own}-dispatch-throttles"], []]:
            for name, was in states.items():
                states[name] = "ALARM" if name in raised else "OK"
                if states[name] != was:
                    cloudwatch.set_alarm_state(AlarmName=name, StateValue=states[name], StateReason="test")
            answer = cloudwatch.describe_alarms(AlarmNamePrefix=own, AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
            found = {alarm["AlarmName"] for alarm in answer if alarm["StateValue"] == "ALARM"}
            expected = {name for name, alarm in alarms.composite.items() if rule_holds(alarm["AlarmRule"], states)}
            assert found == expected, raised
            alone = {
                f"{own}-{name}"
                for name in ("tick-failed", "dispatch-errors", "dispatch-throttles", "function-throttles")
            }
            assert len(found) == (0 if not raised or (len(raised) == 1 and raised[0] in alone) else 1), raised


@pytest.mark.parametrize("name", ["tick", "daily"])
def test_an_event_that_a_rule_cannot_deliver_goes_to_its_queue(ticked: Ticked, name: str) -> None:
    """Its queue lets this rule send and nobody else. That EventBridge does so: only on AWS."""
    deployed = ticked.deployed
    events, sqs = deployed.stack.aws.client("events"), deployed.stack.aws.client("sqs")
    rule = f"{deployed.prefix}-{name}"
    (target,) = events.list_targets_by_rule(Rule=rule)["Targets"]
    queue = sqs.get_queue_url(QueueName=f"{rule}-dead-letters")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert target["DeadLetterConfig"] == {"Arn": attributes["QueueArn"]}
    (statement,) = json.loads(attributes["Policy"])["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "sqs:SendMessage")
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Resource"] == attributes["QueueArn"]
    arn = events.describe_rule(Name=rule)["Arn"]
    account = attributes["QueueArn"].split(":")[4]
    assert statement["Condition"] == {
        "ArnEquals": {"aws:SourceArn": arn},
        "StringEquals": {"aws:SourceAccount": account},
    }


def test_the_dashboard_shows_metrics_that_ticks_send_when_something_is_wrong(ticked: Ticked) -> None:
    deployed = ticked.deployed
    cloudwatch = deployed.stack.aws.client("cloudwatch")
    region = cloudwatch.meta.region_name
    body = json.loads(cloudwatch.get_dashboard(DashboardName=f"{deployed.prefix}-{region}")["DashboardBody"])
    searched, namespaces = set(), set()
    for widget in body["widgets"]:
        assert 0 < widget["width"] <= 24
        for row in widget["properties"].get("metrics", []):
            if isinstance(row[0], dict):
                search = re.fullmatch(
                    r"SEARCH\('\{\"([^\"]+)\",Country\} MetricName=\"(\w+)\"', '(\w+)', \d+\)", row[0]["expression"]
                )
                assert search, row
                namespaces.add(search[1])
                searched.add(search[2])
                assert row[0]["label"].startswith("${PROP('Dim.Country')}")
            else:
                assert row == ["AWS/States", "ExecutionTime", "StateMachineArn", deployed.machine("tick")]
    assert {"AvailabilityFall", "Coverage", "TicksPending", "TicksFailed"} <= searched <= FAULTS
    assert namespaces == {f"Storewatch/{deployed.prefix}"}


def test_the_dashboard_shows_the_shared_alarms(alarms: Alarms) -> None:
    (dashboard,) = alarms.templates["lake.yaml"].resources("AWS::CloudWatch::Dashboard").values()
    (shown,) = [one for one in json.loads(dashboard["DashboardBody"])["widgets"] if one["type"] == "alarm"]
    begin = "arn:aws:cloudwatch:us-east-1:000000000000:alarm:"
    found = {arn.removeprefix(begin) for arn in shown["properties"]["alarms"]}
    assert found == {f"{PREFIX}-tick", f"{PREFIX}-daily"} <= alarms.composite.keys()


@pytest.mark.parametrize("country", COUNTRIES)
def test_each_country_has_its_alarms_on_its_own_metrics(ticked: Ticked, country: str) -> None:
    """Those that the local CloudFormation takes."""
    deployed = ticked.deployed
    pages = deployed.stack.aws.client("cloudwatch").get_paginator("describe_alarms")
    begin = f"{deployed.prefix}-{country}-"
    found = [alarm for page in pages.paginate(AlarmNamePrefix=begin) for alarm in page["MetricAlarms"]]
    expected = Alarms(Country=country).templates["country.yaml"].resources("AWS::CloudWatch::Alarm").values()
    plain = {alarm["AlarmName"].removeprefix(f"{PREFIX}-{country}-") for alarm in expected if "Metrics" not in alarm}
    assert {alarm["AlarmName"].removeprefix(begin) for alarm in found} == plain
    for alarm in found:
        (dimension,) = alarm["Dimensions"]
        assert (alarm["Namespace"], dimension["Value"]) == ("AWS/States", deployed.machine(f"country-{country}"))
