"""Users sign in by a company's identity provider, as docs/workbench.md has it, and have the rights that users.json gives."""

import json
import re
import shutil
import threading
import urllib.error
import urllib.request
import uuid
from base64 import b64decode
from collections.abc import Iterator
from http.cookiejar import CookieJar
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from infra.local.commands import workbench as command
from infra.local.config import ROOT, Stack
from infra.local.servers import jupyterhub
from infra.workbench.hub import users
from infra.workbench.hub.settings import Settings
from tests.harness import lakes
from tests.harness.deployer import Deployer

CLIENT, SECRET = "storewatch-workbench", "of the client"


class Provider(ThreadingHTTPServer):
    """An identity provider. Whoever comes is the one that `who` names."""

    who = "Ana.Maria@company.example"
    # Codes and tokens that were given, and for whom.
    given: dict[str, str]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.given = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def give(self, who: str) -> str:
        """A new code or token."""
        made = uuid.uuid4().hex
        self.given[made] = who
        return made


class Answers(BaseHTTPRequestHandler):
    """The three addresses of OAuth 2."""

    server: Provider

    def do_GET(self) -> None:
        """Sends the user back with a code, or tells the hub who has a token."""
        asked = {key: value[0] for key, value in parse_qs(urlsplit(self.path).query).items()}
        if self.path.startswith("/authorize?"):
            assert (asked["client_id"], asked["response_type"]) == (CLIENT, "code")
            assert "openid" in asked["scope"].split()
            code = self.server.give(self.server.who)
            self._answer(302, {}, f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")
        elif who := self.server.given.pop(self.headers.get("Authorization", "").removeprefix("Bearer "), None):
            self._answer(200, {"sub": uuid.uuid4().hex, "email": who})
        else:
            self._answer(401, {"error": "invalid_token"})

    def do_POST(self) -> None:
        """Changes a code of the hub's into a token."""
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        who = self.server.given.pop(form["code"][0], None)
        login = b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        is_hub = login == f"{CLIENT}:{SECRET}" or (form.get("client_secret") == [SECRET])
        if who and is_hub:
            self._answer(200, {"access_token": self.server.give(who), "token_type": "Bearer"})
        else:
            self._answer(401, {"error": "invalid_client"})

    def _answer(self, status: int, content: dict[str, str], location: str | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def configuration(provider: str, folder: str) -> str:
    """The page's own example, with the test's provider."""
    page = (ROOT / "docs/workbench.md").read_text()
    (text,) = re.findall(r"```python\n(c = get_config\(\)\n.*?generic-oauth.*?)```", page, re.DOTALL)
    text = re.sub(r'"https://login\.company\.example/oauth2/v1/(authorize|token|userinfo)"', rf'"{provider}/\1"', text)
    text = text.replace("/etc/storewatch-workbench", folder)
    # The address of the hub is chosen when it starts.
    return re.sub(r"(?m)^c\.GenericOAuthenticator\.oauth_callback_url = .*\n", "", text)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """The provider."""
    made = Provider()
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def hub(stack: Stack, provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A hub that asks it. `ana-maria` is an administrator, `ben` is not."""
    name = f"sign-in-{uuid.uuid4().hex[:6]}"
    deployer, home = Deployer(stack, name, tmp_path_factory.mktemp("lake")), jupyterhub.home(stack, name)
    home.mkdir(parents=True)
    (home / "client-secret").write_text(f"{SECRET}\n")
    address = f"http://127.0.0.1:{provider.server_port}"
    (home / "jupyterhub_config.py").write_text(configuration(address, str(home)))
    try:
        with lakes.engine(stack):
            deployer.deploy({"RuleState": "DISABLED"})
            settings = command.up(stack, name, "nothing", name)
            with users.changed(settings.folder, settings.uid_base) as change:
                change.remove(command.FIRST_USER)
                change.put("ana-maria", admin=True, groups=("ops",))
                change.put("ben")
            yield settings
    finally:
        jupyterhub.stop(stack, name)
        deployer.remove()
        shutil.rmtree(home, ignore_errors=True)


def test_the_page_s_settings_can_be_read(tmp_path: Path) -> None:
    page = (ROOT / "docs/workbench.md").read_text()
    (text,) = re.findall(r'```json\n(\s*\{\n\s*"state".*?)```', page, re.DOTALL)
    (tmp_path / "settings.json").write_text(text)
    settings = Settings.load(tmp_path / "settings.json")
    assert (settings.engine, settings.address) == ("athena", "https://workbench.company.example")
    assert settings.analysts_role and settings.workgroup


def sign_in(hub: Settings) -> tuple[urllib.request.OpenerDirector, str]:
    """Opens the hub with no cookies and follows where it leads: the session, and where it ended."""
    session = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
    )
    with session.open(f"{hub.address}/hub/home", timeout=60) as answer:
        return session, answer.url


def test_the_provider_says_who_it_is_and_users_json_what_that_user_may_do(hub: Settings, provider: Provider) -> None:
    for who, is_admin in (("Ana.Maria@company.example", True), ("ben@company.example", False)):
        provider.who = who
        session, url = sign_in(hub)
        assert url == f"{hub.address}/hub/home"
        with session.open(f"{hub.address}/hub/home", timeout=60) as answer:
            assert who.partition("@")[0].replace(".", "-").lower() in answer.read().decode()
        if is_admin:
            with session.open(f"{hub.address}/hub/admin", timeout=60) as answer:
                assert answer.status == 200
        else:
            with pytest.raises(urllib.error.HTTPError) as refused:
                session.open(f"{hub.address}/hub/admin", timeout=60)
            assert refused.value.code in (403, 404)


@pytest.mark.parametrize("who", ["eve@company.example", "admin@company.example", "../root@company.example"])
def test_whom_the_provider_knows_and_users_json_does_not_is_refused(
    hub: Settings, provider: Provider, who: str
) -> None:
    provider.who = who
    with pytest.raises(urllib.error.HTTPError) as refused:
        sign_in(hub)
    assert refused.value.code == 403


def test_a_password_signs_nobody_in_any_more(hub: Settings, provider: Provider) -> None:
    provider.who = "eve@company.example"
    form = urlencode({"username": "ana-maria", "password": ""}).encode()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{hub.address}/hub/login", form, timeout=60)
    assert refused.value.code in (403, 405)


def test_an_answer_without_the_state_that_the_hub_gave_is_refused(hub: Settings, provider: Provider) -> None:
    code = provider.give("Ana.Maria@company.example")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{hub.address}/hub/oauth_callback?code={code}&state=guessed", timeout=60)
    assert refused.value.code in (400, 403)
