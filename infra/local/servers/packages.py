"""Installs Debian packages that a server needs and the machine lacks. Says so first."""

import os
import shutil
import subprocess

from infra.local.config import CACHE
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.servers.locks import exclusive


def install(subject: str, packages: list[str], because: str) -> None:
    """Installs packages with apt-get, as root or through sudo. One call at a time, because apt allows no more."""
    by_hand = f"install {' '.join(packages)} (or your system's names for them) and try again"
    if not shutil.which("apt-get"):
        raise StackError(f"{subject}: {because}, and this machine has no apt-get: {by_hand}")
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    if as_root and not shutil.which("sudo"):
        raise StackError(f"{subject}: {because}, and installing needs root or sudo: {by_hand}")
    log = CACHE / f"apt-{subject}.log"
    with exclusive(CACHE / "apt.lock", subject):
        say(subject, f"{because}: installing {' '.join(packages)} with apt-get (log: {log})")
        steps = [
            ["apt-get", "update"],
            ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends", *packages],
        ]
        with log.open("w") as stream:
            for step in steps:
                if subprocess.run([*as_root, *step], check=False, stdout=stream, stderr=stream).returncode:
                    raise StackError(f"{subject}: `{' '.join(step)}` failed, see {log}: {by_hand}")
