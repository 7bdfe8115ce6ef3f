"""An HTTP proxy for Elasticsearch and AWS. It knows requests, so a test can say which ones fail and how.

h11 does the framing; faults/kinds.py says what a fault does to a request. Requests are forwarded unchanged, with their
own Host, so that signatures stay valid.
"""

import asyncio
import gzip
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import unquote

import h11

from tests.faults.listener import Listener, Loop, reset

_BLOCK = 1 << 16
# Requests that are kept: more than a test makes, but bounded, for proxies that run for hours.
_KEPT = 2_000
_Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Request:
    """A request as received."""

    method: str
    target: str
    headers: _Headers
    body: bytes
    at: float = field(default_factory=time.monotonic)

    def header(self, name: str) -> str:
        """A header's value; empty if it is missing."""
        return next((value.decode() for key, value in self.headers if key.lower() == name.encode()), "")

    @property
    def line(self) -> str:
        """The text that patterns match, unquoted: `PUT /bucket/key?…`, `POST / AWSGlue.BatchCreatePartition`."""
        return f"{self.method} {unquote(self.target)} {self.header('x-amz-target')}".rstrip()


@dataclass(frozen=True)
class Response:
    """An answer as sent."""

    status: int
    headers: _Headers
    body: bytes

    def decoded(self) -> "Response":
        """The same answer with its body decompressed."""
        headers = [pair for pair in self.headers if pair[0].lower() != b"content-encoding"]
        packed = len(headers) < len(self.headers)
        return Response(self.status, headers, gzip.decompress(self.body) if packed else self.body)


class Kind(Protocol):
    """A way in which a request can fail. Faults are counted by its name."""

    @property
    def name(self) -> str: ...

    async def apply(self, exchange: "Exchange") -> None:
        """Handles the request in this kind's way."""


@dataclass
class Fault:
    """A kind of fault for the requests that match a pattern, a number of times."""

    kind: Kind
    pattern: re.Pattern[str]
    where: Callable[[Request], bool]
    times: int | None
    # The requests that it met, in order.
    met: list[Request] = field(default_factory=list)

    def meets(self, request: Request) -> bool:
        """Whether the fault applies to the request; if so, counts it."""
        spent = self.times is not None and len(self.met) >= self.times
        if spent or not self.pattern.search(request.line) or not self.where(request):
            return False
        self.met.append(request)
        return True


@dataclass
class Exchange:
    """A request on its way, which a kind of fault may change."""

    proxy: "HttpProxy"
    request: Request
    writer: asyncio.StreamWriter
    _server: h11.Connection

    @property
    def client_port(self) -> int:
        """The client's port."""
        return self.writer.get_extra_info("peername")[1]

    async def forward(self) -> Response:
        """Sends the request to the server."""
        return await self.proxy.ask(self.request)

    async def respond(self, response: Response, *, share: float = 1) -> None:
        """Answers the client. With a `share` below 1, sends only that part of the body."""
        headers = [
            pair for pair in response.headers if pair[0].lower() not in (b"content-length", b"transfer-encoding")
        ]
        length = str(len(response.body)).encode()
        # The answer to HEAD has the length of a body that it lacks.
        told = next((value for key, value in response.headers if key.lower() == b"content-length"), length)
        headers.append((b"content-length", told if self.request.method == "HEAD" else length))
        self.writer.write(self._server.send(h11.Response(status_code=response.status, headers=headers)) or b"")
        if self.request.method != "HEAD":
            body = response.body[: int(len(response.body) * share)]
            self.writer.write(self._server.send(h11.Data(data=body)) or b"")
        if share == 1:
            self.writer.write(self._server.send(h11.EndOfMessage()) or b"")
        await self.writer.drain()

    def reset(self) -> None:
        """Resets the connection to the client."""
        reset(self.writer)


class HttpProxy(Listener):
    """Forwards requests, except those that a fault meets."""

    def __init__(self, loop: Loop, host: str, port: int):
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._seen: deque[Request] = deque(maxlen=_KEPT)
        super().__init__(loop, host, port)

    @property
    def url(self) -> str:
        """The address."""
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def fault(
        self,
        kind: Kind,
        pattern: str,
        *,
        times: int | None = None,
        where: Callable[[Request], bool] = lambda _: True,
    ) -> Iterator[Fault]:
        """Makes matching requests fail, if `where` agrees: the next `times`, or all of them."""
        fault = Fault(kind, re.compile(pattern), where, times)
        with self._lock:
            self._faults.append(fault)
        try:
            yield fault
        finally:
            with self._lock:
                self._faults.remove(fault)

    def forget_seen(self) -> None:
        """Forgets the requests so far."""
        with self._lock:
            self._seen.clear()

    def seen(self, pattern: str) -> list[Request]:
        """The requests that match a pattern, met by a fault or not."""
        with self._lock:
            return [request for request in self._seen if re.search(pattern, request.line)]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(h11.Connection(h11.SERVER), reader, writer)
        except h11.RemoteProtocolError:
            pass  # one end has left in the middle of a message

    async def _serve(self, server: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (request := await _request(server, reader, writer)) is not None:
            exchange = Exchange(self, request, writer, server)
            with self._lock:
                self._seen.append(request)
                fault = next((one for one in self._faults if one.meets(request)), None)
            if fault is None:
                await exchange.respond(await exchange.forward())
            else:
                self.loop.injected[fault.kind.name] += 1
                await fault.kind.apply(exchange)
            if server.our_state is not h11.DONE or server.their_state is not h11.DONE:
                return
            server.start_next_cycle()

    async def ask(self, request: Request, *, share: float = 1) -> Response:
        """Sends a request to the server. With a `share` below 1, sends only that part, and nothing more."""
        reader, writer = await asyncio.open_connection(*self.upstream)
        client = h11.Connection(h11.CLIENT)
        try:
            headers = [pair for pair in request.headers if pair[0].lower() != b"expect"]
            writer.write(client.send(h11.Request(method=request.method, target=request.target, headers=headers)) or b"")
            body = request.body[: int(len(request.body) * share)]
            writer.write(client.send(h11.Data(data=body)) or b"")
            if share < 1:
                await writer.drain()
                return Response(0, [], b"")
            writer.write(client.send(h11.EndOfMessage()) or b"")
            await writer.drain()
            return await _response(client, reader)
        finally:
            writer.close()


async def _request(
    server: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Request | None:
    """The next whole request of a connection; None once the client has left."""
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = server.next_event()
        if event is h11.NEED_DATA:
            if server.they_are_waiting_for_100_continue:
                writer.write(server.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            server.receive_data(await reader.read(_BLOCK))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert head
            return Request(head.method.decode(), head.target.decode(), head.headers.raw_items(), bytes(body))
        else:
            return None


async def _response(client: h11.Connection, reader: asyncio.StreamReader) -> Response:
    head: Any = None
    body = bytearray()
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:
            client.receive_data(await reader.read(_BLOCK))
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return Response(head.status_code, head.headers.raw_items(), bytes(body))
