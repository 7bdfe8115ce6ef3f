"""Creates, updates and deletes CloudFormation stacks. If one fails, says which resource failed and why."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from infra.errors import DeployError

# The templates define role policies inline and use the SAM transform.
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_TIMEOUT_SECONDS = 1800
# The largest template that a request may hold. CloudFormation reads a larger one from S3.
_TEMPLATE_BYTES = 51_200


def deploy_stack(
    cloudformation: Any, name: str, template: str, parameters: Mapping[str, str], upload: Callable[[str], str]
) -> dict[str, str]:
    """Creates a stack, or updates it to a template and parameters, and returns its outputs.

    `upload` puts a template that is too large for a request where CloudFormation can read it, and returns its URL.
    """
    is_large = len(template.encode()) > _TEMPLATE_BYTES
    request = {
        "StackName": name,
        **({"TemplateURL": upload(template)} if is_large else {"TemplateBody": template}),
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        "Capabilities": _CAPABILITIES,
    }
    stack = _settled(cloudformation, name)
    if stack and stack["StackStatus"] in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"):
        # A stack whose creation failed can only be deleted.
        delete_stack(cloudformation, name)
        stack = None
    started = datetime.now(UTC)
    try:
        if stack:
            cloudformation.update_stack(**request)
        else:
            cloudformation.create_stack(**request)
    except ClientError as error:
        message = error.response["Error"]["Message"]
        if stack and "No updates are to be performed" in message:
            return _outputs(stack)
        raise DeployError(f"CloudFormation refuses stack {name}: {message}") from None
    stack = _settled(cloudformation, name)
    if not stack or stack["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise DeployError(_failure(cloudformation, name, stack, started))
    return _outputs(stack)


def delete_stack(cloudformation: Any, name: str) -> bool:
    """Deletes a stack and waits until it is gone; False if there was none."""
    if not _settled(cloudformation, name):
        return False
    started = datetime.now(UTC)
    cloudformation.delete_stack(StackName=name)
    stack = _settled(cloudformation, name)
    if stack:
        raise DeployError(_failure(cloudformation, name, stack, started))
    return True


def outputs(cloudformation: Any, name: str) -> dict[str, str] | None:
    """The outputs of a stack, or None if there is none."""
    stack = _describe(cloudformation, name)
    return _outputs(stack) if stack else None


def parameters(cloudformation: Any, name_prefix: str) -> dict[str, dict[str, str]]:
    """The parameters of every stack whose name starts with `name_prefix`, by stack name."""
    pages = cloudformation.get_paginator("describe_stacks").paginate()
    return {
        stack["StackName"]: {entry["ParameterKey"]: entry["ParameterValue"] for entry in stack.get("Parameters", [])}
        for page in pages
        for stack in page["Stacks"]
        if stack["StackName"].startswith(name_prefix) and stack["StackStatus"] != "DELETE_COMPLETE"
    }


def _settled(cloudformation: Any, name: str) -> dict[str, Any] | None:
    """The stack, once nothing is in progress; None if there is none."""
    deadline, pause = time.monotonic() + _TIMEOUT_SECONDS, 0.1
    while (stack := _describe(cloudformation, name)) and stack["StackStatus"].endswith("_IN_PROGRESS"):
        if time.monotonic() > deadline:
            raise DeployError(
                f"stack {name} is still {stack['StackStatus']} after {_TIMEOUT_SECONDS} s: see its events"
            )
        time.sleep(pause)
        # The local stack takes a second, AWS minutes: poll often at first, then less.
        pause = min(pause * 1.3, 5)
    return stack


def _describe(cloudformation: Any, name: str) -> dict[str, Any] | None:
    try:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise
    return None if stack["StackStatus"] == "DELETE_COMPLETE" else stack


def _outputs(stack: Mapping[str, Any]) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _failure(cloudformation: Any, name: str, stack: Mapping[str, Any] | None, since: datetime) -> str:
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
