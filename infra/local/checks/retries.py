"""Writes the state machines' Retry blocks from the retry policy, statemachine/retries.toml, and checks its times."""

import json
import tomllib
from pathlib import Path
from typing import Any

from infra import etl, vocabulary
from infra.local.config import ROOT
from infra.packaging import STATE_MACHINES, WORKBENCH_MACHINES

_POLICY = ROOT / "statemachine/retries.toml"


def check_retries() -> list[str]:
    """Checks the Retry blocks against the policy, the names in the policy, and that the times fit."""
    policy = _policy()
    problems = [
        f"{file.name} differs from {_POLICY.name}, or is formatted differently: run `make generate`"
        for file, text in generated().items()
        if file.read_text() != text
    ]
    limits: dict[str, dict[str, int]] = {}
    for machine in (*STATE_MACHINES, *WORKBENCH_MACHINES, *etl.MACHINES):
        definition = json.loads(_file(machine).read_text())
        states = dict(states_of(definition))
        limits[machine] = {name: state["TimeoutSeconds"] for name, state in states.items() if "TimeoutSeconds" in state}
        limits[machine]["whole"] = definition["TimeoutSeconds"]
        problems += [
            f"{_POLICY.name}: [{machine}] names {name}, which {machine}.asl.json does not have"
            for name in policy[machine].keys() - states.keys()
        ]
    rules = _tick_rules(policy["budget"], limits["tick"], limits["country"])
    rules |= _throttle_rules(policy, limits["country"])
    rules |= _daily_rules(policy["daily_budget"], limits["daily"], limits["country-daily"])
    return problems + [f"{_POLICY.name}: this does not hold: {rule}" for rule, holds in rules.items() if not holds]


def generated() -> dict[Path, str]:
    """The state machines' files with the policy's Retry blocks. Everything else stays."""
    policy = _policy()
    files = {}
    for machine in (*STATE_MACHINES, *WORKBENCH_MACHINES, *etl.MACHINES):
        definition = json.loads(_file(machine).read_text())
        for name, state in states_of(definition):
            _put_retry(state, [_retry(policy, entry) for entry in policy[machine].get(name, [])])
        files[_file(machine)] = json.dumps(definition, indent=2, ensure_ascii=False) + "\n"
    return files


def _put_retry(state: dict[str, Any], retries: list[dict[str, Any]]) -> None:
    """Sets a state's Retry: in its old place, or else before the keys for failure and success."""
    if not retries:
        state.pop("Retry", None)
    elif "Retry" in state:
        state["Retry"] = retries
    else:
        after = {key: state.pop(key) for key in list(state) if key in ("Catch", "Next", "End")}
        state |= {"Retry": retries, **after}


def _policy() -> dict[str, Any]:
    return tomllib.loads(_POLICY.read_text())


def _file(machine: str) -> Path:
    return ROOT / f"statemachine/{machine}.asl.json"


def _retry(policy: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """A policy entry in the form of a state's Retry."""
    base = policy["policies"][entry["policy"]]
    retry = {
        "ErrorEquals": base.get("errors", []) + entry.get("errors", []),
        "IntervalSeconds": base["interval_seconds"],
        "BackoffRate": base["backoff_rate"],
        "MaxAttempts": entry.get("max_attempts", base["max_attempts"]),
    }
    if "max_delay_seconds" in base:
        retry["MaxDelaySeconds"] = base["max_delay_seconds"]
    if base.get("jitter"):
        retry["JitterStrategy"] = "FULL"
    return retry


def _tick_rules(budget: dict[str, int], tick: dict[str, int], country: dict[str, int]) -> dict[str, bool]:
    """The rules that a tick's times must keep."""
    worst = budget["observing"] + country["ObserveChunk"] + budget["draining"]
    late = budget["latest_look"] + budget["observing_after_look"] + country["ObserveChunk"] + budget["draining"]
    late += country["Merge"]
    worst += 2 * country["Merge"] + 2 * country["Register"]
    return {
        "observe gives up at the budget's time": vocabulary.OBSERVING_SECONDS == budget["observing"],
        "a late look and its time to observe are the budget's": (
            vocabulary.LATEST_LOOK_SECONDS,
            vocabulary.OBSERVING_AFTER_LOOK_SECONDS,
        )
        == (budget["latest_look"], budget["observing_after_look"]),
        f"the latest look's {late} s fit into a country's {budget['country']} s": late <= budget["country"],
        "the machines' limits are the budget's": (tick["whole"], country["whole"])
        == (budget["tick"], budget["country"]),
        f"a country's worst case, {worst} s, fits into its {budget['country']} s": worst <= budget["country"],
        "Plan, run twice, leaves time to observe": 2 * country["Plan"] < budget["observing"],
        "RunCountry waits longer than a country's machine runs": tick["RunCountry"] > budget["country"],
        "Dispatch, run twice, and RunCountry fit into a tick": 2 * tick["Dispatch"] + tick["RunCountry"]
        <= budget["tick"],
        "a tick ends within its slot": budget["tick"] < budget["slot"],
    }


def _throttle_rules(policy: dict[str, Any], country: dict[str, int]) -> dict[str, bool]:
    """The rules that the patience with throttled functions must keep. Pauses are taken as long as they can be."""
    retry, budget = policy["policies"]["throttled"], policy["budget"]
    pauses = [
        min(retry["interval_seconds"] * retry["backoff_rate"] ** number, retry["max_delay_seconds"])
        for number in range(retry["max_attempts"])
    ]
    worst = budget["observing"] + country["ObserveChunk"] + budget["draining"]
    worst += country["Merge"] + country["Register"] + 2 * budget["throttled"]
    return {
        "the pauses of a throttled function are the budget's": sum(pauses) == budget["throttled"],
        f"a country whose Merge and Register are throttled ends after {worst} s": worst <= budget["country"],
    }


def _daily_rules(budget: dict[str, int], daily: dict[str, int], country: dict[str, int]) -> dict[str, bool]:
    """The rules that the daily work's times must keep."""
    return {
        "the daily machines' limits are the budget's": (daily["whole"], country["whole"])
        == (budget["daily"], budget["country"]),
        "RunCountryDaily waits longer than a country's machine runs": daily["RunCountryDaily"] > budget["country"],
        "Dispatch, run twice, and RunCountryDaily fit into the daily machine": 2 * daily["Dispatch"]
        + daily["RunCountryDaily"]
        <= budget["daily"],
        "a country has time to find its days and compact some": 2 * country["FindDays"] + 10 * country["Compact"]
        <= budget["country"],
        "the daily work ends before the next": budget["daily"] < budget["day"],
    }


def states_of(definition: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every state with its name, including those inside Maps."""
    found = list(definition["States"].items())
    inside = [state["ItemProcessor"] for _, state in found if "ItemProcessor" in state]
    return found + [entry for processor in inside for entry in states_of(processor)]
