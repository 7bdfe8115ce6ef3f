"""Fifty viewers of Live: the engine is asked once a chart a slot, whoever asks, and even if all ask at once."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from playwright.sync_api import Browser

from infra.dashboard.client import Client
from infra.local.commands import dashboard
from infra.local.config import Stack
from infra.local.servers import superset
from infra.local.servers.processes import wait_for
from tests.dashboard.browser import Viewer
from tests.dashboard.conftest import Shown
from tests.harness import mail

VIEWERS = 50
SLUG = "storewatch-live"
SLOT_SECONDS = 900
# Enough to restart Superset and answer fifty viewers, on a machine that is busy with other tests.
PERIOD_SECONDS = 240


@contextmanager
def _slot_ends_in(shown: Shown, stack: Stack, seconds: float) -> Iterator[float]:
    """Has what Superset keeps end so many seconds from now, by its own setting, and not at a quarter of an hour.

    Tells the instant. Two periods are then two slots' periods, without waiting for a quarter of an hour.
    """
    sent = dashboard.Mail(shown.mails.address, mail.TO)
    end = time.time() + seconds
    dashboard.up(stack, shown.lake.shown, sent, settle_seconds=int(end % SLOT_SECONDS))
    try:
        yield end
    finally:
        dashboard.up(stack, shown.lake.shown, sent)


def _asked(shown: Shown, since: datetime) -> list[str]:
    """What Superset has asked the engine since an instant, by the engine's own statistics."""
    rows = shown.lake.ask(
        "select query from system.runtime.queries where user = 'storewatch' "
        f"and created >= timestamp '{since:%Y-%m-%d %H:%M:%S.%f} UTC' order by created"
    )
    return [row["query"] for row in rows]


def _ask_all(viewers: list[Client], questions: list[dict[str, Any]]) -> None:
    """All viewers at the same time, each one chart after the other."""

    def look(viewer: Client) -> None:
        for question in questions:
            results = viewer.post("chart/data", question)["result"]
            assert all(result["status"] == "success" for result in results)

    with ThreadPoolExecutor(len(viewers)) as pool:
        list(pool.map(look, viewers))


def test_fifty_viewers_of_live_ask_the_engine_once_a_chart_a_slot(
    chromium: Browser, shown: Shown, stack: Stack, titles: dict[str, list[str]]
) -> None:
    page = Viewer.of(chromium, shown.url)
    page.log_in("viewer", shown.passwords["viewer"])
    page.open(SLUG, titles[SLUG], seconds=120)
    questions = list(page.questions)
    page.page.close()
    once = sum(len(question["queries"]) for question in questions)
    assert once > len(titles[SLUG])  # lists of filters too
    viewers = [shown.client("viewer") for _ in range(VIEWERS)]
    with _slot_ends_in(shown, stack, PERIOD_SECONDS) as end:
        _forget(stack)
        start = datetime.now(UTC)
        _ask_all(viewers, questions)
        assert time.time() < end, "the slot ended meanwhile: the machine is too busy for the test's period"
        assert len(asked := _asked(shown, start)) == once, asked
        assert wait_for(lambda: time.time() > end, PERIOD_SECONDS)
        start = datetime.now(UTC)
        _ask_all(viewers, questions)
        assert len(asked := _asked(shown, start)) == once, asked


def _forget(stack: Stack) -> None:
    """Empties the cache, so that the period begins with nothing, as a slot does."""
    settings = superset.read(stack.run_dir)
    assert settings
    password, port = settings.redis.removeprefix("redis://:").split("@127.0.0.1:")
    with socket.create_connection(("127.0.0.1", int(port)), timeout=10) as client:
        client.sendall(f"AUTH {password}\r\nSELECT 0\r\nFLUSHDB\r\n".encode())
        answer = b""
        while answer.count(b"\r\n") < 3:
            answer += client.recv(1024)
    assert answer == b"+OK\r\n" * 3
