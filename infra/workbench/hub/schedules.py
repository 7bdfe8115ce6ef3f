"""Schedule files: which notebook is to run when, with which parameters, and who reads the result.

`X.schedule.toml` lies beside `X.ipynb` in a home. It counts only there, and only if the home's user owns it: a notebook runs
as that user, and whoever could write the file or the notebook could have his code run as somebody else. In a group's folder
every member can, so a schedule there is refused with a word on what to do instead.
"""

import re
import tomllib
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from infra.workbench.hub import files
from infra.workbench.hub.users import Users

# The machine's own data may be of any release; PyPI's tzdata is pinned.
zoneinfo.reset_tzpath(to=())

ENDING = ".schedule.toml"
_MOST_BYTES = 100_000
_MOST_SCHEDULES = 200  # in a home
# Names become part of keys on S3, which have at most 1024 bytes.
_LONGEST = 600
_KEYS = ("schedule", "timezone", "parameters", "readers", "tell", "timeout_minutes")
_MAIL = re.compile(r"[^@\s,;<>\"\x00-\x1f]+@[^@\s,;<>\"\x00-\x1f]+")
READER = re.compile(r"(group:)?[a-z][a-z0-9-]{0,30}")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_DATES: Mapping[str, Callable[[date], date]] = {
    "today": lambda day: day,
    "yesterday": lambda day: day - timedelta(days=1),
    "monday": lambda day: day - timedelta(days=day.weekday() + 7),
}
# How far back a due instant is looked for, the shortest first: a schedule of every minute has very many.
_BACK = tuple(timedelta(days=days) for days in (0.1, 3, 100, 3000))


class Unreadable(Exception):
    """The file is no schedule. The message is for its owner."""


@dataclass(frozen=True)
class Schedule:
    """What a schedule file says."""

    cron: str
    zone: ZoneInfo
    parameters: Mapping[str, Any] = field(default_factory=dict)
    readers: tuple[str, ...] = ()
    tell: tuple[str, ...] = ()
    timeout_minutes: int = 60

    def due(self, since: datetime, now: datetime) -> datetime | None:
        """The newest instant after `since`, up to `now`, at which the notebook was due."""
        for back in _BACK:
            # Forward, because what a change of the clocks does to an instant depends on it.
            found = None
            for at in self._after(max(since, now - back)):
                if at > now:
                    break
                found = at if at > since else found
            if found or now - back <= since:
                return found
        return None

    def following(self, now: datetime) -> datetime | None:
        """The next instant."""
        return next((at for at in self._after(now) if at > now), None)

    def values(self, due: datetime) -> dict[str, Any]:
        """The parameters of the run that was due then."""
        day = due.astimezone(self.zone).date()
        return {name: _filled(value, day) for name, value in self.parameters.items()}

    def _after(self, start: datetime) -> Iterator[datetime]:
        # An hour earlier: in a repeated hour, cronsim begins after the second of two equal times.
        for at in CronSim(self.cron, (start - timedelta(hours=1)).astimezone(self.zone)):
            yield at.astimezone(UTC)


@dataclass(frozen=True)
class File:
    """A schedule file as it was found."""

    owner: str  # the user whose home it is in; of a group's folder `group:ops`
    path: str  # below the home
    saved: datetime
    schedule: Schedule | None
    problem: str | None = None

    @property
    def name(self) -> str:
        """The notebook's path without its ending, which is also the run's name."""
        return self.path.removesuffix(ENDING)

    @property
    def notebook(self) -> str:
        """The notebook's path below the home."""
        return f"{self.name}.ipynb"


def find(state: Path, users: Users) -> Iterator[File]:
    """The schedule files of all users, and those of groups' folders, which do not count."""
    for user in users:
        root = state / "homes" / user.name
        there = {found.path: found.stat for found in files.walk(root)}
        paths = [path for path in there if path.endswith(ENDING)]
        for number, path in enumerate(paths[: _MOST_SCHEDULES + 1]):
            saved = datetime.fromtimestamp(there[path].st_mtime, UTC)
            if number == _MOST_SCHEDULES:
                yield File(user.name, path, saved, None, f"A home can have {_MOST_SCHEDULES} schedules. Remove some.")
            else:
                yield _read(root, user.name, path, saved, user.uid, there)
    for group in users.groups:
        for found in files.walk(state / "groups" / group):
            if found.path.endswith(ENDING):
                saved = datetime.fromtimestamp(found.stat.st_mtime, UTC)
                yield File(f"group:{group}", found.path, saved, None, _in_a_group(group))


def _in_a_group(group: str) -> str:
    return (
        "Schedules in a group's folder are not run, because every member can change the notebook, which would then run as "
        f'somebody else. Copy both files into your home, and share what comes out by readers = ["group:{group}"].'
    )


def _read(root: Path, owner: str, path: str, saved: datetime, uid: int, there: Mapping[str, Any]) -> File:
    try:
        body, stat = files.read(root, path, _MOST_BYTES)
        if stat.st_uid != uid:
            raise Unreadable("The schedule belongs to another user. Save it anew as your own.")
        if not path.isprintable() or len(path.encode()) > _LONGEST:
            raise Unreadable("Its name is too long, or has characters that cannot be printed. Give it another.")
        if f"{path.removesuffix(ENDING)}.ipynb" not in there:
            raise Unreadable(f"There is no notebook {Path(path).name.removesuffix(ENDING)}.ipynb beside this schedule.")
        return File(owner, path, saved, parse(body))
    except Unreadable as error:
        return File(owner, path, saved, None, str(error))
    except OSError as error:
        return File(owner, path, saved, None, f"The schedule could not be read: {error}.")


def parse(body: bytes) -> Schedule:
    """Reads a schedule, or says what is wrong with it."""
    try:
        content = tomllib.loads(body.decode())
    except (ValueError, RecursionError) as error:  # of an endless number, or of a list in a list in a list
        raise Unreadable(f"This is no TOML: {error}.") from None
    if unknown := sorted(set(content) - set(_KEYS)):
        raise Unreadable(f"There is no setting {unknown[0]!r}. There are {', '.join(_KEYS)}.")
    minutes = content.get("timeout_minutes", 60)
    if type(minutes) is not int or not 1 <= minutes <= 360:
        raise Unreadable("timeout_minutes is a whole number from 1 to 360.")
    zone = _zone(content.get("timezone", "UTC"))
    schedule = Schedule(
        _cron(content.get("schedule"), zone),
        zone,
        _parameters(content.get("parameters", {})),
        _texts(content, "readers", READER, 'users and groups, as in readers = ["ben", "group:ops"]'),
        _texts(content, "tell", _MAIL, 'mail addresses, as in tell = ["ana@example.com"]'),
        minutes,
    )
    return schedule


def _cron(text: Any, zone: ZoneInfo) -> str:
    how = 'Write schedule = "0 7 * * 1": minute, hour, day of the month, month, day of the week.'
    if not isinstance(text, str) or len(text.split()) != 5:
        raise Unreadable(f"schedule must have five fields. {how}")
    try:
        next(CronSim(text, datetime.now(zone)))
    except CronSimError as error:
        raise Unreadable(f"schedule = {text!r} does not work: {error}. {how}") from None
    except StopIteration:
        raise Unreadable(f"schedule = {text!r} never comes.") from None
    return text


def _zone(name: Any) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise Unreadable(f'There is no time zone {name!r}. Write it as timezone = "Europe/Madrid".') from None


def _parameters(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise Unreadable('parameters is a table: [parameters], and below it lines as country = "es".')
    for name, value in found.items():
        if not name.isidentifier():
            raise Unreadable(f"The parameter {name!r} is no name of a variable.")
        _filled(value, date(2000, 1, 3))
    return dict(found)


def _filled(value: Any, day: date) -> Any:
    """A parameter's value, with dates in place of placeholders."""
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: _date(found[1], day), value)
    if isinstance(value, list):
        return [_filled(one, day) for one in value]
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, date):
        return value.isoformat()
    raise Unreadable(f"A parameter is text, a number, true or false, a date, or a list of those, not {value!r}.")


def _date(name: str, day: date) -> str:
    if name not in _DATES:
        raise Unreadable(f"{{{name}}} is no date. There are {', '.join(f'{{{one}}}' for one in _DATES)}.")
    return _DATES[name](day).isoformat()


def _texts(content: Mapping[str, Any], key: str, pattern: re.Pattern[str], what: str) -> tuple[str, ...]:
    found = content.get(key, [])
    if not isinstance(found, list) or len(found) > 50:
        raise Unreadable(f"{key} is a list of {what}.")
    for one in found:
        if not isinstance(one, str) or not pattern.fullmatch(one):
            raise Unreadable(f"{one!r} in {key} does not fit: it is a list of {what}.")
    return tuple(found)
