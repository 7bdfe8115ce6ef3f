"""Runs a function's binary as Lambda does, and takes the time: a process that asks the Runtime API for events."""

import json
import os
import queue
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from infra.local.errors import StackError
from tests.measure.bench import processes

_WAIT_SECONDS = 300


@dataclass(frozen=True)
class Answered:
    """One invocation: its result, and what it took."""

    payload: Any
    ms: float
    cpu_ms: float


class Function:
    """A running function. The Runtime API is served by threads of this process."""

    def __init__(self, binary: Path, environment: Mapping[str, str], log: Path):
        self.name = binary.name
        self._events: queue.Queue[bytes] = queue.Queue()
        self._answers: queue.Queue[tuple[float, bool, bytes]] = queue.Queue()
        self._polled: queue.Queue[float] = queue.Queue()
        self._sent, self._answered = 0.0, 0.0
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        lambda_environment = {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.getsockname()[1]}",
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
            "PATH": os.defpath,
        }
        self._log = log
        with log.open("ab") as stream:
            self.started = time.perf_counter()
            self._process = subprocess.Popen(
                [binary],
                env={**environment, **lambda_environment},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )
        self.first_poll_ms = 1e3 * (self._wait(self._polled) - self.started)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._server.close()

    @property
    def cpu(self) -> float:
        """Seconds of CPU so far."""
        return processes.cpu(self._process.pid)

    @property
    def peak_mib(self) -> float:
        """The most memory so far."""
        return processes.peak_mib(self._process.pid)

    def since_start_ms(self) -> float:
        """From the start of the process to its latest answer."""
        return 1e3 * (self._answered - self.started)

    def invoke(self, event: Any) -> Answered:
        """Sends an event, and waits for the answer. An error of the function is an error here."""
        before = self.cpu
        self._events.put(json.dumps(event).encode())
        self._answered, is_error, body = self._wait(self._answers)
        sent = self._sent
        if is_error:
            raise StackError(f"{self.name} failed: {body.decode()[:600]} (log: {self._log})")
        self._wait(self._polled)
        return Answered(json.loads(body), 1e3 * (self._answered - sent), 1e3 * (self.cpu - before))

    def _wait(self, of: "queue.Queue[Any]") -> Any:
        deadline = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < deadline:
            try:
                return of.get(timeout=0.5)
            except queue.Empty:
                if self._process.poll() is not None:
                    raise StackError(
                        f"{self.name} ended with status {self._process.returncode}: see {self._log}"
                    ) from None
        raise StackError(f"{self.name} did not answer in {_WAIT_SECONDS} s: see {self._log}")

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """The two requests of the Runtime API that every function makes: the next event, and its answer."""
        with connection, connection.makefile("rb") as stream:
            while line := stream.readline():
                method, path, _ = line.decode().split(" ")
                headers = dict(iter(lambda: _header(stream), ("", "")))
                if method == "GET":
                    self._polled.put(time.perf_counter())
                    event = self._events.get()
                    head = (
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                        f"Lambda-Runtime-Aws-Request-Id: {uuid.uuid4()}\r\n"
                        f"Lambda-Runtime-Deadline-Ms: {int(1e3 * (time.time() + _WAIT_SECONDS))}\r\n"
                        f"Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-west-1:000000000000:function:{self.name}\r\n"
                        f"Content-Length: {len(event)}\r\n\r\n"
                    )
                    self._sent = time.perf_counter()
                    connection.sendall(head.encode() + event)
                else:
                    body = _body(stream, headers)
                    self._answers.put((time.perf_counter(), not path.endswith("/response"), body))
                    connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")


def _header(stream: BinaryIO) -> tuple[str, str]:
    name, _, value = stream.readline().decode().strip().partition(":")
    return name.lower(), value.strip()


def _body(stream: BinaryIO, headers: Mapping[str, str]) -> bytes:
    if "content-length" in headers:
        return stream.read(int(headers["content-length"]))
    body = b""
    while size := int(stream.readline(), 16):
        body += stream.read(size)
        stream.readline()
    stream.readline()
    return body
