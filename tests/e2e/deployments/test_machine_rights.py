"""Roles of state machines and rules may do what their definitions do, and nothing else.

The local AWS does not check these roles. So the test collects the calls from the deployed definitions, as AWS documents
them, and has an evaluator of IAM policies decide on each.
"""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from infra.local.config import Stack
from tests.harness.deployer import Deployer
from tests.harness.deployment import Deployed
from tests.harness.rights import Call, allows, statements_of

# docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html and …/xray-iam.html. None of them supports resources.
LOGGING = (
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
)
# The rule by which Step Functions learns that a nested execution has ended.
NESTED_RULE = "StepFunctionsGetEventsForStepFunctionsExecutionRule"
# What each machine starts, which its definition reads from the registry.
STARTS = {"tick": "country-es", "daily": "country-es-daily"}
RUN = "es-20261123T0415Z"
MACHINES = ("tick", "daily", "country-es", "country-es-daily")
RULES = ("tick", "daily")


@dataclass
class Rights:
    """Roles of a deployment, and the calls that are made with them."""

    deployed: Deployed

    def client(self, service: str) -> Any:
        """A client as root."""
        return self.deployed.stack.aws.client(service)

    def needed(self, machine: str) -> set[Call]:
        """The calls that a state machine makes."""
        arn = self.deployed.machine(machine)
        calls = {Call(action, "*") for action in LOGGING}
        for state in _states(self.deployed.definition(machine)):
            calls |= self._of_task(machine, state) | self._of_map(arn, state)
        return calls

    def _of_task(self, machine: str, state: dict[str, Any]) -> set[Call]:
        kind, parameters = state.get("Resource", "").partition(":::")[2], state.get("Parameters", {})
        if state["Type"] != "Task":
            return set()
        if kind == "lambda:invoke":
            return {Call("lambda:InvokeFunction", parameters["FunctionName"])}
        # docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html; redriving:
        # …/redrive-executions.html.
        assert kind == "states:startExecution.sync:2", state
        nested = self.deployed.machine(STARTS[machine])
        execution = nested.replace(":stateMachine:", ":execution:") + f":{RUN}"
        rule = nested.partition(":stateMachine:")[0].replace(":states:", ":events:") + f":rule/{NESTED_RULE}"
        return {
            Call("states:StartExecution", nested),
            *(Call(f"states:{verb}Execution", execution) for verb in ("Describe", "Stop", "Redrive")),
            *(Call(f"events:{verb}", rule) for verb in ("PutTargets", "PutRule", "DescribeRule")),
        }

    def _of_map(self, arn: str, state: dict[str, Any]) -> set[Call]:
        """docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html."""
        if state.get("ItemProcessor", {}).get("ProcessorConfig", {}).get("Mode") != "DISTRIBUTED":
            return set()
        execution = arn.replace(":stateMachine:", ":execution:")
        reader = state["ItemReader"]
        assert reader["Resource"].endswith(":::s3:getObject") and "ResultWriter" not in state
        items = f"{reader['Parameters']['Bucket']}/staging/country=es/20261123T0415Z/manifest.json"
        return {
            Call("states:StartExecution", arn),
            *(Call(f"states:{verb}Execution", f"{execution}:{RUN}") for verb in ("Describe", "Stop")),
            *(Call(f"states:{verb}Execution", f"{execution}/{state['Label']}:child") for verb in ("Describe", "Stop")),
            Call("states:RedriveExecution", f"{execution}/{state['Label']}:map-run"),
            Call("s3:GetObject", f"arn:aws:s3:::{items}"),
        }

    def rule(self, name: str) -> tuple[str, set[Call]]:
        """A rule's role and the calls that it makes."""
        (target,) = self.client("events").list_targets_by_rule(Rule=f"{self.deployed.prefix}-{name}")["Targets"]
        return target["RoleArn"], {Call("states:StartExecution", target["Arn"])}

    def of(self, what: str) -> tuple[list[dict[str, Any]], set[Call]]:
        """The statements of the role of a machine or of a rule (`rule tick`), and its calls."""
        name = what.removeprefix("rule ")
        if name != what:
            role, calls = self.rule(name)
        else:
            steps = self.deployed.step_functions
            role = steps.describe_state_machine(stateMachineArn=self.deployed.machine(name))["roleArn"]
            calls = self.needed(name)
        return statements_of(self.client("iam"), role.rpartition("/")[2]), calls


def _states(definition: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every state, those inside of maps too."""
    for state in definition["States"].values():
        yield state
        if "ItemProcessor" in state:
            yield from _states(state["ItemProcessor"])


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


@pytest.fixture(scope="module")
def rights(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rights]:
    """A deployment of es."""
    deployer = Deployer(stack, f"rights-{uuid.uuid4().hex[:8]}", tmp_path_factory.mktemp("rights"))
    try:
        lake = deployer.deploy({"RuleState": "DISABLED"})
        yield Rights(Deployed(stack, deployer.prefix, "", "", lake["LakeBucket"]))
    finally:
        deployer.remove()


ALL = (*MACHINES, *(f"rule {name}" for name in RULES))


@pytest.mark.parametrize("what", ALL)
def test_a_role_may_make_every_call_of_its_definition(rights: Rights, what: str) -> None:
    statements, calls = rights.of(what)
    assert [call for call in sorted(calls) if not allows(statements, call)] == []


@pytest.mark.parametrize("what", ALL)
def test_a_role_has_no_right_that_its_definition_does_not_use(rights: Rights, what: str) -> None:
    """Each pair of an action and a resource that a statement allows is one that a call needs."""
    statements, calls = rights.of(what)
    pairs = {
        (action, resource)
        for statement in statements
        for action in _listed(statement["Action"])
        for resource in _listed(statement["Resource"])
    }
    unused = {
        pair
        for pair in pairs
        if not any(allows([{"Effect": "Allow", "Action": pair[0], "Resource": pair[1]}], call) for call in calls)
    }
    assert unused == set()


@pytest.mark.parametrize("what", ALL)
def test_a_role_may_make_no_call_of_another(rights: Rights, what: str) -> None:
    """Neither what other machines and rules do, nor the same in another country, nor under another prefix."""
    statements, calls = rights.of(what)
    others: set[Call] = set().union(*(rights.of(other)[1] for other in ALL if other != what))
    others |= {Call(call.action, call.resource.replace(rights.deployed.prefix, "other")) for call in calls}
    if "es" in what:
        others |= {Call(call.action, re.sub("(?<=[-=])es(?=[-/:]|$)", "mx", call.resource)) for call in calls}
    assert [call for call in sorted(others - calls) if allows(statements, call)] == []


def test_the_evaluator_knows_wildcards_and_denials(rights: Rights) -> None:
    """Tests the tests: without a statement, or with a denial, a call of the tick is refused."""
    statements, calls = rights.of("tick")
    call = next(call for call in sorted(calls) if call.action == "lambda:InvokeFunction")
    assert allows(statements, call)
    assert not allows([{**one, "Resource": "arn:aws:s3:::x"} for one in statements], call)
    assert not allows([*statements, {"Effect": "Deny", "Action": "lambda:Invoke*", "Resource": "*"}], call)
    assert json.dumps(statements).count("InvokeFunction") == 1
