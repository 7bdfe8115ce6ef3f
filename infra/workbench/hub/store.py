"""The workbench's bucket: a few calls, each of which is done or says that S3 is down."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.workbench.hub.settings import Settings

# A call that waits for longer holds up a page or a run.
_CONFIG = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "max_attempts": 2})


class Unavailable(Exception):
    """S3 did not do it: it is down, or refuses. Worth trying again."""


@dataclass(frozen=True)
class Object:
    """An object's content."""

    body: bytes
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Version:
    """A version of an object, or the mark that it was deleted then."""

    key: str
    id: str
    at: datetime
    deleted: bool
    latest: bool


@dataclass(frozen=True)
class Store:
    """The bucket."""

    bucket: str
    region: str

    @classmethod
    def of(cls, settings: Settings) -> "Store":
        """The bucket that the settings name."""
        return cls(settings.bucket, settings.region)

    @cached_property
    def _s3(self) -> Any:
        # The address and the credentials are those of the environment or of the machine's role.
        return boto3.client("s3", region_name=self.region, config=_CONFIG)

    def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
        only_new: bool = False,
    ) -> str | None:
        """Writes an object. Returns its version; with `only_new`, None if it is there already: of two, one succeeds.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
        """
        condition = {"IfNoneMatch": "*"} if only_new else {}
        try:
            answer = self._call(
                "put_object", Key=key, Body=body, ContentType=content_type, Metadata=dict(metadata or {}), **condition
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in ("PreconditionFailed", "412"):
                return None
            raise Unavailable(self._message("write", key, error)) from error
        return str(answer.get("VersionId", "null"))

    def get(self, key: str, version: str | None = None) -> Object | None:
        """Reads an object; None if it is not there."""
        try:
            answer = self._call("get_object", Key=key, **({"VersionId": version} if version else {}))
            return Object(answer["Body"].read(), answer["Metadata"])
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise Unavailable(self._message("read", key, error)) from error
        except BotoCoreError as error:  # in the middle of the body
            raise Unavailable(self._message("read", key, error)) from error

    def delete(self, key: str) -> None:
        """Puts a delete marker. The versions before it stay."""
        try:
            self._call("delete_object", Key=key)
        except ClientError as error:
            raise Unavailable(self._message("delete", key, error)) from error

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin so."""
        yield from (key for key, _ in self.listed(prefix))

    def listed(self, prefix: str) -> Iterator[tuple[str, str]]:
        """The keys that begin so, with what changes whenever the content does."""
        for page in self._pages("list_objects_v2", prefix):
            yield from ((one["Key"], one["ETag"]) for one in page.get("Contents", []))

    def versions(self, prefix: str) -> Iterator[Version]:
        """All versions of the keys that begin so, and deletions; each of a key from its newest to its oldest."""
        for page in self._pages("list_object_versions", prefix):
            for name in ("Versions", "DeleteMarkers"):
                for one in page.get(name, []):
                    yield Version(
                        one["Key"], one["VersionId"], one["LastModified"], name == "DeleteMarkers", one["IsLatest"]
                    )

    def _pages(self, operation: str, prefix: str) -> Iterator[dict[str, Any]]:
        try:
            yield from self._s3.get_paginator(operation).paginate(Bucket=self.bucket, Prefix=prefix)
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(self._message("list", prefix, error)) from error

    def _call(self, operation: str, **words: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._s3, operation)(Bucket=self.bucket, **words)
        except BotoCoreError as error:
            raise Unavailable(self._message(operation, words["Key"], error)) from error
        return answer

    def _message(self, what: str, key: str, error: Exception) -> str:
        return f"S3 did not {what.removesuffix('_object')} s3://{self.bucket}/{key}: {error}"
