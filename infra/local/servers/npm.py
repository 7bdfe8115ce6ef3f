"""Installs pinned packages of npm into the cache, once for each lock file."""

import shutil
import subprocess
from pathlib import Path

from infra.local.config import CACHE, ROOT
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.servers import packages
from infra.local.servers.locks import exclusive


def install(subject: str, source: Path, target: Path) -> Path:
    """Installs what package-lock.json in `source` pins into `target`. Returns the folder of its programs."""
    stamp, wanted = target / "stamp", (source / "package-lock.json").read_text()
    CACHE.mkdir(parents=True, exist_ok=True)
    with exclusive(CACHE / "npm.lock", subject):
        if not stamp.is_file() or stamp.read_text() != wanted:
            if not shutil.which("npm"):
                packages.install(subject, ["nodejs", "npm"], "npm is missing")
            target.mkdir(parents=True, exist_ok=True)
            for file in ("package.json", "package-lock.json"):
                shutil.copy(source / file, target / file)
            say(subject, f"installing packages of npm into {target.relative_to(ROOT)}")
            command = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]
            done = subprocess.run(command, cwd=target, capture_output=True, text=True, check=False)
            if done.returncode:
                raise StackError(f"{subject}: `npm ci` failed in {target}:\n{done.stdout}{done.stderr}")
            stamp.write_text(wanted)
    return target / "node_modules" / ".bin"
