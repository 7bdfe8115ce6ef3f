"""A mail host on this machine that keeps what it gets, and can be told to say nothing."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

from infra.local.servers import ports

TO = "ops@storewatch.example"


@dataclass
class Host:
    """The host: what came, and whether it speaks."""

    port: int
    mails: list[Message] = field(default_factory=list)
    silent: bool = False
    silenced: int = 0  # connections that were accepted and never answered

    @property
    def address(self) -> str:
        """As DASHBOARD_SMTP and WORKBENCH_SMTP name it."""
        return f"smtp://127.0.0.1:{self.port}?from=storewatch@storewatch.example"

    def named(self, subject: str) -> list[Message]:
        """The mails whose subject begins so."""
        return [mail for mail in self.mails if str(mail["Subject"]).startswith(subject)]

    def wait_for(self, subject: str, *, seconds: float) -> Message:
        """The first mail whose subject begins so."""
        deadline = time.monotonic() + seconds
        while not (found := self.named(subject)):
            subjects = [str(mail["Subject"]) for mail in self.mails]
            assert time.monotonic() < deadline, f"no mail {subject!r} came in {seconds} s, but {subjects}"
            time.sleep(0.1)
        return found[0]

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # aiosmtpd's name
        """Called with each mail."""
        self.mails.append(message_from_bytes(envelope.content))
        return "250 OK"


class _Mute(asyncio.Protocol):
    """Accepts, and never speaks."""


@contextmanager
def host() -> Iterator[Host]:
    """Runs it."""
    kept = Host(ports.any_free())

    class Sink(Controller):
        def factory(self) -> asyncio.Protocol:
            if kept.silent:
                kept.silenced += 1
                return _Mute()
            # A picture is a few MB.
            found: asyncio.Protocol = SMTP(kept, hostname="localhost", data_size_limit=64_000_000)
            return found

    sink = Sink(kept, hostname="127.0.0.1", port=kept.port)
    sink.start()
    try:
        yield kept
    finally:
        sink.stop()
