"""The account and region of a deployment, and S3 calls that reach no bucket of another account.

A bucket's name can be guessed and taken by anybody. So every call names the account that must own the bucket.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from infra.errors import DeployError


@dataclass(frozen=True)
class Place:
    """Where a deployment is."""

    partition: str
    account: str
    region: str

    @classmethod
    def of(cls, client: Callable[[str], Any]) -> "Place":
        """The account and region of the credentials."""
        identity = client("sts")
        # arn:PARTITION:sts::ACCOUNT:…
        _, partition, _, _, account, *_ = identity.get_caller_identity()["Arn"].split(":")
        return cls(partition, account, identity.meta.region_name)


def owned(s3: Any, account: str) -> Any:
    """The client, whose every call from now on names the account that must own the bucket."""

    def name_owner(params: dict[str, Any], model: Any, **_: Any) -> None:
        if "ExpectedBucketOwner" in model.input_shape.members:
            params.setdefault("ExpectedBucketOwner", account)

    s3.meta.events.register("provide-client-params.s3", name_owner)
    return s3


def exists(s3: Any, bucket: str) -> bool:
    """Whether there is such a bucket. One of another account is an error."""
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("404", "NoSuchBucket"):
            return False
        if code in ("403", "AccessDenied"):
            raise DeployError(
                f"bucket {bucket} exists, but belongs to another account or refuses these credentials: "
                "find out which, then use other credentials or another prefix"
            ) from None
        raise
    return True


def empty(s3: Any, bucket: str) -> None:
    """Deletes every object and every version of it."""
    # The first page again and again, because deleting moves the others.
    while found := _first_versions(s3, bucket):
        refused = s3.delete_objects(Bucket=bucket, Delete={"Objects": found, "Quiet": True}).get("Errors")
        if refused:
            raise DeployError(f"bucket {bucket} cannot be emptied: {refused[0]['Key']}: {refused[0].get('Message')}")


def _first_versions(s3: Any, bucket: str) -> list[dict[str, str]]:
    page = s3.list_object_versions(Bucket=bucket)
    entries = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    return [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries]
