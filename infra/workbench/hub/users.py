"""Who may use the workbench, and what each may do: users.json in the workbench's folder.

Nobody signs up. A user has an id of the operating system of its own, which no other user of the machine has, and so has a
group. Ids are never given twice, so that a file that was left over never becomes somebody else's.
"""

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from infra.errors import DeployError

FILE = "users.json"
# As user names and folders. `group:` in a list of readers names a group.
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
# Users of the engine or of the system.
_TAKEN = ("root", "storewatch", "analysts")
_LEAST_PASSWORD = 12


@dataclass(frozen=True)
class User:
    """A user with its rights."""

    name: str
    uid: int
    groups: tuple[str, ...] = ()
    admin: bool = False
    sources: tuple[str, ...] = ()  # countries whose raw PostgreSQL and Elasticsearch the user may read
    mail: str | None = None
    password: str | None = None  # salt and scrypt hash; None if another server checks who it is


@dataclass(frozen=True)
class Users:
    """All users and groups, as they were read."""

    by_name: Mapping[str, User]
    groups: Mapping[str, int]  # name and id
    last_id: int  # the last id that was given, relative to the first

    def __getitem__(self, name: str) -> User:
        if name not in self.by_name:
            raise DeployError(f"there is no user {name!r} in the workbench")
        return self.by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self.by_name

    def __iter__(self) -> Iterator[User]:
        return iter(self.by_name.values())

    @classmethod
    def load(cls, state: Path) -> "Users":
        """Reads users.json; nobody if it is not there."""
        try:
            return cls.parse((state / FILE).read_text())
        except FileNotFoundError:
            return cls({}, {}, 0)

    @classmethod
    def parse(cls, text: str) -> "Users":
        """Reads the text of users.json."""
        try:
            content = json.loads(text)
            by_name = {name: _user(name, found) for name, found in content["users"].items()}
            return cls(by_name, dict(content["groups"]), content["last_id"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DeployError(f"users.json cannot be read ({error!r}): restore it (docs/workbench.md)") from None

    def save(self, state: Path) -> None:
        """Writes users.json, for root alone and in one step."""
        partial = state / f"{FILE}.tmp"
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(self.text())
        partial.replace(state / FILE)

    def text(self) -> str:
        """The text of users.json."""
        users = {name: {k: v for k, v in vars(user).items() if k != "name"} for name, user in self.by_name.items()}
        return json.dumps({"users": users, "groups": self.groups, "last_id": self.last_id}, indent=1) + "\n"


def _user(name: str, found: Mapping[str, Any]) -> User:
    lists = {key: tuple(found.get(key, ())) for key in ("groups", "sources")}
    return User(name, **{**found, **lists})


@contextmanager
def changed(state: Path, uid_base: int) -> Iterator["Change"]:
    """Changes users.json in one step. A second change waits; an error leaves the file as it was."""
    state.mkdir(parents=True, exist_ok=True)
    with open(state / "users.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        change = Change(Users.load(state), uid_base)
        yield change
        change.users.save(state)


class Change:
    """What is about to be written."""

    def __init__(self, users: Users, uid_base: int):
        self.users = users
        self._base = uid_base

    def put(self, name: str, **rights: Any) -> User:
        """Adds a user, or gives one that is there other rights. Groups that are missing are made."""
        _check(name, "user")
        for group in rights.get("groups", ()):
            _check(group, "group")
            if group not in self.users.groups:
                number = self._number()
                self.users = replace(self.users, groups={**self.users.groups, group: number})
        user = self.users[name] if name in self.users else User(name, self._number())
        user = replace(user, **rights)
        self.users = replace(self.users, by_name={**self.users.by_name, name: user})
        return user

    def remove(self, name: str) -> User:
        """Removes a user. The home stays."""
        user = self.users[name]
        left = {key: value for key, value in self.users.by_name.items() if key != name}
        self.users = replace(self.users, by_name=left)
        return user

    def _number(self) -> int:
        number = self.users.last_id + 1
        if number > 999:
            raise DeployError("the workbench has given all of its 999 ids: raise uid_base in a new workbench")
        self.users = replace(self.users, last_id=number)
        return self._base + number


def _check(name: str, what: str) -> None:
    if name in _TAKEN:
        raise DeployError(f"{name!r} is a name that the workbench needs itself: choose another one for the {what}")
    if not _NAME.fullmatch(name):
        raise DeployError(f"{name!r} is no name for a {what}: use up to 31 lower case letters, digits and dashes")


def new_password() -> tuple[str, str]:
    """A password that nobody has chosen, and its hash."""
    password = secrets.token_urlsafe(15)
    return password, hashed(password)


def hashed(password: str) -> str:
    """What is kept of a password."""
    if len(password) < _LEAST_PASSWORD:
        raise DeployError(f"a password has at least {_LEAST_PASSWORD} characters")
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}:{_scrypt(password, salt)}"


def fits(password: str, kept: str | None) -> bool:
    """Whether it is the password. Takes as long for a user who has none."""
    salt, _, wanted = (kept or f"{'00' * 16}:").partition(":")
    return hmac.compare_digest(_scrypt(password, bytes.fromhex(salt)), wanted)


def _scrypt(password: str, salt: bytes) -> str:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**15, r=8, p=1, maxmem=2**26).hex()
