"""The local AWS (MiniStack). It runs the deployed templates and the Lambda binaries, and enforces policies."""

import http.client
import os
import shutil
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from infra.local.config import VENV, Aws
from infra.local.console import say
from infra.local.servers.processes import Server

NAME = "aws"
REGION = "eu-west-1"
# MiniStack's names for the account's root, which no policy limits. Functions get sessions of their roles instead.
_ROOT_KEY = "test"


def start(run_dir: Path, port: int, *, extra: Mapping[str, str] | None = None) -> Aws:
    """Starts an empty AWS. If one runs, leaves it alone with everything that is deployed there.

    `extra` are more variables for its environment, which its functions inherit.
    """
    server = Server(NAME, run_dir)
    address = Aws(f"http://127.0.0.1:{port}", REGION, _ROOT_KEY, _ROOT_KEY)
    if server.answers(lambda: is_healthy(address)):
        return address
    if server.pid():
        say(NAME, "runs but does not answer: restarting it")
    # Clean up first: processes (a killed AWS leaves its functions running), then files.
    server.stop()
    home = run_dir / NAME
    shutil.rmtree(home, ignore_errors=True)
    for folder in ("tmp", "state", "s3"):
        (home / folder).mkdir(parents=True)
    process = server.start(
        [VENV / "bin" / "python", "-P", Path(__file__).with_name("ministack_server.py")],
        env={**_environment(address, home, port), **(extra or {})},
        cwd=home,
    )
    server.wait_until(lambda: is_healthy(address), seconds=60, process=process)
    say(NAME, f"ready on {address.endpoint} (pid {process.pid}); nothing is deployed there yet")
    return address


def is_healthy(address: Aws) -> bool:
    """Whether it accepts requests."""
    try:
        with urllib.request.urlopen(f"{address.endpoint}/_ministack/ready", timeout=5) as answer:
            return answer.status == 200
    except (OSError, http.client.HTTPException):
        return False


def _environment(address: Aws, home: Path, port: int) -> dict[str, str]:
    """Its whole environment. Functions inherit it, so it holds nothing of the user's own."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "PYTHONUNBUFFERED": "1",
        "BIND_HOST": "127.0.0.1",  # the default is every address of the machine
        "GATEWAY_PORT": str(port),
        # The address that functions call, and the key that marks requests as root's.
        **address.environment(),
        "MINISTACK_REGION": REGION,
        "AUTH": "true",
        # Off: services that would open their own ports, and Docker, which it would otherwise clean up.
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "DOCKER_HOST": f"unix://{home}/no-docker.sock",
        # State does not survive restarts. The folders are set so that all files stay in the stack's.
        "STATE_DIR": str(home / "state"),
        "S3_DATA_DIR": str(home / "s3"),
        "LOG_LEVEL": "INFO",
    }
