"""`make verify` finds nothing wrong with a good deployment, and what is wrong with others."""

import json
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from infra import verify
from infra.zones import Lake
from tests.e2e.conftest import Ticked

POLICY = "verify-test"


def test_a_good_deployment_has_no_wrong_rights_and_its_tick_is_complete(ticked: Ticked) -> None:
    client, prefix = ticked.deployed.stack.aws.client, ticked.deployed.prefix
    assert verify.rights(client, prefix) == []
    assert verify.tick(client, prefix) == []


def test_a_right_too_many_and_one_too_few_are_named(ticked: Ticked) -> None:
    client, prefix = ticked.deployed.stack.aws.client, ticked.deployed.prefix
    role = client("lambda").get_function_configuration(FunctionName=f"{prefix}-es-observe")["Role"]
    name, iam = role.rpartition("/")[2], client("iam")
    bucket = f"arn:aws:s3:::{Lake.of(client, prefix).bucket}"
    rules = [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{bucket}/schedules/country=mx/*"},
        {"Effect": "Deny", "Action": "s3:PutObject", "Resource": f"{bucket}/staging/country=es/*"},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": rules})
    iam.put_role_policy(RoleName=name, PolicyName=POLICY, PolicyDocument=document)
    try:
        problems = verify.rights(client, prefix)
    finally:
        iam.delete_role_policy(RoleName=name, PolicyName=POLICY)
    assert len(problems) == 2, problems
    assert "country=mx/x is allowed, but should not be allowed" in "".join(problems)
    assert "country=es/x is explicitDeny, but should be allowed" in "".join(problems)


def test_a_raised_alarm_is_named(ticked: Ticked) -> None:
    client, prefix = ticked.deployed.stack.aws.client, ticked.deployed.prefix
    alarm, cloudwatch = f"{prefix}-es-timed-out", client("cloudwatch")
    cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="test")
    try:
        assert f"{alarm} is raised" in verify.alarms(client, prefix)
    finally:
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="test")
    assert f"{alarm} is raised" not in verify.alarms(client, prefix)


@pytest.mark.parametrize(
    ("status", "problems"),
    [
        ({"State": "SUCCEEDED"}, []),
        ({"State": "FAILED", "StateChangeReason": "no rights"}, ["down_now: FAILED: no rights"]),
    ],
)
def test_a_view_that_athena_refuses_is_named_with_its_reason(status: dict[str, str], problems: list[str]) -> None:
    athena: Any = boto3.client("athena", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    asked = {
        "QueryString": 'select * from "down_now" limit 0',
        "QueryExecutionContext": {"Database": "storewatch"},
        "WorkGroup": "storewatch-analysts",
    }
    with Stubber(athena) as stubbed:
        stubbed.add_response("start_query_execution", {"QueryExecutionId": "1"}, asked)
        stubbed.add_response("get_query_execution", {"QueryExecution": {"Status": status}}, {"QueryExecutionId": "1"})
        assert verify.refused(athena, "storewatch-analysts", "storewatch", ["down_now"]) == problems
        stubbed.assert_no_pending_responses()
