"""The version of a deployment: the release in Cargo.toml and the deployed commit, or what an unpacked release says."""

import json
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ARCHITECTURES = ("x86_64", "arm64")
# Only an unpacked release has it: infra/dist.py writes it.
RELEASE = "release.json"


def current(root: Path = ROOT) -> str:
    """`0.1.0+9670b91a2b3c`, with `.dirty` if files differ from the commit; only `0.1.0` outside a git checkout."""
    if released := _released(root):
        return released["version"]
    release = str(tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["package"]["version"])
    described = _git(root, "describe", "--always", "--exclude=*", "--abbrev=12", "--dirty=.dirty")
    return f"{release}+{described}" if described else release


def architectures(root: Path = ROOT) -> tuple[str, ...]:
    """The architectures that can be deployed: a release has functions for one of them."""
    released = _released(root)
    return (released["architecture"],) if released else ARCHITECTURES


def _released(root: Path) -> dict[str, str]:
    """What an unpacked release says of itself; nothing in a checkout."""
    file = root / RELEASE
    return json.loads(file.read_text()) if file.is_file() else {}


def _git(root: Path, *arguments: str) -> str:
    """What git prints; empty if git or the repository is missing."""
    try:
        done = subprocess.run(["git", *arguments], check=False, cwd=root, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
