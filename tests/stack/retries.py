"""Holds the state machines and the code against the one retry policy and its budget of time, statemachine/retries.toml."""

import json
import re
import tomllib
from typing import Any

from stack.config import ROOT

_POLICY = ROOT / "statemachine/retries.toml"


def check_retries() -> list[str]:
    """Every state retries what the policy says, no more and no less, and the budgets fit into each other."""
    policy = tomllib.loads(_POLICY.read_text())
    problems, limits = [], {}
    for machine in ("tick", "country"):
        definition = json.loads((ROOT / f"statemachine/{machine}.asl.json").read_text())
        states = dict(states_of(definition))
        limits |= {name: state["TimeoutSeconds"] for name, state in states.items() if "TimeoutSeconds" in state}
        limits[machine] = definition["TimeoutSeconds"]
        wanted = {name: [_retry(policy, entry) for entry in entries] for name, entries in policy[machine].items()}
        found = {name: state["Retry"] for name, state in states.items() if "Retry" in state}
        problems += [
            f"{machine}.asl.json: the Retry of {name} is not what {_POLICY.name} says"
            for name in sorted(wanted.keys() | found.keys())
            if wanted.get(name) != found.get(name)
        ]
    return problems + _over_budget(policy["budget"], limits)


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


def _over_budget(budget: dict[str, int], limits: dict[str, int]) -> list[str]:
    handler = (ROOT / "functions/observe/src/handler.rs").read_text()
    observing = re.search(r"OBSERVING_MICROS: i64 = (\d+) \* 1_000_000;", handler)
    country = (
        budget["observing"] + limits["ObserveChunk"] + budget["draining"] + 2 * limits["Merge"] + 2 * limits["Register"]
    )
    rules = {
        "observe gives up when the budget says": observing is not None and int(observing[1]) == budget["observing"],
        "the machines have the budget's limits": (limits["tick"], limits["country"])
        == (budget["tick"], budget["country"]),
        f"a country's {country} s at worst fit into its {budget['country']} s": country <= budget["country"],
        "Plan, run twice, leaves time to observe": 2 * limits["Plan"] < budget["observing"],
        "RunCountry outlives a country's machine": limits["RunCountry"] > budget["country"],
        "Dispatch, run twice, and RunCountry fit into a tick": 2 * limits["Dispatch"] + limits["RunCountry"]
        <= budget["tick"],
        "a tick ends within its slot": budget["tick"] < budget["slot"],
    }
    return [f"{_POLICY.name}: it does not hold that {rule}" for rule, holds in rules.items() if not holds]


def states_of(definition: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every state with its name, those inside Maps too."""
    found = list(definition["States"].items())
    inside = [state["ItemProcessor"] for _, state in found if "ItemProcessor" in state]
    return found + [entry for processor in inside for entry in states_of(processor)]
