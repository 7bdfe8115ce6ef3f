"""Who reads and writes the exports of the dashboard, which lie beside the lake. Tests the policies on the local AWS."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest

from tests.e2e.analysts.test_rights import analyst, outputs
from tests.e2e.conftest import Ticked
from tests.harness.deployment import Deployed
from tests.harness.rights import allowed, session_of

__all__ = ["analyst"]  # the fixture
FUNCTIONS = ["plan", "observe", "merge", "register", "compact", "restate", "repair"]


@pytest.fixture(scope="module")
def export(analysed: Ticked) -> Iterator[dict[str, str]]:
    """An object where exports are."""
    deployed = analysed.deployed
    where = {"Bucket": deployed.bucket, "Key": "dashboard/20260101T025000Z.zip"}
    deployed.s3.put_object(**where, Body=b"")
    yield where
    deployed.s3.delete_object(**where)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_function_of_a_country_reaches_exports(analysed: Ticked, export: dict[str, str], function: str) -> None:
    deployed = analysed.deployed
    _reaches_nothing(session_of(deployed, f"es-{function}"), deployed, export)


def test_analysts_reach_no_exports(analysed: Ticked, analyst: boto3.session.Session, export: dict[str, str]) -> None:
    _reaches_nothing(analyst, analysed.deployed, export)


def test_the_policy_of_exports_reads_and_writes_them_and_nothing_else(analysed: Ticked, export: dict[str, str]) -> None:
    deployed = analysed.deployed
    table = deployed.objects("country_ticks/country=es/")[0].key
    with _session(deployed, outputs(deployed)["DashboardExportsPolicy"]) as session:

        def may(operation: str, **request: Any) -> bool:
            return allowed(session, deployed, "s3", operation, **request)

        assert may("get_object", **export)
        assert may("put_object", **export, Body=b"")
        assert not may("delete_object", **export)
        assert may("list_objects_v2", Bucket=deployed.bucket, Prefix="dashboard/")
        assert not may("list_objects_v2", Bucket=deployed.bucket, Prefix="")
        assert not may("get_object", Bucket=deployed.bucket, Key=table)


def _reaches_nothing(session: boto3.session.Session, deployed: Deployed, export: dict[str, str]) -> None:
    assert not allowed(session, deployed, "s3", "get_object", **export)
    assert not allowed(session, deployed, "s3", "put_object", **export, Body=b"")
    assert not allowed(session, deployed, "s3", "delete_object", **export)
    assert not allowed(session, deployed, "s3", "list_objects_v2", Bucket=deployed.bucket, Prefix="dashboard/")


@contextmanager
def _session(deployed: Deployed, policy: str) -> Iterator[boto3.session.Session]:
    """A session with the rights of a policy alone, by a role of its own."""
    aws = deployed.stack.aws
    iam, name = aws.client("iam"), f"exports-{uuid.uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    iam.attach_role_policy(RoleName=name, PolicyArn=policy)
    try:
        given = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="e2e")["Credentials"]
        keys = given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
        yield boto3.session.Session(*keys, region_name=aws.region)
    finally:
        iam.detach_role_policy(RoleName=name, PolicyArn=policy)
        iam.delete_role(RoleName=name)
