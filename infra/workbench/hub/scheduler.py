"""Runs notebooks when their schedules say so, outside of the users' servers: python -m infra.workbench.hub.scheduler"""

import fcntl
import itertools
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.workbench.hub import contained, files, runs, schedules, tell
from infra.workbench.hub.runs import Claimed, Due, Held, Lost
from infra.workbench.hub.schedules import File
from infra.workbench.hub.settings import Settings
from infra.workbench.hub.store import Store, Unavailable
from infra.workbench.hub.users import Users

AT_ONCE = 2
_EVERY_SECONDS = 10.0
_MOST_NOTE = 10_000
_HEADER = "This schedule is not run."


class Scheduler:
    """What one scheduler knows between two looks. S3 says what has been run, so a new one loses nothing."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        run: contained.Run,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ):
        self._settings = settings
        self._store = store
        self._run = run
        self._clock = clock
        self._claims = runs.Claims(store)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="run")
        self._delivery = ThreadPoolExecutor(1, thread_name_prefix="delivery")
        self._delivering: Future[None] | None = None
        self._running: dict[str, Future[None]] = {}
        self._turns: dict[str, int] = {}  # when each user's last turn was, counted
        self._count = itertools.count(1)
        self._settled: dict[str, datetime | None] = {}  # runs that are held until then, or done
        self._told: set[tuple[str, str, str]] = set()
        self.down = False
        self.stop = threading.Event()
        self.wake = threading.Event()
        self._kept, self._work = settings.folder / "runs", settings.folder / "work"
        for folder in (self._kept, self._work):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def clean(self) -> None:
        """Removes what a killed scheduler had begun. Its claim says that it is to be run again."""
        for folder in self._work.iterdir():
            shutil.rmtree(folder)
        for folder in self._kept.iterdir():
            if not (folder / "run.json").exists():
                shutil.rmtree(folder)

    def look(self) -> None:
        """Delivers what waits, and starts what is due."""
        now = self._clock()
        for user in [name for name, future in self._running.items() if future.done()]:
            self._running.pop(user).result()
        if self._delivering is None or self._delivering.done():
            self._delivering = self._delivery.submit(self._deliver)
        users = Users.load(self._settings.folder)
        found = list(schedules.find(self._settings.folder, users))
        for file in found:
            # Nothing that one user lays down may keep the others' notebooks from being run.
            try:
                self._note(file, users)
            except Exception as error:  # noqa: BLE001
                say(f"{file.owner}/{file.path}: {type(error).__name__}: {error}")
        self._status(found, now)
        due = [one for file in found if (one := self._due(file, users, now))]
        self._settled = {key: self._settled[key] for key in {one.prefix for one in due} & set(self._settled)}
        for one in sorted(due, key=lambda one: (self._turns.get(one.user.name, 0), one.at)):
            if self.stop.is_set() or len(self._running) >= AT_ONCE:
                return
            if one.user.name not in self._running and self._is_open(one, now) and not self._start(one, now):
                return

    def idle(self) -> bool:
        """Whether nothing runs and nothing waits for delivery."""
        delivering = self._delivering is not None and not self._delivering.done()
        return not delivering and not self._running and not runs.waiting(self._kept)

    def close(self) -> None:
        """Ends what runs. It gives its claims back, so that the next scheduler runs it at once."""
        self.stop.set()
        self._pool.shutdown()
        self._delivery.shutdown()

    def _due(self, file: File, users: Users, now: datetime) -> Due | None:
        if file.schedule is None or not (at := file.schedule.due(file.saved, now)):
            return None
        return Due(file, file.schedule, users[file.owner], at)

    def _is_open(self, due: Due, now: datetime) -> bool:
        if due.prefix not in self._settled:
            return True
        until = self._settled[due.prefix]
        return until is not None and now >= until

    def _start(self, due: Due, now: datetime) -> bool:
        """Claims and starts a run. False if S3 is down: each question would take long, and nothing can be claimed."""
        try:
            found = self._claims.take(due, now)
        except Unavailable as error:
            self._say_down(error)
            return False
        self._say_up()
        self._settled[due.prefix] = found.until if isinstance(found, Held) else None
        if isinstance(found, Claimed):
            self._turns[due.user.name] = next(self._count)
            self._running[due.user.name] = self._pool.submit(self._execute, due, found.attempt)
        elif isinstance(found, Lost):
            problem = "It was begun twice, and each time the machine or the scheduler was ended before it was done."
            runs.keep(self._kept, due, None, runs.record(due, None, now, problem))
        return True

    def _execute(self, due: Due, attempt: int) -> None:
        started = self._clock()
        work = self._work / f"{due.user.uid}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
        os.chown(work, due.user.uid, due.user.uid)
        try:
            title = f"{due.file.name}, {due.at.astimezone(due.schedule.zone):%Y-%m-%d %H:%M}"
            values = due.schedule.values(due.at)
            job = contained.Job(due.user, due.file.notebook, work, due.seconds, values, title)
            say(f"runs {due.file.notebook} of {due.user.name}, due {due.at:%Y-%m-%d %H:%M} UTC, attempt {attempt}")
            try:
                ended = self._run(job, self.stop)
            except Exception as error:  # noqa: BLE001 (whatever it is, its owner hears of it, and others go on)
                ended = contained.Ended(f"It could not be started: {error}")
            if ended.stopped:
                self._release(due, attempt)
                return
            problem = runs.outcome(work, ended)
            runs.keep(self._kept, due, work, runs.record(due, started, self._clock(), problem))
            say(f"{due.file.notebook} of {due.user.name} {'failed' if problem else 'succeeded'}")
        finally:
            shutil.rmtree(work, ignore_errors=True)
            self.wake.set()

    def _release(self, due: Due, attempt: int) -> None:
        try:
            self._claims.release(due, attempt)
        except Unavailable as error:
            say(f"could not give back {due.prefix}, which is run again when its time is over: {error}")

    def _deliver(self) -> None:
        for kept in runs.waiting(self._kept):
            try:
                runs.deliver(self._settings, self._store, kept, self._clock())
                self._say_up()
            except Unavailable as error:
                self._say_down(error)
            except tell.MailFailed as error:
                say(f"{error}; tries again for an hour")
            except Exception as error:  # noqa: BLE001 (the others are to be delivered all the same)
                say(f"could not deliver {kept}: {error!r}")

    def _note(self, file: File, users: Users) -> None:
        """Puts the problem of a schedule beside it, and takes it away once it is solved."""
        root, uid, gid = _place(self._settings.folder, file, users)
        path = f"{file.path.removesuffix('.toml')}.error.txt"
        try:
            there = files.read(root, path, _MOST_NOTE)[0].decode(errors="replace")
        except OSError:
            there = ""
        if not file.problem:
            if there.startswith(_HEADER):
                files.remove(root, path)
            return
        text = f"{_HEADER}\n\n{file.problem}\n\nThis note goes away once the schedule can be read.\n"
        key = (file.owner, file.path, text)
        if there == text or key in self._told:
            self._told.add(key)
            return
        try:
            tell.metric(self._settings, tell.FAILED)
            self._told.add(key)
            say(f"cannot read {file.owner}/{file.path}: {file.problem}")
            files.write(root, path, text.encode(), uid=uid, gid=gid, mode=0o660)
        except Unavailable as error:
            self._say_down(error)
        except OSError as error:
            say(f"could not write {file.owner}/{path}: {error}")

    def _status(self, found: list[File], now: datetime) -> None:
        """Leaves word for the page of runs: what is scheduled, and what is not and why."""
        listed: list[dict[str, Any]] = []
        for file in found:
            following = file.schedule.following(now) if file.schedule else None
            at = following.isoformat() if following else None
            listed.append({"owner": file.owner, "name": file.name, "next": at, "problem": file.problem})
        partial, whole = (self._settings.folder / name for name in ("schedules.json.tmp", "schedules.json"))
        partial.write_text(json.dumps(listed))
        partial.replace(whole)

    def _say_down(self, error: Exception) -> None:
        if not self.down:
            say(f"{error}; tries again until it is back, and keeps all results until then")
        self.down = True

    def _say_up(self) -> None:
        if self.down:
            say("AWS answers again")
        self.down = False


def say(text: str) -> None:
    """A line for the hub's log."""
    # A file's name may have bytes that are no text.
    print(f"scheduler: {text}".encode(errors="replace").decode(), flush=True)


def _place(state: Path, file: File, users: Users) -> tuple[Path, int, int]:
    group = file.owner.removeprefix("group:")
    if group != file.owner:
        return state / "groups" / group, 0, users.groups[group]
    uid = users[file.owner].uid
    return state / "homes" / file.owner, uid, uid


def main() -> None:
    """Runs until it is told to stop."""
    settings = Settings.load()
    with open(settings.folder / "scheduler.lock", "w") as lock:
        # A second one on this machine waits here. Others are kept apart by their claims.
        fcntl.flock(lock, fcntl.LOCK_EX)
        scheduler = Scheduler(settings, Store.of(settings), contained.runner(settings))

        def end(*_: object) -> None:
            scheduler.stop.set()
            scheduler.wake.set()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        scheduler.clean()
        while not scheduler.stop.is_set():
            try:
                scheduler.look()
            except Exception as error:  # noqa: BLE001 (nothing that one user does may end it for all)
                say(f"{type(error).__name__}: {error}")
            scheduler.wake.wait(_EVERY_SECONDS)
            scheduler.wake.clear()
        scheduler.close()


if __name__ == "__main__":
    main()
