"""Elasticsearch fails: chunks without a whole answer are unknown, and nothing ever reads as offline."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from tests.e2e.faults.faulty import COUNTRY, Faulty, of_chunk
from tests.faults.http import Kind
from tests.faults.kinds import Answer, CutAnswer, Hold, Reset, Rewrite

SEARCH = r"POST /.*/_search"
UNAVAILABLE, INCOMPLETE = "live_view_unavailable", "live_view_incomplete"
ERRORS = {UNAVAILABLE: "LiveViewUnavailable", INCOMPLETE: "LiveViewIncomplete"}


def with_shards(**shards: Any) -> Callable[[Any], Any]:
    """The answer with other numbers of shards."""
    return lambda answer: answer | {"_shards": answer["_shards"] | shards}


def without_last_hit(answer: Any) -> Any:
    """The answer with one document less than it counts."""
    return answer | {"hits": answer["hits"] | {"hits": answer["hits"]["hits"][:-1]}}


def counted_in_part(answer: Any) -> Any:
    """The answer of a search that was not counted to its end."""
    return answer | {"hits": answer["hits"] | {"total": answer["hits"]["total"] | {"relation": "gte"}}}


REJECTED = json.dumps({"error": {"root_cause": [{"reason": "rejected execution"}]}, "status": 429}).encode()
FAILURE = {"shard": 0, "reason": {"type": "null_pointer_exception"}}
KINDS: list[tuple[Kind, str]] = [
    (Answer(429, REJECTED), UNAVAILABLE),
    (Answer(500, b"{}"), UNAVAILABLE),
    (Answer(503, b"no master"), UNAVAILABLE),
    (Reset(), UNAVAILABLE),
    (Hold(), UNAVAILABLE),
    (CutAnswer(), INCOMPLETE),
    (Rewrite("failed shard", with_shards(total=2, failed=1, failures=[FAILURE])), INCOMPLETE),
    (Rewrite("missing shard", with_shards(total=2)), INCOMPLETE),
    (Rewrite("more shards than there are", with_shards(successful=3, failed=1)), INCOMPLETE),
    (Rewrite("timed_out", lambda answer: answer | {"timed_out": True}), INCOMPLETE),
    (Rewrite("malformed body", lambda answer: json.dumps(answer).encode().replace(b"]", b"", 1)), INCOMPLETE),
    (Rewrite("another body", lambda _: {"acknowledged": True}), INCOMPLETE),
    (Rewrite("fewer documents than counted", without_last_hit), INCOMPLETE),
    (Rewrite("not counted to the end", counted_in_part), INCOMPLETE),
]


@pytest.mark.parametrize(("kind", "reason"), KINDS, ids=[kind.name for kind, _ in KINDS])
def test_only_the_stores_of_the_chunk_are_unknown_for(faulty: Faulty, kind: Kind, reason: str) -> None:
    slot = faulty.afresh()
    faulty.plan(slot)
    items = faulty.items(slot)
    with faulty.elasticsearch.fault(kind, SEARCH, where=lambda request: of_chunk(items[1], request)) as fault:
        answers = faulty.observe(slot)
    assert fault.met
    assert faulty.finish(slot)["outcome"] == "partial"
    assert [answer.error_type for answer in answers] == ["", ERRORS[reason], ""], answers[1].payload
    faulty.assert_holds(slot, unknown={1: reason})


def test_with_elasticsearch_down_every_store_is_unknown(faulty: Faulty) -> None:
    slot = faulty.afresh()
    faulty.plan(slot)
    with faulty.elasticsearch.refusing():
        answers = faulty.observe(slot)
    assert {answer.error_type for answer in answers} == {"LiveViewUnavailable"}
    finished = faulty.finish(slot)
    assert (finished["outcome"], finished["coverage"]) == ("partial", 0)
    faulty.assert_holds(slot, unknown=dict.fromkeys(range(len(answers)), UNAVAILABLE))
    assert finished["error"] == f"{len(answers)} of {len(answers)} chunks: LiveViewUnavailable: {answers[0].message}"
    assert faulty.tick(slot)["error"] == finished["error"]


def test_a_live_view_that_recovers_within_the_slot_loses_nothing_and_raises_no_alarm(faulty: Faulty) -> None:
    """It is down for the whole first look and all its retries, and is back for the second look."""
    slot = faulty.afresh()
    chunks = len(faulty.items(slot)) if faulty.plan(slot) else 0
    with faulty.elasticsearch.fault(Answer(503), SEARCH, times=3 * chunks) as down:
        assert faulty.run(slot)["outcome"] == "complete"
    assert len(down.met) == 3 * chunks
    faulty.assert_holds(slot)
    back = len(faulty.aws.seen(r"PUT /.*/staging/.*/missing-2\.json"))
    assert back == 1
    assert "TicksPartial" not in dict(faulty.metrics_sent())


def test_an_unreadable_mapping_does_not_count_as_a_wrong_country_file(faulty: Faulty) -> None:
    """Every observation asks for the mapping first. BadConfig would not be retried."""
    slot = faulty.afresh()
    faulty.plan(slot)
    with faulty.elasticsearch.fault(Rewrite("no index", lambda _: {}), "_mapping"):
        answer = faulty.invoke("observe", faulty.items(slot)[0])
    assert answer.error_type == "LiveViewIncomplete", answer.payload


def test_passing_failures_are_retried_with_growing_pauses_until_the_tick_is_complete(faulty: Faulty) -> None:
    slot = faulty.afresh()
    faulty.plan(slot)
    items = faulty.items(slot)
    # The first two tries of two chunks. An existing plan is kept, so their ranges are known.
    kinds: dict[int, Kind] = {0: Answer(503), 2: Rewrite("failed shard", with_shards(total=2, failed=1))}
    with ExitStack() as faults:
        for number, kind in kinds.items():
            where = where_chunk(items[number])
            faults.enter_context(faulty.elasticsearch.fault(kind, SEARCH, times=2, where=where))
        assert faulty.run(slot)["outcome"] == "complete"
    faulty.assert_holds(slot)
    tries = {item["chunk"]: faulty.pauses(searches(faulty, item)) for item in items}
    assert {number: len(pauses) for number, pauses in tries.items()} == {0: 2, 1: 0, 2: 2}
    for number in kinds:
        assert tries[number][1] > tries[number][0] > 1, tries
    # The local Step Functions ignores jitter. The deployed definition shows that it is requested.
    observe = faulty.deployed.definition(f"country-{COUNTRY}")["States"]["Observe"]["ItemProcessor"]["States"]
    (retry,) = [one for one in observe["ObserveChunk"]["Retry"] if "LiveViewIncomplete" in one["ErrorEquals"]]
    assert retry["JitterStrategy"] == "FULL" and "LiveViewUnavailable" in retry["ErrorEquals"]


def test_lasting_failures_end_within_the_slot_and_each_chunk_has_its_own_reason(faulty: Faulty) -> None:
    slot = faulty.afresh()
    faulty.plan(slot)
    items = faulty.items(slot)
    kinds: dict[int, Kind] = {0: Answer(503), 1: Rewrite("timed_out", lambda answer: answer | {"timed_out": True})}
    with ExitStack() as faults:
        for number, kind in kinds.items():
            faults.enter_context(faulty.elasticsearch.fault(kind, SEARCH, where=where_chunk(items[number])))
        assert faulty.run(slot)["outcome"] == "partial"
    faulty.assert_holds(slot, unknown={0: UNAVAILABLE, 1: INCOMPLETE})
    # Four looks of three tries each. What the first look found is not asked for again.
    assert [len(searches(faulty, item)) for item in items] == [12, 12, 1]
    partial = [value for name, value in faulty.metrics_sent() if name == "TicksPartial"]
    assert partial == [1]


def test_stores_that_a_complete_answer_lacks_are_unlisted(faulty: Faulty) -> None:
    slot = faulty.afresh()
    faulty.plan(slot)
    items = faulty.items(slot)
    empty = {"total": {"value": 0, "relation": "eq"}}
    gone = Rewrite("documents gone", lambda answer: answer | {"hits": empty})
    with faulty.elasticsearch.fault(gone, SEARCH, where=where_chunk(items[1])):
        assert faulty.run(slot)["outcome"] == "complete"
    left = {
        key: value for key, value in faulty.live_view.items() if not items[1]["first"] <= int(key) < items[1]["last"]
    }
    assert len(left) < len(faulty.live_view)
    replace(faulty, live_view=left).assert_holds(slot)
    assert "unlisted" in {row["status"] for row in faulty.rows("store_availability", slot)}


def where_chunk(item: dict[str, Any]) -> Callable[[Any], bool]:
    """A condition that finds the searches of one chunk."""
    return lambda request: of_chunk(item, request)


def searches(faulty: Faulty, item: dict[str, Any]) -> list[Any]:
    """A chunk's searches, including those that failed."""
    return [request for request in faulty.elasticsearch.seen(SEARCH) if of_chunk(item, request)]
