"""The ways in which a request can go wrong."""

import asyncio
import json
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.faults.http import Exchange, Response
from tests.faults.peer import process_of

# What a request is held for at most: longer than any time limit of a function.
_HOLD_SECONDS = 120
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Answer:
    """The server never sees it: this is answered in its place."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"

    @property
    def name(self) -> str:
        return f"answer {self.status}"

    async def apply(self, exchange: Exchange) -> None:
        headers = [(b"content-type", self.content_type.encode()), (b"x-elastic-product", b"Elasticsearch")]
        await exchange.respond(Response(self.status, headers, self.body))


def s3_error(status: int, code: str) -> Answer:
    """An error as S3 words it."""
    return Answer(status, f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode(), "application/xml")


def aws_error(status: int, code: str) -> Answer:
    """An error as services word it that speak JSON."""
    return Answer(status, json.dumps({"__type": code, "message": "injected"}).encode(), "application/x-amz-json-1.1")


@dataclass(frozen=True)
class Rewrite:
    """The server does it, and its answer is changed on the way back."""

    name: str
    change: Callable[[Any], Any]

    async def apply(self, exchange: Exchange) -> None:
        response = (await exchange.forward()).decoded()
        changed = self.change(json.loads(response.body))
        body = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
        await exchange.respond(replace(response, body=body))


@dataclass(frozen=True)
class RefusePartitions:
    """Glue takes a BatchCreatePartition and refuses each partition of it, in an answer of HTTP 200."""

    code: str
    name: str = "partitions refused"

    async def apply(self, exchange: Exchange) -> None:
        detail = {"ErrorCode": self.code, "ErrorMessage": "injected"}
        given = json.loads(exchange.request.body)["PartitionInputList"]
        errors = [{"PartitionValues": one["Values"], "ErrorDetail": detail} for one in given]
        await Answer(200, json.dumps({"Errors": errors}).encode(), "application/x-amz-json-1.1").apply(exchange)


@dataclass(frozen=True)
class CutAnswer:
    """The server does it, and the connection ends in the middle of its answer."""

    name: str = "answer cut off"

    async def apply(self, exchange: Exchange) -> None:
        await exchange.respond(await exchange.forward(), share=0.5)
        exchange.writer.close()


@dataclass(frozen=True)
class LoseAnswer:
    """The server does it, and its answer is lost."""

    name: str = "answer lost"

    async def apply(self, exchange: Exchange) -> None:
        await exchange.forward()
        exchange.reset()


@dataclass(frozen=True)
class CutRequest:
    """Half of it reaches the server."""

    name: str = "request cut off"

    async def apply(self, exchange: Exchange) -> None:
        await exchange.proxy.ask(exchange.request, share=0.5)
        exchange.reset()


@dataclass(frozen=True)
class Reset:
    """The connection is reset, and the server never sees it."""

    name: str = "connection reset"

    async def apply(self, exchange: Exchange) -> None:
        exchange.reset()


@dataclass(frozen=True)
class Delay:
    """The server does it, later."""

    seconds: float
    name: str = "delay"

    async def apply(self, exchange: Exchange) -> None:
        await asyncio.sleep(self.seconds)
        await exchange.respond(await exchange.forward())


@dataclass(frozen=True)
class Hold:
    """It waits until the test lets it go on to the server; without an event to wait for, it never gets there."""

    until: threading.Event | None = None
    name: str = "no answer"

    async def apply(self, exchange: Exchange) -> None:
        waited = 0.0
        while (self.until is None or not self.until.is_set()) and waited < _HOLD_SECONDS:
            await asyncio.sleep(_POLL_SECONDS)
            waited += _POLL_SECONDS
        if self.until is not None and self.until.is_set():
            await exchange.respond(await exchange.forward())


@dataclass(frozen=True)
class Kill:
    """The process that asks is killed, before the server has done it or after: as for want of memory."""

    prefix: str  # of the deployment's names: nothing else is ever killed
    after: bool

    @property
    def name(self) -> str:
        return f"process killed {'after' if self.after else 'before'}"

    async def apply(self, exchange: Exchange) -> None:
        if self.after:
            await exchange.forward()
        os.kill(process_of(exchange.client_port, exchange.proxy.port, self.prefix), signal.SIGKILL)
        exchange.reset()
