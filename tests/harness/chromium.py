"""Debian's Chromium, in which pages are tested as people see them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from infra.local.servers import packages

# No name resolves, so nothing can leave the machine even if the page's own policy failed.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser. Installs it if it is missing."""
    if not shutil.which("chromium"):
        packages.install("chromium", ["chromium"], "Chromium, in which pages are tested, is missing")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
