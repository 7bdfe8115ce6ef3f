"""The ways of reading a live view that `make bench-reads` compares."""

import gzip
import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from infra.local.errors import StackError

Found = dict[int, tuple[bool, str | None]]
Read = Callable[["Client", int | None, int | None, "Pattern"], Found]

_ID, _REASON = "store_id", "offline_reason"
_ONLINE = {"term": {"online": True}}
_COUNTRY = {"term": {"country": "es"}}
_WHOLE = "allow_partial_search_results=false&expand_wildcards=open,closed"
_PAGE = 10_000


class Client:
    """One connection, kept open, which counts the bytes of bodies."""

    def __init__(self, url: str, index: str):
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self.index = index
        self.received = 0

    def get(self, path: str) -> bytes:
        """The body of an answer."""
        return self._send("GET", path, None, {})

    def ask(self, path: str, body: Any, *, gzipped: bool) -> Any:
        """The answer in JSON."""
        headers = {"content-type": "application/json"} | ({"accept-encoding": "gzip"} if gzipped else {})
        return json.loads(self._send("POST", path, json.dumps(body), headers))

    def _send(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> bytes:
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        content = response.read()
        self.received += len(content)
        if response.getheader("content-encoding") == "gzip":
            content = gzip.decompress(content)
        if response.status >= http.client.BAD_REQUEST:
            raise StackError(f"{method} {path} gave {response.status}: {content[:500].decode(errors='replace')}")
        return content


@dataclass(frozen=True)
class Pattern:
    """A way of reading a chunk."""

    name: str
    read: Read
    chunk: int = 2_000
    gzipped: bool = True
    parts: str = "timed_out,_shards,_clusters,hits.total,hits.hits.sort,hits.hits.fields"
    mapping: bool = True  # asked for before each search, as the functions do
    change: dict[str, Any] = field(default_factory=dict)


def _within(first: int | None, last: int | None) -> dict[str, Any]:
    bounds = {key: value for key, value in (("gte", first), ("lt", last)) if value is not None}
    return {"range": {_ID: bounds}} if bounds else {"exists": {"field": _ID}}


def _search(client: Client, pattern: Pattern, body: dict[str, Any]) -> Any:
    if pattern.mapping:
        client.get(f"/{client.index}/_mapping/field/country,offline_reason,online,store_id?allow_no_indices=false")
    parts = f"&filter_path={pattern.parts}" if pattern.parts else ""
    body = (
        {
            "size": _PAGE,
            "track_total_hits": True,
            "_source": False,
            "stored_fields": "_none_",
            "docvalue_fields": [_REASON],
        }
        | body
        | pattern.change
    )
    answer = client.ask(
        f"/{client.index}/_search?{_WHOLE}{parts}",
        {k: v for k, v in body.items() if v is not None},
        gzipped=pattern.gzipped,
    )
    return answer


def _scored(first: int | None, last: int | None) -> dict[str, Any]:
    return {
        "bool": {
            "filter": [_within(first, last), _COUNTRY],
            "should": [{"constant_score": {"filter": _ONLINE, "boost": 1.0}}],
            "minimum_should_match": 0,
        }
    }


def _reason(hit: dict[str, Any]) -> str | None:
    return next(iter(hit.get("fields", {}).get(_REASON, [])), None)


def scored(client: Client, first: int | None, last: int | None, pattern: Pattern) -> Found:
    """The id and the score are sort values: what the functions do."""
    body = {"query": _scored(first, last), "sort": [{_ID: "asc"}, {"_score": "desc"}]}
    hits = _search(client, pattern, body)["hits"].get("hits", [])
    return {hit["sort"][0]: (hit["sort"][1] > 0, _reason(hit)) for hit in hits}


def tracked(client: Client, first: int | None, last: int | None, pattern: Pattern) -> Found:
    """Only the id is a sort value; the score is the hit's."""
    body = {"query": _scored(first, last), "sort": [{_ID: "asc"}], "track_scores": True}
    hits = _search(client, pattern, body)["hits"].get("hits", [])
    return {hit["sort"][0]: (hit["_score"] > 0, _reason(hit)) for hit in hits}


def unsorted(client: Client, first: int | None, last: int | None, pattern: Pattern) -> Found:
    """In the order of the index; the score is a hit's, and the id a field."""
    body = {"query": _scored(first, last), "sort": ["_doc"], "track_scores": True, "docvalue_fields": [_ID, _REASON]}
    hits = _search(client, pattern, body)["hits"].get("hits", [])
    return {hit["fields"][_ID][0]: (hit["_score"] > 0, _reason(hit)) for hit in hits}


def named(client: Client, first: int | None, last: int | None, pattern: Pattern) -> Found:
    """The online query has a name, which a hit that matches tells."""
    query = {
        "bool": {
            "filter": [_within(first, last), _COUNTRY],
            "should": [{"bool": {"filter": _ONLINE, "_name": "on"}}],
            "minimum_should_match": 0,
        }
    }
    hits = _search(client, pattern, {"query": query, "sort": [{_ID: "asc"}]})["hits"].get("hits", [])
    return {hit["sort"][0]: ("matched_queries" in hit, _reason(hit)) for hit in hits}


def two_searches(client: Client, first: int | None, last: int | None, pattern: Pattern) -> Found:
    """The documents that match, then those that do not."""
    found: Found = {}
    for online in (True, False):
        query = {"bool": {"filter": [_within(first, last), _COUNTRY], "filter" if online else "must_not": [_ONLINE]}}
        if online:
            query["bool"]["filter"] = [_within(first, last), _COUNTRY, _ONLINE]
        hits = _search(client, pattern, {"query": query, "sort": [{_ID: "asc"}]})["hits"].get("hits", [])
        found.update({hit["sort"][0]: (online, _reason(hit)) for hit in hits})
    return found


def terms(client: Client, first: int | None, last: int | None, pattern: Pattern) -> Found:
    """Named ids instead of a range. Orphans are not found; here there are none."""
    low, high = first or 100_000, last or (first or 100_000) + 3 * pattern.chunk
    query = _scored(first, last)
    query["bool"]["filter"][0] = {"terms": {_ID: list(range(low, high, 3))}}
    hits = _search(client, pattern, {"query": query, "sort": [{_ID: "asc"}, {"_score": "desc"}]})["hits"].get(
        "hits", []
    )
    return {hit["sort"][0]: (hit["sort"][1] > 0, _reason(hit)) for hit in hits}


def source(client: Client, first: int | None, last: int | None, pattern: Pattern) -> Found:
    """The id and the reason from the document's source."""
    body = {"query": _scored(first, last), "sort": ["_doc"], "track_scores": True}
    hits = _search(client, pattern, body)["hits"].get("hits", [])
    return {hit["_source"][_ID]: (hit["_score"] > 0, hit["_source"].get(_REASON)) for hit in hits}


def aggregated(client: Client, first: int | None, last: int | None, pattern: Pattern) -> Found:
    """One bucket a store, with the number of its documents that match and its reasons."""
    body = {
        "query": {"bool": {"filter": [_within(first, last), _COUNTRY]}},
        "aggs": {
            "ids": {
                "composite": {"size": _PAGE, "sources": [{"id": {"terms": {"field": _ID}}}]},
                "aggs": {"on": {"filter": _ONLINE}, "why": {"terms": {"field": _REASON, "size": 1}}},
            }
        },
    }
    buckets = _search(client, pattern, body)["aggregations"]["ids"]["buckets"]
    reasons = [[one["key"] for one in bucket["why"]["buckets"]] for bucket in buckets]
    return {
        bucket["key"]["id"]: (bucket["on"]["doc_count"] > 0, next(iter(reason), None))
        for bucket, reason in zip(buckets, reasons, strict=True)
    }


_SCORE = "timed_out,_shards,_clusters,hits.total,hits.hits._score,hits.hits.fields"
OURS = Pattern("id and score as sort values", scored)
_NAMED = OURS.parts + ",hits.hits.matched_queries"
PATTERNS = [
    OURS,
    Pattern("same, chunks of 500", scored, chunk=500),
    Pattern("same, chunks of 5,000", scored, chunk=5_000),
    Pattern("same, chunks of 10,000", scored, chunk=10_000),
    Pattern("same, not compressed", scored, gzipped=False),
    Pattern("same, no filter_path", scored, parts=""),
    Pattern("same, mapping not asked for", scored, mapping=False),
    Pattern("same, size of 2,500 instead of 10,000", scored, change={"size": 2_500}),
    Pattern("same, total not tracked", scored, change={"track_total_hits": False}),
    Pattern(
        "same, reason by `fields`", scored, change={"docvalue_fields": None, "stored_fields": None, "fields": [_REASON]}
    ),
    Pattern("terms of ids instead of a range", terms),
    Pattern("sorted by id, score tracked", tracked, parts=_SCORE + ",hits.hits.sort"),
    Pattern("unsorted, id as a field", unsorted, parts=_SCORE),
    Pattern("named query", named, parts=_NAMED),
    Pattern("named query, chunks of 5,000", named, parts=_NAMED, chunk=5_000),
    Pattern("two searches, online and not", two_searches),
    Pattern(
        "id and reason from _source",
        source,
        parts="",
        change={"_source": True, "stored_fields": None, "docvalue_fields": None},
    ),
    Pattern(
        "composite aggregation",
        aggregated,
        parts="",
        change={"size": 0, "docvalue_fields": None, "_source": None, "stored_fields": None},
    ),
]
