"""The admin role looks, starts ticks, redrives and restates. It reads no store's row and no secret.

The local AWS enforces its policies on these calls. What it cannot tell apart is evaluated.
"""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from infra import last_ticks, stacks
from infra.zones import Lake
from tests.e2e.conftest import Ticked
from tests.harness.deployment import Deployed
from tests.harness.rights import Call, allowed, allows, statements_of


@pytest.fixture(scope="module")
def admin(ticked: Ticked) -> boto3.session.Session:
    """A session of the role."""
    aws = ticked.deployed.stack.aws
    role = _outputs(ticked.deployed)["AdminRole"]
    given = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="e2e")["Credentials"]
    return boto3.session.Session(
        given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=aws.region
    )


def _outputs(deployed: Deployed) -> dict[str, str]:
    made = stacks.outputs(deployed.stack.aws.client("cloudformation"), f"{deployed.prefix}-lake")
    assert made
    return made


def client(admin: boto3.session.Session, deployed: Deployed, service: str) -> Any:
    """A client with the rights of the role."""
    return admin.client(service, endpoint_url=deployed.stack.aws.endpoint)


def test_it_sees_the_last_ticks_as_make_status_shows_them(admin: boto3.session.Session, ticked: Ticked) -> None:
    lake = Lake.of(lambda service: client(admin, ticked.deployed, service), ticked.deployed.prefix)
    found = {country: last_ticks.find(lake, country, datetime.now(UTC)) for country in lake.countries()}
    assert {country: one and one.outcome for country, one in found.items()} == dict.fromkeys(
        ("es", "mx", "pt"), "complete"
    )


def test_it_starts_a_tick_and_looks_at_it(admin: boto3.session.Session, ticked: Ticked) -> None:
    deployed = ticked.deployed
    steps = client(admin, deployed, "stepfunctions")
    event = f'{{"country": "es", "slot": "{ticked.slot:%Y-%m-%dT%H:%M:%SZ}"}}'
    run = steps.start_execution(stateMachineArn=deployed.machine("country-es"), input=event)["executionArn"]
    assert deployed.end_of(run)["status"] == "SUCCEEDED"
    assert steps.get_execution_history(executionArn=run)["events"]
    alarms = client(admin, deployed, "cloudwatch").describe_alarms(AlarmNamePrefix=f"{deployed.prefix}-")
    assert alarms["MetricAlarms"]
    group = f"/aws/lambda/{deployed.prefix}-es-plan"
    assert client(admin, deployed, "logs").filter_log_events(logGroupName=group)["events"]
    assert client(admin, deployed, "glue").get_table(DatabaseName=deployed.database, Name="outages")["Table"]


def test_it_restates_and_repairs_and_invokes_nothing_else(admin: boto3.session.Session, ticked: Ticked) -> None:
    deployed = ticked.deployed
    for function, right in (("restate", True), ("repair", True), ("plan", False), ("observe", False)):
        name = f"{deployed.prefix}-es-{function}"
        assert allowed(admin, deployed, "lambda", "invoke", FunctionName=name, Payload=b"{}") == right, function


def test_it_reads_no_row_and_no_secret_and_writes_nothing(admin: boto3.session.Session, ticked: Ticked) -> None:
    deployed = ticked.deployed
    secret = f"{deployed.prefix}/es"
    assert not allowed(admin, deployed, "secretsmanager", "get_secret_value", SecretId=secret)
    folders = {entry.key.partition("/")[0]: entry.key for entry in deployed.objects()}
    assert {"store_availability", "schedules", "staging", "current_outages", "country_ticks"} <= folders.keys()
    for folder, key in folders.items():
        right = folder in ("country_ticks", "registry", "config")
        request = {"Bucket": deployed.bucket, "Key": key}
        assert allowed(admin, deployed, "s3", "get_object", **request) == right, key
        assert not allowed(admin, deployed, "s3", "put_object", **request, Body=b""), key
        assert not allowed(admin, deployed, "s3", "delete_object", **request), key
    with pytest.raises(ClientError, match="AccessDenied"):
        client(admin, deployed, "athena").start_query_execution(
            QueryString="select 1", WorkGroup=f"{deployed.prefix}-analysts"
        )


def _calls(deployed: Deployed) -> Iterator[tuple[Call, bool]]:
    """Calls that the local AWS does not know or does not check by resource, and whether they are right."""
    prefix, states = deployed.prefix, "arn:aws:states:eu-west-1:000000000000"
    for name, right in ((f"{prefix}-tick", True), (f"{prefix}-country-es", True), (f"{prefix}-country-es-daily", True)):
        yield Call("states:StartExecution", f"{states}:stateMachine:{name}"), right
        yield Call("states:RedriveExecution", f"{states}:execution:{name}:run"), right
        yield Call("states:UpdateStateMachine", f"{states}:stateMachine:{name}"), False
    yield Call("states:StartExecution", f"{states}:stateMachine:other-tick"), False
    yield Call("states:DescribeMapRun", f"{states}:mapRun:{prefix}-country-es/Observe:x"), True
    yield Call("iam:PassRole", "arn:aws:iam::000000000000:role/any"), False
    yield Call("s3:GetObjectVersion", f"arn:aws:s3:::{deployed.bucket}/outages/country=es/day=2026-01-01/x"), False
    yield Call("kms:Decrypt", "arn:aws:kms:eu-west-1:000000000000:key/x"), False


def test_what_the_local_aws_does_not_check_is_evaluated_so_too(ticked: Ticked) -> None:
    deployed = ticked.deployed
    iam, role = deployed.stack.aws.client("iam"), _outputs(deployed)["AdminRole"].rpartition("/")[2]
    statements = statements_of(iam, role)
    assert {call: allows(statements, call) for call, _ in _calls(deployed)} == dict(_calls(deployed))


def test_a_policy_that_reads_everything_opens_neither_rows_nor_secrets(ticked: Ticked) -> None:
    """The role keeps its denials if somebody attaches such a policy to it."""
    deployed = ticked.deployed
    iam, role = deployed.stack.aws.client("iam"), _outputs(deployed)["AdminRole"].rpartition("/")[2]
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    statements = [*statements_of(iam, role), everything]
    bucket = f"arn:aws:s3:::{deployed.bucket}"
    tables = (
        "store_availability",
        "schedules",
        "staging",
        "compacted/store_availability",
        "compacted/outages",
        "levels",
    )
    for action, table in itertools.product(("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"), tables):
        assert not allows(statements, Call(action, f"{bucket}/{table}/country=es/day=2026-01-01/x.parquet"))
    assert not allows(statements, Call("s3:GetObject", "arn:aws:s3:::results/x"))
    secret = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:x-abcdef"
    assert not allows(statements, Call("secretsmanager:GetSecretValue", secret))
    for action in ("StartQueryExecution", "GetQueryResults"):
        assert not allows(statements, Call(f"athena:{action}", "arn:aws:athena:eu-west-1:000000000000:workgroup/x"))
    assert allows(statements, Call("s3:GetObject", f"{bucket}/country_ticks/country=es/day=2026-01-01/x.parquet"))
