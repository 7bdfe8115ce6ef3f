"""Elasticsearch has no room: chunks wait for their turn, and none fails."""

import json
import shutil
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from infra.local.config import Stack
from infra.local.sample.index import Index
from infra.local.sample.live_view import Document
from infra.local.servers import elasticsearch
from infra.local.servers.ports import any_free
from infra.local.servers.processes import Server
from tests.e2e.faults.faulty import Faulty, of_chunk
from tests.faults.kinds import Answer, Rewrite

SEARCH = r"POST /.*/_search"
REJECTED = json.dumps({"error": {"root_cause": [{"type": "es_rejected_execution_exception"}]}, "status": 429}).encode()
TRIPPED = {"total": 1, "successful": 0, "failed": 1, "failures": [{"reason": {"type": "circuit_breaking_exception"}}]}


@pytest.fixture(scope="module")
def own_node(faulty: Faulty, stack: Stack) -> Iterator[str]:
    """A node that tests may fill up, with the country's documents, in place of the stack's own."""
    folder = stack.run_dir / f"faults-{uuid.uuid4().hex[:6]}"
    shared = faulty.elasticsearch.upstream
    try:
        url = elasticsearch.start(folder, any_free(), any_free()).url
        copy(stack.elasticsearch.url, url, faulty.place.index)
        faulty.elasticsearch.upstream = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
        yield url
    finally:
        faulty.elasticsearch.upstream = shared
        Server(elasticsearch.NAME, folder).stop()
        shutil.rmtree(folder)


def test_chunks_wait_while_a_real_node_has_no_memory_left_and_none_fails(faulty: Faulty, own_node: str) -> None:
    slot = faulty.afresh()
    faulty.plan(slot)
    with ThreadPoolExecutor(1) as pool:
        with without_memory(own_node):
            with pytest.raises(urllib.error.HTTPError) as refused:
                ask(own_node, f"/{faulty.place.index}/_search", {})
            assert refused.value.code == 429 and b"circuit_breaking_exception" in refused.value.read()
            waiting = pool.submit(faulty.observe, slot)
            faulty.wait_until(lambda: len(faulty.elasticsearch.seen("_mapping")) > 2)
            assert not faulty.elasticsearch.seen(SEARCH)
        answers = waiting.result()
    assert not any(answer.is_error for answer in answers), answers
    assert faulty.finish(slot)["outcome"] == "complete"
    faulty.assert_holds(slot)


def test_a_chunk_refused_with_429_waits_as_long_as_it_is_told(faulty: Faulty) -> None:
    slot = faulty.afresh()
    faulty.plan(slot)
    item = faulty.items(slot)[1]
    kind = Answer(429, REJECTED, retry_after=1)
    with faulty.elasticsearch.fault(kind, SEARCH, times=3, where=lambda request: of_chunk(item, request)):
        answer = faulty.invoke("observe", item)
    assert not answer.is_error, answer.payload
    pauses = faulty.pauses(faulty.elasticsearch.seen(SEARCH))
    assert len(pauses) == 3 and min(pauses) > 1, pauses


def test_a_breaker_in_one_shard_of_an_answer_with_200_is_waited_for_too(faulty: Faulty) -> None:
    slot = faulty.afresh()
    faulty.plan(slot)
    kind = Rewrite("breaker in a shard", lambda answer: answer | {"_shards": TRIPPED})
    with faulty.elasticsearch.fault(kind, SEARCH, times=3) as fault:
        answers = faulty.observe(slot)
    assert len(fault.met) == 3
    assert not any(answer.is_error for answer in answers), answers
    assert faulty.finish(slot)["outcome"] == "complete"
    faulty.assert_holds(slot)


def test_a_sample_is_loaded_although_the_node_refuses_documents_for_a_while(faulty: Faulty) -> None:
    name = f"{faulty.place.index}-{uuid.uuid4().hex[:6]}"
    document = Document("1", 1, present=True, online=True, updated_at=datetime.now(UTC))
    with Index(faulty.elasticsearch.url, name) as index:
        index.create()
        try:
            with faulty.elasticsearch.fault(Answer(429, REJECTED), "POST /.*/_bulk", times=2) as refused:
                assert index.write("es", [document]) == 1
            assert len(refused.met) == 2
            assert ask(faulty.elasticsearch.url, f"/{name}/_count", {})["count"] == 1
        finally:
            index.delete()


@contextmanager
def without_memory(url: str) -> Iterator[None]:
    """Makes the node's breaker refuse every search, as if its heap were full."""
    limit = "indices.breaker.total.limit"
    ask(url, "/_cluster/settings", {"persistent": {limit: "1%"}}, method="PUT")
    try:
        yield
    finally:
        ask(url, "/_cluster/settings", {"persistent": {limit: None}}, method="PUT")


def copy(source: str, target: str, name: str) -> None:
    """Copies an index with fewer documents than fit into one answer."""
    hits = ask(source, f"/{name}/_search", {"size": 10_000, "track_total_hits": True})["hits"]
    assert len(hits["hits"]) == hits["total"]["value"]
    with Index(target, name) as index:
        index.create()
    lines = "".join(f'{{"index":{{"_id":"{hit["_id"]}"}}}}\n{json.dumps(hit["_source"])}\n' for hit in hits["hits"])
    assert not ask(target, f"/{name}/_bulk?refresh=true", lines)["errors"]


def ask(url: str, path: str, body: dict[str, Any] | str, method: str = "POST") -> Any:
    """A node's answer."""
    text = body if isinstance(body, str) else json.dumps(body)
    kind = "application/x-ndjson" if isinstance(body, str) else "application/json"
    request = urllib.request.Request(f"{url}{path}", text.encode(), {"content-type": kind}, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
