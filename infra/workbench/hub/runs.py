"""One run of a scheduled notebook: claimed once, run, and kept on disk until it is on S3 and told.

    runs/<owner>/<name>/<instant>/{claim-1.json, claim-2.json, notebook.ipynb, page.html, run.json}

`run.json` is written last, and only once. A claim without it, whose time is over, belonged to a scheduler that was killed:
the run is then claimed a second time, and not again.
"""

import json
import re
import shutil
import socket
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from infra.workbench.hub import files, tell
from infra.workbench.hub.contained import Ended
from infra.workbench.hub.schedules import File, Schedule
from infra.workbench.hub.settings import Settings
from infra.workbench.hub.store import Store, Unavailable
from infra.workbench.hub.users import User

INSTANT = "%Y%m%dT%H%M%SZ"
# Beyond the notebook's own time: to end it, and to bring what came out to S3.
MARGIN = timedelta(minutes=10)
_ATTEMPTS = 2
_MOST_BYTES = 40_000_000
_MOST_LINES, _MOST_LINE = 15, 500
# A mail that no host takes for so long is left.
_MAIL = timedelta(hours=1)
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_TYPES = {"notebook.ipynb": "application/x-ipynb+json", "page.html": "text/html; charset=utf-8"}


@dataclass(frozen=True)
class Due:
    """A notebook that was due at an instant."""

    file: File
    schedule: Schedule
    user: User
    at: datetime

    @property
    def prefix(self) -> str:
        """Where its run is on S3."""
        return f"runs/{self.file.owner}/{self.file.name}/{self.at:{INSTANT}}/"

    @property
    def seconds(self) -> float:
        """The notebook's time."""
        return self.schedule.timeout_minutes * 60.0


@dataclass(frozen=True)
class Claimed:
    """It is ours to run."""

    attempt: int


@dataclass(frozen=True)
class Held:
    """Somebody runs it, until then at the latest; without an instant, it has been run."""

    until: datetime | None


@dataclass(frozen=True)
class Lost:
    """All attempts ended without a result."""


class Claims:
    """A scheduler's claims."""

    def __init__(self, store: Store):
        self._store = store
        self._by = f"{socket.gethostname()} {uuid.uuid4().hex}"

    def take(self, due: Due, now: datetime) -> Claimed | Held | Lost:
        """Claims a run, of which only one scheduler gets each attempt."""
        until = now + timedelta(seconds=due.seconds) + MARGIN
        text = json.dumps({"by": self._by, "at": now.isoformat(), "until": until.isoformat()})
        for attempt in range(1, _ATTEMPTS + 1):
            key = self._key(due, attempt)
            if self._store.put(key, text.encode(), content_type="application/json", only_new=True):
                return Claimed(attempt)
            if self._store.get(f"{due.prefix}run.json"):
                return Held(None)
            held = self._store.get(key)
            found = json.loads(held.body) if held else {"by": self._by, "until": text}
            if found["by"] == self._by:  # the answer to our own request was lost on its way
                return Claimed(attempt)
            if now < datetime.fromisoformat(found["until"]):
                return Held(datetime.fromisoformat(found["until"]))
        return Lost()

    def release(self, due: Due, attempt: int) -> None:
        """Gives a claim back: the next scheduler takes it at once."""
        self._store.delete(self._key(due, attempt))

    def _key(self, due: Due, attempt: int) -> str:
        return f"{due.prefix}claim-{attempt}.json"


def record(due: Due, started: datetime | None, ended: datetime, error: str | None) -> dict[str, Any]:
    """What run.json says."""
    return {
        "id": uuid.uuid4().hex,
        "owner": due.file.owner,
        "name": due.file.name,
        "due": due.at.isoformat(),
        "started": started.isoformat() if started else None,
        "ended": ended.isoformat(),
        "outcome": "failed" if error else "succeeded",
        "error": last_lines(error) if error else None,
        "parameters": due.schedule.values(due.at),
        "readers": list(due.schedule.readers),
        "tell": list(due.schedule.tell),
    }


def last_lines(text: str) -> str:
    """The end of a traceback, without colours."""
    lines = [line[:_MOST_LINE] for line in _ANSI.sub("", text).strip().splitlines()]
    return "\n".join(lines[-_MOST_LINES:])


def outcome(work: Path, ended: Ended) -> str | None:
    """What went wrong, from outside and by the run's own word."""
    if ended.problem:
        return ended.problem
    try:
        error = json.loads(files.read(work, "result.json", _MOST_BYTES)[0])["error"]
        return None if error is None else ended.full or str(error)
    except (OSError, ValueError, KeyError, TypeError):
        return ended.full or f"It ended without a result.\n{ended.log}"


def keep(folder: Path, due: Due, work: Path | None, content: Mapping[str, Any]) -> None:
    """Keeps a result on disk until it is delivered. The work folder is the user's, so no link in it is followed."""
    kept = folder / content["id"]
    kept.mkdir(parents=True, mode=0o700)
    for name in _TYPES if work else ():
        with suppress(OSError):  # it did not come so far, or is too large
            (kept / name).write_bytes(files.read(work or kept, name, _MOST_BYTES)[0])
    partial = kept / "run.json.tmp"
    partial.write_text(json.dumps({"prefix": due.prefix, **content}))
    partial.replace(kept / "run.json")


def waiting(folder: Path) -> list[Path]:
    """The results that are not delivered yet, oldest first."""
    found = [file.parent for file in folder.glob("*/run.json")]
    return sorted(found, key=lambda one: (one / "run.json").stat().st_mtime)


def deliver(settings: Settings, store: Store, kept: Path, now: datetime) -> None:
    """Brings a result to S3, then tells of a failure. Done again from where it stopped if something is down."""
    content = json.loads((kept / "run.json").read_text())
    prefix, to = content.pop("prefix"), content.pop("tell")
    if not (kept / "delivered").exists():
        if not _put(store, prefix, kept, content):
            shutil.rmtree(kept)  # another scheduler's second attempt was faster
            return
        (kept / "delivered").touch()
    if content["outcome"] == "failed" and not (kept / "counted").exists():
        tell.metric(settings, tell.FAILED)
        (kept / "counted").touch()
    if content["outcome"] == "failed" and to and settings.smtp:
        try:
            tell.mail(settings, to, f"Storewatch: the notebook {content['name']} failed", _text(settings, content))
        except tell.MailFailed:
            if now < datetime.fromisoformat(content["ended"]) + _MAIL:
                raise
    shutil.rmtree(kept)


def _put(store: Store, prefix: str, kept: Path, content: Mapping[str, Any]) -> bool:
    """Whether it is this result that is on S3 now."""
    there = store.get(f"{prefix}run.json")
    if there is None:
        for name, kind in _TYPES.items():
            if (kept / name).exists():
                store.put(f"{prefix}{name}", (kept / name).read_bytes(), content_type=kind)
        text = json.dumps(content, indent=1).encode()
        if store.put(f"{prefix}run.json", text, content_type="application/json", only_new=True):
            return True
        there = store.get(f"{prefix}run.json")
    if there is None:
        raise Unavailable(f"{prefix}run.json can neither be written nor read")
    return json.loads(there.body)["id"] == content["id"]


def _text(settings: Settings, content: Mapping[str, Any]) -> str:
    due = datetime.fromisoformat(content["due"]).astimezone(UTC)
    return (
        f"The notebook {content['name']} of {content['owner']}, due {due:%Y-%m-%d %H:%M} UTC, failed:\n\n"
        f"{content['error']}\n\nWhat it came to: {settings.address}/services/pages/\n"
    )
