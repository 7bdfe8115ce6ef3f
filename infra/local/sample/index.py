"""Writes a country's live view into its Elasticsearch index, so that readers see all of it or nothing."""

import http.client
import json
import time
from collections.abc import Iterable, Iterator
from datetime import UTC
from itertools import islice
from typing import Any, Self
from urllib.parse import urlsplit

from infra.local.errors import StackError
from infra.local.sample.live_view import Document

_BATCH = 5_000
# While the server has no memory left for a batch, it is sent again.
_BUSY_SECONDS, _PAUSE_SECONDS = 120, 1
_SETTINGS = {
    "number_of_shards": 1,
    "number_of_replicas": 0,
    # Documents become visible only at the explicit refresh after a whole view, never in part.
    "refresh_interval": "-1",
}
_MAPPINGS = {
    "dynamic": "strict",
    "properties": {
        "store_id": {"type": "long"},
        "country": {"type": "keyword"},
        "online": {"type": "boolean"},
        "offline_reason": {"type": "keyword"},
        "updated_at": {"type": "date"},
    },
}


class _BusyError(StackError):
    """The server has no room for the request now: 429."""


class Index:
    """One index on one Elasticsearch server."""

    def __init__(self, url: str, name: str):
        parts = urlsplit(url)
        self._url = url
        self._name = name
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def create(self) -> None:
        """Creates the index, empty; replaces an old one."""
        self.delete()
        self._call("PUT", "", {"settings": _SETTINGS, "mappings": _MAPPINGS})

    def delete(self) -> None:
        """Deletes the index if it exists."""
        self._call("DELETE", "?ignore_unavailable=true")

    def write(self, country: str, documents: Iterable[Document]) -> int:
        """Writes a whole live view over the last one and shows it. Returns the number of documents present.

        A document has the same id in every view, so that writing it replaces the old one.
        """
        present = 0
        for batch in _batches(documents):
            present += sum(document.present for document in batch)
            lines = "".join(_lines(country, document) for document in batch)
            answer = self._bulk(lines)
            if answer["errors"]:
                raise StackError(
                    f"{self._url}/{self._name}: _bulk refused a document: {json.dumps(answer['items'][0])}"
                )
        self._call("POST", "/_refresh")
        return present

    def _bulk(self, lines: str) -> dict[str, Any]:
        until = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                return self._call("POST", "/_bulk?filter_path=errors,items.*.error", lines)
            except _BusyError:
                if time.monotonic() > until:
                    raise
                time.sleep(_PAUSE_SECONDS)

    def _call(self, method: str, path: str, body: dict[str, Any] | str | None = None) -> dict[str, Any]:
        headers = (
            {}
            if body is None
            else {"Content-Type": "application/json" if isinstance(body, dict) else "application/x-ndjson"}
        )
        payload = json.dumps(body) if isinstance(body, dict) else body
        try:
            self._connection.request(method, f"/{self._name}{path}", payload and payload.encode(), headers)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise StackError(
                f"{method} {self._url}/{self._name}{path} failed ({error!r}): see `stack status`"
            ) from error
        if response.status >= http.client.BAD_REQUEST:
            text = content.decode(errors="replace")[:500]
            kind = _BusyError if response.status == http.client.TOO_MANY_REQUESTS else StackError
            raise kind(f"{method} {self._url}/{self._name}{path} gave {response.status}: {text}")
        return json.loads(content)


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    iterator = iter(documents)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


def _lines(country: str, document: Document) -> str:
    # Formatted by hand, because json.dumps would take most of the time. None of these values needs escaping.
    if not document.present:
        return f'{{"delete":{{"_id":"{document.id}"}}}}\n'
    online = "true" if document.online else "false"
    reason = f',"offline_reason":"{document.reason}"' if document.reason else ""
    updated_at = f"{document.updated_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if document.updated_at else ""
    return (
        f'{{"index":{{"_id":"{document.id}"}}}}\n'
        f'{{"store_id":{document.store_id},"country":"{country}","online":{online}{reason},"updated_at":"{updated_at}"}}\n'
    )
