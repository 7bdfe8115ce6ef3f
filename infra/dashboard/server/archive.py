"""An export as one object on S3, named by its instant: it is there as a whole, or not at all."""

import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
import yaml

from infra.errors import DeployError

_FORMAT = 1
_ACCESS = "access.json"
_NAME = re.compile(r"\d{8}T\d{6}Z")


@dataclass(frozen=True)
class Export:
    """What users made, in Superset's own form by path, and what that form leaves out: owners, roles, rules, mails."""

    assets: Mapping[str, dict[str, Any]]
    access: Mapping[str, Any]


@dataclass(frozen=True)
class Place:
    """Where exports are: s3://bucket/prefix/."""

    bucket: str
    prefix: str

    @classmethod
    def of(cls, address: str) -> "Place":
        """Reads its address."""
        found = re.fullmatch(r"s3://([^/]+)/(.+)/", address)
        if not found:
            raise DeployError(f"{address!r} is no place for exports: write s3://bucket/prefix/")
        return cls(found[1], f"{found[2]}/")

    def put(self, export: Export) -> str:
        """Writes an export. Returns its address."""
        key = f"{self.prefix}{datetime.now(UTC):%Y%m%dT%H%M%SZ}.zip"
        # A PUT of one object is there as a whole or not at all.
        boto3.client("s3").put_object(Bucket=self.bucket, Key=key, Body=pack(export), ContentType="application/zip")
        return f"s3://{self.bucket}/{key}"

    def get(self, instant: str | None) -> tuple[str, Export]:
        """The export of an instant, or the newest. Returns its address and content."""
        names = self._names()
        if instant and instant not in names:
            newest = f"the newest are {', '.join(names[-5:])}" if names else "there is none"
            raise DeployError(f"there is no export {instant!r} in s3://{self.bucket}/{self.prefix}: {newest}")
        if not names:
            raise DeployError(
                f"there is no export in s3://{self.bucket}/{self.prefix}: `make dashboard-export` makes one"
            )
        key = f"{self.prefix}{instant or names[-1]}.zip"
        content = boto3.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return f"s3://{self.bucket}/{key}", unpack(content, key)

    def _names(self) -> list[str]:
        pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        keys = [one["Key"].removeprefix(self.prefix) for page in pages for one in page.get("Contents", [])]
        return sorted(name for key in keys if _NAME.fullmatch(name := key.removesuffix(".zip")) and name != key)


def pack(export: Export) -> bytes:
    """The object's bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(_ACCESS, json.dumps({"format": _FORMAT, **export.access}, indent=1, sort_keys=True))
        for path, content in sorted(export.assets.items()):
            packed.writestr(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return buffer.getvalue()


def unpack(content: bytes, name: str) -> Export:
    """Reads an export, and refuses one that is damaged or of another format before anything is written."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            if damaged := packed.testzip():
                raise DeployError(f"the export {name} is damaged at {damaged}: restore another one")
            access = json.loads(packed.read(_ACCESS))
            paths = [path for path in packed.namelist() if path != _ACCESS]
            assets = {path: yaml.safe_load(packed.read(path)) for path in paths}
    except (zipfile.BadZipFile, KeyError, ValueError, yaml.YAMLError) as error:
        raise DeployError(f"the export {name} cannot be read ({error}): restore another one") from None
    if access.get("format") != _FORMAT:
        raise DeployError(f"the export {name} has format {access.get('format')}, and this release reads {_FORMAT}")
    return Export(assets, access)
