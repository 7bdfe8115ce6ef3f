"""Server processes that outlive the command that starts them: started with a log and a pid file, watched, stopped.

A pid alone proves nothing, as the kernel gives it to another process once ours has ended: before a process is
signalled, its start time and its command line must be those that the pid file names.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.config import write_private
from infra.local.errors import StackError

# In the environment of every server, and so of what it starts: finds processes that it left behind when it was killed.
MARK = "STOREWATCH_SERVER"

# How often a condition is looked at while waiting for it.
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Server:
    """One server of a stack, known by its name in the stack's folder, whoever started it."""

    name: str
    run_dir: Path

    @property
    def pid_file(self) -> Path:
        """Tells the process: pid, start time, command and the signal that stops it."""
        return self.run_dir / "pids" / f"{self.name}.json"

    @property
    def log_file(self) -> Path:
        """What the process prints; the log of the start before is kept beside it."""
        return self.run_dir / "logs" / f"{self.name}.log"

    def pid(self) -> int | None:
        """The pid of the running process, or None when it has ended."""
        record = self._record()
        return record["pid"] if record and _is_process(record) else None

    def answers(self, check: Callable[[], bool]) -> bool:
        """Whether it runs and passes the check, for which a busy machine gets some time."""
        return self.pid() is not None and wait_for(lambda: check() or self.pid() is None, 30) and self.pid() is not None

    def start(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        cwd: Path,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> subprocess.Popen[bytes]:
        """Starts the process in a session of its own, so that it stays when the terminal goes."""
        self.stop_left_over()
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        if self.log_file.exists():
            self.log_file.replace(self.log_file.with_suffix(".previous.log"))
        arguments = [str(part) for part in command]
        as_user: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
        with self.log_file.open("wb") as log:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**env, MARK: str(self.pid_file)},
                cwd=cwd,
                start_new_session=True,
                **as_user,
            )
        # Popen returns once the new program runs, so that its command line is already the one to recognise it by.
        record = {
            "pid": process.pid,
            "started": _start_time(process.pid),
            "command": arguments,
            "stop_signal": stop_signal.name,
        }
        write_private(self.pid_file, json.dumps(record, indent=2) + "\n")
        return process

    def wait_until(self, check: Callable[[], bool], *, seconds: float, process: subprocess.Popen[bytes]) -> None:
        """Waits for a check to pass; tells the end of the log when it does not in time or the process ends."""
        deadline = time.monotonic() + seconds
        while not check():
            if (status := process.poll()) is not None:
                raise StackError(f"{self.name} ended with status {status} while starting; {self.log_end()}")
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} was not ready after {seconds:.0f} s; {self.log_end()}")
            time.sleep(_POLL_SECONDS)

    def stop(self, *, grace_seconds: float = 30) -> bool:
        """Stops the process with its own signal, then with KILL after a grace; False if it was not running."""
        record = self._record()
        was_running = record is not None and _is_process(record)
        if record and was_running:
            for stop_signal, seconds in ((signal.Signals[record["stop_signal"]], grace_seconds), (signal.SIGKILL, 10)):
                _signal(record["pid"], stop_signal)
                if wait_for(lambda: not _is_process(record), seconds):
                    break
            else:
                raise StackError(
                    f"{self.name} (pid {record['pid']}) did not end, not even by KILL; see {self.log_file}"
                )
        self.stop_left_over()
        self.pid_file.unlink(missing_ok=True)
        return was_running

    def stop_left_over(self) -> None:
        """Ends what a killed server has left running, such as the Lambda processes of the local AWS."""
        if self.pid() is not None:
            raise StackError(f"{self.name} is running (pid {self.pid()}): stop it first")
        mark = f"{MARK}={self.pid_file}".encode()
        left = [pid for pid in _processes() if mark in _environment(pid)]
        for pid in left:
            _signal(pid, signal.SIGTERM)
        if not wait_for(lambda: not any(mark in _environment(pid) for pid in left), 5):
            for pid in left:
                if mark in _environment(pid):
                    _signal(pid, signal.SIGKILL)
            wait_for(lambda: not any(mark in _environment(pid) for pid in left), 5)

    def log_end(self, lines: int = 20) -> str:
        """The end of the log, for messages."""
        try:
            text = self.log_file.read_text(errors="replace")
        except FileNotFoundError:
            return f"it has no log ({self.log_file})"
        end = "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
        return f"the end of {self.log_file}:\n{end}" if end else f"{self.log_file} is empty"

    def _record(self) -> dict[str, Any] | None:
        try:
            return json.loads(self.pid_file.read_text())
        except FileNotFoundError:
            return None
        except json.JSONDecodeError as error:
            raise StackError(f"{self.pid_file} is not JSON ({error}): end {self.name} by hand and remove it") from None


def servers(run_dir: Path) -> list[Server]:
    """Every server that has a pid file, those of other commands than `up` too."""
    return [Server(file.stem, run_dir) for file in sorted((run_dir / "pids").glob("*.json"))]


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Waits for a condition; False if it does not come about in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def working_in(folder: Path) -> list[int]:
    """The processes that have the folder as their working directory."""
    return [pid for pid in _processes() if _working_directory(pid) == str(folder)]


def _processes() -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if pid != os.getpid()]


def _working_directory(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None


def _read(pid: int, name: str) -> bytes:
    """A file of /proc; empty when the process has ended or is another user's."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _environment(pid: int) -> list[bytes]:
    return _read(pid, "environ").split(b"\0")


def _start_time(pid: int) -> str | None:
    """The kernel's start time of a process, in ticks since boot; None when it has ended, if only reaped by no one."""
    # The second field is the name in parentheses and may hold anything; the fields after it are numbers.
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return fields[19].decode() if fields and fields[0] not in (b"Z", b"X") else None


def _is_process(record: Mapping[str, Any]) -> bool:
    pid = record["pid"]
    if _start_time(pid) != record["started"]:
        _reap(pid)
        return False
    return _read(pid, "cmdline").rstrip(b"\0").split(b"\0") == [os.fsencode(part) for part in record["command"]]


def _reap(pid: int) -> None:
    """Takes the exit status of our own child, if it is one, so that it does not stay as a zombie."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise StackError(f"process {pid} belongs to another user: run the command as the one who started it") from None
