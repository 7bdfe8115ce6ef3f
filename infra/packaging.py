"""Packs functions and state machines, and uploads them to folders named by a hash of their content.

The folder's name then identifies what is deployed, unchanged folders are not uploaded again, and a stack whose
parameters name the same folders needs no update.
"""

import hashlib
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from botocore.exceptions import ClientError

from infra.errors import DeployError

# Those of the ticks and the daily work. infra/etl.py knows those of other ETLs.
FUNCTIONS = ("dispatch", "plan", "observe", "merge", "register", "compact", "restate", "repair")
STATE_MACHINES = ("tick", "daily", "country", "country-daily")
WORKBENCH_MACHINES = ("workbench-backup",)
ROOT = Path(__file__).resolve().parents[1]

# Zip entries carry a time. A fixed one makes the same binary give the same zip. 1980 is the earliest possible.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


def function_zips(binaries: Path, work: Path, names: Sequence[str] = FUNCTIONS) -> dict[str, Path]:
    """The functions as zips of one file, `bootstrap`: made by cargo lambda, or here from plain binaries.

    `binaries` is `target/lambda` (with <name>/bootstrap.zip) or a cargo folder such as `target/debug` (with <name>).
    Zips made here are cached in `work`, keyed by the binary's content.
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

    # In parallel: stripping and compressing large debug binaries is slow.
    with ThreadPoolExecutor() as pool:
        return dict(zip(names, pool.map(find, names), strict=True))


def definitions(names: Sequence[str] = STATE_MACHINES) -> dict[str, str]:
    """The state machines as they are in the repository: file name to text."""
    return {f"{name}.asl.json": (ROOT / "statemachine" / f"{name}.asl.json").read_text() for name in names}


def upload(s3: Any, bucket: str, kind: str, files: Mapping[str, Path | str]) -> str:
    """Uploads files to a folder named by their content and returns the folder. Skips files that exist."""
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


def _write_zip(bootstrap: IO[bytes], target: Path, level: int) -> None:
    """Zips a function's binary. The same bytes give the same zip."""
    entry = zipfile.ZipInfo("bootstrap", _NO_TIME)
    entry.external_attr = 0o755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(target, "w", compresslevel=level) as archive, archive.open(entry, "w") as stream:
        shutil.copyfileobj(bootstrap, stream, 1 << 20)


def copy_zip(zipped: Path, target: Path) -> None:
    """Copies a function's zip. One that cargo lambda made holds times, and is zipped again without."""
    with zipfile.ZipFile(zipped) as archive:
        if [(entry.filename, entry.date_time) for entry in archive.infolist()] == [("bootstrap", _NO_TIME)]:
            shutil.copyfile(zipped, target)
            return
        with archive.open("bootstrap") as binary:
            _write_zip(binary, target, level=9)


def _zip(binary: Path, work: Path) -> Path:
    """Zips one binary, stripped of debugging symbols, as `bootstrap`."""
    with binary.open("rb") as stream:
        content = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    target = work / f"{binary.name}-{content}.zip"
    if target.is_file():
        return target
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        bootstrap = Path(folder) / "bootstrap"
        _strip(binary, bootstrap)
        packed = Path(folder) / "bootstrap.zip"
        with bootstrap.open("rb") as source:
            # Takes a third of the default's time, for a zip a tenth larger, which only the local AWS gets.
            _write_zip(source, packed, level=1)
        for old in work.glob(f"{binary.name}-*.zip"):
            old.unlink()
        packed.replace(target)
    return target


def _strip(binary: Path, target: Path) -> None:
    """Copies a binary without its symbols, which are most of a debug build. Copies other than ELF files whole."""
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
