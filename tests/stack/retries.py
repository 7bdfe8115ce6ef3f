"""Holds the state machines and the code against the one retry policy and its budget of time, statemachine/retries.toml."""

import json
import re
import tomllib
from typing import Any

from infra.packaging import STATE_MACHINES
from stack.config import ROOT

_POLICY = ROOT / "statemachine/retries.toml"


def check_retries() -> list[str]:
    """Every state retries what the policy says, no more and no less, and the budgets fit into each other."""
    policy = tomllib.loads(_POLICY.read_text())
    problems: list[str] = []
    limits: dict[str, dict[str, int]] = {}
    for machine in STATE_MACHINES:
        definition = json.loads((ROOT / f"statemachine/{machine}.asl.json").read_text())
        states = dict(states_of(definition))
        limits[machine] = {name: state["TimeoutSeconds"] for name, state in states.items() if "TimeoutSeconds" in state}
        limits[machine]["whole"] = definition["TimeoutSeconds"]
        wanted = {name: [_retry(policy, entry) for entry in entries] for name, entries in policy[machine].items()}
        found = {name: state["Retry"] for name, state in states.items() if "Retry" in state}
        problems += [
            f"{machine}.asl.json: the Retry of {name} is not what {_POLICY.name} says"
            for name in sorted(wanted.keys() | found.keys())
            if wanted.get(name) != found.get(name)
        ]
    rules = _tick_rules(policy["budget"], limits["tick"], limits["country"])
    rules |= _daily_rules(policy["daily_budget"], limits["daily"], limits["country-daily"])
    return problems + [f"{_POLICY.name}: it does not hold that {rule}" for rule, holds in rules.items() if not holds]


def _retry(policy: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """An entry of the policy as a state's Retry has it."""
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
    """What has to hold of a tick's times."""
    events = (ROOT / "shared/runtime/src/events.rs").read_text()
    observing = re.search(r"OBSERVING_MICROS: i64 = (\d+) \* 1_000_000;", events)
    worst = budget["observing"] + country["ObserveChunk"] + budget["draining"]
    worst += 2 * country["Merge"] + 2 * country["Register"]
    return {
        "observe gives up when the budget says": observing is not None and int(observing[1]) == budget["observing"],
        "the machines have the budget's limits": (tick["whole"], country["whole"])
        == (budget["tick"], budget["country"]),
        f"a country's {worst} s at worst fit into its {budget['country']} s": worst <= budget["country"],
        "Plan, run twice, leaves time to observe": 2 * country["Plan"] < budget["observing"],
        "RunCountry outlives a country's machine": tick["RunCountry"] > budget["country"],
        "Dispatch, run twice, and RunCountry fit into a tick": 2 * tick["Dispatch"] + tick["RunCountry"]
        <= budget["tick"],
        "a tick ends within its slot": budget["tick"] < budget["slot"],
    }


def _daily_rules(budget: dict[str, int], daily: dict[str, int], country: dict[str, int]) -> dict[str, bool]:
    """What has to hold of the daily work's times."""
    return {
        "the daily machines have the budget's limits": (daily["whole"], country["whole"])
        == (budget["daily"], budget["country"]),
        "RunCountryDaily outlives a country's machine": daily["RunCountryDaily"] > budget["country"],
        "Dispatch, run twice, and RunCountryDaily fit into the daily machine": 2 * daily["Dispatch"]
        + daily["RunCountryDaily"]
        <= budget["daily"],
        "a country finds its days and compacts some at worst": 2 * country["FindDays"] + 10 * country["Compact"]
        <= budget["country"],
        "the daily work ends before the next": budget["daily"] < budget["day"],
    }


def states_of(definition: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every state with its name, those inside Maps too."""
    found = list(definition["States"].items())
    inside = [state["ItemProcessor"] for _, state in found if "ItemProcessor" in state]
    return found + [entry for processor in inside for entry in states_of(processor)]
