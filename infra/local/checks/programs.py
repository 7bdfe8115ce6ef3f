"""Runs the programs that do a check."""

import subprocess
from pathlib import Path

from infra.local.config import ROOT


def run(*command: str | Path, cwd: Path = ROOT) -> list[str]:
    """What a program prints if it fails; empty if it succeeds."""
    done = subprocess.run(
        [str(part) for part in command], check=False, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    return (
        [(done.stdout + done.stderr).strip() or f"{command[0]} ended with {done.returncode}"] if done.returncode else []
    )
