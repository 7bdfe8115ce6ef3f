"""Limits of memory, processor and processes, by control groups: JupyterHub's own spawner only announces them.

Control groups of version 2, or 1 where the system still has those. A user's server has a group of its own, and so has each
scheduled run, so that neither takes from the other.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from infra.errors import DeployError
from infra.workbench.hub.settings import Settings

_ROOT = Path("/sys/fs/cgroup")
_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}
_PERIOD = 100_000  # microseconds
_END_SECONDS = 10
_POLL_SECONDS = 0.02


def join(settings: Settings, user: str, purpose: str) -> Callable[[], None]:
    """Makes the control groups of a user's purpose. What is returned puts the calling process into them."""
    processes = []
    try:
        for folder, values in _groups(settings, user, purpose):
            folder.mkdir(parents=True, exist_ok=True)
            for name, value in values.items():
                # Without accounting of swap there is no limit of it.
                if (folder / name).exists():
                    (folder / name).write_text(str(value))
            processes.append(folder / "cgroup.procs")
    except OSError as error:
        raise DeployError(f"control groups, which limit what a user may take, cannot be made: {error}") from error

    def into() -> None:
        for file in processes:
            file.write_text(str(os.getpid()))

    return into


def killed(settings: Settings, user: str, purpose: str) -> int:
    """How many processes of the group ended because its memory was full."""
    for folder, _ in _groups(settings, user, purpose):
        for name in ("memory.events", "memory.oom_control"):
            if (folder / name).exists():
                lines = dict(line.split() for line in (folder / name).read_text().splitlines())
                return int(lines.get("oom_kill", 0))
    return 0


def end(settings: Settings, user: str, purpose: str) -> None:
    """Ends every process of a group."""
    for folder, _ in _groups(settings, user, purpose):
        _end(folder)


def end_all(name: str) -> None:
    """Ends every process of every user of the workbench of this kernel_name, and removes the groups."""
    for root in (_ROOT, *(_ROOT / name for name in ("memory", "cpu", "pids"))):
        for folder in sorted((root / name).glob("**/"), reverse=True):
            _end(folder)
            folder.rmdir()


def _end(folder: Path) -> None:
    """One by one: only version 2 can kill a group as a whole. A process may start others meanwhile."""
    deadline = time.monotonic() + _END_SECONDS
    while processes := _processes(folder):
        for pid in processes:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise DeployError(f"processes {processes} in {folder} do not end, not even with KILL")
        time.sleep(_POLL_SECONDS)


def _processes(folder: Path) -> list[int]:
    try:
        return [int(line) for line in (folder / "cgroup.procs").read_text().split()]
    except FileNotFoundError:
        return []


def _groups(settings: Settings, user: str, purpose: str) -> Iterator[tuple[Path, dict[str, int | str]]]:
    """The folders, with what to write into them."""
    memory, share = _bytes(settings.memory), int(settings.processors * _PERIOD)
    path = Path(settings.name, user, purpose)
    if (_ROOT / "cgroup.controllers").exists():
        for folder in (_ROOT, _ROOT / settings.name, _ROOT / settings.name / user):
            folder.mkdir(exist_ok=True)
            (folder / "cgroup.subtree_control").write_text("+memory +cpu +pids")
        limits: dict[str, int | str] = {"memory.max": memory, "memory.swap.max": 0, "memory.oom.group": 0}
        yield _ROOT / path, {**limits, "cpu.max": f"{share} {_PERIOD}", "pids.max": settings.processes}
        return
    yield _ROOT / "memory" / path, {"memory.limit_in_bytes": memory, "memory.memsw.limit_in_bytes": memory}
    yield _ROOT / "cpu" / path, {"cpu.cfs_period_us": _PERIOD, "cpu.cfs_quota_us": share}
    yield _ROOT / "pids" / path, {"pids.max": settings.processes}


def _bytes(text: str) -> int:
    """A size such as 512M or 2G."""
    unit = _UNITS.get(text[-1:])
    if not unit or not text[:-1].isdigit():
        raise DeployError(f"{text!r} is no size of memory: write it as 512M or 2G")
    return int(text[:-1]) * unit
