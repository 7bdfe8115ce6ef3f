"""What the pages say when something is missing: never a number that looks like an answer."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser

from infra.dashboard.importer import bring
from infra.local.config import Stack
from infra.local.servers import trino
from tests.dashboard import lake as lakes
from tests.dashboard.browser import Viewer
from tests.dashboard.conftest import Shown

SLUG = "storewatch-live"
SECONDS = 120
# What tells how old the last rows are, however old.
AGES = ["Data age (min)", "Newest slot by country (UTC)"]
SHARE = re.compile(r"(?<![\d.])(0|100)(\.0+)?\s?%")


@contextmanager
def _showing(shown: Shown, stack: Stack, keep: lakes.Keep) -> Iterator[None]:
    """Shows another lake for a while: of the rows of the usual one only those partitions."""
    admin, engine = shown.client("admin"), shown.lake.engine

    def show(lake: lakes.Lake) -> None:
        uri = trino.dashboard_address(stack, engine, lake.database)
        bring(admin, lake.database, uri, lakes.COUNTRIES, "1.0.0", print)

    with lakes.made(stack, engine, keep) as lake:
        show(lake)
        try:
            yield
        finally:
            show(shown.lake)


def _open(chromium: Browser, shown: Shown, titles: dict[str, list[str]], user: str = "viewer") -> Viewer:
    viewer = Viewer.of(chromium, shown.url)
    viewer.log_in(user, shown.passwords[user])
    viewer.open(SLUG, titles[SLUG], seconds=SECONDS)
    return viewer


@pytest.mark.parametrize(
    ("keep", "told"),
    [
        (lambda country, day: False, []),
        (lambda country, day: day < datetime.now(UTC).date() - timedelta(days=1), AGES),
    ],
    ids=["empty", "without today and yesterday"],
)
def test_a_lake_without_rows_shows_no_numbers(
    chromium: Browser, shown: Shown, stack: Stack, titles: dict[str, list[str]], keep: lakes.Keep, told: list[str]
) -> None:
    with _showing(shown, stack, keep):
        viewer = _open(chromium, shown, titles)
        for chart in titles[SLUG]:
            text = viewer.text_of(chart)
            is_empty = "no results" in text.lower() or "no data" in text.lower()
            assert is_empty == (chart not in told), (chart, text)
            assert not SHARE.search(text), (chart, text)
        assert viewer.failed == []


def test_a_country_without_ticks_is_missing_and_the_others_are_there(
    chromium: Browser, shown: Shown, stack: Stack, titles: dict[str, list[str]]
) -> None:
    with _showing(shown, stack, lambda country, day: country != "es"):
        text = _open(chromium, shown, titles).text_of("Countries now")
        assert "mx" in text
        assert "es" not in re.findall(r"\b\w\w\b", text)
        own = _open(chromium, shown, titles, "spaniard")
        for chart in titles[SLUG]:
            assert not SHARE.search(own.text_of(chart)), (chart, own.text_of(chart))
        assert "no results" in own.text_of("Countries now").lower()


def test_an_engine_that_is_down_is_told_and_no_number_is_shown(
    chromium: Browser, shown: Shown, stack: Stack, titles: dict[str, list[str]]
) -> None:
    # Nothing is kept of a lake that nobody has looked at.
    with _showing(shown, stack, lambda country, day: True):
        trino.down(stack)
        try:
            viewer = Viewer.of(chromium, shown.url)
            viewer.log_in("viewer", shown.passwords["viewer"])
            viewer.page.goto(f"{shown.url}/superset/dashboard/{SLUG}/")
            for chart in titles[SLUG]:
                drawn = viewer.page.locator(f'[data-test-chart-name="{chart}"]')
                drawn.get_by_text(re.compile("failed to execute.*localhost")).first.wait_for(timeout=SECONDS * 1000)
                assert not SHARE.search(viewer.text_of(chart)), (chart, viewer.text_of(chart))
        finally:
            assert trino.up(stack) == shown.lake.engine


def test_a_wrong_password_is_told_and_lets_nobody_in(chromium: Browser, shown: Shown) -> None:
    page = Viewer.of(chromium, shown.url).page
    page.goto(f"{shown.url}/login/")
    page.fill("input[type=password]", "wrong", timeout=60_000)
    page.fill("#username, input[name=username]", "viewer")
    page.keyboard.press("Enter")
    page.get_by_text(re.compile("invalid", re.IGNORECASE)).first.wait_for(timeout=60_000)
    page.goto(f"{shown.url}/superset/dashboard/{SLUG}/")
    assert "/login" in page.url
