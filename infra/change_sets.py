"""Creates and updates CloudFormation stacks by change sets, so that what will change is known before it does."""

import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from botocore.exceptions import ClientError
from samtranslator.yaml_helper import yaml_parse

from infra import stacks
from infra.errors import DeployError

# The templates define role policies inline and use the SAM transform.
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_TIMEOUT_SECONDS = 600
# The largest template that a request may hold. CloudFormation reads a larger one from S3.
_TEMPLATE_BYTES = 51_200
# A stack in one of these can only be deleted.
_NEVER_MADE = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")
_GOOD = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")
_UNCHANGED = ("didn't contain changes", "No updates are to be performed")


@dataclass(frozen=True)
class Wanted:
    """What a stack shall be. It keeps the values of other parameters, or gets the template's defaults, and other tags."""

    name: str
    template: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str] = field(default_factory=dict)
    # The role that CloudFormation uses instead of the caller's rights; empty for none.
    role: str = ""


@cache
def declared(template: str) -> set[str]:
    """The parameters that a template has."""
    return set(yaml_parse(template).get("Parameters", {}))


@dataclass(frozen=True)
class ChangeSet:
    """Changes that CloudFormation would make to a stack."""

    stack: str
    identifier: str
    is_new: bool
    changes: list[dict[str, Any]]

    def lines(self) -> list[str]:
        """One line per change, for people. A new stack is one line: all of it is added."""
        if self.is_new:
            return [f"stack {self.stack}: new, with {len(self.changes)} resources"]
        signs = {"Add": "+", "Remove": "-", "Import": ">"}
        lines = []
        for change in self.changes:
            replaced = {"True": "   replaced by a new one", "Conditional": "   perhaps replaced by a new one"}
            lines.append(
                f"  {signs.get(change['Action'], '~')} {change['LogicalResourceId']} ({change['ResourceType']})"
                + replaced.get(change.get("Replacement", ""), "")
            )
        return [f"stack {self.stack}: {len(lines)} changes", *lines]


def deploy_stack(
    cloudformation: Any, wanted: Wanted, upload: Callable[[str], str], say: Callable[[str], None]
) -> dict[str, Any]:
    """Creates or updates a stack, says what changes, and returns the stack's description."""
    delete_unmade(cloudformation, wanted)
    proposed = propose(cloudformation, wanted, upload)
    if not proposed:
        say(f"stack {wanted.name}: no change")
        return stacks.describe(cloudformation, wanted.name) or {}
    for line in proposed.lines():
        say(line)
    made = execute(cloudformation, proposed)
    say(f"stack {wanted.name}: deployed")
    return made


def delete_unmade(cloudformation: Any, wanted: Wanted) -> None:
    """Deletes what is left of a stack whose creation failed, and ends a rollback that failed."""
    stack = stacks.settled(cloudformation, wanted.name)
    if stack and stack["StackStatus"] in _NEVER_MADE:
        stacks.delete_stack(cloudformation, wanted.name, wanted.role)
    elif stack and stack["StackStatus"] == "UPDATE_ROLLBACK_FAILED":
        cloudformation.continue_update_rollback(StackName=wanted.name, **_role(wanted))


def propose(cloudformation: Any, wanted: Wanted, upload: Callable[[str], str]) -> ChangeSet | None:
    """Has CloudFormation work out the changes, and changes nothing; None if there are none.

    `upload` puts a template that is too large for a request where CloudFormation can read it, and returns its URL.
    """
    stack = stacks.settled(cloudformation, wanted.name)
    is_new = stack is None or stack["StackStatus"] == stacks.PROPOSED
    if stack and stack["StackStatus"] in _NEVER_MADE:
        raise DeployError(
            f"stack {wanted.name} is {stack['StackStatus']}: a deployment deletes it and creates it again"
        )
    is_large = len(wanted.template.encode()) > _TEMPLATE_BYTES
    request = {
        "ChangeSetType": "CREATE" if is_new else "UPDATE",
        **({"TemplateURL": upload(wanted.template)} if is_large else {"TemplateBody": wanted.template}),
        "Parameters": _parameters(wanted, {} if is_new else stack or {}),
        "Capabilities": _CAPABILITIES,
        "Tags": _tags(wanted, stack or {}),
        **_role(wanted),
    }
    identifier, found = _create(cloudformation, wanted.name, request)
    if found["Status"] == "FAILED":
        cloudformation.delete_change_set(ChangeSetName=identifier)
        reason = found.get("StatusReason", "no reason given")
        if any(text in reason for text in _UNCHANGED):
            return None
        raise DeployError(f"CloudFormation refuses stack {wanted.name}: {reason}")
    pages = cloudformation.get_paginator("describe_change_set").paginate(ChangeSetName=identifier)
    changes = [change["ResourceChange"] for page in pages for change in page["Changes"]]
    return ChangeSet(wanted.name, identifier, is_new, changes)


def execute(cloudformation: Any, proposed: ChangeSet) -> dict[str, Any]:
    """Makes the proposed changes, and waits until they are made."""
    started = datetime.now(UTC)
    cloudformation.execute_change_set(ChangeSetName=proposed.identifier)
    stack = stacks.settled(cloudformation, proposed.stack, stacks.PROPOSED)
    if not stack or stack["StackStatus"] not in _GOOD:
        raise DeployError(stacks.failure(cloudformation, proposed.stack, stack, started))
    return stack


def discard(cloudformation: Any, proposed: ChangeSet) -> None:
    """Forgets proposed changes, and a stack that exists only in them."""
    cloudformation.delete_change_set(ChangeSetName=proposed.identifier)
    if proposed.is_new:
        stacks.delete_stack(cloudformation, proposed.stack)


def adopt_bucket(cloudformation: Any, wanted: Wanted, resource: str, bucket: str) -> None:
    """Makes a new stack out of a bucket that exists, and nothing else. The stack's update then sets its properties.

    A template of its own, because an import may not create anything, and one with the bucket's name only, so that the
    update sees every other property as new and sets it.
    """
    kept = {"Type": "AWS::S3::Bucket", "DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}
    template = {"Resources": {resource: {**kept, "Properties": {"BucketName": bucket}}}}
    imported = {
        "ResourceType": "AWS::S3::Bucket",
        "LogicalResourceId": resource,
        "ResourceIdentifier": {"BucketName": bucket},
    }
    request = {
        "ChangeSetType": "IMPORT",
        "TemplateBody": json.dumps(template),
        "ResourcesToImport": [imported],
        **_role(wanted),
    }
    identifier, found = _create(cloudformation, wanted.name, request)
    if found["Status"] == "FAILED":
        reason = found.get("StatusReason", "no reason given")
        raise DeployError(f"CloudFormation cannot take bucket {bucket} into stack {wanted.name}: {reason}")
    execute(cloudformation, ChangeSet(wanted.name, identifier, is_new=True, changes=[]))


def keep_secrets(cloudformation: Any, name: str, role: str, upload: Callable[[str], str]) -> None:
    """Has a stack leave its secrets behind. Stacks of earlier releases made them, and would delete them at once.

    The policy that counts is the one that the stack has when the secret leaves it, and it cannot be changed alone, hence
    the metadata: docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html.
    """
    delete_unmade(cloudformation, Wanted(name, "", {}, role=role))
    if stacks.outputs(cloudformation, name) is None:
        return
    text = cloudformation.get_template(StackName=name, TemplateStage="Original")["TemplateBody"]
    kept = "    DeletionPolicy: Retain\n    Metadata: {kept: its stack made it, and the deployment keeps it}\n"
    text, found = re.subn(r"(?m)^(    Type: AWS::SecretsManager::Secret\n)(?!    DeletionPolicy)", rf"\1{kept}", text)
    if found:
        deploy_stack(cloudformation, Wanted(name, text, {}, role=role), upload, lambda _: None)


def _create(cloudformation: Any, name: str, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Creates a change set and waits until it is worked out. Returns its identifier and description."""
    try:
        made = cloudformation.create_change_set(
            StackName=name, ChangeSetName=f"storewatch-{uuid.uuid4().hex}", **request
        )
    except ClientError as error:
        raise DeployError(f"CloudFormation refuses stack {name}: {error.response['Error']['Message']}") from None
    deadline, pause = time.monotonic() + _TIMEOUT_SECONDS, 0.05
    while (found := cloudformation.describe_change_set(ChangeSetName=made["Id"]))["Status"].startswith("CREATE_") and (
        found["Status"] != "CREATE_COMPLETE"
    ):
        if time.monotonic() > deadline:
            raise DeployError(f"the change set of stack {name} is still {found['Status']} after {_TIMEOUT_SECONDS} s")
        time.sleep(pause)
        pause = min(pause * 1.3, 5)
    return made["Id"], found


def _parameters(wanted: Wanted, stack: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The request's parameters: those given, and for the others the values that the stack has."""
    known = declared(wanted.template)
    if unknown := sorted(wanted.parameters.keys() - known):
        raise DeployError(f"the template of stack {wanted.name} has no parameter {', '.join(unknown)}")
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in wanted.parameters.items()]
    before = {entry["ParameterKey"] for entry in stack.get("Parameters", [])}
    kept = sorted((before & known) - wanted.parameters.keys())
    return given + [{"ParameterKey": key, "UsePreviousValue": True} for key in kept]


def _tags(wanted: Wanted, stack: Mapping[str, Any]) -> list[dict[str, str]]:
    """The wanted tags, and those that the stack has beside them."""
    tags = {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])} | dict(wanted.tags)
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def _role(wanted: Wanted) -> dict[str, str]:
    return {"RoleARN": wanted.role} if wanted.role else {}
