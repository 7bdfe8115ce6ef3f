"""A server in a source's place that gives the answers that a test wants: what a real one does too seldom to wait for."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Answers:
    """What is answered next, and what was asked: path, headers and body."""

    url: str = ""
    status: int = 200
    body: Any = None  # None: no answer at all
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)

    def give(self, status: int, body: Any, **headers: str) -> None:
        """The answer from now on."""
        self.status, self.body, self.headers = status, body, headers
        self.asked.clear()


@contextmanager
def server(tls: tuple[Path, Path] | None = None) -> Iterator[Answers]:
    """Listens on a free port of localhost, with a certificate and key if there are some."""
    answers, over = Answers(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answers.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            if answers.body is None:
                over.wait()
                return
            content = (answers.body if isinstance(answers.body, str) else json.dumps(answers.body)).encode()
            self.send_response(answers.status)
            for name, value in {"content-length": str(len(content)), **answers.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:  # clients that refuse the certificate
            pass

    with Quiet(("127.0.0.1", 0), Handler) as listening:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            listening.socket = context.wrap_socket(listening.socket, server_side=True, do_handshake_on_connect=False)
        answers.url = f"{'https' if tls else 'http'}://localhost:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield answers
        finally:
            over.set()
            with suppress(OSError):
                listening.shutdown()
            thread.join()
