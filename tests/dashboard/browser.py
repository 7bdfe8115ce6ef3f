"""Drives Debian's Chromium as a user who is logged in, and notes everything that should not happen."""

import time
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, Page, Request, Response

_PATH = "/api/v1/chart/data"
# Every chart of the dashboard shows something, and none still waits.
_RENDERED = """names => names.every(name => {
    const chart = document.querySelector(`[data-test-chart-name="${name}"]`);
    return chart && chart.querySelector('[data-test="slice-container"]') && !chart.querySelector('.loading');
})"""


@dataclass
class Viewer:
    """A user in front of the browser."""

    page: Page
    url: str
    left: list[str] = field(default_factory=list)  # requests to other machines that the page's policy did not stop
    failed: list[str] = field(default_factory=list)  # answers of 400 and more
    answers: list[dict[str, Any]] = field(default_factory=list)  # of charts and filters
    questions: list[dict[str, Any]] = field(default_factory=list)  # what the page sent for them
    asked: int = 0  # how many answers of charts and filters are to come

    @classmethod
    def of(cls, browser: Browser, url: str, *, width: int = 1280, height: int = 5000) -> "Viewer":
        """A new browser profile, not logged in. High, because Superset draws a chart once it is in sight."""
        viewer = cls(browser.new_context(viewport={"width": width, "height": height}).new_page(), url)
        viewer.page.on("request", viewer._note_question)
        viewer.page.on("requestfailed", viewer._note_request)
        viewer.page.on("requestfinished", viewer._note_request)
        viewer.page.on("response", viewer._note_response)
        return viewer

    def log_in(self, user: str, password: str) -> None:
        """Fills the form in."""
        self.page.goto(f"{self.url}/login/")
        self.page.fill("input[type=password]", password, timeout=60_000)
        self.page.fill("#username, input[name=username]", user)
        # Each answer of Superset sets the session's cookie, so one of the login page that comes late would log out again.
        self.page.wait_for_load_state("networkidle")
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(lambda url: "/login" not in url, timeout=60_000)

    def open(self, slug: str, charts: list[str], *, seconds: float) -> None:
        """Opens a dashboard and waits until its charts, named by their titles, are drawn and its filters are filled."""
        self.answers.clear()
        self.questions.clear()
        self.asked = 0
        deadline = time.monotonic() + seconds
        self.page.goto(f"{self.url}/superset/dashboard/{slug}/")
        while self.asked < len(charts) or len(self.answers) < self.asked or not self.page.evaluate(_RENDERED, charts):
            assert time.monotonic() < deadline, (
                f"{slug} is not drawn after {seconds} s: {len(self.answers)} of {self.asked} answers; {self.failed}"
            )
            self.page.wait_for_timeout(50)  # lets the browser's events in

    def text_of(self, chart: str) -> str:
        """What a chart says."""
        return self.page.inner_text(f'[data-test-chart-name="{chart}"]')

    def _note_question(self, request: Request) -> None:
        if _PATH in request.url:
            self.asked += 1
            self.questions.append(request.post_data_json or {})

    def _note_request(self, request: Request) -> None:
        stopped = request.failure and "csp" in request.failure
        if not request.url.startswith((f"{self.url}/", "data:", "blob:")) and not stopped:
            self.left.append(request.url)

    def _note_response(self, response: Response) -> None:
        # The page offers Superset the colours that it gave to new values. Viewers may not write, and need not.
        if response.status == 403 and response.request.method == "PUT" and "/colors?" in response.url:
            return
        if response.status >= 400:
            self.failed.append(f"{response.status} {response.request.method} {response.url}")
        elif _PATH in response.url:
            self.answers.append(response.json())
