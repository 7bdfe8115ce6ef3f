"""JupyterLab in the browser, as a user who is signed in, and notes everything that should not happen."""

import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Request, expect

from infra.workbench.hub.settings import Settings

# JupyterLab takes some seconds to start, and a busy machine many. Longer than the hub waits for a server.
_MILLISECONDS = 90_000
expect.set_options(timeout=_MILLISECONDS)


@dataclass
class Lab:
    """A user in front of the browser."""

    page: Page
    settings: Settings
    name: str
    left: list[str] = field(default_factory=list)  # requests to other machines

    @classmethod
    def of(cls, browser: Browser, settings: Settings, name: str) -> "Lab":
        """A new browser profile, not signed in."""
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(_MILLISECONDS)
        lab = cls(page, settings, name)
        page.on("request", lab._note)
        return lab

    def sign_in(self, password: str) -> None:
        """Fills the form in. Ends once the answer is there, whatever it is."""
        self.page.goto(f"{self.settings.address}/hub/login")
        self.page.fill("#username_input", self.name)
        self.page.fill("#password_input", password)
        self.page.click("#login_submit")
        self.page.wait_for_load_state("load")

    def open(self, path: str = "") -> None:
        """Opens Lab, with a file of the home if one is given. Waits until it can be used."""
        self.page.goto(f"{self.settings.address}/user/{self.name}/lab" + (f"/tree/{path}" if path else "") + "?reset")
        if path:
            expect(self.page.locator(".jp-NotebookPanel .jp-CodeCell").first).to_be_visible(timeout=_MILLISECONDS)
            expect(self.page.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute("data-status", "idle")
        else:
            expect(self.page.locator(".jp-Launcher")).to_be_visible(timeout=_MILLISECONDS)

    def new_notebook(self) -> None:
        """Opens an empty notebook from the launcher."""
        self.page.locator('.jp-LauncherCard[data-category="Notebook"]').first.click()
        self._wait_for_kernel()

    def run(self, code: str, shows: str) -> None:
        """Writes code into the last cell, runs it, and waits for what it shows."""
        self.page.locator(".jp-NotebookPanel .jp-CodeCell .cm-content").last.click()
        self.page.keyboard.insert_text(code)
        self._execute(self.page.locator(".jp-NotebookPanel .jp-CodeCell").count() - 1, shows)

    def run_first(self, shows: str) -> None:
        """Runs the first cell, and waits for what it shows."""
        self._execute(0, shows)

    def write_text(self, name: str, text: str) -> None:
        """Makes a text file with the launcher's card, and saves it under a name."""
        self.page.locator(".jp-LauncherCard", has_text="Text File").click()
        editor = self.page.locator(".jp-FileEditor .cm-content")
        editor.click()
        self.page.keyboard.insert_text(text)
        self.save_as(name)

    def _execute(self, number: int, shows: str) -> None:
        output = self.page.locator(".jp-NotebookPanel .jp-OutputArea-output", has_text=shows).last
        deadline = time.monotonic() + _MILLISECONDS / 1000
        while True:
            self.page.locator(".jp-NotebookPanel .jp-CodeCell .cm-content").nth(number).click()
            self.page.keyboard.press("Shift+Enter")
            try:
                expect(output).to_be_visible(timeout=5000)
                return
            except AssertionError:
                # Lab drops what is run before it has a connection to the kernel, and does not show when it has one.
                if time.monotonic() > deadline:
                    raise

    def save_as(self, name: str) -> None:
        """Saves what is open for the first time, under a name in the folder that is shown."""
        self.page.keyboard.press("Control+s")
        dialog = self.page.locator(".jp-Dialog")
        dialog.locator("input").first.fill(name)
        dialog.locator(".jp-mod-accept").click()
        expect(self.page.locator(".jp-DirListing-itemText", has_text=name)).to_be_visible()

    def _wait_for_kernel(self) -> None:
        """Until the kernel is there."""
        expect(self.page.locator("#jp-main-statusbar", has_text="| Idle")).to_be_visible()

    def _note(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https", "ws", "wss") and address.hostname != "127.0.0.1":
            self.left.append(request.url)
