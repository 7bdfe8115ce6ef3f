"""`live_view` in a notebook, against the stack's Elasticsearch, and against answers that one seldom gives."""

import json
import socket
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.servers.tls import make_certificates
from tests.workbench.package.answers import Answers, server
from tests.workbench.package.conftest import Sources
from tests.workbench.package.notebook import Notebook

_SHARDS = {"total": 1, "successful": 1, "failed": 0}


def _call(sources: Sources, path: str, body: Any = None, method: str = "POST") -> Any:
    content = body if isinstance(body, str) else json.dumps(body)
    url = f"{sources.stack.elasticsearch.url}/{path}"
    headers = {"content-type": "application/x-ndjson" if isinstance(body, str) else "application/json"}
    request = urllib.request.Request(url, None if body is None else content.encode(), headers, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def documents(sources: Sources) -> list[dict[str, Any]]:
    """All documents of the index, in which some stores have a second one with the other state."""
    index = sources.place.index
    for hit in _call(sources, f"{index}/_search", {"size": 20})["hits"]["hits"][::3]:
        second = hit["_source"] | {"online": not hit["_source"]["online"]}
        _call(sources, f"{index}/_doc/{hit['_id']}-second?refresh=true", second, "PUT")
    hits = _call(sources, f"{index}/_search", {"size": 10_000})["hits"]["hits"]
    return [hit["_source"] for hit in hits]


@pytest.fixture
def answers(sources: Sources) -> Iterator[Answers]:
    """A server in the place of the live view of pt."""
    with server() as made:
        sources.grant("pt", live_view=sources.live_view(url=made.url))
        try:
            yield made
        finally:
            sources.revoke("pt")


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["store_id"], row["online"], row.get("offline_reason") or "", row["updated_at"]


def test_it_returns_the_documents(reader: Notebook, documents: list[dict[str, Any]]) -> None:
    ran = reader.run("result = live_view('es').search()")
    assert sorted(map(_key, ran.dicts)) == sorted(map(_key, documents))
    assert all(row["is_online"] == row["online"] for row in ran.dicts) and {row["online"] for row in ran.dicts} == {
        True,
        False,
    }
    assert ran.types["store_id"] == "Int64" and ran.warned == []
    ids = [row["store_id"] for row in ran.dicts]
    assert ids == sorted(ids)


def test_pages_join_without_a_gap_though_stores_have_several_documents(
    reader: Notebook, documents: list[dict[str, Any]]
) -> None:
    ids = [row["store_id"] for row in documents]
    assert len(set(ids)) < len(ids)
    ran = reader.run("""
        from storewatch import live_view as module
        import sys
        pages = sys.modules["storewatch.live_view"]
        whole, pages._PAGE = pages._PAGE, 3
        try:
            result = live_view("es").search()
        finally:
            pages._PAGE = whole
    """)
    assert sorted(map(_key, ran.dicts)) == sorted(map(_key, documents))


def test_a_query_and_fields_are_the_servers_own(reader: Notebook, documents: list[dict[str, Any]]) -> None:
    reason = next(row["offline_reason"] for row in documents if row.get("offline_reason"))
    ran = reader.run(f"""
        result = live_view("es").search({{"term": {{"offline_reason": {reason!r}}}}}, fields=["store_id"])
        assert live_view("es").count({{"term": {{"offline_reason": {reason!r}}}}}) == len(result)
    """)
    expected = sorted(row["store_id"] for row in documents if row.get("offline_reason") == reason)
    assert [row["store_id"] for row in ran.dicts] == expected
    assert set(ran.types) == {"is_online", "store_id"}


def test_a_store_is_all_its_documents(reader: Notebook, documents: list[dict[str, Any]]) -> None:
    ids = [row["store_id"] for row in documents]
    twice = next(store for store in ids if ids.count(store) == 2)
    found = reader.run(f"result = live_view('es').store('{twice}')").dicts
    assert sorted(map(_key, found)) == sorted(_key(row) for row in documents if row["store_id"] == twice)
    assert {row["is_online"] for row in found} == {True, False}
    assert reader.run("result = live_view('es').store(-1)").dicts == []


def test_more_documents_than_allowed_are_cut_and_it_says_so(reader: Notebook, documents: list[dict[str, Any]]) -> None:
    ran = reader.run("""
        result = live_view("es").search(max_rows=7)
        assert result.attrs["is_cut"] and not live_view("es").search().attrs["is_cut"]
    """)
    assert [row["store_id"] for row in ran.dicts] == sorted(row["store_id"] for row in documents)[:7]
    [warning] = ran.warned
    assert warning.startswith("Only the first 7 rows were read, and there are more")


def test_only_the_countrys_documents_are_seen(
    reader: Notebook, sources: Sources, documents: list[dict[str, Any]]
) -> None:
    half = sorted(row["store_id"] for row in documents)[len(documents) // 2]
    sources.grant("pt", live_view=sources.live_view(filter={"range": {"store_id": {"gt": half}}}))
    try:
        found = reader.run("result = [live_view('pt').count(), live_view('pt').search()]").result
    finally:
        sources.revoke("pt")
    expected = sum(row["store_id"] > half for row in documents)
    assert found[0] == expected == len(found[1]["rows"])


def test_an_index_without_documents_is_an_empty_answer(reader: Notebook, sources: Sources) -> None:
    with _index(sources, {"store_id": {"type": "keyword"}, "online": {"type": "boolean"}}) as name:
        sources.grant("pt", live_view=sources.live_view(index=name))
        try:
            ran = reader.run("result = live_view('pt').search()")
        finally:
            sources.revoke("pt")
    assert (ran.result["columns"], ran.dicts) == (["is_online"], [])


def test_a_shard_that_fails_is_no_short_answer(reader: Notebook, sources: Sources) -> None:
    # In the second index the field is a number, and its shard refuses to compare it with a date.
    fields = {"store_id": {"type": "long"}, "online": {"type": "boolean"}, "updated_at": {"type": "long"}}
    with _index(sources, fields) as name:
        _call(sources, f"{name}/_doc?refresh=true", {"store_id": 1, "online": True, "updated_at": 7})
        sources.grant("pt", live_view=sources.live_view(index=f"{sources.place.index},{name}"))
        try:
            failures = [
                reader.fail(f"live_view('pt').{call}({{'range': {{'updated_at': {{'gte': '2026-01-01T00:00:00Z'}}}}}})")
                for call in ("search", "count")
            ]
        finally:
            sources.revoke("pt")
    for failure in failures:
        assert failure.kind in ("QueryError", "UnavailableError") and "2026-01-01" in failure.message, failure.message


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        ("live_view('es').search({'no_such': {}})", "QueryError", "unknown query [no_such]"),
        ("live_view('es').search({'term': {'store_id': {1}}})", "QueryError", "the query is not JSON"),
        ("live_view('mx')", "AccessError", "You may not reach the live view of 'mx'"),
    ],
)
def test_what_goes_wrong_is_a_sentence(reader: Notebook, call: str, kind: str, says: str) -> None:
    failure = reader.fail(call)
    assert failure.kind == kind and says in failure.message, failure.message
    assert failure.shown == f"{kind}: {failure.message}"


def test_an_index_that_is_gone_is_no_empty_answer(reader: Notebook, sources: Sources) -> None:
    sources.grant("pt", live_view=sources.live_view(index="no-such-index"))
    try:
        failure = reader.fail("live_view('pt').search()")
    finally:
        sources.revoke("pt")
    assert failure.kind == "UnavailableError" and "no-such-index" in failure.message


def test_a_server_that_is_down_is_named_without_its_password(reader: Notebook, sources: Sources) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://localhost:{free.getsockname()[1]}"
        sources.grant("pt", live_view=sources.live_view(url=url, username="reader", password="s3cret"))
        try:
            failure = reader.fail("live_view('pt').search()")
        finally:
            sources.revoke("pt")
    assert failure.kind == "UnavailableError" and f"live view of pt at {url}" in failure.message
    assert "Connection refused" in failure.message and "s3cret" not in failure.shown


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"timed_out": True}, "the search timed out"),
        ({"_shards": {"total": 2, "successful": 1, "failed": 1}}, "1 of 2 shards answered"),
        ({"_shards": {"total": 0, "successful": 0, "failed": 0}}, "no shard took part"),
        ({"_clusters": {"total": 2, "successful": 1, "skipped": 1}}, "1 of 2 clusters answered"),
    ],
)
def test_a_part_of_an_answer_is_an_error(
    reader: Notebook, answers: Answers, changed: dict[str, Any], says: str
) -> None:
    answers.give(200, {"timed_out": False, "_shards": _SHARDS, "hits": {"hits": []}} | changed)
    failure = reader.fail("live_view('pt').search()")
    assert failure.kind == "UnavailableError" and f"the answer is not whole: {says}" in failure.message


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (
            401,
            {"error": {"reason": "missing authentication credentials"}},
            "AccessError",
            "the login of the workbench is refused",
        ),
        (403, "no", "AccessError", "the login of the workbench is refused"),
        (429, {"error": {"reason": "rejected execution"}}, "UnavailableError", "HTTP 429: rejected execution"),
        (502, "<html>Bad Gateway</html>", "UnavailableError", "HTTP 502: <html>Bad Gateway"),
        (200, "<html>Welcome</html>", "UnavailableError", "what answers is no Elasticsearch"),
        (200, {"hits": {"hits": []}}, "UnavailableError", "what answers is no Elasticsearch"),
    ],
)
def test_a_refusal_says_why(reader: Notebook, answers: Answers, status: int, body: Any, kind: str, says: str) -> None:
    answers.give(status, body)
    failure = reader.fail("live_view('pt').search()")
    assert failure.kind == kind and says in failure.message, failure.message


def test_a_redirect_is_not_followed(reader: Notebook, answers: Answers, sources: Sources) -> None:
    answers.give(302, "", location=f"{sources.stack.elasticsearch.url}/{sources.place.index}/_search")
    assert "HTTP 302" in reader.fail("live_view('pt').search()").message
    assert len(answers.asked) == 1


def test_a_server_that_hangs_is_left(reader: Notebook, answers: Answers) -> None:
    answers.give(200, None)
    failure = reader.fail("live_view('pt').search(timeout=-4)")  # five seconds more are for the way
    assert failure.kind == "UnavailableError" and "timed out" in failure.message


def test_only_the_index_is_searched_and_an_answer_must_be_whole(reader: Notebook, answers: Answers) -> None:
    answers.give(200, {"timed_out": False, "_shards": _SHARDS, "hits": {"hits": []}})
    reader.run("live_view('pt').search(timeout=7)")
    [(path, headers, body)] = answers.asked
    assert "/_search?allow_partial_search_results=false&allow_no_indices=false&ignore_unavailable=false" in path
    assert body["timeout"] == "7000ms" and "authorization" not in headers


def test_credentials_go_over_a_trusted_connection(reader: Notebook, sources: Sources, tmp_path: Path) -> None:
    ca, certificate, key = (tmp_path / name for name in ("ca.pem", "certificate.pem", "key.pem"))
    make_certificates(ca, certificate, key)
    with server((certificate, key)) as made:
        made.give(200, {"_shards": _SHARDS, "count": 5})
        try:
            sources.grant("pt", live_view=sources.live_view(url=made.url, ca=str(ca), api_key="a2V5"))
            assert reader.run("result = live_view('pt').count()").result == 5
            assert made.asked[0][1]["authorization"] == "ApiKey a2V5"
            sources.grant("pt", live_view=sources.live_view(url=made.url, ca=str(ca), username="ana", password="ö"))
            assert reader.run("result = live_view('pt').count()").result == 5
            assert made.asked[1][1]["authorization"] == "Basic YW5hOsO2"
            sources.grant("pt", live_view=sources.live_view(url=made.url, api_key="a2V5"))
            failure = reader.fail("live_view('pt').count()")
        finally:
            sources.revoke("pt")
    assert failure.kind == "UnavailableError" and "certificate verify failed" in failure.message
    assert len(made.asked) == 2


class _index:
    """An index of a test's own."""

    def __init__(self, sources: Sources, properties: dict[str, Any]):
        self._sources, self._properties, self._name = sources, properties, f"wb-{uuid.uuid4().hex[:8]}"

    def __enter__(self) -> str:
        settings = {"number_of_shards": 1, "number_of_replicas": 0}
        _call(self._sources, self._name, {"settings": settings, "mappings": {"properties": self._properties}}, "PUT")
        return self._name

    def __exit__(self, *_: object) -> None:
        _call(self._sources, self._name, method="DELETE")
