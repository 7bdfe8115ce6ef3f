"""A registry entry that cannot be read fails its own country, and no other."""

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from infra import etl
from infra.local.checks.retries import states_of
from infra.local.config import BINARIES, Stack
from infra.packaging import ROOT, STATE_MACHINES, WORKBENCH_MACHINES
from tests.harness.deployer import Deployer
from tests.harness.deployment import Deployed


@pytest.fixture(scope="module")
def lake(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """A lake without countries, whose dispatch works."""
    prefix = f"machines-{uuid.uuid4().hex[:6]}"
    working = {"dispatch": BINARIES / "dispatch"}
    deployer = Deployer(stack, prefix, tmp_path_factory.mktemp("machines"), working)
    try:
        deployment = deployer.deployment()
        made = deployment.deploy_lake(deployer.release(deployment), {"RuleState": "DISABLED"})
        yield Deployed(stack, prefix, deployment.database, f"Test/{prefix}", made["LakeBucket"])
    finally:
        deployer.remove()


@pytest.mark.parametrize("machine", ["tick", "daily"])
def test_a_registry_entry_that_cannot_be_read_fails_alone(lake: Deployed, machine: str) -> None:
    nowhere = f"arn:aws:states:eu-west-1:000000000000:stateMachine:{lake.prefix}-country-zz"
    entry = {"country": "zz", "state_machine": nowhere, "daily_state_machine": nowhere}
    for country, body in (("yy", "not JSON"), ("zz", json.dumps(entry))):
        lake.s3.put_object(Bucket=lake.bucket, Key=f"registry/{country}.json", Body=body.encode())
    ended = lake.run_machine(machine, {"time": "2026-11-23T04:15:00Z"})
    assert ended["status"] == "FAILED"
    found = {one["country"]: one["error"] for one in json.loads(ended["cause"])}
    assert found["yy"] == "RegistryEntryUnreadable"
    assert "StateMachineDoesNotExist" in found["zz"]


@pytest.mark.parametrize("machine", STATE_MACHINES + WORKBENCH_MACHINES)
def test_no_execution_is_started_without_looking_at_its_arn(machine: str) -> None:
    """An empty ARN can end a state in States.Runtime, which no Catch gets."""
    definition = json.loads((ROOT / f"statemachine/{machine}.asl.json").read_text())
    states = states_of(definition)
    starting = {name: state for name, state in states if "startExecution" in state.get("Resource", "")}
    assert bool(starting) == (machine in ("tick", "daily"))
    for name, state in starting.items():
        path = state["Parameters"]["StateMachineArn.$"]
        (guard,) = [other for other, content in states if leads_to(content, name)]
        choices = dict(states)[guard]["Choices"]
        assert choices == [
            {"And": [{"Variable": path, "IsPresent": True}, {"Variable": path, "StringMatches": "arn:*"}], "Next": name}
        ]


def leads_to(state: dict[str, Any], name: str) -> bool:
    """Whether a state names another as the next one."""
    return any(found.get("Next") == name for found in (state, *state.get("Choices", []), *state.get("Catch", [])))


@pytest.mark.parametrize("machine", [*STATE_MACHINES, *WORKBENCH_MACHINES, *etl.MACHINES])
def test_definitions_name_no_partition(machine: str) -> None:
    text = (ROOT / f"statemachine/{machine}.asl.json").read_text()
    assert set(re.findall(r"arn:([^:\n]*):", text)) == {"${Partition}"}


def test_machines_log_and_trace_as_the_parameters_say(lake: Deployed) -> None:
    """Read in the stack's template, after SAM's transform: the local CloudFormation drops both settings."""
    made = lake.stack.aws.client("cloudformation").get_template(
        StackName=f"{lake.prefix}-lake", TemplateStage="Processed"
    )
    resources = made["TemplateBody"]["Resources"]
    machines = [found for found in resources.values() if found["Type"] == "AWS::StepFunctions::StateMachine"]
    assert len(machines) == 2
    for machine in machines:
        properties = machine["Properties"]
        assert properties["TracingConfiguration"] == {"Enabled": {"Ref": "Tracing"}}
        logging = properties["LoggingConfiguration"]
        assert logging["Level"] == {"Ref": "MachineLogLevel"}
        (destination,) = logging["Destinations"]
        assert destination["CloudWatchLogsLogGroup"]["LogGroupArn"] == {"Fn::GetAtt": ["MachineLog", "Arn"]}
        role = resources[properties["RoleArn"]["Fn::GetAtt"][0]]
        assert role["Properties"]["ManagedPolicyArns"] == [{"Ref": "MachineLogsPolicy"}]
