"""What roles may do: tried on the local AWS, or decided by an evaluator of IAM policies."""

from functools import lru_cache
from typing import Any, NamedTuple

import boto3
from botocore.exceptions import ClientError
from ministack.core import iam_evaluator

from tests.harness.deployment import Deployed


class Call(NamedTuple):
    """An action on a resource."""

    action: str
    resource: str


def session_of(deployed: Deployed, function: str) -> boto3.session.Session:
    """A session with the rights of a deployed function's role."""
    aws = deployed.stack.aws
    role = aws.client("lambda").get_function_configuration(FunctionName=f"{deployed.prefix}-{function}")["Role"]
    # Root assumes the role here, as Lambda does on AWS.
    given = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="e2e")["Credentials"]
    return boto3.session.Session(
        given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=aws.region
    )


def allowed(session: boto3.session.Session, deployed: Deployed, service: str, operation: str, **request: Any) -> bool:
    """Whether the policy allows the call, even if the call then fails."""
    try:
        getattr(_client(session, service, deployed.stack.aws.endpoint), operation)(**request)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("AccessDenied", "AccessDeniedException", "403"):
            return False
        raise
    return True


@lru_cache(maxsize=32)
def _client(session: boto3.session.Session, service: str, endpoint: str) -> Any:
    # Kept, because making one takes longer than its call.
    return session.client(service, endpoint_url=endpoint)


def reaches_nothing_of(country: str, session: boto3.session.Session, deployed: Deployed) -> None:
    """Asserts that a session can neither read nor change a country's objects, nor read its secrets."""
    for entry in deployed.country_objects(country):
        request = {"Bucket": deployed.bucket, "Key": entry.key}
        assert not allowed(session, deployed, "s3", "get_object", **request), entry.key
        assert not allowed(session, deployed, "s3", "put_object", **request, Body=b""), entry.key
        assert not allowed(session, deployed, "s3", "delete_object", **request), entry.key
    secret = f"{deployed.prefix}/{country}"
    assert not allowed(session, deployed, "secretsmanager", "get_secret_value", SecretId=secret)


def statements_of(iam: Any, role: str) -> list[dict[str, Any]]:
    """The statements of a role's own and attached policies."""
    documents = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]
    for entry in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        version = iam.get_policy(PolicyArn=entry["PolicyArn"])["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=entry["PolicyArn"], VersionId=version)
        documents.append(found["PolicyVersion"]["Document"])
    return [statement for document in documents for statement in document["Statement"]]


def allows(statements: list[dict[str, Any]], call: Call) -> bool:
    """Whether IAM would allow the call."""
    context = iam_evaluator.EvalContext(
        principal_arn="arn:aws:sts::000000000000:assumed-role/role/session",
        principal_type="AssumedRole",
        principal_account="000000000000",
        action=call.action,
        resource_arn=call.resource,
        region="eu-west-1",
        source_ip="127.0.0.1",
        secure_transport=True,
    )
    document = {"Version": "2012-10-17", "Statement": statements}
    return iam_evaluator.evaluate(context, [iam_evaluator.parse_policy_document(document)]).decision == "Allow"
