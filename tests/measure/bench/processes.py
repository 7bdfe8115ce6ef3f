"""CPU time and peak memory of processes, as the kernel counts them."""

import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

from infra.local.config import Stack
from infra.local.errors import StackError
from infra.local.servers.processes import Server

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu(pid: int) -> float:
    """Seconds of CPU that all threads of a process have used, to the nanosecond. 0 if it has ended."""
    try:
        # The kernel's name for another process's clock: clock_getcpuclockid(3).
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def peak_mib(pid: int) -> float:
    """The most memory that a process has had so far. 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    # A process that nobody has waited for yet has no memory, and no such line.
    found = re.search(r"(?m)^VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def children(pid: int) -> list[int]:
    """The processes that this one has started and that still run."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text().split())
        except OSError:
            continue
    return found


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    return [pid, *(grand for child in children(pid) for grand in family(child))]


def server_cpu(stack: Stack) -> dict[str, float]:
    """Seconds of CPU that each server has used. PostgreSQL's is that of all its sessions, ended ones included."""
    used = {}
    for name in ("postgres", "elasticsearch", "aws"):
        pid = Server(name, stack.run_dir).pid()
        if pid is None:
            raise StackError(f"the server {name} is not running: start it with `make up`")
        used[name] = cpu(pid)
        if name == "postgres":
            used[name] += sum(map(cpu, children(pid))) + _of_ended(pid)
    return used


def less(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    """What was used in between."""
    return {name: after[name] - before[name] for name in after}


def total(parts: Iterable[dict[str, float]]) -> dict[str, float]:
    """The sum, by name."""
    found: dict[str, float] = {}
    for part in parts:
        for name, value in part.items():
            found[name] = found.get(name, 0.0) + value
    return found


def _of_ended(pid: int) -> float:
    """Of the process's children that have ended. In hundredths of a second: only sums of many are exact."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / _TICKS
