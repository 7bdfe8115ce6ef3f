"""Brings every save of every file to S3 within seconds: python -m infra.workbench.hub.mirror

    homes/<user>/<path>, groups/<group>/<path>, users.json, and backup/<day>.json after each full pass

It looks at all files whenever something changes, and brings what differs from what it remembers to have brought. So a save
during an outage of S3, a folder that was renamed and a signal that was missed are nothing special. It deletes on S3 only
what it has itself brought: on an empty machine, nothing.
"""

import hashlib
import json
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from watchfiles import watch

from infra.workbench.hub import files, tell
from infra.workbench.hub.settings import Settings
from infra.workbench.hub.store import Store, Unavailable
from infra.workbench.hub.users import FILE as _USERS
from infra.workbench.hub.users import Users

LARGEST = 50_000_000
# S3 allows 1024 bytes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_LONGEST = 1000
_FULL_SECONDS = 600.0
_AGAIN_SECONDS = 5.0
_QUIET_MILLISECONDS = 300
_IDLE_MILLISECONDS = 1000
_TORN_SECONDS = 0.5
_NAMED = 100


@dataclass
class Pass:
    """What one look at all files came to."""

    files: int = 0
    bytes: int = 0
    put: int = 0
    deleted: int = 0
    left_out: list[str] = field(default_factory=list)
    failed: Unavailable | None = None
    torn: bool = False  # a file changed while it was read


class Mirror:
    """The backup of one machine."""

    def __init__(self, settings: Settings, store: Store, clock: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._settings = settings
        self._store = store
        self._clock = clock
        self.state = settings.folder
        self._warned: set[str] = set()
        self._names: dict[int, str] = {}
        self.down = False
        self.folders: list[Path] = []
        # What was brought, by key: a file that is as it was then is not read again.
        self._memory = sqlite3.connect(self.state / "mirror.sqlite", isolation_level=None, check_same_thread=False)
        self._memory.execute("create table if not exists brought (key text primary key, look text, sum text)")

    def look(self, *, full: bool = False) -> Pass:
        """Brings what has changed. A full pass also asks S3 whether it has all, and says that there is a backup."""
        made = Pass()
        brought = {
            key: (look, total) for key, look, total in self._memory.execute("select key, look, sum from brought")
        }
        there = self._listed(made) if full else None
        self._names = {user.uid: user.name for user in Users.load(self.state)}
        seen: set[str] = set()
        for key, root, found in self._files(made, seen):
            look = _look(found)
            before = brought.get(key)
            if before and before[0] == look and (there is None or key in there):
                continue
            self._bring(made, key, root, found, before, there)
            if made.failed:
                break
        if not made.failed:
            self._forget(made, [key for key in brought if key not in seen])
        self._tell(made, full)
        return made

    def _files(self, made: Pass, seen: set[str]) -> Iterator[tuple[str, Path, files.Found]]:
        """All files that are to be kept, with their keys."""
        folders = [self.state / name for name in ("homes", "groups") if (self.state / name).is_dir()]
        self.folders = [self.state]
        for folder in folders:
            walked: list[str] = []
            for found in files.walk(folder, walked):
                key = f"{folder.name}/{found.path}"
                seen.add(key)
                if reason := _left_out(key, found):
                    self._warn(made, key, reason)
                    continue
                made.files += 1
                made.bytes += found.stat.st_size
                yield key, folder, found
            self.folders += [folder / path for path in walked]
        with suppress(FileNotFoundError):
            seen.add(_USERS)
            yield _USERS, self.state, files.Found(_USERS, (self.state / _USERS).lstat())

    def _bring(
        self,
        made: Pass,
        key: str,
        root: Path,
        found: files.Found,
        before: tuple[str, str] | None,
        there: set[str] | None,
    ) -> None:
        try:
            body, stat = files.read(root, found.path, LARGEST)
        except OSError:  # gone, or something else by now: the next look tells
            made.torn = True
            return
        now = files.Found(found.path, stat)
        if _look(now) != _look(found) or len(body) != stat.st_size:
            made.torn = True
            return
        metadata = self._metadata(stat.st_mtime_ns, stat.st_mode & 0o777, stat.st_uid)
        total = hashlib.sha256(body + json.dumps(metadata).encode()).hexdigest()
        # Touched only, and as before.
        if not before or before[1] != total or (there is not None and key not in there):
            try:
                self._store.put(key, body, metadata=metadata)
            except Unavailable as error:
                made.failed = error
                return
            made.put += 1
        self._memory.execute("insert or replace into brought values (?, ?, ?)", (key, _look(found), total))

    def _metadata(self, mtime_ns: int, mode: int, uid: int) -> dict[str, str]:
        return {"mtime-ns": str(mtime_ns), "mode": f"{mode:o}", "owner": self._names.get(uid, "")}

    def _forget(self, made: Pass, keys: list[str]) -> None:
        """Deletes on S3 what was deleted here, but not what went away with a whole home, a group's folder or the users."""
        for key in keys:
            top = self.state.joinpath(*key.split("/")[:2])
            if key == _USERS or not top.is_dir():
                continue
            try:
                self._store.delete(key)
            except Unavailable as error:
                made.failed = error
                return
            made.deleted += 1
            self._memory.execute("delete from brought where key = ?", (key,))

    def _listed(self, made: Pass) -> set[str] | None:
        try:
            return {key for prefix in ("homes/", "groups/", _USERS) for key in self._store.keys(prefix)}
        except Unavailable as error:
            made.failed = error
            return None

    def _warn(self, made: Pass, key: str, reason: str) -> None:
        printed = key.encode(errors="replace").decode()
        made.left_out.append(f"{printed}: {reason}")
        if key not in self._warned:
            self._warned.add(key)
            say(f"leaves out {printed!r}: {reason}")

    def _tell(self, made: Pass, full: bool) -> None:
        if full and not made.failed and (self.state / _USERS).exists():
            now = self._clock()
            content = {
                "at": now.isoformat(),
                "files": made.files,
                "bytes": made.bytes,
                "left_out": made.left_out[:_NAMED],
            }
            try:
                text = json.dumps(content, indent=1).encode()
                self._store.put(f"backup/{now:%Y-%m-%d}.json", text, content_type="application/json")
                tell.metric(self._settings, tell.BACKED_UP)
            except Unavailable as error:
                made.failed = error
        if made.failed and not self.down:
            say(f"{made.failed}; what was saved since is kept here, and brought once S3 is back")
        elif self.down and not made.failed:
            say("S3 is back, and has everything")
        self.down = bool(made.failed)


def _look(found: files.Found) -> str:
    """What changes with every save, also if the time of the file is set back."""
    stat = found.stat
    return f"{stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_size} {stat.st_ino} {stat.st_mode}"


def _left_out(key: str, found: files.Found) -> str | None:
    if found.stat.st_size > LARGEST:
        return f"it has more than {LARGEST // 1_000_000} MB"
    if not key.isprintable() or len(key.encode(errors="replace")) > _LONGEST:
        return "its name is too long, or has characters that cannot be printed"
    return None


def say(text: str) -> None:
    """A line for the hub's log."""
    print(f"mirror: {text}", flush=True)


def follow(mirror: Mirror, stop: threading.Event, *, full_seconds: float = _FULL_SECONDS) -> None:
    """Looks whenever something changes, and fully from time to time."""
    changes: Iterator[object] = iter(())
    watched: list[Path] = []
    full_at = 0.0
    while not stop.is_set():
        begun = time.monotonic()
        made = mirror.look(full=begun >= full_at)
        if begun >= full_at and not made.failed:
            full_at = begun + full_seconds
        if made.failed or made.torn:
            stop.wait(_AGAIN_SECONDS if made.failed else _TORN_SECONDS)
            continue
        if mirror.folders != watched:
            # Once they are watched, looks again: something may have changed in between.
            watched = mirror.folders
            changes = _changes(watched, mirror.state, stop)
            next(changes, None)
            continue
        # Many files take a while to look at: at most half of the time.
        stop.wait(time.monotonic() - begun)
        for found in changes:
            if found or time.monotonic() >= full_at:
                break
        else:
            watched = []


def _changes(folders: list[Path], state: Path, stop: threading.Event) -> Iterator[object]:
    """What changes in the folders; nothing, every second. They are watched one by one: a watch of all that is below one of
    them would follow the links that users lay."""
    try:
        yield from watch(
            *(folder for folder in folders if folder.is_dir()),
            # Beside homes and groups the hub itself writes all the time.
            watch_filter=lambda _, path: Path(path).parent != state or Path(path).name in (_USERS, "homes", "groups"),
            recursive=False,
            debounce=_QUIET_MILLISECONDS,
            rust_timeout=_IDLE_MILLISECONDS,
            yield_on_timeout=True,
            stop_event=stop,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )
    except OSError as error:  # a folder went away, or there are more than the kernel watches
        say(f"cannot watch, so looks every few seconds: {error}")
        stop.wait(_AGAIN_SECONDS)


def main() -> None:
    """Runs until it is told to stop."""
    settings, stop = Settings.load(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    mirror = Mirror(settings, Store.of(settings))
    while not stop.is_set():
        try:
            follow(mirror, stop)
        except Exception as error:  # noqa: BLE001 (nothing that one user does may end the backup of all)
            say(f"{type(error).__name__}: {error}")
            stop.wait(_AGAIN_SECONDS)


if __name__ == "__main__":
    main()
