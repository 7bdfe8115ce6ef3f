"""The pages of runs and published notebooks, a service of the hub: python -m infra.workbench.hub.pages

It reads S3 for whoever has signed in, and shows what that user may read. To everybody else a page is not there.
"""

import json
import os
import re
import secrets
import signal
from asyncio import get_running_loop
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from jupyterhub.services.auth import HubOAuthCallbackHandler, HubOAuthenticated
from tornado import ioloop, template, web

from infra.workbench.hub.catalog import PAGES, RUNS, Catalog, Entry
from infra.workbench.hub.schedules import READER
from infra.workbench.hub.settings import Settings
from infra.workbench.hub.store import Store, Unavailable
from infra.workbench.hub.users import User, Users

_LARGEST = 20_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}")
_MOST_READERS = 100
_SHOWN = 300
_OWN = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
# A notebook's HTML is somebody else's. It gets no origin, so it sees no cookie and asks the hub for nothing in the reader's
# name; it runs no script and loads nothing.
_FOREIGN = (
    "sandbox; default-src 'none'; img-src data:; font-src data:; media-src data:; style-src 'unsafe-inline'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_FRAME = template.Template(Path(__file__).with_name("pages.html").read_text(), whitespace="oneline")
T = TypeVar("T")


class Handler(HubOAuthenticated, web.RequestHandler):
    """What all of them share."""

    def initialize(self, settings: Settings, catalog: Catalog) -> None:
        """Called with each request."""
        self.workbench = settings
        self.catalog = catalog

    def set_default_headers(self) -> None:
        """Of every answer, errors too."""
        self.set_header("Content-Security-Policy", _OWN)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-store")

    def known(self) -> User:
        """Who asks, with the rights of this moment."""
        users, name = Users.load(self.workbench.folder), self.current_user["name"]
        if self.current_user.get("kind", "user") != "user" or name not in users:
            raise web.HTTPError(403, reason="You are not a user of this workbench")
        return users[name]

    async def ask(self, work: Callable[..., T], *words: Any) -> T:
        """Asks S3, and meanwhile serves others."""
        try:
            return await get_running_loop().run_in_executor(None, partial(work, *words))
        except Unavailable as error:
            print(f"pages: {error}", flush=True)
            raise web.HTTPError(503, reason="S3 does not answer: try again in a while") from error

    def write_error(self, status_code: int, **_: Any) -> None:
        """A page in plain words."""
        texts = {404: "There is no such page, or it is not for you."}
        self.show(f"{status_code}", message=texts.get(status_code, f"{self._reason}."))

    def show(self, title: str, **content: Any) -> None:
        """One of our own pages."""
        names = {"message": None, "entries": None, "schedules": (), "problem": None, "link": _link, "hub": "/hub/home"}
        self.finish(_FRAME.generate(title=title, prefix=_prefix(), **{**names, **content}))


class Listing(Handler):
    """All that a user may read, and what is scheduled for the user."""

    @web.authenticated
    async def get(self) -> None:
        user = self.known()
        entries = await self.ask(self.catalog.entries, user)
        self.show("Runs and pages", entries=entries[:_SHOWN], schedules=self._schedules(user))

    def _schedules(self, user: User) -> list[dict[str, Any]]:
        try:
            found = json.loads((self.workbench.folder / "schedules.json").read_text())
        except FileNotFoundError:  # no scheduler has looked yet
            return []
        mine = {user.name, *(f"group:{group}" for group in user.groups)}
        return [one for one in found if one["owner"] in mine]


class Showing(Handler):
    """A run or a page."""

    @web.authenticated
    async def get(self, kind: str, owner: str, path: str) -> None:
        user = self.known()
        is_notebook = kind == RUNS and path.endswith("/notebook.ipynb")
        entry = await self.ask(self.catalog.entry, user, kind, owner, path.removesuffix("/notebook.ipynb"))
        if entry is None:
            raise web.HTTPError(404)
        body = await self.ask(self.catalog.file, entry, "notebook.ipynb" if is_notebook else "page.html")
        if body is None and is_notebook:
            raise web.HTTPError(404)
        if body is None:
            self.show(
                entry.name, problem=entry.content.get("error"), message="This run came to nothing that can be shown."
            )
            return
        if is_notebook:
            self.set_header("Content-Type", "application/x-ipynb+json")
            self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(Path(entry.name).name)}.ipynb")
        else:
            self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", _FOREIGN)
        self.finish(body)


class Publishing(Handler):
    """Publishes and takes back. Only for who shows a token: a browser's cookie is not enough to change anything."""

    def get_current_user(self) -> Any:
        """Called by Tornado."""
        token = self.hub_auth.get_token(self, in_cookie=False)
        found = self.hub_auth.user_for_token(token) if token else None
        return self.check_hub_user(found) if found else None

    def prepare(self) -> None:
        """Called before each method."""
        if not self.current_user:
            raise web.HTTPError(403, reason="This needs a token of the workbench")

    async def put(self, name: str) -> None:
        """Publishes."""
        user, readers = self.known(), self.get_query_arguments("to")
        if not _NAME.fullmatch(name):
            raise web.HTTPError(400, reason="The name may have letters, digits, spaces, dots and dashes, at most 100")
        for reader in readers:
            if not READER.fullmatch(reader) or len(readers) > _MOST_READERS:
                raise web.HTTPError(400, reason="Readers are at most 100 users, as ben, and groups, as group:ops")
        users = Users.load(self.workbench.folder)
        if missing := [one for one in readers if not _is_there(one, users)]:
            raise web.HTTPError(400, reason=f"There is no reader {missing[0]}")
        await self.ask(self.catalog.publish, user.name, name, self.request.body, readers)
        self.finish({"url": f"{self.workbench.address}{_prefix()}{PAGES}/{user.name}/{quote(name)}"})

    async def delete(self, name: str) -> None:
        """Takes back."""
        if not await self.ask(self.catalog.unpublish, self.known().name, name):
            raise web.HTTPError(404, reason="You have published no page of this name")
        self.finish({})

    def write_error(self, status_code: int, **_: Any) -> None:
        """For a program."""
        self.finish({"error": self._reason})


def _is_there(reader: str, users: Users) -> bool:
    group = reader.removeprefix("group:")
    return group in users.groups if group != reader else reader in users


def _prefix() -> str:
    return os.environ["JUPYTERHUB_SERVICE_PREFIX"]


def _link(entry: Entry) -> str:
    return f"{_prefix()}{entry.kind}/{entry.owner}/{quote(entry.path)}"


def application(settings: Settings, catalog: Catalog) -> web.Application:
    """The service."""
    prefix, shared = re.escape(_prefix()), {"settings": settings, "catalog": catalog}
    return web.Application(
        [
            (f"{prefix}oauth_callback", HubOAuthCallbackHandler),
            (prefix, Listing, shared),
            (f"{prefix}({RUNS}|{PAGES})/([^/]+)/(.+)", Showing, shared),
            (f"{prefix}api/([^/]+)", Publishing, shared),
            (".*", web.ErrorHandler, {"status_code": 404}),
        ],
        cookie_secret=secrets.token_bytes(32),
    )


def main() -> None:
    """Serves until it is told to stop."""
    settings, url = Settings.load(), urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])

    def serve() -> None:
        made = application(settings, Catalog(Store.of(settings)))
        made.listen(url.port or 80, url.hostname or "127.0.0.1", max_buffer_size=_LARGEST + 100_000)

    loop = ioloop.IOLoop.current()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.add_callback_from_signal(loop.stop))
    loop.add_callback(serve)
    loop.start()


if __name__ == "__main__":
    main()
