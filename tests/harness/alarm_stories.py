"""Ticks as CloudWatch sees them, recorded from real ones, strung together to hours, and watched by the templates' alarms."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from infra.local.checks.retries import states_of
from infra.vocabulary import SLOT_SECONDS
from tests.harness.cloudwatch import CloudWatch, Metric, Suppression, rule_holds
from tests.harness.deployment import Deployed
from tests.harness.templates import PSEUDO, Template

PREFIX, COUNTRY, NAMESPACE = "storewatch", "es", "Storewatch"
_ENDS = {"SUCCEEDED": "ExecutionsSucceeded", "FAILED": "ExecutionsFailed", "TIMED_OUT": "ExecutionsTimedOut"}
_DIMENSIONS = {
    NAMESPACE: "Country",
    "AWS/States": "StateMachineArn",
    "AWS/Lambda": "FunctionName",
    "AWS/Events": "RuleName",
    "AWS/SQS": "QueueName",
}


@dataclass(frozen=True)
class Point:
    """A value of a metric, at seconds from the start of the tick."""

    metric: Metric
    second: float
    value: float

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.metric[1]


Recording = tuple[Point, ...]


def metric(namespace: str, name: str, value: str) -> Metric:
    """A metric of the watched deployment. The value is its only dimension's."""
    return namespace, name, frozenset({(_DIMENSIONS[namespace], value)})


def machine(name: str) -> str:
    """The ARN of `tick` or `country-es` in the watched deployment."""
    region, account = PSEUDO["AWS::Region"], PSEUDO["AWS::AccountId"]
    return f"arn:aws:states:{region}:{account}:stateMachine:{PREFIX}-{name}"


def states(name: str, of: str, second: float, value: float = 1) -> Point:
    """A point of Step Functions about a machine."""
    return Point(metric("AWS/States", name, machine(of)), second, value)


def sent(name: str, value: float, second: float = 60) -> Point:
    """A point that a country's function sends."""
    return Point(metric(NAMESPACE, name, COUNTRY), second, value)


def used(name: str, function: str, value: float, second: float = 30) -> Point:
    """A point of Lambda about a function."""
    return Point(metric("AWS/Lambda", name, f"{PREFIX}-{function}"), second, value)


DAILY_DONE = (states("ExecutionsSucceeded", "daily", 0),)


def but(recording: Recording, *points: Point) -> Recording:
    """The recording with other values for the metrics of these points."""
    replaced = {point.metric for point in points}
    return tuple(point for point in recording if point.metric not in replaced) + points


def record(deployed: Deployed, country: str) -> Recording:
    """What CloudWatch gets from the deployment's first tick, as if `country` were the watched country.

    The functions' own metrics are read from the local AWS. It has none of Step Functions, nor of Lambda for what machines
    invoke. They are made here from the executions ("Step Functions metrics in Amazon CloudWatch") and their histories: each
    invocation counts, and is an error or not. The chunks' executions have no history, so `observe` has no points.
    """
    runs = {name: _first_run(deployed, name) for name in ("tick", f"country-{country}")}
    begin, end = runs["tick"]["startDate"], runs["tick"]["stopDate"] + timedelta(seconds=2)
    points: list[Point] = []
    for name, run in runs.items():
        of = name.replace(f"-{country}", f"-{COUNTRY}")
        start, stop = ((run[key] - begin).total_seconds() for key in ("startDate", "stopDate"))
        points.append(states("ExecutionsStarted", of, start))
        points += [states(ends, of, stop, float(ends == _ENDS[run["status"]])) for ends in _ENDS.values()]
        points.append(states("ExecutionTime", of, stop, 1000 * (stop - start)))
        for function, instant, is_error in _invocations(deployed, name, run["executionArn"]):
            watched = function.replace(f"{country}-", f"{COUNTRY}-")
            second = (instant - begin).total_seconds()
            points += [used("Errors", watched, float(is_error), second), used("Throttles", watched, 0, second)]
    for name, second, value in _sent(deployed, country, begin, end):
        points.append(sent(name, value, second))
    return tuple(points)


def _first_run(deployed: Deployed, name: str) -> dict[str, Any]:
    pages = deployed.step_functions.get_paginator("list_executions").paginate(stateMachineArn=deployed.machine(name))
    runs: list[dict[str, Any]] = [run for page in pages for run in page["executions"]]
    return min(runs, key=lambda run: run["startDate"])


def _invocations(deployed: Deployed, machine_name: str, execution: str) -> Iterator[tuple[str, datetime, bool]]:
    """The functions that an execution invoked by itself, such as `es-plan`: when each ended, and whether as an error."""
    functions = {
        state: content["Parameters"]["FunctionName"].partition(f":function:{deployed.prefix}-")[2]
        for state, content in states_of(deployed.definition(machine_name))
        if "FunctionName" in content.get("Parameters", {})
    }
    pages = deployed.step_functions.get_paginator("get_execution_history").paginate(executionArn=execution)
    function = None
    for event in (event for page in pages for event in page["events"]):
        if entered := event.get("stateEnteredEventDetails"):
            function = functions.get(entered["name"])
        elif function and event["type"] in ("TaskSucceeded", "TaskFailed"):
            yield function, event["timestamp"], event["type"] == "TaskFailed"


def _sent(deployed: Deployed, country: str, begin: datetime, end: datetime) -> Iterator[tuple[str, float, float]]:
    """What a country's functions sent: the name, second and value of each second that has any."""
    cloudwatch = deployed.stack.aws.client("cloudwatch")
    dimensions = [{"Name": "Country", "Value": country}]
    pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace=deployed.namespace, Dimensions=dimensions)
    for name in sorted({found["MetricName"] for page in pages for found in page["Metrics"]}):
        answer = cloudwatch.get_metric_statistics(
            Namespace=deployed.namespace,
            MetricName=name,
            Dimensions=dimensions,
            StartTime=begin,
            EndTime=end,
            Period=1,
            Statistics=["Average"],
        )
        for point in answer["Datapoints"]:
            yield name, (point["Timestamp"] - begin).total_seconds(), point["Average"]


@dataclass(frozen=True)
class Rung:
    """A message to the topic: which alarm, and at which minute."""

    alarm: str
    minute: int


class Alarms:
    """The alarms of the lake and of one country."""

    def __init__(self, **values: str):
        given = {"Prefix": PREFIX, "MetricsNamespace": NAMESPACE, "Country": COUNTRY, "AlertsTopic": "Alerts", **values}
        lake = Template("lake.yaml", given)
        country = Template("country.yaml", {"TickAlarm": lake.outputs()["TickAlarm"], **given})
        self.templates = {"lake.yaml": lake, "country.yaml": country}

    def _all(self, kind: str) -> dict[str, dict[str, Any]]:
        found = [template.resources(kind) for template in self.templates.values()]
        return {one["AlarmName"]: one for resources in found for one in resources.values()}

    @cached_property
    def single(self) -> dict[str, dict[str, Any]]:
        """The alarms on a metric or on metric math, by name."""
        return self._all("AWS::CloudWatch::Alarm")

    @cached_property
    def composite(self) -> dict[str, dict[str, Any]]:
        """The composite alarms, by name."""
        return self._all("AWS::CloudWatch::CompositeAlarm")

    @cached_property
    def telling(self) -> dict[str, dict[str, Any]]:
        """The alarms that tell the topic, by name."""
        return {name: alarm for name, alarm in {**self.single, **self.composite}.items() if "AlarmActions" in alarm}

    def raised(self, watch: CloudWatch, now: int) -> set[str]:
        """The alarms that are in the state ALARM."""
        states = {name: watch.state(alarm, now) for name, alarm in self.single.items()}
        composite = {name for name, alarm in self.composite.items() if rule_holds(alarm["AlarmRule"], states)}
        return composite | {name for name, state in states.items() if state == "ALARM"}

    def rung(self, watch: CloudWatch, minutes: range) -> list[Rung]:
        """What the topic hears of alarms that begin, in these minutes."""
        suppressions = {
            name: Suppression(
                alarm.get("ActionsSuppressorWaitPeriod", 0), alarm.get("ActionsSuppressorExtensionPeriod", 0)
            )
            for name, alarm in self.telling.items()
        }
        rung = []
        for minute in minutes:
            raised = self.raised(watch, minute * 60)
            for name, alarm in self.telling.items():
                suppressor = alarm.get("ActionsSuppressor") in raised
                if suppressions[name].rings(alarm=name in raised, suppressor=suppressor, now=minute * 60):
                    rung.append(Rung(name.removeprefix(f"{PREFIX}-"), minute))
        return rung


def string(ticks: Sequence[Recording], delay: float = 90, *, others: Sequence[Point] = DAILY_DONE) -> CloudWatch:
    """One recording a slot, an empty one for a slot without. Each starts some seconds later than the last or earlier.

    `others` are points of the whole story. By default they say that the daily work is done.
    """
    points: dict[Metric, list[tuple[float, float]]] = defaultdict(list)
    for point in others:
        points[point.metric].append((point.second, point.value))
    for number, recording in enumerate(ticks):
        begin = number * SLOT_SECONDS + 5 + number * 7 % 20
        for point in recording:
            points[point.metric].append((begin + point.second, point.value))
            if point.metric[0] == "AWS/Lambda":
                # Lambda also counts for all functions of the account.
                points["AWS/Lambda", point.name, frozenset()].append((begin + point.second, point.value))
    return CloudWatch(points, delay)


def alarm_names(alarms: Iterable[str]) -> set[str]:
    """The names of alarms as docs/operations.md has them: without the deployment, and without the country."""
    short = (name.removeprefix(f"{PREFIX}-").removeprefix(f"{COUNTRY}-") for name in alarms)
    return {name.removesuffix(f"-{COUNTRY}") for name in short}


def _without_math(alarm: Mapping[str, Any]) -> dict[str, Any]:
    """The alarm on the one metric that it fills; if it is no such alarm, on one that nobody sends."""
    match alarm.get("Metrics"):
        case [{"MetricStat": stat}, {"Expression": str(expression)}] if expression.startswith("FILL("):
            kept = {key: alarm[key] for key in ("ComparisonOperator", "TreatMissingData")}
            return {
                **stat["Metric"],
                "Statistic": stat["Stat"],
                "Period": stat["Period"],
                "Threshold": float(alarm["Threshold"]),
                **kept,
            }
    return {
        "Namespace": "Nobody",
        "MetricName": alarm["AlarmName"],
        "Statistic": "Sum",
        "Period": 60,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    }


@contextmanager
def put(
    cloudwatch: Any, singles: Mapping[str, Mapping[str, Any]], composites: Iterable[Mapping[str, Any]]
) -> Iterator[None]:
    """Puts composite alarms into the local CloudWatch, which its CloudFormation does not, and removes them in the end.

    For a single alarm that is not there, because it is on metric math, one without it stands in: on the metric that the
    alarm fills, or else on one that nobody sends.
    """
    pages = cloudwatch.get_paginator("describe_alarms").paginate(AlarmTypes=["MetricAlarm"])
    there = {alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"]}
    absent, made = sorted(singles.keys() - there), list(composites)
    for name in absent:
        cloudwatch.put_metric_alarm(AlarmName=name, EvaluationPeriods=1, **_without_math(singles[name]))
    try:
        for alarm in made:
            given = {key: alarm[key] for key in ("AlarmName", "AlarmRule", "AlarmActions", "OKActions")}
            cloudwatch.put_composite_alarm(**given)
        yield
    finally:
        # One request deletes one composite alarm, and no alarm on which another depends.
        for alarm in made:
            cloudwatch.delete_alarms(AlarmNames=[alarm["AlarmName"]])
        cloudwatch.delete_alarms(AlarmNames=absent)
