"""Runs one notebook in its owner's sandbox, and says how that ended."""

import json
import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from infra.workbench.hub import access, limits, sandbox
from infra.workbench.hub.settings import Settings
from infra.workbench.hub.users import User, Users

_PROGRAM = Path(__file__).with_name("run_notebook.py")
_INSIDE = "/run/notebook"
_PURPOSE = "run"
# After the notebook's time: to end the kernel, and to write the notebook and its page.
GRACE_SECONDS = 90.0
_LOG_BYTES = 20_000
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Job:
    """A notebook that is to be run."""

    user: User
    notebook: str  # below the home
    work: Path  # a folder of the user's for what comes out
    seconds: float
    parameters: Mapping[str, Any]
    title: str


@dataclass(frozen=True)
class Ended:
    """How it ended, whatever the notebook says of itself."""

    problem: str | None = None  # why it was ended from outside, or did not start
    stopped: bool = False  # because the scheduler stops
    full: str | None = None  # a process of it was killed, because its memory was full
    log: str = ""  # the end of what it wrote beside the notebook


Run = Callable[[Job, threading.Event], Ended]


def runner(settings: Settings) -> Run:
    """What runs notebooks in sandboxes."""
    return lambda job, stop: run(settings, job, stop)


def run(settings: Settings, job: Job, stop: threading.Event) -> Ended:
    """Runs it to its end, its time's end, or the scheduler's."""
    sandbox.prepare(settings, job.user, Users.load(settings.folder).groups)
    access.write(settings, job.user)
    argv = ["/opt/workbench/bin/python", "-", f"/home/{job.user.name}/{job.notebook}", _INSIDE, str(job.seconds)]
    argv += [json.dumps(dict(job.parameters)), job.title]
    command = sandbox.command(settings, job.user, argv, binds={job.work: _INSIDE})
    environment = {**sandbox.environment(job.user), **access.variables(settings)}
    limits.end(settings, job.user.name, _PURPOSE)  # what a killed scheduler may have left
    before = limits.killed(settings, job.user.name, _PURPOSE)
    with _PROGRAM.open("rb") as program:
        # bwrap ends with the thread that started it, and everything inside with bwrap.
        process = subprocess.Popen(
            command,
            stdin=program,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**environment, **_mark()},
            cwd="/",
            start_new_session=True,
            # It only writes to files and sets limits, which is safe beside other threads.
            preexec_fn=sandbox.preexec(settings, job.user, _PURPOSE),  # noqa: PLW1509
        )
    ended = wait(process, job.seconds, stop)
    limits.end(settings, job.user.name, _PURPOSE)
    if limits.killed(settings, job.user.name, _PURPOSE) > before:
        return replace(ended, full=f"It took more memory than a notebook may have, {settings.memory}.")
    return ended


def wait(process: "subprocess.Popen[bytes]", seconds: float, stop: threading.Event) -> Ended:
    """Waits for a process, keeps the end of what it writes, and kills it if it must."""
    last: deque[bytes] = deque(maxlen=_LOG_BYTES // 1000)
    assert process.stdout
    pipe = process.stdout.fileno()

    def drain() -> None:
        while block := os.read(pipe, 1000):
            last.append(block)

    reader = threading.Thread(target=drain, name="log", daemon=True)
    reader.start()
    deadline = time.monotonic() + seconds + GRACE_SECONDS
    problem = None
    while process.poll() is None:
        if stop.is_set() or time.monotonic() > deadline:
            problem = None if stop.is_set() else f"It took longer than {seconds / 60:g} minutes, and was killed."
            process.kill()
            process.wait()
        time.sleep(_POLL_SECONDS)
    reader.join(5)
    return Ended(problem, stop.is_set() and process.returncode != 0, log=b"".join(last).decode(errors="replace"))


def _mark() -> dict[str, str]:
    """By which `make stop` finds what the stack started."""
    return {key: os.environ[key] for key in ("STOREWATCH_SERVER",) if key in os.environ}
