"""Finds the tick that something else, usually the rule, has started for a slot, so that no country runs twice.

On AWS the second execution of a country does not start, because its name exists. The local Step Functions starts it,
and one of the two fails.
"""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from infra.local import slots
from infra.local.config import Stack
from infra.local.console import say

# The local rule fires within a fraction of a second. After this time it will not fire any more.
_DUE = timedelta(seconds=20)
_POLL_SECONDS = 0.1


def find(stack: Stack, machine: str, rule: str, slot: datetime) -> str | None:
    """The ARN of a running execution of the tick machine for a slot, or of one that the rule is about to start.

    Waits for the rule while its tick is due. `None` if there is none.
    """
    step_functions = stack.aws.client("stepfunctions")
    is_told = False
    while True:
        is_due = slot <= datetime.now(UTC) < slot + _DUE and _is_enabled(stack, rule)
        found = _executions(step_functions, machine, slot, since=slot if is_due else None)
        if found or not is_due:
            return found[0] if found else None
        if not is_told:
            say("tick", f"the rule is about to start the tick of {slots.iso(slot)}: waiting for it")
            is_told = True
        time.sleep(_POLL_SECONDS)


def _executions(step_functions: Any, machine: str, slot: datetime, *, since: datetime | None) -> list[str]:
    """Executions of a slot that are running; with `since`, also those that started after it and have ended."""
    found = []
    for page in step_functions.get_paginator("list_executions").paginate(stateMachineArn=machine):
        for entry in page["executions"]:
            is_recent = since is not None and entry["startDate"] >= since
            if (entry["status"] == "RUNNING" or is_recent) and _slot_of(step_functions, entry) == slot:
                found.append(entry["executionArn"])
    return found


def _slot_of(step_functions: Any, entry: dict[str, Any]) -> datetime | None:
    event = json.loads(step_functions.describe_execution(executionArn=entry["executionArn"])["input"])
    try:
        return slots.floor(event["time"] if "time" in event else event["slot"])
    except (KeyError, TypeError, ValueError):
        return None  # not an event that a tick can start from


def _is_enabled(stack: Stack, rule: str) -> bool:
    try:
        return bool(stack.aws.client("events").describe_rule(Name=rule)["State"] == "ENABLED")
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return False
        raise
