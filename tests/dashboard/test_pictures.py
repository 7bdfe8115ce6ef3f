"""The pictures of the documents, taken of the dashboards as they are: `make dashboard-pictures` writes them."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from infra.local.config import ROOT
from tests.dashboard.browser import Viewer
from tests.dashboard.conftest import Shown

FOLDER = ROOT / "docs" / "pictures"
MOST_BYTES = 200_000
# Name of the picture, of its dashboard, and width and height in pixels.
PICTURES = [
    ("live", "storewatch-live", 1280, 1330),
    ("live-phone", "storewatch-live", 390, 1200),
    ("store", "storewatch-store", 1280, 1885),
]


@pytest.mark.parametrize(("name", "slug", "width", "height"), PICTURES)
def test_a_picture_is_small_and_every_chart_is_drawn(
    chromium: Browser, shown: Shown, titles: dict[str, list[str]], tmp_path: Path,
    name: str, slug: str, width: int, height: int,
) -> None:  # fmt: skip
    viewer = Viewer.of(chromium, shown.url, width=width)
    viewer.log_in("viewer", shown.passwords["viewer"])
    viewer.open(slug, titles[slug], seconds=120)
    viewer.page.evaluate("document.fonts.ready")
    made = tmp_path / f"{name}.png"
    viewer.page.screenshot(
        path=made, clip={"x": 0, "y": 0, "width": width, "height": height}, animations="disabled", caret="hide"
    )
    assert made.stat().st_size < MOST_BYTES
    if os.environ.get("STOREWATCH_PICTURES"):
        shutil.copy(made, FOLDER)
    assert (FOLDER / made.name).exists(), "the documents show a picture that is not there: make dashboard-pictures"
