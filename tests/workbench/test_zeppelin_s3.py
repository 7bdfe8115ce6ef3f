"""Notes that lie on S3, on the local AWS, and an S3 that fails."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.local.commands.up import up
from infra.local.config import Aws
from tests.faults.http import HttpProxy, Kind
from tests.faults.kinds import CutAnswer, Reset, s3_error
from tests.faults.listener import Loop
from tests.workbench.zeppelin_notes import Ended, Imported, command, imported, note, write


@dataclass(frozen=True)
class Store:
    """A bucket of these tests' own, and a proxy in front of its S3."""

    aws: Aws
    s3: Any
    bucket: str
    proxy: HttpProxy

    def put(self, key: str, content: bytes, **metadata: str) -> None:
        """Writes an object."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content, Metadata=metadata)

    def read(self, prefix: str, out: Path, bucket: str = "") -> Ended:
        """Imports a prefix through the proxy, with the local AWS's credentials."""
        variables = {**self.aws.environment(), "AWS_ENDPOINT_URL": self.proxy.url}
        place = f"s3://{bucket or self.bucket}/{prefix}"
        return command("import", place, "--out", out, "--owner", "ana", env=variables)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    """The store, empty in the beginning. Each test has a prefix of its own."""
    aws = up().aws
    s3, bucket, loop = aws.client("s3"), f"notes-{uuid.uuid4().hex[:8]}", Loop()
    host, _, port = aws.endpoint.removeprefix("http://").partition(":")
    proxy = HttpProxy(loop, host, int(port))
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": aws.region})
    try:
        yield Store(aws, s3, bucket, proxy)
    finally:
        for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=entry["Key"])
        s3.delete_bucket(Bucket=bucket)
        proxy.close()
        loop.close()


@pytest.mark.smoke
def test_a_prefix_gives_the_same_notebooks_as_a_folder(store: Store, tmp_path: Path) -> None:
    files = {
        "notebook/Team/A_2AAAAAAAA.zpln": note("%athena select 1", id="2AAAAAAAA"),
        "notebook/2BBBBBBBB/note.json": note("%md b", id="2BBBBBBBB", name="Old/B", config={"cron": "0 0 7 * * ?"}),
        "conf/notebook-authorization.json": {"authInfo": {"2AAAAAAAA": {"owners": ["ben"]}}},
    }
    for path, content in files.items():
        write(tmp_path / "notes" / path, content)
        store.put(f"same/{path}", json.dumps(content).encode())
    # Beside the prefix, not below it.
    store.put("same-name/notebook/C_2CCCCCCCC.zpln", b"{")
    ended = store.read("same", tmp_path / "out")
    assert (ended.status, ended.errors) == (0, "")
    wanted = imported(tmp_path / "notes", tmp_path / "expected").files()
    assert set(wanted) == {"ben/Team/A.ipynb", "ana/Old/B.ipynb", "ana/Old/B.schedule.off.toml"}
    assert Imported(tmp_path / "out", 0, "").files() == wanted


def test_keys_that_are_no_paths_stay_in_the_folder(store: Store, tmp_path: Path) -> None:
    for key in ("x//etc/passwd_2AAAAAAAA.zpln", f"x/{'n' * 900}_2AAAAAAAA.zpln"):
        store.put(key, json.dumps(note("%md x", id="2AAAAAAAA")).encode())
    ended = store.read("x/", tmp_path / "out")
    assert ended.status == 0, ended.errors
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    assert set(Imported(tmp_path / "out", 0, "").files()) == {"ana/_/etc/passwd.ipynb", f"ana/{'n' * 200}.ipynb"}


def test_a_note_that_is_deleted_meanwhile_is_named(store: Store, tmp_path: Path) -> None:
    for name in ("A", "B"):
        store.put(f"gone/{name}_2{name}AAAAAAA.zpln", json.dumps(note("%md x", id=f"2{name}AAAAAAA")).encode())
    with store.proxy.fault(s3_error(404, "NoSuchKey"), r"GET .*/B_2BAAAAAAA\.zpln"):
        ended = store.read("gone", tmp_path / "out")
    assert ended.status == 1
    assert "B_2BAAAAAAA.zpln was deleted meanwhile" in ended.printed
    assert set(Imported(tmp_path / "out", 1, "").files()) == {"ana/A.ipynb"}


def test_a_note_that_zeppelin_encrypted_is_named(store: Store, tmp_path: Path) -> None:
    store.put("kms/A_2AAAAAAAA.zpln", b"\x93\x01\xff", **{"x-amz-key-v2": "wrapped", "x-amz-iv": "iv"})
    ended = store.read("kms", tmp_path / "out")
    assert ended.status == 1
    assert "A_2AAAAAAAA.zpln was encrypted by Zeppelin with a KMS key: export it in Zeppelin" in ended.printed


def test_a_prefix_without_notes_is_one_sentence(store: Store, tmp_path: Path) -> None:
    store.put("other/readme.txt", b"text")
    ended = store.read("other", tmp_path / "out")
    assert ended.status == 2
    assert ended.errors == (
        f"import-notes: s3://{store.bucket}/other has no notes: name the folder that has Zeppelin's .zpln or note.json files\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_bucket_that_is_missing_is_one_sentence(store: Store, tmp_path: Path) -> None:
    ended = store.read("notebook", tmp_path / "out", bucket="no-such-bucket-of-notes")
    assert ended.status == 2
    assert ended.errors.startswith(
        "import-notes: s3://no-such-bucket-of-notes/notebook cannot be read, so nothing was "
    )
    assert "NoSuchBucket" in ended.errors
    assert ended.errors.count("\n") == 1


@pytest.mark.parametrize("kind", [s3_error(403, "AccessDenied"), s3_error(503, "SlowDown"), Reset(), CutAnswer()])
def test_nothing_is_written_if_s3_fails_in_the_middle(kind: Kind, store: Store, tmp_path: Path) -> None:
    for name in ("A", "B"):
        content = json.dumps(note("%md a long text", id=f"2{name}AAAAAAA")).encode()
        store.put(f"middle/{name}_2{name}AAAAAAA.zpln", content)
    with store.proxy.fault(kind, r"GET .*/B_2BAAAAAAA\.zpln") as fault:
        ended = store.read("middle", tmp_path / "out")
    assert fault.met
    assert ended.status == 2
    assert ended.errors.startswith(
        f"import-notes: s3://{store.bucket}/middle cannot be read, so nothing was imported: "
    )
    assert ended.errors.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_s3_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    variables = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "planted-word",
        "AWS_REGION": "eu-west-1",
    }
    ended = command("import", "s3://notes/x", "--out", tmp_path / "out", env=variables)
    assert ended.status == 2
    assert ended.errors.startswith(
        "import-notes: s3://notes/x cannot be read, so nothing was imported: Could not connect"
    )
    assert "planted-word" not in ended.errors
    assert not (tmp_path / "out").exists()
