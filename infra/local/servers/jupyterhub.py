"""JupyterHub, the hub of the analysts' workbench: its own Python environment, its proxy from npm, run as root."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from infra.errors import DeployError
from infra.local.config import CACHE, ROOT, Stack, write_private
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.servers import npm, packages
from infra.local.servers.processes import Server
from infra.workbench.hub import firewall, limits, sandbox
from infra.workbench.hub.settings import VARIABLE, Settings, kernel_name

NAME = "workbench"
_START_SECONDS = 90
_FILES = ROOT / "infra" / "workbench"


def home(stack: Stack, name: str = NAME) -> Path:
    """The workbench's folder in a stack."""
    return stack.run_dir / name


def install() -> tuple[Path, Path]:
    """The Python of the workbench's environment, and the proxy's program. Installs what is missing, and says so."""
    if os.geteuid() != 0:
        raise StackError(f"{NAME}: each user's server runs as a Unix user of its own, so run this command as root")
    if missing := sandbox.missing():
        wanted = {"bwrap": "bubblewrap", "setpriv": "util-linux", "nft": "nftables"}
        packages.install(NAME, [wanted[name] for name in missing], "what contains users is missing")
    proxy = npm.install(NAME, _FILES / "proxy", CACHE / "workbench-proxy") / "configurable-http-proxy"
    done = subprocess.run(
        [ROOT / "infra" / "environment", NAME], check=False, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    if done.returncode:
        raise StackError(f"{NAME}: its Python packages could not be installed, see above")
    return Path(done.stdout.strip()), proxy


def start(stack: Stack, python: Path, settings: Settings) -> None:
    """Starts the hub unless it runs with the same settings."""
    server = Server(settings.folder.name, stack.run_dir)
    before = settings.file.read_text() if settings.file.exists() else None
    if before == settings.text() and server.answers(lambda: is_healthy(settings)):
        return
    server.stop()
    write_private(settings.file, settings.text())
    say(NAME, "starting JupyterHub")
    config = _FILES / "hub" / "jupyterhub_config.py"
    process = server.start(
        [python, "-m", "jupyterhub", "-f", config], env=variables(stack, python, settings), cwd=settings.folder
    )
    server.wait_until(lambda: is_healthy(settings), seconds=_START_SECONDS, process=process)
    say(NAME, f"JupyterHub ready on {settings.address} (pid {process.pid})")


def stop(stack: Stack, name: str = NAME) -> bool:
    """Stops the hub and its services, and ends all users' servers. False if it was not running."""
    stopped = Server(name, stack.run_dir).stop()
    clean(home(stack, name))
    return stopped


def clean(folder: Path) -> None:
    """Ends what users' servers a stopped workbench left, and takes its rules back."""
    if (base := uid_base(folder)) is not None:
        try:
            limits.end_all(kernel_name(base))
            firewall.remove(kernel_name(base))
        except DeployError as error:
            raise StackError(f"{NAME}: {error}") from None


def uid_base(folder: Path) -> int | None:
    """Where the ids of a workbench's users begin; None if it never ran. The settings may be of an earlier release."""
    try:
        return int(json.loads((folder / "settings.json").read_text())["uid_base"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StackError(f"{folder / 'settings.json'} cannot be read ({error!r}): delete it") from None


def variables(stack: Stack, python: Path, settings: Settings) -> dict[str, str]:
    """The environment of the hub and its services: nothing of the user's, such as proxies or AWS profiles."""
    return {
        # The proxy's program is a script for node.
        "PATH": f"{python.parent}:{os.defpath}:/usr/sbin:{os.environ.get('PATH', '')}",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "HOME": str(settings.folder),
        "PYTHONPATH": str(ROOT),
        VARIABLE: str(settings.file),
        **stack.aws.environment(),
    }


def is_healthy(settings: Settings) -> bool:
    """Whether it answers, and its proxy leads to it. The proxy logs an error for each time that it does not yet."""
    return all(_answers(f"http://127.0.0.1:{port}/hub/health") for port in (settings.hub_port, settings.port))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
