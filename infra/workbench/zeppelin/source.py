"""Where notes lie: a folder, or a prefix of an S3 bucket, which is fetched whole before anything is written.

Zeppelin keeps notes under `notebook/`. If FROM is its home, or what lies above `notebook/`, the notes are found too.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.workbench.zeppelin.note import LARGEST_BYTES, NoteError, mapping

RIGHTS_FILE = "notebook-authorization.json"
_PLACE = re.compile(r"s3://([^/]+)/?(.*)")
# Amazon's encryption clients, which Zeppelin uses if `zeppelin.notebook.s3.kmsKeyID` is set, mark objects with these.
_ENCRYPTED = {"x-amz-key", "x-amz-key-v2"}


class SourceError(Exception):
    """Notes cannot be read at all. The message says where, why, and what to do."""


@dataclass(frozen=True)
class File:
    """A note's file: its path below the notes' folder, and where its content lies here."""

    path: str
    local: Path
    problem: str = ""

    def read(self) -> bytes:
        """The content. A file that cannot be read is no note, and hinders no other."""
        if self.problem:
            raise NoteError(self.problem)
        try:
            if self.local.stat().st_size > LARGEST_BYTES:
                raise NoteError(f"has more than {LARGEST_BYTES:,} bytes: clear its results in Zeppelin")
            return self.local.read_bytes()
        except OSError as error:
            raise NoteError(f"cannot be read: {error.strerror}") from None


@dataclass(frozen=True)
class Source:
    """All notes, and who may do what with them: note id -> owners, readers, writers, runners."""

    files: list[File]
    rights: Mapping[str, Mapping[str, list[str]]]


@contextmanager
def opened(place: str) -> Iterator[Source]:
    """The notes of a folder or of `s3://bucket/prefix`."""
    with tempfile.TemporaryDirectory() as scratch:
        found = sorted(_fetched(place, Path(scratch)) if place.startswith("s3://") else _listed(Path(place)), key=_path)
        notes = [file for file in found if not file.path.endswith(RIGHTS_FILE)]
        if not notes:
            raise SourceError(f"{place} has no notes: name the folder that has Zeppelin's .zpln or note.json files")
        yield Source(notes, _rights(next((file for file in found if file.path.endswith(RIGHTS_FILE)), None)))


def _path(file: File) -> str:
    return file.path


def _is_wanted(path: str) -> bool:
    """Notes and rights; not what lies in hidden folders, such as Git's copy of the notes."""
    *folders, name = path.split("/")
    hidden = any(part.startswith(".") for part in folders)
    return not hidden and (name.endswith(".zpln") or name in ("note.json", RIGHTS_FILE))


def _below_notebook(path: str) -> str:
    return path.removeprefix("notebook/")


def _listed(folder: Path) -> Iterator[File]:
    if not folder.is_dir():
        raise SourceError(f"{folder} is no folder: name the folder of Zeppelin's notes, or s3://bucket/prefix")

    def refuse(error: OSError) -> None:
        raise SourceError(f"{error.filename} cannot be read: {error.strerror}")

    for parent, _, names in os.walk(folder, onerror=refuse):
        for name in names:
            local = Path(parent, name)
            # A name that is no UTF-8 would stop every print of it.
            path = os.fsencode(local.relative_to(folder).as_posix()).decode("utf-8", "replace")
            if _is_wanted(path):
                yield File(_below_notebook(path), local)


def _fetched(place: str, scratch: Path) -> Iterator[File]:
    if not (found := _PLACE.fullmatch(place)):
        raise SourceError(f"{place} names no bucket: write s3://bucket/prefix")
    numbers = count()
    bucket, prefix = found[1], found[2].rstrip("/") + "/" if found[2] else ""
    try:
        s3 = boto3.client("s3", config=Config(connect_timeout=10, read_timeout=60, retries={"total_max_attempts": 3}))
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                path = entry["Key"].removeprefix(prefix)
                if _is_wanted(path):
                    # Numbered, because a key may hold "..", or be too long for a file's name.
                    local = scratch / str(next(numbers))
                    yield File(_below_notebook(path), local, _fetch(s3, bucket, entry, local))
    except (BotoCoreError, ClientError, ValueError) as error:
        raise SourceError(f"{place} cannot be read, so nothing was imported: {error}") from error


def _fetch(s3: Any, bucket: str, entry: Mapping[str, Any], local: Path) -> str:
    """Fetches an object, and says why it cannot be a note if that is known."""
    if entry["Size"] > LARGEST_BYTES:
        return f"has {entry['Size']:,} bytes, more than {LARGEST_BYTES:,}: clear its results in Zeppelin"
    try:
        answer = s3.get_object(Bucket=bucket, Key=entry["Key"])
    except s3.exceptions.NoSuchKey:
        return "was deleted meanwhile, or its key has a part that is . or .., which HTTP clients take away"
    local.write_bytes(answer["Body"].read())
    if _ENCRYPTED & answer["Metadata"].keys():
        return "was encrypted by Zeppelin with a KMS key: export it in Zeppelin, and import the exported file"
    return ""


def _rights(file: File | None) -> dict[str, dict[str, list[str]]]:
    """Who may do what, from `notebook-authorization.json`; without it, nobody is named."""
    if file is None:
        return {}
    try:
        raw = mapping(json.loads(file.read().decode("utf-8-sig"))).get("authInfo")
    except (NoteError, ValueError, RecursionError) as error:
        raise SourceError(f"{file.path} cannot be read, so notes would lose their owners: {error}") from None
    return {
        note: {role: sorted(_names(mapping(roles).get(role))) for role in ("owners", "readers", "writers", "runners")}
        for note, roles in mapping(raw).items()
    }


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str) and name] if isinstance(value, list) else []
