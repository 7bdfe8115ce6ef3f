"""What both proxies share: an event loop in its own thread, an address that can refuse, a count of faults.

Tests may call its functions from any thread. They return once the loop has done the work.
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

# SO_LINGER of zero seconds makes closing send a reset, like a killed server or a forgetful firewall.
_RESET = struct.pack("ii", 1, 0)
_TIMEOUT_SECONDS = 10
T = TypeVar("T")


class Loop:
    """The event loop of a test session's proxies, and the faults that they injected, by kind."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.injected: Counter[str] = Counter()
        # Failures of the proxies themselves. No test may take them for faults that it asked for.
        self.mistakes: list[str] = []
        self.loop.set_exception_handler(lambda _, context: self.mistakes.append(f"{context}"))
        self._thread = threading.Thread(target=self.loop.run_forever, name="faults", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs something on the loop and waits for it."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(_TIMEOUT_SECONDS)

    def close(self) -> None:
        """Ends the loop and drops what still runs on it."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_TIMEOUT_SECONDS)


class Listener:
    """An address on 127.0.0.1 in front of a server."""

    def __init__(self, loop: Loop, host: str, port: int):
        self.loop = loop
        self.upstream = (host, port)
        self.port = any_free()
        self.accepted = 0  # connections
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        loop.call(self._listen())

    def close(self) -> None:
        """Stops listening and drops every connection."""
        self.loop.call(self._unlisten())

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Takes the server down: nothing listens at the address, and open connections are cut."""
        self.loop.injected["connections refused"] += 1
        self.loop.call(self._unlisten())
        try:
            yield
        finally:
            self.loop.call(self._listen())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handles one connection."""
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
        self.accepted += 1
        try:
            await self.serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one end has left or the proxy is closed: the other end is closed below
        finally:
            self._serving.discard(task)
            writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with a reset instead of an orderly close."""
    raw = writer.get_extra_info("socket")
    with suppress(OSError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
