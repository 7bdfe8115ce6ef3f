"""What was run and published, and who may read it: runs/ and pages/ of the bucket.

    pages/<owner>/<name>/{page.html, page.json}

`page.json` names the readers and the version of the HTML that they were chosen for, so that nobody reads another one while
a page is replaced.
"""

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra.workbench.hub.runs import INSTANT
from infra.workbench.hub.store import Store
from infra.workbench.hub.users import User

RUNS, PAGES = "runs", "pages"
_FILES = {RUNS: "run.json", PAGES: "page.json"}
_AT_ONCE = 16


@dataclass(frozen=True)
class Entry:
    """A run or a page."""

    kind: str
    owner: str
    name: str
    at: datetime  # when a run was due, or a page was published
    content: Mapping[str, Any]
    prefix: str

    @property
    def path(self) -> str:
        """By which it is asked for: the part of the prefix after the owner."""
        return self.prefix.split("/", 2)[2].rstrip("/")

    @property
    def readers(self) -> list[str]:
        """Users, and groups as `group:ops`."""
        return list(self.content["readers"])

    def is_readable(self, user: User) -> bool:
        """Whether the user may read it."""
        groups = {f"group:{group}" for group in user.groups}
        return user.admin or user.name == self.owner or user.name in self.readers or bool(groups & set(self.readers))


class Catalog:
    """What is in the bucket. Remembers what it has read as long as that does not change."""

    def __init__(self, store: Store):
        self._store = store
        self._read: dict[tuple[str, str], Entry] = {}

    def entries(self, user: User) -> list[Entry]:
        """What a user may read, newest first."""
        listed = [
            (kind, key, tag)
            for kind, file in _FILES.items()
            for key, tag in self._store.listed(f"{kind}/")
            if key.endswith(f"/{file}")
        ]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = zip(listed, pool.map(lambda one: self._entry(*one), listed), strict=True)
            self._read = {(key, tag): entry for (_, key, tag), entry in found if entry}
        mine = (one for one in self._read.values() if one.is_readable(user))
        return sorted(mine, key=lambda one: one.at, reverse=True)

    def entry(self, user: User, kind: str, owner: str, path: str) -> Entry | None:
        """A run or page; None if it is not there, or not for this user."""
        found = self._load(kind, f"{kind}/{owner}/{path}/{_FILES[kind]}")
        return found if found and found.is_readable(user) else None

    def file(self, entry: Entry, name: str) -> bytes | None:
        """Its HTML or notebook; None if it has none."""
        found = self._store.get(f"{entry.prefix}{name}", entry.content.get("version"))
        return found.body if found else None

    def publish(self, owner: str, name: str, html: bytes, readers: Iterable[str]) -> None:
        """Puts a page in place of the one of this name."""
        version = self._store.put(f"{PAGES}/{owner}/{name}/page.html", html, content_type="text/html; charset=utf-8")
        content = {"readers": sorted(set(readers)), "published": datetime.now(UTC).isoformat(), "version": version}
        text = json.dumps(content).encode()
        self._store.put(f"{PAGES}/{owner}/{name}/page.json", text, content_type="application/json")

    def unpublish(self, owner: str, name: str) -> bool:
        """Takes a page back; False if there is none."""
        if not self._store.get(f"{PAGES}/{owner}/{name}/page.json"):
            return False
        for file in ("page.json", "page.html"):
            self._store.delete(f"{PAGES}/{owner}/{name}/{file}")
        return True

    def _entry(self, kind: str, key: str, tag: str) -> Entry | None:
        return self._read.get((key, tag)) or self._load(kind, key)

    def _load(self, kind: str, key: str) -> Entry | None:
        found = self._store.get(key)
        if not found:
            return None
        prefix = key.removesuffix(_FILES[kind])
        owner, path = prefix.split("/", 2)[1:]
        content = json.loads(found.body)
        if kind == PAGES:
            return Entry(kind, owner, path.rstrip("/"), datetime.fromisoformat(content["published"]), content, prefix)
        name, _, instant = path.rstrip("/").rpartition("/")
        return Entry(kind, owner, name, datetime.strptime(instant, INSTANT).replace(tzinfo=UTC), content, prefix)
