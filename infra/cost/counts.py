"""Counts what AWS bills in the templates and state machines: alarms, dashboards, memory, states."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

from infra.packaging import ROOT

# An alarm on a band is billed as three metrics: the metric, and the band's two edges.
_BAND = "ANOMALY_DETECTION_BAND"
_BAND_METRICS = 3
# The Choice that goes on by its first rule if all is well. The others do by their Default.
_BY_RULE = "IsDeployed"


@dataclass(frozen=True)
class Alarms:
    """The alarms of a template."""

    metrics: int  # of all its alarms: each is billed for every metric that it reads
    composite: int


@dataclass(frozen=True)
class Machine:
    """The states that an execution enters if all goes well: each is a billed transition."""

    once: int
    each: int = 0  # for every item of its inline Map


@dataclass(frozen=True)
class Counts:
    """What AWS bills of a deployment before anything runs."""

    lake: Alarms
    country: Alarms
    dashboards: int
    memory: Mapping[str, int]  # function -> MB
    machines: Mapping[str, Machine]  # file of statemachine/ -> states


def counts(root: Path = ROOT) -> Counts:
    """Reads the templates and state machines of a checkout."""
    lake, country = (yaml_parse((root / "infra" / name).read_text()) for name in ("lake.yaml", "country.yaml"))
    machines = {
        name: machine(json.loads((root / "statemachine" / f"{name}.asl.json").read_text()))
        for name in ("tick", "country", "daily", "country-daily")
    }
    return Counts(
        alarms(lake),
        alarms(country),
        len(_resources(lake, "AWS::CloudWatch::Dashboard")),
        {**memory(lake), **memory(country)},
        machines,
    )


def alarms(template: Mapping[str, Any]) -> Alarms:
    """The alarms of a template, as AWS bills them."""
    single = _resources(template, "AWS::CloudWatch::Alarm").values()
    return Alarms(sum(map(_metrics, single)), len(_resources(template, "AWS::CloudWatch::CompositeAlarm")))


def _metrics(alarm: Mapping[str, Any]) -> int:
    queries = alarm.get("Metrics")
    if queries is None:
        return 1
    if any(_BAND in str(query.get("Expression")) for query in queries):
        return _BAND_METRICS
    return sum("MetricStat" in query for query in queries)


def memory(template: Mapping[str, Any]) -> dict[str, int]:
    """The memory of each function, in MB, by its package's name."""
    functions = _resources(template, "AWS::Serverless::Function")
    return {name.lower(): int(found["MemorySize"]) for name, found in functions.items()}


def _resources(template: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    found = template["Resources"].items()
    return {name: entry["Properties"] for name, entry in found if entry["Type"] == kind}


def machine(definition: Mapping[str, Any]) -> Machine:
    """The states that an execution enters. Those of a Distributed Map are executions of their own."""
    once, each = 0, 0
    name = definition["StartAt"]
    while name:
        state = definition["States"][name]
        once += 1
        processor = state.get("ItemProcessor", {})
        if processor.get("ProcessorConfig", {}).get("Mode") == "INLINE":
            inner = machine(processor)
            each += inner.once
        name = state["Choices"][0]["Next"] if name == _BY_RULE else state.get("Default") or state.get("Next")
    return Machine(once, each)
