"""Superset's worker: does what is done by the clock: alerts, reports, and the daily export."""

import shutil
from pathlib import Path

from infra.local.config import Stack
from infra.local.console import say
from infra.local.servers import packages, superset
from infra.local.servers.processes import Server

NAME = "dashboard-worker"
# Written by infra/dashboard/server/worker.py, which runs in another environment.
_READY = "worker.ready"
_START_SECONDS = 240
# One more than a mail host that does not answer can hold up.
_PROCESSES = 2


def start(stack: Stack, python: Path, settings: superset.Settings, exports: str) -> None:
    """Starts it unless it runs with Superset's settings and exports to that place on S3."""
    server = Server(NAME, stack.run_dir)
    env = variables(stack, exports)
    started = superset.started(stack.run_dir, NAME, repr(env))
    if started.fits() and server.pid() is not None:
        return
    server.stop()
    if settings.smtp and not (shutil.which("chromium") and shutil.which("chromedriver")):
        packages.install(
            NAME, ["chromium", "chromium-driver"], "Chromium, which takes the reports' pictures, is missing"
        )
    home = stack.run_dir / superset.NAME
    ready = home / _READY
    ready.unlink(missing_ok=True)
    process = server.start([python, "-m", "celery", *_options(home)], env=env, cwd=home)
    server.wait_until(ready.exists, seconds=_START_SECONDS, process=process)
    started.set()
    say(NAME, f"ready (pid {process.pid})")


def variables(stack: Stack, exports: str) -> dict[str, str]:
    """The environment of what exports: Superset's own, and the way to S3, which Superset's pages do not have."""
    return superset.variables(stack.run_dir) | stack.aws.environment() | {"STOREWATCH_EXPORTS": exports}


def _options(home: Path) -> list[str]:
    return [
        "--app=superset.tasks.celery_app:app",
        "worker",
        # The clock is a child of this one worker, and ends with it.
        "--beat",
        f"--schedule={home / 'beat'}",
        f"--concurrency={_PROCESSES}",
        # A process that has grown is replaced by a new one, between two tasks.
        "--max-memory-per-child=600000",
        "--loglevel=INFO",
        "--without-gossip",
        "--without-mingle",
    ]
