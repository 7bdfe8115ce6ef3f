"""The ways in which a request can fail."""

import asyncio
import json
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from tests.faults.http import Exchange, Response
from tests.faults.peer import process_of

# How long a request is held at most: longer than any function's time limit.
_HOLD_SECONDS = 120
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Answer:
    """Answers in place of the server, which never sees the request."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    retry_after: int | None = None  # seconds

    @property
    def name(self) -> str:
        return f"answer {self.status}"

    async def apply(self, exchange: Exchange) -> None:
        headers = [(b"content-type", self.content_type.encode()), (b"x-elastic-product", b"Elasticsearch")]
        if self.retry_after is not None:
            headers.append((b"retry-after", str(self.retry_after).encode()))
        await exchange.respond(Response(self.status, headers, self.body))


def s3_error(status: int, code: str) -> Answer:
    """An error in S3's format."""
    return Answer(status, f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode(), "application/xml")


def aws_error(status: int, code: str) -> Answer:
    """An error in the format of services that speak JSON."""
    return Answer(status, json.dumps({"__type": code, "message": "injected"}).encode(), "application/x-amz-json-1.1")


@dataclass(frozen=True)
class Rewrite:
    """Lets the server answer, and changes the answer."""

    name: str
    change: Callable[[Any], Any]

    async def apply(self, exchange: Exchange) -> None:
        response = (await exchange.forward()).decoded()
        changed = self.change(json.loads(response.body))
        body = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
        await exchange.respond(replace(response, body=body))


@dataclass(frozen=True)
class RefusePartitions:
    """Lets Glue refuse each partition of a BatchCreatePartition, in an answer with HTTP 200."""

    code: str
    name: str = "partitions refused"

    async def apply(self, exchange: Exchange) -> None:
        detail = {"ErrorCode": self.code, "ErrorMessage": "injected"}
        given = json.loads(exchange.request.body)["PartitionInputList"]
        errors = [{"PartitionValues": one["Values"], "ErrorDetail": detail} for one in given]
        await Answer(200, json.dumps({"Errors": errors}).encode(), "application/x-amz-json-1.1").apply(exchange)


@dataclass(frozen=True)
class CutAnswer:
    """Lets the server answer, and ends the connection in the middle of the answer."""

    name: str = "answer cut off"

    async def apply(self, exchange: Exchange) -> None:
        await exchange.respond(await exchange.forward(), share=0.5)
        exchange.writer.close()


@dataclass(frozen=True)
class LoseAnswer:
    """Lets the server answer, and drops the answer."""

    name: str = "answer lost"

    async def apply(self, exchange: Exchange) -> None:
        await exchange.forward()
        exchange.reset()


@dataclass(frozen=True)
class CutRequest:
    """Sends only half of the request to the server."""

    name: str = "request cut off"

    async def apply(self, exchange: Exchange) -> None:
        await exchange.proxy.ask(exchange.request, share=0.5)
        exchange.reset()


@dataclass(frozen=True)
class Reset:
    """Resets the connection. The server never sees the request."""

    name: str = "connection reset"

    async def apply(self, exchange: Exchange) -> None:
        exchange.reset()


@dataclass(frozen=True)
class Delay:
    """Sends the request to the server after a delay."""

    seconds: float
    name: str = "delay"

    async def apply(self, exchange: Exchange) -> None:
        await asyncio.sleep(self.seconds)
        await exchange.respond(await exchange.forward())


@dataclass(frozen=True)
class Hold:
    """Holds the request until the test releases it. Without an event to wait for, it never reaches the server."""

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
    """Kills the requesting process before or after the server has done the request, as if out of memory."""

    prefix: str  # of the deployment's names: no other process is killed
    after: bool

    @property
    def name(self) -> str:
        return f"process killed {'after' if self.after else 'before'}"

    async def apply(self, exchange: Exchange) -> None:
        if self.after:
            await exchange.forward()
        # A process that sends several such requests at once is killed by the first.
        with suppress(ProcessLookupError):
            os.kill(process_of(exchange.client_port, exchange.proxy.port, self.prefix), signal.SIGKILL)
        exchange.reset()
