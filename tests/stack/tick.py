"""Runs one tick by the deployed state machines, waits for its end, and tells how each country fared and how long it took."""

import argparse
import json
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from infra import stacks
from sample.load import AHEAD
from stack import slots
from stack.config import Stack
from stack.console import say, table
from stack.errors import StackError
from stack.prefix import add_prefix_argument

# With less left of a slot, a cold tick on a busy machine could end too late; besides, the sample's live view already is
# the next slot's by then.
_NEEDED_SECONDS = AHEAD.total_seconds()
# The state machine gives up before; it is the local AWS that might not, as it ignores a machine's own time limit.
_TIMEOUT_SECONDS = 900
_POLL_SECONDS = 0.05
# After so long it is said what takes the time.
_LONG_SECONDS = 45


@dataclass(frozen=True)
class CountryTick:
    """How one country's part of a tick ended."""

    country: str
    status: str  # of its execution
    outcome: str  # as it says itself
    seconds: float | None
    registered: bool | None  # whether the catalog has its partitions; None: it did not come to that
    coverage: float | None  # the share of its stores that could be judged; None: it has none, or failed
    error: str  # what went wrong, in a tick that succeeded too; empty if nothing did

    @property
    def is_blind(self) -> bool:
        """Whether nothing can be said of its stores."""
        return self.outcome == "failed" or self.coverage == 0


@dataclass(frozen=True)
class Tick:
    """How a tick ended."""

    slot: datetime
    status: str
    seconds: float
    countries: list[CountryTick]
    error: str  # empty when it succeeded


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which deployment and which slot."""
    add_prefix_argument(parser)
    parser.add_argument("--slot", type=slots.parse, help="default: the one that it is now")
    parser.add_argument(
        "--afresh", action="store_true", help="remove first what the slot has written, to do it all again"
    )


def main(args: argparse.Namespace) -> int:
    """Ticks once; 1 when the tick failed, or a country has stores and none could be judged."""
    return show(run(Stack.load(), prefix=args.prefix, slot=args.slot, afresh=args.afresh))


def show(done: Tick) -> int:
    """Prints how a tick ended; 1 when it failed, or a country has stores and none could be judged."""
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
        print("the catalog did not answer: the files are in the lake, and a later tick registers them")
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
        "where to look: `make logs` (or `make logs FUNCTION=observe`) for what the functions say, `make status` for the "
        "servers"
    )
    return 1


def run(stack: Stack, *, prefix: str, slot: datetime | None = None, afresh: bool = False) -> Tick:
    """Starts the tick machine with an event like EventBridge's and waits until it has ended."""
    step_functions = stack.aws.client("stepfunctions")
    machine = _machine(step_functions, f"{prefix}-tick")
    if slot is None:
        slot = _slot_with_time_left()
    elif slot != slots.current():
        say(
            "tick",
            f"{slots.iso(slot)} is not now: its live view cannot be observed any more, so all is `unknown` (late)",
        )
    before = _countries_run(step_functions, machine, prefix, slot)
    if before and not afresh:
        say(
            "tick",
            f"{slots.iso(slot)} has been run already for {', '.join(sorted(before))}: on AWS those executions exist and "
            "count as success; the local Step Functions runs them again, and what is complete stays as it is",
        )
    if afresh:
        _forget(stack, prefix, slot)
    started = time.monotonic()
    name = f"by-hand-{slots.compact(slot)}-{uuid.uuid4().hex[:8]}"
    execution = step_functions.start_execution(
        stateMachineArn=machine, name=name, input=json.dumps(_event(stack, slot, prefix))
    )["executionArn"]
    description = _end_of(step_functions, execution, stack)
    seconds = time.monotonic() - started
    error, countries = "", []
    if description["status"] == "SUCCEEDED":
        listed = json.loads(description["output"])["countries"]
    else:
        error = f"{description.get('error')}: {description.get('cause')}"
        try:
            listed = json.loads(description.get("cause") or "")
            error = f"{description.get('error')}: {', '.join(entry['country'] for entry in listed if entry['failed'])}"
        except (json.JSONDecodeError, TypeError, KeyError):
            listed = []  # it failed before any country ran, and the cause is that failure's own text
    countries = [_country_tick(step_functions, machine, prefix, entry) for entry in listed]
    return Tick(slot, description["status"], seconds, countries, error)


def _slot_with_time_left() -> datetime:
    """The current slot, or the next one once it has begun when too little of the current one is left."""
    slot = slots.current()
    left = (slot + slots.SLOT - datetime.now(UTC)).total_seconds()
    if left >= _NEEDED_SECONDS:
        return slot
    slot += slots.SLOT
    say(
        "tick",
        f"{left:.0f} s are left of this slot, and a tick may take {_NEEDED_SECONDS:.0f}: waiting for {slots.iso(slot)}",
    )
    while (left := (slot - datetime.now(UTC)).total_seconds()) > 0:
        # By short waits, so that a clock that was set or a machine that slept is noticed.
        time.sleep(min(left, 5))
    return slot


def _event(stack: Stack, slot: datetime, prefix: str) -> dict[str, Any]:
    """What an EventBridge rule hands to its target."""
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
    """Removes a slot's manifests, staged chunks and table files: functions leave alone what they find done."""
    s3 = stack.aws.client("s3")
    made = stacks.outputs(stack.aws.client("cloudformation"), f"{prefix}-lake")
    if made is None:
        raise StackError(f"there is no stack {prefix}-lake: deploy it by `stack deploy`")
    bucket, removed = made["LakeBucket"], 0
    for folder in ("staging", "store_availability", "availability_by_city", "country_ticks"):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder}/"):
            keys = [entry["Key"] for entry in page.get("Contents", []) if slots.compact(slot) in entry["Key"]]
            if keys:
                s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
            removed += len(keys)
    say("tick", f"{slots.iso(slot)} is done afresh: {removed} files that it has written are removed first")


def _machine(step_functions: Any, name: str) -> str:
    for page in step_functions.get_paginator("list_state_machines").paginate():
        for machine in page["stateMachines"]:
            if machine["name"] == name:
                return machine["stateMachineArn"]
    raise StackError(f"there is no state machine {name} on the stack: deploy it by `stack deploy`")


def _end_of(step_functions: Any, execution: str, stack: Stack) -> dict[str, Any]:
    started = time.monotonic()
    deadline, told = started + _TIMEOUT_SECONDS, False
    while (description := step_functions.describe_execution(executionArn=execution))["status"] == "RUNNING":
        if time.monotonic() > deadline:
            log = stack.run_dir / "logs" / "aws.log"
            raise StackError(f"execution {execution} is still running after {_TIMEOUT_SECONDS} s: see {log}")
        if not told and time.monotonic() > started + _LONG_SECONDS:
            say("tick", "still running: a country that lacks chunks looks again, for up to 8 minutes; see `make logs`")
            told = True
        time.sleep(_POLL_SECONDS)
    return description


def _country_execution(machine: str, prefix: str, country: str, name: str) -> str:
    """The ARN of a country's execution, which differs from the tick machine's in two places."""
    base = machine.replace(":stateMachine:", ":execution:").removesuffix(f":{prefix}-tick")
    return f"{base}:{prefix}-country-{country}:{name}"


def _countries_run(step_functions: Any, machine: str, prefix: str, slot: datetime) -> list[str]:
    """The countries that have an execution of this slot."""
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
    registered, coverage = output.get("registered"), output.get("coverage")
    return CountryTick(entry["country"], found["status"], entry["outcome"], seconds, registered, coverage, error)


def _told(cause: str) -> str:
    """The function's own words out of a cause, which is JSON in JSON."""
    try:
        caught = json.loads(cause)
        inner = json.loads(caught["Cause"])
        return f"{inner['errorType']}: {inner['errorMessage']}"
    except (json.JSONDecodeError, TypeError, KeyError):
        return cause
