"""Writes the Retry blocks of the state machines from the one retry policy, statemachine/retries.toml, and checks its times."""

import json
import tomllib
from pathlib import Path
from typing import Any

from infra import vocabulary
from infra.local.config import ROOT
from infra.packaging import STATE_MACHINES

_POLICY = ROOT / "statemachine/retries.toml"


def check_retries() -> list[str]:
    """The Retry blocks are those of the policy, the policy names states and errors that exist, and the times fit."""
    policy = _policy()
    problems = [
        f"{file.name} differs from {_POLICY.name} and the form of its JSON: run `make generate`"
        for file, text in generated().items()
        if file.read_text() != text
    ]
    limits: dict[str, dict[str, int]] = {}
    for machine in STATE_MACHINES:
        definition = json.loads(_file(machine).read_text())
        states = dict(states_of(definition))
        limits[machine] = {name: state["TimeoutSeconds"] for name, state in states.items() if "TimeoutSeconds" in state}
        limits[machine]["whole"] = definition["TimeoutSeconds"]
        problems += [
            f"{_POLICY.name}: [{machine}] names {name}, which {machine}.asl.json does not have"
            for name in policy[machine].keys() - states.keys()
        ]
    rules = _tick_rules(policy["budget"], limits["tick"], limits["country"])
    rules |= _daily_rules(policy["daily_budget"], limits["daily"], limits["country-daily"])
    return problems + [f"{_POLICY.name}: it does not hold that {rule}" for rule, holds in rules.items() if not holds]


def generated() -> dict[Path, str]:
    """The state machines' files with the Retry blocks of the policy; all else stays as it is."""
    policy = _policy()
    files = {}
    for machine in STATE_MACHINES:
        definition = json.loads(_file(machine).read_text())
        for name, state in states_of(definition):
            _put_retry(state, [_retry(policy, entry) for entry in policy[machine].get(name, [])])
        files[_file(machine)] = json.dumps(definition, indent=2, ensure_ascii=False) + "\n"
    return files


def _put_retry(state: dict[str, Any], retries: list[dict[str, Any]]) -> None:
    """Gives a state its Retry, in the place where it was, else before what comes after a failure or success."""
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
    worst = budget["observing"] + country["ObserveChunk"] + budget["draining"]
    worst += 2 * country["Merge"] + 2 * country["Register"]
    return {
        "observe gives up when the budget says": vocabulary.OBSERVING_SECONDS == budget["observing"],
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
