"""A running hub on a machine, asked as its users ask it: with a browser's cookies, or with a token."""

import json
import secrets
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.message import Message
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

from infra.local.servers import jupyterhub
from infra.workbench.hub import users
from tests.faults.http import HttpProxy
from tests.workbench.runs.machine import Machine, wait

PASSWORD = secrets.token_urlsafe(12)
_ADMIN = secrets.token_urlsafe(12)
# A service that gives out tokens, as the hub gives one to each user's server.
_CONFIG = f"""
c = get_config()
c.JupyterHub.services.append({{"name": "test", "api_token": {_ADMIN!r}}})
c.JupyterHub.load_roles.append({{"name": "test", "scopes": ["admin:users", "tokens"], "services": ["test"]}})
"""


@dataclass(frozen=True)
class Answer:
    """What was answered."""

    status: int
    text: str
    headers: Message


@dataclass
class Visitor:
    """A browser without scripts."""

    base: str
    cookies: CookieJar = field(default_factory=CookieJar)

    def get(self, path: str) -> Answer:
        """Opens a page, and follows where it leads."""
        return self._ask(urllib.request.Request(self.base + path))

    def sign_in(self, name: str) -> "Visitor":
        """Signs in."""
        self.get("/hub/login")
        xsrf = next(one.value for one in self.cookies if one.name == "_xsrf" and one.path == "/hub/")
        form = urllib.parse.urlencode({"username": name, "password": PASSWORD, "_xsrf": xsrf})
        assert self._ask(urllib.request.Request(f"{self.base}/hub/login", form.encode())).status < 500
        assert any("session" in one.name for one in self.cookies), f"{name} is not signed in"
        return self

    def put(self, path: str, body: bytes) -> Answer:
        """Changes something with nothing but the cookies."""
        return self._ask(urllib.request.Request(self.base + path, body, method="PUT"))

    def _ask(self, request: urllib.request.Request) -> Answer:
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))
        return answered(opener, request)


def answered(opener: urllib.request.OpenerDirector, request: urllib.request.Request) -> Answer:
    """The answer, whatever it says."""
    try:
        with opener.open(request, timeout=60) as answer:
            return Answer(answer.status, answer.read().decode(errors="replace"), answer.headers)
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read().decode(errors="replace"), error.headers)


@dataclass(frozen=True)
class Hub:
    """The hub."""

    machine: Machine
    proxy: HttpProxy  # before S3
    visitors: dict[str, Visitor] = field(default_factory=dict)

    @property
    def pages(self) -> str:
        """Of the service."""
        return f"{self.machine.settings.address}/services/pages/"

    def visitor(self, name: str) -> Visitor:
        """A user who has signed in."""
        if name not in self.visitors:
            self.visitors[name] = Visitor(self.machine.settings.address).sign_in(name)
        return self.visitors[name]

    def token(self, name: str) -> str:
        """A token that may do what that of a user's server may."""
        self.visitor(name)  # until somebody has signed in, the hub does not know the user
        url = f"http://127.0.0.1:{self.machine.settings.hub_port}/hub/api/users/{name}/tokens"
        body = json.dumps({"roles": ["server"]}).encode()
        request = urllib.request.Request(url, body, {"Authorization": f"token {_ADMIN}"})
        made = answered(urllib.request.build_opener(), request)
        assert made.status in (200, 201), made.text
        return str(json.loads(made.text)["token"])

    def ask(self, method: str, path: str, token: str, body: bytes | None = None) -> Answer:
        """Asks the pages with a token."""
        request = urllib.request.Request(self.pages + path, body, {"Authorization": f"token {token}"}, method=method)
        return answered(urllib.request.build_opener(), request)

    def python(self, code: str, name: str, folder: Path) -> "subprocess.CompletedProcess[str]":
        """Runs Python with the package, as in a user's server."""
        package = str(Path(__file__).resolve().parents[3] / "infra" / "workbench")
        environment = {"JUPYTERHUB_API_TOKEN": self.token(name), "STOREWATCH_PAGES": self.pages}
        return subprocess.run(
            [str(self.machine.python), "-c", code],
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(folder),
                "PYTHONPATH": package,
                "MPLBACKEND": "agg",
                **environment,
            },
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@contextmanager
def running(machine: Machine, proxy_of_s3: HttpProxy) -> Iterator[Hub]:
    """Runs it, with all its services."""
    _, proxy = jupyterhub.install()
    machine = replace(machine, settings=replace(machine.settings, proxy=str(proxy)))
    machine.settings.file.write_text(machine.settings.text())
    (machine.state / "jupyterhub_config.py").write_text(_CONFIG)
    with users.changed(machine.state, machine.settings.uid_base) as change:
        for user in list(change.users):
            change.put(user.name, password=users.hashed(PASSWORD))
    config = Path(jupyterhub.__file__).parents[2] / "workbench" / "hub" / "jupyterhub_config.py"
    env = {
        **machine.environment(),
        "PATH": f"{machine.python.parent}:/usr/bin:/bin:/usr/sbin",
        "HOME": str(machine.state),
    }
    env["PATH"] += f":{machine.environment()['PATH']}"
    with (machine.state / "hub.log").open("ab") as log:
        process = subprocess.Popen(
            [str(machine.python), "-m", "jupyterhub", "-f", str(config)],
            env={**env, "AWS_ENDPOINT_URL": proxy_of_s3.url},
            cwd=machine.state,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        hub = Hub(machine, proxy_of_s3)
        wait(lambda: process.poll() is not None or is_up(hub), "the hub", seconds=90)
        assert process.poll() is None, (machine.state / "hub.log").read_text()[-3000:]
        yield hub
    finally:
        process.terminate()
        try:
            # It ends its services and users' servers one after another, with up to 20 s for each.
            process.wait(180)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def is_up(hub: Hub) -> bool:
    """Whether the pages answer, which is after the hub itself does."""
    try:
        return Visitor(hub.machine.settings.address).get("/services/pages/").status == 200
    except OSError:
        return False


def values(answer: Answer) -> Any:
    """What an answer says as JSON."""
    return json.loads(answer.text)
