"""Makes a release that is deployed without a Rust toolchain: an archive with the functions, the deployer and its bill of
materials.

    python -m infra.dist --architecture arm64

It has the folders of a checkout, so that the deployer finds everything where it is in one. The same binaries of the same
commit give the same bytes.
"""

import argparse
import gzip
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from infra import etl, packaging, sbom, sums, version
from infra.errors import DeployError

ROOT = packaging.ROOT
# What of the repository is in a release. The local stack needs the sources.
_SHIPPED = ("infra", "statemachine", "docs", "CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md")
_NOT_SHIPPED = ("infra/local/", "infra/environment", "infra/dist.py", "infra/sbom.py")


def make(binaries: Path, architecture: str, target: Path, work: Path) -> Path:
    """Makes the archive, and beside it its folder and its sum. Returns the archive."""
    name = f"storewatch-{version.current()}-{architecture}"
    folder = target / name
    shutil.rmtree(folder, ignore_errors=True)
    for shipped in _listed():
        (folder / shipped).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / shipped, folder / shipped)
    functions = {}
    zips = packaging.function_zips(binaries, work, packaging.FUNCTIONS + etl.FUNCTIONS)
    for function, file in zips.items():
        packed = folder / "target/lambda" / function / "bootstrap.zip"
        packed.parent.mkdir(parents=True)
        packaging.copy_zip(file, packed)
        functions[function] = sums.sha256(packed)
    packages = _packages()
    (folder / "requirements.txt").write_text("".join(f"{found.name}=={found.version}\n" for found in packages))
    about = {"version": version.current(), "architecture": architecture}
    (folder / version.RELEASE).write_text(json.dumps(about) + "\n")
    linked = sbom.crates(ROOT, architecture)
    bill = sbom.make(
        sbom.Release(version.current(), _committed_at(), functions), linked, packages, sbom.checksums(ROOT, linked)
    )
    (folder / "sbom.cdx.json").write_text(bill)
    sums.write(folder)
    return _archive(folder)


def _listed() -> list[str]:
    """The files of the repository that are shipped, as git knows them."""
    listed = _run("git", "ls-files", *_SHIPPED).splitlines()
    return [file for file in listed if not file.startswith(_NOT_SHIPPED) and (ROOT / file).is_file()]


def _packages() -> list[sbom.Package]:
    """The packages of the group `deploy` with all that they need, in the versions of requirements.lock."""
    options = ["--dry-run", "--ignore-installed", "--quiet", "--disable-pip-version-check", "--report", "-"]
    constraint = ["--constraint", "requirements.lock", "--group", "pyproject.toml:deploy"]
    report = json.loads(_run(sys.executable, "-m", "pip", "install", *options, *constraint))
    found = [entry["metadata"] for entry in report["install"]]
    packages = [sbom.Package("pypi", entry["name"].lower(), entry["version"], _licence(entry)) for entry in found]
    return sorted(packages, key=lambda package: package.name)


def _licence(entry: dict[str, Any]) -> str:
    """A package's licence as its authors write it; empty if they only have its text."""
    told = str(entry.get("license_expression") or entry.get("license") or "")
    return "" if "\n" in told else told


def _committed_at() -> datetime:
    return datetime.fromisoformat(_run("git", "log", "-1", "--format=%cI").strip())


def _archive(folder: Path) -> Path:
    """Packs a folder, with no trace of when and by whom, and writes the archive's sum beside it."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, 0, "", ""
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    archive = folder.with_name(f"{folder.name}.tar.gz")
    # Most of it are zips, which get no smaller.
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as packed,
    ):
        packed.add(folder, folder.name, filter=plain)
    archive.with_name(f"{archive.name}.sha256").write_text(f"{sums.sha256(archive)}  {archive.name}\n")
    return archive


def _run(*command: str) -> str:
    """What a command prints in the repository."""
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise DeployError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
    return done.stdout


def main(argv: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m infra.dist", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--binaries", type=Path, default=ROOT / "target/lambda", help="folder of the functions")
    parser.add_argument("--architecture", default="x86_64", choices=version.ARCHITECTURES, help="as built")
    parser.add_argument("--target", type=Path, default=ROOT / "target/dist", help="where it is made (target/dist)")
    args = parser.parse_args(argv)
    try:
        archive = make(args.binaries, args.architecture, args.target, ROOT / "target/zips")
    except DeployError as error:
        print(f"dist: {error}", file=sys.stderr)
        return 1
    print(f"{archive} ({archive.stat().st_size / 1e6:.0f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
