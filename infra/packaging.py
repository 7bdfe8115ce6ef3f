"""Packs functions and state machines, and uploads them under folders named after their content.

A folder's name is a hash of what is in it, so that what is deployed can be told from its name, an unchanged one is
not uploaded again, and a stack whose parameters name the same folders has nothing to update.
"""

import hashlib
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from infra.errors import DeployError

FUNCTIONS = ("dispatch", "plan", "observe", "merge", "register", "compact", "restate", "repair")
STATE_MACHINES = ("tick", "daily", "country", "country-daily")
ROOT = Path(__file__).resolve().parents[1]

# Zips carry times; a fixed one makes the same binary the same zip. 1980 is the earliest that they can.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


def function_zips(binaries: Path, work: Path) -> dict[str, Path]:
    """The functions as zips of one file, `bootstrap`: those that cargo lambda made, or made here of bare binaries.

    `binaries` is `target/lambda` (holding <name>/bootstrap.zip) or a cargo folder such as `target/debug` (holding
    <name>). Zips made here are kept in `work`, by the content of their binary, and not made twice.
    """

    def find(name: str) -> Path:
        ready, bare = binaries / name / "bootstrap.zip", binaries / name
        if ready.is_file():
            return ready
        if bare.is_file():
            return _zip(bare, work)
        raise DeployError(
            f"there is no function {name} in {binaries}, neither {name}/bootstrap.zip nor the binary {name}: "
            "run `cargo build --workspace` (local) or `make release` (AWS) first"
        )

    # Side by side: stripping and compressing wait for no one, and a debug build's binaries are large.
    with ThreadPoolExecutor() as pool:
        return dict(zip(FUNCTIONS, pool.map(find, FUNCTIONS), strict=True))


def definitions() -> dict[str, str]:
    """The state machines as they stand in the project: file name to text."""
    return {f"{name}.asl.json": (ROOT / "statemachine" / f"{name}.asl.json").read_text() for name in STATE_MACHINES}


def upload(s3: Any, bucket: str, kind: str, files: Mapping[str, Path | str]) -> str:
    """Uploads files to the folder of their content and returns the folder; files that are there stay as they are."""
    contents = {name: _read(file) for name, file in sorted(files.items())}
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\0".encode())
    folder = f"{kind}/{digest.hexdigest()[:16]}"
    for name, content in contents.items():
        key = f"{folder}/{name}"
        if not _exists(s3, bucket, key):
            s3.put_object(Bucket=bucket, Key=key, Body=content)
    return folder


def _zip(binary: Path, work: Path) -> Path:
    """One binary, without its debugging symbols, as the `bootstrap` of a zip."""
    with binary.open("rb") as stream:
        content = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    target = work / f"{binary.name}-{content}.zip"
    if target.is_file():
        return target
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        bootstrap = Path(folder) / "bootstrap"
        _strip(binary, bootstrap)
        entry = zipfile.ZipInfo("bootstrap", _NO_TIME)
        entry.external_attr = 0o755 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        packed = Path(folder) / "bootstrap.zip"
        # Level 1: a tenth larger than the default, and made in a third of the time.
        with (
            bootstrap.open("rb") as source,
            zipfile.ZipFile(packed, "w", compresslevel=1) as archive,
            archive.open(entry, "w") as stream,
        ):
            shutil.copyfileobj(source, stream, 1 << 20)
        for old in work.glob(f"{binary.name}-*.zip"):
            old.unlink()
        packed.replace(target)
    return target


def _strip(binary: Path, target: Path) -> None:
    """Copies a binary without symbols, which are most of a debug build; whole if it is no ELF file."""
    with binary.open("rb") as stream:
        if stream.read(4) != b"\x7fELF":
            shutil.copyfile(binary, target)
            return
    if not shutil.which("strip"):
        raise DeployError("`strip` is missing: install binutils (Debian: apt-get install binutils)")
    done = subprocess.run(["strip", "-o", str(target), str(binary)], check=False, capture_output=True, text=True)
    if done.returncode:
        raise DeployError(f"`strip {binary}` failed: {done.stderr.strip()}")


def _read(file: Path | str) -> bytes:
    return file.read_bytes() if isinstance(file, Path) else file.encode()


def _exists(s3: Any, bucket: str, key: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
            return False
        raise
    return True
