"""A proxy of HTTP, for Elasticsearch and for AWS: it knows requests, so that a test says which of them go wrong and how.

The framing is h11's; what a fault does with a request is in faults/kinds.py. Requests are passed on as they are, with
their own Host, so that signatures hold.
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
# Requests that are kept to be looked at: more than a test makes, and no end of memory for what runs for hours.
_KEPT = 2_000
_Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Request:
    """A request as it came in."""

    method: str
    target: str
    headers: _Headers
    body: bytes
    at: float = field(default_factory=time.monotonic)

    def header(self, name: str) -> str:
        """A header's value, or nothing."""
        return next((value.decode() for key, value in self.headers if key.lower() == name.encode()), "")

    @property
    def line(self) -> str:
        """What patterns are held against, unquoted: `PUT /bucket/key?…`, `POST / AWSGlue.BatchCreatePartition`."""
        return f"{self.method} {unquote(self.target)} {self.header('x-amz-target')}".rstrip()


@dataclass(frozen=True)
class Response:
    """An answer as it goes out."""

    status: int
    headers: _Headers
    body: bytes

    def decoded(self) -> "Response":
        """The same answer with its body unpacked."""
        headers = [pair for pair in self.headers if pair[0].lower() != b"content-encoding"]
        packed = len(headers) < len(self.headers)
        return Response(self.status, headers, gzip.decompress(self.body) if packed else self.body)


class Kind(Protocol):
    """A way in which a request can go wrong; its name is what faults are counted by."""

    @property
    def name(self) -> str: ...

    async def apply(self, exchange: "Exchange") -> None:
        """Does with the request what this kind does."""


@dataclass
class Fault:
    """A kind of fault for the requests that a pattern finds, so many times."""

    kind: Kind
    pattern: re.Pattern[str]
    where: Callable[[Request], bool]
    times: int | None
    # The requests that it has met, in their order.
    met: list[Request] = field(default_factory=list)

    def meets(self, request: Request) -> bool:
        """Whether the request is one of those; if so it is counted."""
        spent = self.times is not None and len(self.met) >= self.times
        if spent or not self.pattern.search(request.line) or not self.where(request):
            return False
        self.met.append(request)
        return True


@dataclass
class Exchange:
    """One request on its way, as a kind of fault may treat it."""

    proxy: "HttpProxy"
    request: Request
    writer: asyncio.StreamWriter
    _server: h11.Connection

    @property
    def client_port(self) -> int:
        """The port at the client's end."""
        return self.writer.get_extra_info("peername")[1]

    async def forward(self) -> Response:
        """Has the server do it."""
        return await self.proxy.ask(self.request)

    async def respond(self, response: Response, *, share: float = 1) -> None:
        """Answers; with less than the whole share, only so much of the body is sent."""
        headers = [
            pair for pair in response.headers if pair[0].lower() not in (b"content-length", b"transfer-encoding")
        ]
        length = str(len(response.body)).encode()
        # An answer to HEAD tells the length of a body that it does not have.
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
    """Passes requests on, but for those that a fault meets."""

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
        """Lets requests go wrong that the pattern finds and `where` agrees to: the next few, or all of them."""
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
        """The requests, met by a fault or not, that a pattern finds."""
        with self._lock:
            return [request for request in self._seen if re.search(pattern, request.line)]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(h11.Connection(h11.SERVER), reader, writer)
        except h11.RemoteProtocolError:
            pass  # one of the two ends has gone in the middle of a message

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
        """Sends a request to the server; with less than the whole share, only so much of it, and no more comes."""
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
    """The next request of a connection, whole; nothing once the client has left."""
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
