"""Starts, watches and stops server processes that outlive the command, with a log and a pid file for each.

A pid alone proves nothing: once a process has ended, the kernel may give its pid to another. A process is only
signalled if its start time and command line are those in the pid file.
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

# Set in the environment of every server, and inherited by its children. Finds what a killed server left running.
MARK = "STOREWATCH_SERVER"

# How often to check a condition that is waited for.
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Server:
    """A server of a stack, known by its name in the stack's folder, whoever started it."""

    name: str
    run_dir: Path

    @property
    def pid_file(self) -> Path:
        """Names the process: pid, start time, command, and the signal that stops it."""
        return self.run_dir / "pids" / f"{self.name}.json"

    @property
    def log_file(self) -> Path:
        """The process's output. The log of the last start is kept beside it."""
        return self.run_dir / "logs" / f"{self.name}.log"

    def pid(self) -> int | None:
        """The pid of the running process; None if it has ended."""
        record = self._record()
        return record["pid"] if record and _is_process(record) else None

    def answers(self, check: Callable[[], bool]) -> bool:
        """Whether it runs and passes the check. Waits a little, because the machine may be busy."""
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
        """Starts the process in its own session, so that it survives the terminal."""
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
        # Popen returns once the new program runs, so its command line is final.
        record = {
            "pid": process.pid,
            "started": _start_time(process.pid),
            "command": arguments,
            "stop_signal": stop_signal.name,
        }
        write_private(self.pid_file, json.dumps(record, indent=2) + "\n")
        return process

    def wait_until(self, check: Callable[[], bool], *, seconds: float, process: subprocess.Popen[bytes]) -> None:
        """Waits for a check to pass. The error, after a timeout or an early end, shows the end of the log."""
        deadline = time.monotonic() + seconds
        while not check():
            if (status := process.poll()) is not None:
                raise StackError(f"{self.name} ended with status {status} while starting; {self.log_end()}")
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} was not ready after {seconds:.0f} s; {self.log_end()}")
            time.sleep(_POLL_SECONDS)

    def stop(self, *, grace_seconds: float = 30) -> bool:
        """Stops the process with its own signal, then with KILL. False if it was not running."""
        record = self._record()
        was_running = record is not None and _is_process(record)
        if record and was_running:
            for stop_signal, seconds in ((signal.Signals[record["stop_signal"]], grace_seconds), (signal.SIGKILL, 10)):
                _signal(record["pid"], stop_signal)
                if wait_for(lambda: not _is_process(record), seconds):
                    break
            else:
                raise StackError(
                    f"{self.name} (pid {record['pid']}) did not end, not even with KILL; see {self.log_file}"
                )
        self.stop_left_over()
        self.pid_file.unlink(missing_ok=True)
        return was_running

    def stop_left_over(self) -> None:
        """Ends what a killed server left running, such as the local AWS's Lambda processes."""
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
            raise StackError(f"{self.pid_file} is not JSON ({error}): end {self.name} by hand and delete it") from None


def servers(run_dir: Path) -> list[Server]:
    """Every server with a pid file, including those of commands other than `up`."""
    return [Server(file.stem, run_dir) for file in sorted((run_dir / "pids").glob("*.json"))]


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Waits for a condition; False if it does not become true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def working_in(folder: Path) -> list[int]:
    """The processes whose working directory is the folder."""
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
    """A file of /proc; empty if the process has ended or belongs to another user."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _environment(pid: int) -> list[bytes]:
    return _read(pid, "environ").split(b"\0")


def _start_time(pid: int) -> str | None:
    """The kernel's start time of a process, in ticks since boot; None if it has ended, even if it is still a zombie."""
    # The second field is the name in parentheses and may hold anything. The fields after it are numbers.
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return fields[19].decode() if fields and fields[0] not in (b"Z", b"X") else None


def _is_process(record: Mapping[str, Any]) -> bool:
    pid = record["pid"]
    if _start_time(pid) != record["started"]:
        _reap(pid)
        return False
    return _read(pid, "cmdline").rstrip(b"\0").split(b"\0") == [os.fsencode(part) for part in record["command"]]


def _reap(pid: int) -> None:
    """Collects the exit status of our own child, so that it does not stay a zombie."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise StackError(f"process {pid} belongs to another user: run the command as that user") from None
