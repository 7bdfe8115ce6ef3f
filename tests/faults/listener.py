"""What both proxies are built on: one event loop in a thread of its own, an address that can refuse, a count of faults.

The parts of it that tests call may be called from any thread; they return once the loop has done what was asked.
"""

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from infra.local.servers.ports import any_free

# SO_LINGER of zero seconds: closing then sends a reset, as a server does that was killed or a firewall that forgot.
_RESET = struct.pack("ii", 1, 0)
_TIMEOUT_SECONDS = 10
T = TypeVar("T")


class Loop:
    """The event loop that the proxies of a test session run on, and the faults that they have injected by kind."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.injected: Counter[str] = Counter()
        # What went wrong in the proxies themselves, which no test must take for a fault that it asked for.
        self.mistakes: list[str] = []
        self.loop.set_exception_handler(lambda _, context: self.mistakes.append(f"{context}"))
        self._thread = threading.Thread(target=self.loop.run_forever, name="faults", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs something on the loop and waits for it."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(_TIMEOUT_SECONDS)

    def close(self) -> None:
        """Ends the loop; what still is under way on it is dropped."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_TIMEOUT_SECONDS)


class Listener:
    """One address on 127.0.0.1 that stands before one server."""

    def __init__(self, loop: Loop, host: str, port: int):
        self.loop = loop
        self.upstream = (host, port)
        self.port = any_free()
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        loop.call(self._listen())

    def close(self) -> None:
        """Stops listening and drops every connection."""
        self.loop.call(self._unlisten())

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Nothing listens at the address, and connections that were open are gone: the server is down."""
        self.loop.injected["connections refused"] += 1
        self.loop.call(self._unlisten())
        try:
            yield
        finally:
            self.loop.call(self._listen())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What is done with one connection."""
        raise NotImplementedError

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _unlisten(self) -> None:
        if self._server:
            self._server.close()
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        try:
            await self.serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one of the two ends has gone, or the proxy is closed: the other end sees it below
        finally:
            self._serving.discard(task)
            writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection by a reset in place of an orderly end."""
    raw = writer.get_extra_info("socket")
    with suppress(OSError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
