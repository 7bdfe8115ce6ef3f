"""Lets countries in other accounts deliver to this account's lake: the lake bucket's policy, and the catalog's.

Both name the roles that country.yaml gives to the functions that deliver, and allow what its DeliveryPolicy allows. The
bucket's policy is part of lake.yaml. CloudFormation has no resource for the catalog's, of which there is one per account
and region (aws-cloudformation/cloudformation-coverage-roadmap#243). So it is set here, and statements that are not of this
deployment stay as they are.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from infra.buckets import Place
from infra.errors import DeployError
from infra.vocabulary import COLUMNS

# The functions whose roles deliver. country.yaml names these roles, and no others.
DELIVERING = ("register", "compact", "restate", "repair")
_MARK = "          # <countries in other accounts>\n"
# docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-policies.html
_POLICY_BYTES = 20 * 1024
# What the rest of the policy takes, its statement on TLS.
_TLS_ONLY_BYTES = 512
_PARTITIONS = ["GetTable", "BatchGetPartition", "BatchCreatePartition", "BatchUpdatePartition", "DeletePartition"]


def parse(given: Sequence[str]) -> dict[str, str]:
    """Countries and their accounts, from texts such as fr:444455556666."""
    found: dict[str, str] = {}
    for text in given:
        match = re.fullmatch(r"([a-z]{2}):([0-9]{12})", text)
        if not match or match[1] in found:
            raise DeployError(
                f"{text!r} must be a country and its account, as in fr:444455556666, and each country once"
            )
        found[match[1]] = match[2]
    return found


def render(template: str, place: Place, prefix: str, accounts: Mapping[str, str]) -> str:
    """lake.yaml with two statements per country in the bucket's policy. A statement is a line of JSON, which is also YAML."""
    if template.count(_MARK) != 1:
        raise DeployError(f"lake.yaml must have exactly one line {_MARK.strip()!r} in the bucket's policy")
    statements = [
        json.dumps(statement, separators=(",", ": "))
        for country, account in sorted(accounts.items())
        for statement in _bucket_statements(place, prefix, country, account)
    ]
    if sum(map(len, statements)) > _POLICY_BYTES - _TLS_ONLY_BYTES:
        raise DeployError(
            f"{len(accounts)} countries in other accounts do not fit into a bucket's policy, which has {_POLICY_BYTES} bytes"
        )
    return template.replace(_MARK, "".join(f"          - {statement}\n" for statement in statements))


def _bucket_statements(place: Place, prefix: str, country: str, account: str) -> list[dict[str, Any]]:
    """List, read, write and tag this country's files of tables, compacted ones included. Only these have a `day=`."""
    bucket = f"arn:{place.partition}:s3:::{prefix}-lake-{place.account}-{place.region}"
    files = f"*/country={country}/day=*"
    # The account and not the role is the principal, because S3 refuses a policy that names a role which does not exist.
    common = {"Effect": "Allow", "Principal": {"AWS": f"arn:{place.partition}:iam::{account}:root"}}
    is_role = {"ArnEquals": {"aws:PrincipalArn": _roles(place, prefix, country, account)}}
    return [
        {
            "Sid": f"List{country}",
            **common,
            "Action": "s3:ListBucket",
            "Resource": bucket,
            "Condition": {**is_role, "StringLike": {"s3:prefix": files}},
        },
        {
            "Sid": f"Deliver{country}",
            **common,
            "Action": ["s3:GetObject", "s3:PutObject", "s3:PutObjectTagging"],
            "Resource": f"{bucket}/{files}",
            "Condition": is_role,
        },
    ]


def set_catalog_policy(glue: Any, place: Place, prefix: str, database: str, accounts: Mapping[str, str]) -> bool:
    """Makes the catalog's policy allow these countries, and no other country of this deployment. Whether it changed.

    The catalog has no rights on partitions, so a country that may change its own could change those of others.
    """
    held = _held(glue)
    statements = json.loads(held["PolicyInJson"])["Statement"] if held else []
    # AWS returns a single statement without a list around it.
    statements = [statements] if isinstance(statements, dict) else statements
    # Letters and digits only. A prefix has no capitals, so no two prefixes have the same.
    sid = f"Storewatch{prefix.replace('-', 'X')}"
    wanted = [statement for statement in statements if statement.get("Sid") != sid]
    if accounts:
        wanted.append(_catalog_statement(place, prefix, database, accounts) | {"Sid": sid})
    if wanted == statements:
        return False
    unchanged = {"PolicyHashCondition": held["PolicyHash"]} if held else {}
    if not wanted:
        glue.delete_resource_policy(**unchanged)
        return True
    glue.put_resource_policy(
        PolicyInJson=json.dumps({"Version": "2012-10-17", "Statement": wanted}),
        PolicyExistsCondition="MUST_EXIST" if held else "NOT_EXIST",
        # Lake Formation may share the catalog too. Without this, Glue then refuses the policy.
        EnableHybrid="TRUE",
        **unchanged,
    )
    return True


def _catalog_statement(place: Place, prefix: str, database: str, accounts: Mapping[str, str]) -> dict[str, Any]:
    roles = [role for country, account in sorted(accounts.items()) for role in _roles(place, prefix, country, account)]
    catalog = f"arn:{place.partition}:glue:{place.region}:{place.account}:"
    tables = [f"{catalog}table/{database}/{table}" for table in sorted(COLUMNS)]
    return {
        "Effect": "Allow",
        "Principal": {
            "AWS": [f"arn:{place.partition}:iam::{account}:root" for account in sorted(set(accounts.values()))]
        },
        "Action": [f"glue:{action}" for action in _PARTITIONS],
        "Resource": [f"{catalog}catalog", f"{catalog}database/{database}", *tables],
        "Condition": {"ArnEquals": {"aws:PrincipalArn": roles}},
    }


def _held(glue: Any) -> dict[str, Any] | None:
    """The catalog's policy and its hash; None if it has none."""
    try:
        return glue.get_resource_policy()
    except ClientError as error:
        if error.response["Error"]["Code"] == "EntityNotFoundException":
            return None
        raise


def _roles(place: Place, prefix: str, country: str, account: str) -> list[str]:
    return [
        f"arn:{place.partition}:iam::{account}:role/{prefix}-{country}-{function}-{place.region}"
        for function in DELIVERING
    ]
