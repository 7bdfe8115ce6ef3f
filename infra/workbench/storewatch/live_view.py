"""`live_view`: what users are shown of a country's stores, read from its Elasticsearch or OpenSearch."""

import base64
import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import pandas as pd
import urllib3

from . import access
from .errors import AccessError, QueryError, StorewatchError, UnavailableError
from .postgres import MAX_ROWS, TIMEOUT_SECONDS, cut

_CONNECT_SECONDS = 10
_PAGE = 5000
# As the functions ask: an answer is whole or an error.
_WHOLE = (
    "allow_partial_search_results=false&allow_no_indices=false&ignore_unavailable=false&expand_wildcards=open,closed"
)


class LiveView:
    """A country's live view. Only its own index is read, and only by _search and _count."""

    def __init__(self, country: str):
        self.country = country
        access.source(country, "live_view")  # refuses at once what may not be read

    def __repr__(self) -> str:
        return f"live_view({self.country!r})"

    def search(
        self,
        query: Mapping[str, Any] | None = None,
        *,
        fields: Sequence[str] | None = None,
        max_rows: int = MAX_ROWS,
        timeout: float = TIMEOUT_SECONDS,
    ) -> pd.DataFrame:
        """The documents that match a query of Elasticsearch, all if there is none, in the order of their store ids.

            live_view("es").search({"term": {"offline_reason": "maintenance"}}, fields=["store_id", "offline_reason"])

        A row is a document: `is_online`, which is whether it matches the country's query `online`, as the functions judge
        it, and the document's own fields, or those that are named. Documents without a store id are not in it.
        Of more than `max_rows` only so many are read, and a warning says so; `attrs["is_cut"]` is then true.
        Documents that change while pages are read may be in their old form or their new.
        Raises QueryError if the query is wrong, AccessError, and UnavailableError if the answer is not whole.
        """
        login = access.source(self.country, "live_view")
        id_field = login["id_field"]
        body: dict[str, Any] = {
            "query": _query(login, query),
            "sort": [{id_field: "asc"}],
            "timeout": f"{timeout * 1000:.0f}ms",
            "track_total_hits": False,
            "_source": list(fields) if fields is not None else True,
        }
        hits: list[dict[str, Any]] = []
        while len(hits) <= max_rows:
            body["size"] = _PAGE
            page = self._ask(login, "_search", body, timeout)["hits"]["hits"]
            is_last = len(page) < _PAGE
            if not is_last:
                page = _whole_ids(page, id_field)
                body["search_after"] = page[-1]["sort"]
            hits += page
            if is_last:
                break
        rows = [
            {"is_online": _is_online(hit)} | hit.get("_source", {}) | {"is_online": _is_online(hit)} for hit in hits
        ]
        found = (pd.json_normalize(rows[:max_rows]) if rows else pd.DataFrame(columns=["is_online"])).convert_dtypes()
        found.attrs["is_cut"] = len(hits) > max_rows
        if found.attrs["is_cut"]:
            warnings.warn(cut(max_rows), stacklevel=2)
        return found

    def store(self, store_id: str | int) -> pd.DataFrame:
        """The documents of one store, none if it is not listed. It is online if any of them is."""
        return self.search({"term": {access.source(self.country, "live_view")["id_field"]: store_id}})

    def count(self, query: Mapping[str, Any] | None = None, *, timeout: float = TIMEOUT_SECONDS) -> int:
        """How many documents with a store id match a query."""
        login = access.source(self.country, "live_view")
        return self._ask(login, "_count", {"query": _query(login, query, names_online=False)}, timeout)["count"]

    def _ask(self, login: Mapping[str, Any], action: str, body: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        where = f"live view of {self.country} at {login['url']}, index {login['index']}"
        options = _WHOLE if action == "_search" else _WHOLE.partition("&")[2]
        # No proxy of the environment, no redirect: the login goes to this address only.
        with urllib3.PoolManager(ca_certs=login.get("ca"), retries=False) as pool:
            try:
                response = pool.request(
                    "POST",
                    f"{login['url'].rstrip('/')}/{quote(login['index'], safe='*,:')}/{action}?{options}",
                    body=json.dumps(body),
                    headers={"content-type": "application/json"} | _authorization(login),
                    timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=timeout + 5),
                    redirect=False,
                )
            except urllib3.exceptions.HTTPError as error:
                raise UnavailableError(f"{where}: no answer ({_short(error)}): try again later") from error
            except TypeError as error:  # what JSON cannot say
                raise QueryError(f"{where}: the query is not JSON: {error}") from error
        if response.status != 200:
            raise _refusal(where, response)
        try:
            answer = response.json()
            missing = _missing(answer)
        except (ValueError, LookupError, TypeError) as error:
            raise UnavailableError(f"{where}: what answers is no Elasticsearch or OpenSearch") from error
        if missing:
            raise UnavailableError(f"{where}: the answer is not whole: {missing}. Try again later.")
        return answer


def live_view(country: str) -> LiveView:
    """A country's live view, such as `live_view("es").store("100001")`. Raises AccessError if you may not reach it."""
    return LiveView(country)


def _query(login: Mapping[str, Any], query: Mapping[str, Any] | None, *, names_online: bool = True) -> dict[str, Any]:
    filters = [{"exists": {"field": login["id_field"]}}, *filter(None, (query, login.get("filter")))]
    made: dict[str, Any] = {"filter": filters}
    if names_online:
        made |= {"should": [{"bool": {"filter": login["online"], "_name": "online"}}], "minimum_should_match": 0}
    return {"bool": made}


def _is_online(hit: Mapping[str, Any]) -> bool:
    return "online" in hit.get("matched_queries", ())


def _whole_ids(page: list[dict[str, Any]], id_field: str) -> list[dict[str, Any]]:
    """A full page without its last store, which may go on in the next page."""
    last = page[-1]["sort"]
    kept = [hit for hit in page if hit["sort"] != last]
    if not kept:
        raise UnavailableError(f"more than {len(page):,} documents have the {id_field} {last[0]!r}: ask for fewer")
    return kept


def _missing(answer: Mapping[str, Any]) -> str | None:
    """What keeps an answer from being whole, although its status says that all is well."""
    shards, clusters = answer["_shards"], answer.get("_clusters")
    if answer.get("timed_out"):
        return "the search timed out"
    if clusters and clusters["successful"] != clusters["total"]:
        return f"{clusters['successful']} of {clusters['total']} clusters answered"
    if shards["total"] == 0:
        return "no shard took part"
    if shards["failed"] or shards["successful"] != shards["total"]:
        failures = shards.get("failures")
        why = f", the first: {failures[0]['reason']['reason']}" if failures else ""
        return f"{shards['successful']} of {shards['total']} shards answered{why}"
    return None


def _authorization(login: Mapping[str, Any]) -> dict[str, str]:
    if key := login.get("api_key"):
        return {"authorization": f"ApiKey {key}"}
    if login.get("username"):
        login_bytes = f"{login['username']}:{login['password']}".encode()
        return {"authorization": f"Basic {base64.b64encode(login_bytes).decode()}"}
    return {}


def _refusal(where: str, response: Any) -> StorewatchError:
    try:
        error = response.json()["error"]
        reason = (error.get("root_cause") or [error])[0]["reason"]
    except (ValueError, KeyError, TypeError, AttributeError):
        reason = response.data[:200].decode(errors="replace")
    match response.status:
        case 401 | 403:
            return AccessError(f"{where}: the login of the workbench is refused: ask an administrator")
        case 400:
            return QueryError(f"{where}: {reason}")
        case 404:
            return UnavailableError(f"{where}: there is no such index ({reason})")
    return UnavailableError(f"{where}: HTTP {response.status}: {reason}. Try again later.")


def _short(error: Exception) -> str:
    """What went wrong, without the objects and numbers that stand before it."""
    return str(getattr(error, "reason", None) or error).rpartition("] ")[2][:200]
