"""What Superset's worker has of Storewatch's. CELERY_CONFIG names it among the worker's imports."""

import os
import socket
from pathlib import Path
from typing import Any

from celery.signals import task_postrun, worker_init, worker_ready
from superset.extensions import celery_app

from infra.dashboard.server.archive import Place

# Superset waits for a mail host without an end. This ends every wait for which no other time is set; the browser's
# pages are loaded within it too.
_TIMEOUT_SECONDS = 60
_READY_FILE = "worker.ready"


@worker_init.connect  # type: ignore[untyped-decorator]  # Celery has no types
def _prepare(**_: Any) -> None:
    """Runs before the worker forks the processes that do the tasks, which inherit it."""
    from superset.tasks.celery_app import teardown

    socket.setdefaulttimeout(_TIMEOUT_SECONDS)
    # It closes the task's session once more, after the app that has closed it has ended, and so fails after every task.
    task_postrun.disconnect(teardown)


@worker_ready.connect  # type: ignore[untyped-decorator]
def _say_ready(**_: Any) -> None:
    """Tells `make dashboard` that tasks will be done."""
    Path(_READY_FILE).write_text(f"{os.getpid()}\n")


@celery_app.task(name="storewatch.export")  # type: ignore[untyped-decorator]
def export_daily() -> str:
    """Writes what users made to S3. Returns its address."""
    from infra.dashboard.server.export import export

    return export(Place.of(os.environ["STOREWATCH_EXPORTS"]))
