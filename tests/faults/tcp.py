"""A byte proxy for PostgreSQL. The traffic is TLS, so faults depend on how many bytes have passed."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.faults.listener import Listener, Loop, reset

_BLOCK = 1 << 14


@dataclass
class Reading:
    """The connections since some moment: how many, and how many bytes the server sent on them."""

    connections: int = 0
    received: int = 0


class TcpProxy(Listener):
    """Forwards bytes, unless told otherwise."""

    def __init__(self, loop: Loop, host: str, port: int):
        self._reading = Reading()
        self._reset_after: int | None = None
        self._byte_pause: float = 0
        self._faulty: int | None = None
        super().__init__(loop, host, port)

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Counts what passes."""
        self._reading = Reading()
        yield self._reading

    @contextmanager
    def resetting(self, *, after: int, times: int | None = None) -> Iterator[Reading]:
        """Resets connections once the server has sent `after` bytes: all of them, or the next `times`."""
        self._reset_after, self._faulty = after, times
        with self.reading() as reading:
            try:
                yield reading
            finally:
                self._reset_after = self._faulty = None

    @contextmanager
    def trickling(self, *, pause: float) -> Iterator[Reading]:
        """Makes the server answer too slowly: a block at a time, with pauses."""
        self._byte_pause = pause
        with self.reading() as reading:
            try:
                yield reading
            finally:
                self._byte_pause = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reading, after, pause = self._reading, self._reset_after, self._byte_pause
        if after is not None and self._faulty is not None:
            if self._faulty == 0:
                after = None
            else:
                self._faulty -= 1
        reading.connections += 1
        up_reader, up_writer = await asyncio.open_connection(*self.upstream)
        sending = asyncio.create_task(_pass_on(reader, up_writer))
        try:
            passed = 0
            while block := await up_reader.read(_BLOCK if not pause else 256):
                if pause:
                    self.loop.injected["slow answer"] += 0 if passed else 1
                    await asyncio.sleep(pause)
                passed += len(block)
                reading.received += len(block)
                if after is not None and passed >= after:
                    # The bytes up to there do arrive, so the cut is in the middle of something.
                    writer.write(block[: len(block) - (passed - after)])
                    await writer.drain()
                    self.loop.injected["reset in mid-stream"] += 1
                    reset(writer)
                    return
                writer.write(block)
                await writer.drain()
        finally:
            sending.cancel()
            up_writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while block := await reader.read(_BLOCK):
            writer.write(block)
            await writer.drain()
        writer.write_eof()
    except (ConnectionError, OSError):
        writer.close()
