"""Talks to a Superset over its REST API, as an administrator."""

import http.cookiejar
import json
import secrets
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from infra.errors import DeployError

_TIMEOUT_SECONDS = 120
_PAGE = 100
# What each list is ordered by. Without an order, its pages can leave entries out while others write.
_ORDERS = {
    "security": "id",
    "dashboard": "dashboard_title",
    "chart": "slice_name",
    "dataset": "table_name",
    "database": "database_name",
    "rowlevelsecurity": "name",
    "report": "name",
    "saved_query": "label",
}


class Missing(DeployError):
    """There is no such thing in this Superset."""


class Client:
    """A session of one user."""

    def __init__(self, url: str, user: str, password: str):
        self.url = url.rstrip("/")
        # Superset's token against forged requests belongs to a session, which a cookie names.
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        # Not through a proxy that the environment names: the password goes where the user said.
        self._opener = urllib.request.build_opener(cookies, urllib.request.ProxyHandler({}))
        self._headers: dict[str, str] = {"Referer": self.url}
        login = {"username": user, "password": password, "provider": "db", "refresh": False}
        answer = self.post("security/login", login)
        self._headers["Authorization"] = f"Bearer {answer['access_token']}"
        self._headers["X-CSRFToken"] = self.get("security/csrf_token/")["result"]

    def get(self, path: str) -> Any:
        """The answer to a GET of the API's path."""
        return self._send("GET", path)

    def post(self, path: str, content: Mapping[str, Any]) -> Any:
        """Creates something."""
        return self._send("POST", path, json.dumps(content).encode(), "application/json")

    def put(self, path: str, content: Mapping[str, Any]) -> Any:
        """Changes something."""
        return self._send("PUT", path, json.dumps(content).encode(), "application/json")

    def delete(self, path: str) -> Any:
        """Deletes something."""
        return self._send("DELETE", path)

    def post_for_text(self, path: str, content: Mapping[str, Any]) -> str:
        """The answer to a POST, if it is not JSON."""
        return self._read("POST", path, json.dumps(content).encode(), "application/json").decode("utf-8-sig")

    def all(self, path: str) -> Iterator[dict[str, Any]]:
        """Every entry of a list, such as `chart/`."""
        order = _ORDERS[path.partition("/")[0]]
        page = 0
        while True:
            query = urllib.parse.quote(f"(order_column:{order},order_direction:asc,page:{page},page_size:{_PAGE})")
            found = self.get(f"{path}?q={query}")["result"]
            yield from found
            if len(found) < _PAGE:
                return
            page += 1

    def import_assets(self, archive: bytes) -> None:
        """Imports a bundle over what is there. What it refers to and does not hold must be there."""
        boundary = secrets.token_hex(16)
        parts = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="sparse"\r\n\r\ntrue\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="bundle"; filename="storewatch.zip"\r\n'
            "Content-Type: application/zip\r\n\r\n"
        )
        body = parts.encode() + archive + f"\r\n--{boundary}--\r\n".encode()
        self._send("POST", "assets/import/", body, f"multipart/form-data; boundary={boundary}")

    def _send(self, method: str, path: str, body: bytes | None = None, kind: str | None = None) -> Any:
        try:
            return json.loads(self._read(method, path, body, kind))
        except json.JSONDecodeError:
            raise DeployError(f"{self.url}/api/v1/{path} did not answer with JSON: is this a Superset?") from None

    def _read(self, method: str, path: str, body: bytes | None, kind: str | None) -> bytes:
        headers = {**self._headers, "Accept": "application/json", **({"Content-Type": kind} if kind else {})}
        request = urllib.request.Request(f"{self.url}/api/v1/{path}", data=body, method=method, headers=headers)
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            kind_of_error = Missing if error.code == 404 else DeployError
            raise kind_of_error(self._told(method, path, error)) from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise DeployError(f"Superset at {self.url} does not answer: {reason}") from None

    def _told(self, method: str, path: str, error: urllib.error.HTTPError) -> str:
        """What went wrong, in Superset's words. Never what was sent."""
        text = error.read(4000).decode(errors="replace")
        if path == "security/login" and error.code in (400, 401):
            return f"Superset at {self.url} refuses the user name or password"
        if error.code in (401, 403):
            text = f"the user may not do this: use one with the role Admin. {text}"
        if error.code == 404 and path.startswith("security/roles"):
            text = "set FAB_ADD_SECURITY_API = True in its superset_config.py, so that roles can be made over the API"
        return f"Superset at {self.url}: {method} {path.partition('?')[0]} failed ({error.code}): {text.strip()}"
