"""Runs one tick through the deployed state machines, waits for it, and prints how each country did."""

import argparse
import json
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from infra import stacks
from infra.local import other_ticks, slots
from infra.local.config import Stack
from infra.local.console import say, table
from infra.local.errors import StackError
from infra.local.prefix import add_prefix_argument
from infra.local.sample.load import AHEAD
from infra.vocabulary import TICKED_TABLES

# With less time left, a cold tick on a busy machine could end too late. Also, the sample's live view is then already
# the next slot's.
_NEEDED_SECONDS = AHEAD.total_seconds()
# The state machine gives up earlier. The local AWS may not, because it ignores a machine's own time limit.
_TIMEOUT_SECONDS = 900
_POLL_SECONDS = 0.05
# After this many seconds a message says what takes the time.
_LONG_SECONDS = 45


@dataclass(frozen=True)
class CountryTick:
    """How one country's part of a tick ended."""

    country: str
    status: str  # the execution's status
    outcome: str  # as the country tick reports it
    seconds: float | None
    registered: bool | None  # whether the catalog has its partitions; None: not attempted
    coverage: float | None  # the share of its stores that could be judged; None: no stores, or it failed
    error: str  # what went wrong, even if the tick succeeded; empty if nothing did

    @property
    def is_blind(self) -> bool:
        """Whether none of its stores could be judged."""
        return self.outcome == "failed" or self.coverage == 0


@dataclass(frozen=True)
class Tick:
    """How a tick ended."""

    slot: datetime
    status: str
    seconds: float
    countries: list[CountryTick]
    error: str  # empty if it succeeded


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options: which deployment and which slot."""
    add_prefix_argument(parser)
    parser.add_argument("--slot", type=slots.parse, help="default: the current slot")
    parser.add_argument(
        "--afresh", action="store_true", help="delete what the slot has written first, and run it again"
    )


def main(args: argparse.Namespace) -> int:
    """Runs a tick; 1 if it failed, or if none of a country's stores could be judged."""
    return show(run(Stack.load(), prefix=args.prefix, slot=args.slot, afresh=args.afresh))


def show(done: Tick) -> int:
    """Prints how a tick ended; 1 if it failed, or if none of a country's stores could be judged."""
    in_catalog = {True: "yes", False: "not yet", None: ""}
    rows = [
        [
            c.country,
            c.status,
            c.outcome,
            "-" if c.coverage is None else f"{100 * c.coverage:.2f} %",
            in_catalog[c.registered],
            "" if c.seconds is None else f"{c.seconds:.2f} s",
        ]
        for c in done.countries
    ]
    if rows:
        print(table(["country", "execution", "outcome", "coverage", "in the catalog", "took"], rows))
    print(f"tick of {slots.iso(done.slot)}: {done.status} after {done.seconds:.2f} s")
    if any(country.registered is False for country in done.countries):
        print("the catalog is unavailable: the files are in the lake, and a later tick registers them")
    if done.error:
        print(f"\nwhat failed: {done.error}")
    for country in done.countries:
        if country.error:
            print(f"  {country.country}: {country.error}")
    blind = [country.country for country in done.countries if country.is_blind]
    if not done.error and not blind:
        return 0
    if not done.error:
        print(f"\nno store could be judged in {', '.join(blind)}")
    print(
        "where to look: `make logs` (or `make logs FUNCTION=observe`) for the functions' logs, `make status` for the "
        "servers"
    )
    return 1


def run(stack: Stack, *, prefix: str, slot: datetime | None = None, afresh: bool = False) -> Tick:
    """Starts the tick machine with an event like EventBridge's and waits until it has ended.

    If a tick of the slot already runs, or the rule is about to start one, waits for that one instead. With `afresh`,
    then runs the slot again.
    """
    step_functions = stack.aws.client("stepfunctions")
    machine = _machine(step_functions, f"{prefix}-tick")
    if slot is None:
        slot = slot_with_time_left()
    elif slot != slots.current():
        say(
            "tick",
            f"{slots.iso(slot)} is not the current slot: its live view is past, so all stores become `unknown` (late)",
        )
    execution = other_ticks.find(stack, machine, f"{prefix}-tick", slot)
    if execution and afresh:
        say("tick", f"a tick of {slots.iso(slot)} is running already: waiting for it before running it again")
        _end_of(step_functions, execution, stack)
        execution = None
    if execution:
        say("tick", f"a tick of {slots.iso(slot)} was already started, by the rule or by hand: showing that one")
    else:
        execution = _start(stack, step_functions, machine, prefix, slot, afresh)
    description = _end_of(step_functions, execution, stack)
    seconds = (description["stopDate"] - description["startDate"]).total_seconds()
    error, countries = "", []
    if description["status"] == "SUCCEEDED":
        listed = json.loads(description["output"])["countries"]
    else:
        error = f"{description.get('error')}: {description.get('cause')}"
        try:
            listed = json.loads(description.get("cause") or "")
            error = f"{description.get('error')}: {', '.join(entry['country'] for entry in listed if entry['failed'])}"
        except (json.JSONDecodeError, TypeError, KeyError):
            listed = []  # it failed before any country ran: the cause is plain text
    countries = [_country_tick(step_functions, machine, prefix, entry) for entry in listed]
    return Tick(slot, description["status"], seconds, countries, error)


def _start(stack: Stack, step_functions: Any, machine: str, prefix: str, slot: datetime, afresh: bool) -> str:
    """Starts the tick machine as the rule does. Returns the execution's ARN."""
    before = _countries_run(step_functions, machine, prefix, slot)
    if before and not afresh:
        say(
            "tick",
            f"{slots.iso(slot)} was already run for {', '.join(sorted(before))}: on AWS those executions exist and "
            "count as success; the local Step Functions runs them again, and leaves alone what is complete",
        )
    if afresh:
        _forget(stack, prefix, slot)
    name = f"by-hand-{slots.compact(slot)}-{uuid.uuid4().hex[:8]}"
    event = json.dumps(_event(stack, slot, prefix))
    return str(step_functions.start_execution(stateMachineArn=machine, name=name, input=event)["executionArn"])


def slot_with_time_left(needed: float = _NEEDED_SECONDS) -> datetime:
    """The current slot, or the next one once it has begun if fewer seconds than needed are left of the current one."""
    slot = slots.current()
    left = (slot + slots.SLOT - datetime.now(UTC)).total_seconds()
    if left >= needed:
        return slot
    slot += slots.SLOT
    say(
        "tick",
        f"this slot ends in {left:.0f} s, and a tick may take {needed:.0f}: waiting for {slots.iso(slot)}",
    )
    while (left := (slot - datetime.now(UTC)).total_seconds()) > 0:
        # In short waits, to notice if the clock was set or the machine slept.
        time.sleep(min(left, 5))
    return slot


def _event(stack: Stack, slot: datetime, prefix: str) -> dict[str, Any]:
    """The event that an EventBridge rule sends to its target."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "time": slots.iso(slot),
        "region": stack.aws.region,
        "resources": [f"arn:aws:events:{stack.aws.region}:000000000000:rule/{prefix}-tick"],
        "detail": {},
    }


def _forget(stack: Stack, prefix: str, slot: datetime) -> None:
    """Removes a slot's manifests, staged chunks and table files, because functions do not redo what is complete."""
    s3 = stack.aws.client("s3")
    made = stacks.outputs(stack.aws.client("cloudformation"), f"{prefix}-lake")
    if made is None:
        raise StackError(f"there is no stack {prefix}-lake: deploy it with `stack deploy`")
    bucket, removed = made["LakeBucket"], 0
    for folder in ("staging", *TICKED_TABLES):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder}/"):
            keys = [entry["Key"] for entry in page.get("Contents", []) if slots.compact(slot) in entry["Key"]]
            if keys:
                s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
            removed += len(keys)
    say("tick", f"{slots.iso(slot)} runs again: removed the {removed} files that it had written")


def _machine(step_functions: Any, name: str) -> str:
    for page in step_functions.get_paginator("list_state_machines").paginate():
        for machine in page["stateMachines"]:
            if machine["name"] == name:
                return machine["stateMachineArn"]
    raise StackError(f"there is no state machine {name} on the stack: deploy it with `stack deploy`")


def _end_of(step_functions: Any, execution: str, stack: Stack) -> dict[str, Any]:
    started = time.monotonic()
    deadline, told = started + _TIMEOUT_SECONDS, False
    while (description := step_functions.describe_execution(executionArn=execution))["status"] == "RUNNING":
        if time.monotonic() > deadline:
            log = stack.run_dir / "logs" / "aws.log"
            raise StackError(f"execution {execution} is still running after {_TIMEOUT_SECONDS} s: see {log}")
        if not told and time.monotonic() > started + _LONG_SECONDS:
            say(
                "tick",
                "still running: countries retry missing chunks for up to 8 minutes, and those with look_after_seconds "
                "wait for their time to look; see `make logs`",
            )
            told = True
        time.sleep(_POLL_SECONDS)
    return description


def _country_execution(machine: str, prefix: str, country: str, name: str) -> str:
    """The ARN of a country's execution. It differs from the tick machine's in two places."""
    base = machine.replace(":stateMachine:", ":execution:").removesuffix(f":{prefix}-tick")
    return f"{base}:{prefix}-country-{country}:{name}"


def _countries_run(step_functions: Any, machine: str, prefix: str, slot: datetime) -> list[str]:
    """The countries that have an execution for this slot."""
    found = []
    for page in step_functions.get_paginator("list_state_machines").paginate():
        for entry in page["stateMachines"]:
            country = entry["name"].removeprefix(f"{prefix}-country-")
            if country == entry["name"]:
                continue
            arn = _country_execution(machine, prefix, country, f"{country}-{slots.compact(slot)}")
            if _describe(step_functions, arn):
                found.append(country)
    return found


def _describe(step_functions: Any, execution: str) -> dict[str, Any] | None:
    try:
        return step_functions.describe_execution(executionArn=execution)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
            return None
        raise


def _country_tick(step_functions: Any, machine: str, prefix: str, entry: dict[str, Any]) -> CountryTick:
    arn = _country_execution(machine, prefix, entry["country"], entry["execution_name"])
    found = _describe(step_functions, arn)
    if not found:
        return CountryTick(entry["country"], "NOT STARTED", entry["outcome"], None, None, None, entry.get("error", ""))
    seconds = (found["stopDate"] - found["startDate"]).total_seconds() if found.get("stopDate") else None
    output = json.loads(found["output"]) if found["status"] == "SUCCEEDED" else {}
    error = _told(found.get("cause") or entry.get("error", "")) if entry["failed"] else output.get("error") or ""
    coverage = output.get("coverage")
    # What was registered; null if the catalog was away.
    registered = output["registered"] is not None if "registered" in output else None
    return CountryTick(entry["country"], found["status"], entry["outcome"], seconds, registered, coverage, error)


def _told(cause: str) -> str:
    """The function's own message from a cause, which is JSON inside JSON."""
    try:
        caught = json.loads(cause)
        inner = json.loads(caught["Cause"])
        return f"{inner['errorType']}: {inner['errorMessage']}"
    except (json.JSONDecodeError, TypeError, KeyError):
        return cause
