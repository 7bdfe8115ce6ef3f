"""`make tick` beside the rule: a slot whose tick runs, or is about to be started by the rule, does not run twice."""

import threading
from datetime import timedelta

import pytest

from infra.local import other_ticks, slots
from infra.local.commands import tick
from tests.e2e.conftest import Ticked, slot_with_time_left


def executions(ticked: Ticked) -> list[str]:
    """The executions of the tick machine, the newest first."""
    deployed = ticked.deployed
    pages = deployed.step_functions.get_paginator("list_executions").paginate(stateMachineArn=deployed.machine("tick"))
    return [entry["executionArn"] for page in pages for entry in page["executions"]]


def test_make_tick_waits_for_a_running_tick_and_shows_it(ticked: Ticked) -> None:
    deployed, slot = ticked.deployed, slot_with_time_left()
    before = executions(ticked)
    started = deployed.start_machine("tick", {"time": slots.iso(slot)})
    shown = tick.run(deployed.stack, prefix=deployed.prefix, slot=slot)
    assert executions(ticked) == [started, *before]
    assert shown.status == "SUCCEEDED", shown.error
    assert {country.country for country in shown.countries} == {"es", "mx", "pt"}


def test_afresh_waits_for_a_running_tick_and_then_runs_another(ticked: Ticked) -> None:
    deployed, slot = ticked.deployed, slot_with_time_left()
    before = executions(ticked)
    started = deployed.start_machine("tick", {"time": slots.iso(slot)})
    assert tick.run(deployed.stack, prefix=deployed.prefix, slot=slot, afresh=True).status == "SUCCEEDED"
    assert executions(ticked)[1:] == [started, *before]
    first = deployed.end_of(started)
    second = deployed.step_functions.describe_execution(executionArn=executions(ticked)[0])
    assert second["startDate"] >= first["stopDate"]


def test_make_tick_waits_for_the_tick_that_the_rule_is_about_to_start(
    ticked: Ticked, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The rule starts a tick in the first second of its slot. Here a timer does, for a slot last week and no country.
    slot = slots.current() - timedelta(days=7)
    monkeypatch.setattr(other_ticks, "_DUE", timedelta(days=8))
    deployed, rule = ticked.deployed, f"{ticked.deployed.prefix}-tick"
    machine = deployed.machine("tick")
    assert other_ticks.find(deployed.stack, machine, rule, slot) is None, "the rule is disabled"
    started: list[str] = []

    def start() -> None:
        started.append(deployed.start_machine("tick", {"slot": slots.iso(slot), "countries": []}))

    timer = threading.Timer(1, start)
    deployed.stack.aws.client("events").enable_rule(Name=rule)
    try:
        timer.start()
        found = other_ticks.find(deployed.stack, machine, rule, slot)
    finally:
        deployed.stack.aws.client("events").disable_rule(Name=rule)
        timer.join()
    assert [found] == started
