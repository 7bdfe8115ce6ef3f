"""Notebooks that fail, run for ever, fill the memory or print without end: their owner reads why, and nobody else is hurt."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser

from infra.workbench.hub import contained, tell
from infra.workbench.hub.contained import Run
from tests.harness import mail
from tests.workbench.runs.machine import Machine, look, scheduler, until
from tests.workbench.runs.test_scheduler import MONDAY, SAVED, WEEKLY, processes

TELL = 'tell = ["ana@example.com", "ops@example.com"]\n'
BROKEN = 'def worst():\n    raise ValueError("no such week")\n\n\nworst()'
FOLDER = "runs/ana/weekly/20261123T070000Z"


def ended(machine: Machine, *cells: str, seconds: float = 120) -> str:
    """Runs a notebook in a sandbox for some seconds, beside another user's, and returns its error."""
    machine.schedule("ana", "weekly", cells, WEEKLY, at=SAVED)
    machine.schedule("ben", "other", ["print(6 * 7)"], WEEKLY, at=SAVED)
    look(scheduler(machine, lambda: MONDAY, limited(machine, seconds)), seconds=seconds + 120)
    assert machine.run("ben", "other")["outcome"] == "succeeded", machine.run("ben", "other")
    run = machine.run("ana", "weekly")
    assert run["outcome"] == "failed", machine.text(f"{FOLDER}/notebook.ipynb")[:5000]
    assert not processes(machine.users["ana"].uid)
    return str(run["error"])


def limited(machine: Machine, seconds: float) -> Run:
    """Runs notebooks in sandboxes, for a shorter time than a schedule can say; others than ana's have enough."""

    def run(job: contained.Job, stop: threading.Event) -> contained.Ended:
        mine = replace(job, seconds=seconds) if job.user.name == "ana" else job
        return contained.run(machine.settings, mine, stop)

    return run


@pytest.mark.smoke
def test_a_failed_run_keeps_its_traceback_is_counted_and_told(machine: Machine) -> None:
    with mail.host() as host:
        machine = replace(machine, settings=replace(machine.settings, smtp=host.address))
        machine.schedule("ana", "weekly", ["print('before')", BROKEN, "print('never')"], WEEKLY + TELL, at=SAVED)
        one = scheduler(machine, lambda: MONDAY)
        look(one)
        look(one)
        [message] = host.mails
    run = machine.run("ana", "weekly")
    assert run["error"].endswith("ValueError: no such week")
    assert "worst()" in run["error"]
    assert "tell" not in run
    for file in ("notebook.ipynb", "page.html"):
        text = machine.text(f"{FOLDER}/{file}")
        assert "no such week" in text
        assert "before" in text
    assert machine.counted(tell.FAILED) == 1
    assert message["To"] == "ana@example.com, ops@example.com"
    assert message["Subject"] == "Storewatch: the notebook weekly failed"
    assert "no such week" in message.get_payload()


def test_a_mail_host_that_says_nothing_holds_up_no_run(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tell, "_ANSWER_SECONDS", 2)
    now = [MONDAY]
    with mail.host() as host:
        host.silent = True
        machine = replace(machine, settings=replace(machine.settings, smtp=host.address))
        machine.schedule("ana", "weekly", ["1"], WEEKLY + TELL, at=SAVED)
        one = scheduler(machine, lambda: now[0], lambda _job, _stop: contained.Ended("it failed"))
        until(one, lambda: machine.keys(f"{FOLDER}/run.json"), "the result")
        until(one, lambda: host.silenced, "a mail is tried")
        begun = time.monotonic()
        machine.schedule("ben", "other", ["1"], WEEKLY, at=SAVED)
        until(one, lambda: machine.keys("runs/ben/other/"), "another run begins")
        assert time.monotonic() - begun < 2
        host.silent = False
        until(one, lambda: host.mails, "the mail comes once the host speaks", seconds=20)
        look(one)
    assert len(host.mails) == 1


def test_a_mail_that_no_host_takes_is_left_after_an_hour(machine: Machine) -> None:
    machine = replace(machine, settings=replace(machine.settings, smtp="smtp://127.0.0.1:1"))
    machine.schedule("ana", "weekly", ["1"], WEEKLY + TELL, at=SAVED)
    now = [MONDAY]
    one = scheduler(machine, lambda: now[0], lambda _job, _stop: contained.Ended("it failed"))
    until(one, lambda: machine.keys(f"{FOLDER}/run.json"), "the result")
    assert list((machine.state / "runs").iterdir())
    now[0] = datetime(2026, 11, 23, 8, 1, tzinfo=UTC)
    look(one)
    assert not list((machine.state / "runs").iterdir())
    assert machine.counted(tell.FAILED) == 1


def test_a_notebook_that_runs_for_ever_is_ended(machine: Machine) -> None:
    endless = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('begun')\nwhile True:\n    pass"
    error = ended(machine, endless, seconds=30)
    assert error.startswith("It took longer than 0.5 minutes, and was ended.")
    for file in ("notebook.ipynb", "page.html"):
        text = machine.text(f"{FOLDER}/{file}")
        assert "begun" in text
        assert "It took longer than" in text


def test_a_process_that_a_notebook_leaves_behind_is_ended(machine: Machine) -> None:
    daemon = (
        "import subprocess\nsubprocess.Popen(['setsid', 'sleep', '1000'], start_new_session=True)\nraise ValueError"
    )
    assert "ValueError" in ended(machine, daemon)


def test_a_notebook_that_fills_the_memory_is_ended(machine: Machine) -> None:
    greedy = "print('begun')\nkept = []\nwhile True:\n    kept.append(bytearray(10_000_000))"
    assert ended(machine, greedy) == "It took more memory than a notebook may have, 500M."
    assert "begun" in machine.text(f"{FOLDER}/notebook.ipynb")


def test_a_notebook_whose_kernel_ends_is_told_so(machine: Machine) -> None:
    assert ended(machine, "import os\nos._exit(3)") == "Its kernel ended all of a sudden."


@pytest.mark.parametrize(
    "printing",
    [
        "for _ in range(1000):\n    print('x' * 1_000_000)",
        "import sys\nline = 'x' * 99 + '\\n'\nfor _ in range(10_000_000):\n    sys.stdout.write(line)",
        "import subprocess\nsubprocess.run('yes | head -c 1000000000', shell=True)",
        "from IPython.display import display, HTML\nfor _ in range(1000):\n    display(HTML('x' * 1_000_000))",
    ],
    ids=["large pieces", "small pieces", "another process", "as HTML"],
)
def test_a_notebook_that_prints_a_gigabyte_keeps_the_beginning(machine: Machine, printing: str) -> None:
    machine.schedule("ana", "weekly", [printing, "print('and on')"], WEEKLY, at=SAVED)
    look(scheduler(machine, lambda: MONDAY), seconds=300)
    run, text = machine.run("ana", "weekly"), machine.text(f"{FOLDER}/notebook.ipynb")
    assert len(text) < 20_000_000
    # Either its kernel kept up, or it kept what it could not send, and that filled the memory.
    assert run["error"] in (None, "It took more memory than a notebook may have, 500M.")
    assert run["error"] or "Output cut: this notebook printed more than 5 MB" in text
    assert sum(file.stat().st_size for file in machine.state.rglob("*") if file.is_file()) < 50_000_000


def test_a_notebook_that_is_none_is_told_so(machine: Machine) -> None:
    machine.put("ana", "weekly.ipynb", "this is no JSON")
    machine.put("ana", "weekly.schedule.toml", WEEKLY, at=SAVED)
    look(scheduler(machine, lambda: MONDAY))
    assert machine.run("ana", "weekly")["error"].startswith("It could not be run: ")


def test_results_that_are_links_are_not_followed(machine: Machine) -> None:
    secret = machine.state / "secret"
    secret.write_text("root's own")
    machine.schedule("ana", "weekly", ["1"], WEEKLY, at=SAVED)

    def run(job: contained.Job, _: threading.Event) -> contained.Ended:
        for name in ("notebook.ipynb", "page.html", "result.json"):
            (job.work / name).symlink_to(secret)
        return contained.Ended()

    look(scheduler(machine, lambda: MONDAY, run))
    assert [key for key in machine.keys("runs/") if not key.endswith("claim-1.json")] == [f"{FOLDER}/run.json"]
    assert "It ended without a result" in machine.run("ana", "weekly")["error"]


class Outside(HTMLParser):
    """What a page would load from elsewhere, and the policy that forbids it."""

    LOADS = frozenset({"src", "srcset", "data", "poster", "background", "action", "formaction", "manifest"})

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.policy = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "meta" and (given.get("http-equiv") or "").lower() == "content-security-policy":
            self.policy = self.policy or given.get("content") or ""
        names = self.LOADS | ({"href"} if tag in ("link", "base", "use", "image") else set())
        self.found += [f"{tag} {value}" for name, value in attrs if name in names and "//" in (value or "")]
        self.found += [f"{tag} script"] if tag == "script" else []


@pytest.mark.smoke
def test_a_page_loads_nothing_from_outside(machine: Machine) -> None:
    plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    machine.schedule("ana", "weekly", ["import pandas as pd\npd.DataFrame({'a': [1]})", plot], WEEKLY, at=SAVED)
    look(scheduler(machine, lambda: MONDAY))
    text = machine.text(f"{FOLDER}/page.html")
    parsed = Outside()
    parsed.feed(text)
    assert parsed.found == []
    assert parsed.policy.startswith("default-src 'none'")
    assert text.index("Content-Security-Policy") < text.index("<style")
    assert "data:image/png;base64," in text
    assert "@import" not in text
    assert "url(http" not in text.replace("'", "").replace('"', "")


def test_what_a_notebook_puts_into_its_output_is_not_loaded_either(machine: Machine) -> None:
    foreign = "from IPython.display import HTML\nHTML('<img src=\"https://example.com/x.png\"><script>1</script>')"
    machine.schedule("ana", "weekly", [foreign], WEEKLY, at=SAVED)
    look(scheduler(machine, lambda: MONDAY))
    parsed = Outside()
    parsed.feed(machine.text(f"{FOLDER}/page.html"))
    # It is there, and the policy before it forbids it.
    assert "img https://example.com/x.png" in parsed.found
    assert parsed.policy.startswith("default-src 'none'; img-src data:;")


def test_a_browser_asks_nobody_for_anything_to_show_a_page(machine: Machine, chromium: Browser) -> None:
    with asked() as (url, lines):
        html = f'<img src="{url}/a.png"><link rel="stylesheet" href="{url}/a.css"><iframe src="{url}/frame"></iframe>'
        html += f'<script src="{url}/a.js"></script><script>fetch("{url}")</script><style>@import "{url}/b.css"</style>'
        machine.schedule("ana", "weekly", [f"from IPython.display import HTML\nHTML({html!r})"], WEEKLY, at=SAVED)
        look(scheduler(machine, lambda: MONDAY))
        text = machine.text(f"{FOLDER}/page.html")
        for policy, found in (("Content-Security-Policy", False), ("X-None", True)):
            file = machine.state / f"{policy}.html"
            file.write_text(text.replace("Content-Security-Policy", policy))
            page = chromium.new_page()
            page.goto(file.as_uri(), wait_until="load")
            page.close()
            # Of the second page, which has no policy, everything is asked for.
            assert bool(lines) == found, lines
    assert {"GET /a.png", "GET /a.css", "GET /frame", "GET /a.js", "GET /b.css"} <= lines


@contextmanager
def asked() -> Iterator[tuple[str, set[str]]]:
    """A server elsewhere, and what it was asked for."""
    lines: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            lines.add(f"GET {self.path}")
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", lines
    finally:
        server.shutdown()
        server.server_close()


def test_a_run_sees_only_its_owners_files(machine: Machine) -> None:
    (machine.home("ben") / "private.txt").write_text("ben's")
    looks = f"import os\nprint(os.path.exists('{machine.home('ben')}'), os.listdir('/home'), 'AWS' in str(os.environ))"
    machine.schedule("ana", "weekly", [looks], WEEKLY, at=SAVED)
    look(scheduler(machine, lambda: MONDAY))
    assert "False ['ana'] False" in machine.text(f"{FOLDER}/notebook.ipynb")
    assert os.path.exists(machine.home("ben"))
