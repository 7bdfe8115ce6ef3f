"""Reads, awaits and deletes CloudFormation stacks. If one fails, says which resource failed and why."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from infra.errors import DeployError

# A stack that a change set has named, but that has no resources yet.
PROPOSED = "REVIEW_IN_PROGRESS"
# Lambda takes up to 40 minutes to give back the network interfaces of functions in a VPC.
_TIMEOUT_SECONDS = 3600


def outputs(cloudformation: Any, name: str) -> dict[str, str] | None:
    """The outputs of a stack, or None if there is none."""
    stack = describe(cloudformation, name)
    return outputs_of(stack) if stack and stack["StackStatus"] != PROPOSED else None


def parameters(cloudformation: Any, name_prefix: str) -> dict[str, dict[str, str]]:
    """The parameters of every stack whose name starts with `name_prefix`, by stack name."""
    pages = cloudformation.get_paginator("describe_stacks").paginate()
    return {
        stack["StackName"]: {entry["ParameterKey"]: entry["ParameterValue"] for entry in stack.get("Parameters", [])}
        for page in pages
        for stack in page["Stacks"]
        if stack["StackName"].startswith(name_prefix) and stack["StackStatus"] != "DELETE_COMPLETE"
    }


def delete_stack(cloudformation: Any, name: str, role: str = "") -> bool:
    """Deletes a stack, protected or not, and waits until it is gone; False if there was none."""
    stack = settled(cloudformation, name)
    if not stack:
        return False
    if stack.get("EnableTerminationProtection"):
        cloudformation.update_termination_protection(StackName=name, EnableTerminationProtection=False)
    started = datetime.now(UTC)
    cloudformation.delete_stack(StackName=name, **({"RoleARN": role} if role else {}))
    stack = settled(cloudformation, name)
    if stack:
        raise DeployError(failure(cloudformation, name, stack, started))
    return True


def settled(cloudformation: Any, name: str, *also_await: str) -> dict[str, Any] | None:
    """The stack, once nothing is in progress; None if there is none. A deployment that was ended goes on without it.

    A proposed stack is not in progress, unless `also_await` has its status.
    """
    deadline, pause = time.monotonic() + _TIMEOUT_SECONDS, 0.1
    while (stack := describe(cloudformation, name)) and (
        stack["StackStatus"] in also_await
        or (stack["StackStatus"].endswith("_IN_PROGRESS") and stack["StackStatus"] != PROPOSED)
    ):
        if time.monotonic() > deadline:
            raise DeployError(
                f"stack {name} is still {stack['StackStatus']} after {_TIMEOUT_SECONDS} s: see its events"
            )
        time.sleep(pause)
        # The local stack takes a second, AWS minutes: poll often at first, then less.
        pause = min(pause * 1.3, 5)
    return stack


def describe(cloudformation: Any, name: str) -> dict[str, Any] | None:
    """The stack as it is now; None if there is none."""
    try:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise
    return None if stack["StackStatus"] == "DELETE_COMPLETE" else stack


def outputs_of(stack: Mapping[str, Any]) -> dict[str, str]:
    """The outputs of a stack that was described."""
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def failure(cloudformation: Any, name: str, stack: Mapping[str, Any] | None, since: datetime) -> str:
    """Which resources failed and why, the first cause first."""
    status = stack["StackStatus"] if stack else "gone"
    reasons = []
    for event in cloudformation.describe_stack_events(StackName=name)["StackEvents"] if stack else []:
        if event["Timestamp"] < since:
            break
        if event.get("ResourceStatus", "").endswith("_FAILED"):
            reasons.append(f"  {event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}")
    told = "\n".join(reversed(reasons)) or f"  {(stack or {}).get('StackStatusReason', 'no reason given')}"
    return f"stack {name} is {status}:\n{told}"
