"""A key of the account's own encrypts the lake, the logs and the alerts, and the roles may use it. Old versions expire."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from infra import buckets
from infra.deploy import TEMPLATES
from infra.local.config import Stack
from infra.packaging import FUNCTIONS
from tests.harness.deployer import Deployer
from tests.harness.rights import statements_of

CHOSEN = {"Fn::If": ["HasKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]}
ATTACHED = {"Fn::If": ["HasKey", {"Ref": "KeyPolicy"}, {"Ref": "AWS::NoValue"}]}


def _resources(template: str, kind: str) -> dict[str, dict[str, Any]]:
    found = yaml_parse((TEMPLATES / template).read_text())["Resources"]
    return {name: one["Properties"] for name, one in found.items() if one["Type"] == kind}


def test_a_key_encrypts_logs_and_functions_may_use_it(deployer: Deployer) -> None:
    aws = deployer.stack.aws
    key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    deployer.deploy(parameters={"KmsKeyArn": key})
    groups = aws.client("logs").get_paginator("describe_log_groups").paginate()
    own = [one for page in groups for one in page["logGroups"] if f"/{deployer.prefix}" in one["logGroupName"]]
    assert len(own) == len(FUNCTIONS) + 2
    assert {one.get("kmsKeyId") for one in own} == {key}
    lambdas, needed = aws.client("lambda"), {"kms:Decrypt", "kms:GenerateDataKey"}
    for name in FUNCTIONS:
        function = f"{deployer.prefix}-{name if name == 'dispatch' else f'es-{name}'}"
        role = lambdas.get_function_configuration(FunctionName=function)["Role"].rpartition("/")[2]
        assert needed <= _on(key, statements_of(aws.client("iam"), role)), function
    # Who reads the lake or its query results by an attached policy.
    for policy in ("catalog-reader", "dashboard-exports"):
        arn = f"arn:aws:iam::000000000000:policy/{deployer.prefix}-{policy}-{aws.region}"
        found = aws.client("iam").get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"]
        assert needed <= _on(key, found["Statement"]), policy


def test_a_country_that_is_added_later_gets_the_lake_s_key(deployer: Deployer) -> None:
    key = deployer.stack.aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    deployer.deploy(parameters={"KmsKeyArn": key})
    deployer.deployment().undeploy_country("es")
    deployer.deploy()
    names = ("lake", "analytics", "country-es")
    assert {deployer.parameters(name)["KmsKeyArn"] for name in names} == {key}


def test_without_a_key_no_role_has_a_right_on_any(deployer: Deployer) -> None:
    deployer.deploy()
    iam, prefix = deployer.stack.aws.client("iam"), deployer.prefix
    pages = iam.get_paginator("list_roles").paginate()
    roles = [role["RoleName"] for page in pages for role in page["Roles"] if role["RoleName"].startswith(prefix)]
    assert len(roles) > 12
    assert [role for role in roles if "kms:" in json.dumps(statements_of(iam, role))] == []


def _on(key: str, statements: list[dict[str, Any]]) -> set[str]:
    """The actions that are allowed on the key, each only through a service."""
    found = [one for one in statements if one["Resource"] == key]
    assert all("kms:ViaService" in one["Condition"]["StringEquals"] for one in found)
    return {action for one in found for action in one["Action"]}


@pytest.mark.parametrize("template", ["lake.yaml", "analytics.yaml", "country.yaml", "workbench.yaml"])
def test_nothing_that_can_be_encrypted_is_left_out(template: str) -> None:
    """Tests the template: the local CloudFormation drops the encryption of a bucket and of a topic."""
    for group in _resources(template, "AWS::Logs::LogGroup").values():
        assert group["KmsKeyId"] == CHOSEN
    for topic in _resources(template, "AWS::SNS::Topic").values():
        assert topic["KmsMasterKeyId"] == CHOSEN
    for bucket in _resources(template, "AWS::S3::Bucket").values():
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        condition, with_key, without = rule["Fn::If"]
        assert (condition, with_key["BucketKeyEnabled"]) == ("HasKey", True)
        own = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Ref": "KmsKeyArn"}}
        assert with_key["ServerSideEncryptionByDefault"] == own
        assert without == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    for workgroup in _resources(template, "AWS::Athena::WorkGroup").values():
        chosen = workgroup["WorkGroupConfiguration"]["ResultConfiguration"]["EncryptionConfiguration"]["Fn::If"]
        assert chosen[1] == {"EncryptionOption": "SSE_KMS", "KmsKey": {"Ref": "KmsKeyArn"}}
    for name, role in _resources(template, "AWS::IAM::Role").items():
        # Rules only start machines, analysts have a policy, and these machines read no object.
        rules = {"RuleRole", "DailyRuleRole", "BackupRuleRole"}
        if name not in rules | {"AnalystsRole", "TickRole", "DailyRole", "CountryDailyRole", "BackupRole"}:
            assert ATTACHED in role["ManagedPolicyArns"], name


def test_an_object_that_is_overwritten_or_deleted_is_kept_for_a_week(deployer: Deployer) -> None:
    bucket, s3 = deployer.deploy()["LakeBucket"], deployer.s3
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    request = {"Bucket": bucket, "Key": "outages/country=es/day=2026-01-01/x"}
    for body in (b"first", b"second"):
        s3.put_object(**request, Body=body)
    s3.delete_object(**request)
    versions = s3.list_object_versions(Bucket=bucket, Prefix=request["Key"])
    bodies = [s3.get_object(**request, VersionId=one["VersionId"])["Body"].read() for one in versions["Versions"]]
    assert sorted(bodies) == [b"first", b"second"] and len(versions["DeleteMarkers"]) == 1
    rules = _resources("lake.yaml", "AWS::S3::Bucket")["LakeBucket"]["LifecycleConfiguration"]["Rules"]
    (rule,) = (rule for rule in rules if rule["Id"] == "noncurrent")
    # Without a prefix it holds for every object. S3 refuses markers in a rule that has tags or an age.
    assert rule == {
        "Id": "noncurrent",
        "Status": "Enabled",
        "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
        "ExpiredObjectDeleteMarker": True,
    }


def test_a_bucket_with_more_versions_than_a_page_is_emptied(stack: Stack) -> None:
    s3, bucket = stack.aws.client("s3"), f"many-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": stack.aws.region})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    def write(number: int) -> None:
        name = {"Bucket": bucket, "Key": f"{number:04}"}
        s3.put_object(**name)
        s3.delete_object(**name)
        s3.put_object(**name)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(1_100)))
    buckets.empty(s3, bucket)
    s3.delete_bucket(Bucket=bucket)
