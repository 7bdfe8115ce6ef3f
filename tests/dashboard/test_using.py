"""Live as people use it in the browser: by click, keyboard and phone, by link and as CSV."""

import csv
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.dashboard.browser import Viewer
from tests.dashboard.conftest import Shown

SLUG = "storewatch-live"
COUNTRIES, REGIONS = "Countries now", "Regions now"
SECONDS = 60


@pytest.fixture
def live(chromium: Browser, shown: Shown, titles: dict[str, list[str]]) -> Viewer:
    """Somebody who sees all countries, in front of Live."""
    return _live(chromium, shown, titles, "viewer")


def _live(chromium: Browser, shown: Shown, titles: dict[str, list[str]], user: str, **screen: int) -> Viewer:
    viewer = Viewer.of(chromium, shown.url, **screen)
    viewer.page.set_default_timeout(SECONDS * 1000)
    viewer.log_in(user, shown.passwords[user])
    viewer.open(SLUG, titles[SLUG], seconds=SECONDS)
    return viewer


def _chart(viewer: Viewer, title: str) -> Locator:
    return viewer.page.locator(f'[data-test-chart-name="{title}"]')


def _cell(viewer: Viewer, title: str, text: str) -> Locator:
    return _chart(viewer, title).get_by_text(text, exact=True)


def _choose_spain(viewer: Viewer) -> None:
    """Clicks it in the table of countries."""
    _cell(viewer, COUNTRIES, "es").click()
    _wait_for_spain(viewer)


def _filter_spain(viewer: Viewer) -> None:
    """Types it into the filter that has the keyboard, and applies that."""
    viewer.page.keyboard.type("es")
    viewer.page.keyboard.press("Enter")
    apply = viewer.page.locator('[data-test="filter-bar__apply-button"]')
    expect(apply).to_be_enabled()
    apply.press("Enter")
    _wait_for_spain(viewer)


def _wait_for_spain(viewer: Viewer) -> None:
    """Until the regions are Spain's only. While a chart asks it has none."""
    viewer.page.wait_for_function(
        """title => {
            const cells = [...document.querySelectorAll(`[data-test-chart-name="${title}"] td`)].map(one => one.innerText);
            return cells.includes('es') && !cells.includes('mx');
        }""",
        arg=REGIONS,
    )


@pytest.mark.parametrize("slug", ["storewatch-health", "storewatch-live", "storewatch-store", "storewatch-trends"])
def test_a_dashboard_is_drawn_within_ten_seconds_once_somebody_has_seen_its_slot(
    chromium: Browser, shown: Shown, titles: dict[str, list[str]], slug: str
) -> None:
    viewer = Viewer.of(chromium, shown.url)
    viewer.log_in("viewer", shown.passwords["viewer"])
    viewer.open(slug, titles[slug], seconds=2 * SECONDS)
    viewer.open(slug, titles[slug], seconds=10)


def test_a_click_on_a_country_narrows_the_other_charts(live: Viewer) -> None:
    assert _cell(live, REGIONS, "mx").count() > 0
    _choose_spain(live)
    # The table that was clicked still offers the others.
    assert _cell(live, COUNTRIES, "mx").count() == 1


def test_a_number_is_drilled_by_another_column(live: Viewer, shown: Shown) -> None:
    page = live.page
    _cell(live, COUNTRIES, "es").click(button="right")
    page.get_by_role("menuitem", name="Drill by").hover()
    with page.expect_response(lambda answer: "/chart/data" in answer.url) as answer:
        page.locator(".ant-popover, .ant-dropdown-menu-submenu").get_by_text("Region", exact=True).click()
    rows = answer.value.json()["result"][0]["data"]
    expect(page.get_by_role("dialog").get_by_text("ES-MD", exact=True).first).to_be_visible()
    known = shown.lake.ask("select distinct region from store_availability where country = 'es' and status <> 'orphan'")
    assert {row["region"] for row in rows} == {row["region"] for row in known}


def test_a_link_keeps_what_was_filtered(live: Viewer, chromium: Browser, shown: Shown) -> None:
    live.page.get_by_role("combobox", name="NATIVE_FILTER-country").click()
    _filter_spain(live)
    live.page.get_by_role("button", name="Menu actions trigger").click()
    live.page.get_by_role("menuitem", name="Share").hover()
    with live.page.expect_response(lambda answer: "/permalink" in answer.url) as answer:
        live.page.get_by_text("Copy permalink to clipboard", exact=True).click()
    other = Viewer.of(chromium, shown.url)
    other.page.set_default_timeout(SECONDS * 1000)
    other.log_in("analyst", shown.passwords["analyst"])
    other.page.goto(answer.value.json()["url"])
    _wait_for_spain(other)


def test_a_chart_is_downloaded_as_csv_with_what_it_shows(live: Viewer, tmp_path: Path) -> None:
    _choose_spain(live)
    _chart(live, REGIONS).get_by_role("button", name="More Options").click()
    live.page.get_by_role("menuitem", name="Download").hover()
    with live.page.expect_download() as download:
        live.page.get_by_text("Export to .CSV", exact=True).click()
    download.value.save_as(tmp_path / "regions.csv")
    with open(tmp_path / "regions.csv", newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    shown = _chart(live, REGIONS).locator("tbody tr")
    assert len(rows) == shown.count()
    assert {row["Country"] for row in rows} == {"es"}
    assert {row["Region"] for row in rows} >= {"ES-MD"}


def test_the_keyboard_reaches_the_menu_and_the_filters(live: Viewer) -> None:
    page = live.page
    reached: list[Any] = []
    while "NATIVE_FILTER-country" not in reached:
        assert len(reached) < 40, reached
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.ariaLabel"))
    assert "Menu actions trigger" in reached
    _filter_spain(live)


def test_a_phone_scrolls_down_only(chromium: Browser, shown: Shown, titles: dict[str, list[str]]) -> None:
    viewer = _live(chromium, shown, titles, "viewer", width=390)
    assert viewer.page.evaluate("document.documentElement.scrollWidth") == 390
    for title in titles[SLUG]:
        box = _chart(viewer, title).bounding_box()
        assert box is not None
        assert 0 <= box["x"] < 390


def test_a_map_has_the_rows_of_the_own_country_only(
    chromium: Browser, shown: Shown, titles: dict[str, list[str]]
) -> None:
    viewer = _live(chromium, shown, titles, "spaniard")
    assert _chart(viewer, "Spain now").locator("path").count() > 0
    assert "No results" in viewer.text_of("Mexico now")
