"""Elasticsearch fails: a chunk that it does not answer for in whole is unknown, and nothing ever reads as offline."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from e2e.faults.faulty import COUNTRY, Faulty, of_chunk
from faults.kinds import Answer, CutAnswer, Hold, Kind, Reset, Rewrite

SEARCH = r"POST /.*/_search"
UNAVAILABLE, INCOMPLETE = "live_view_unavailable", "live_view_incomplete"
ERRORS = {UNAVAILABLE: "LiveViewUnavailable", INCOMPLETE: "LiveViewIncomplete"}


def with_shards(**shards: Any) -> Callable[[Any], Any]:
    """The answer with other numbers of its shards."""
    return lambda answer: answer | {"_shards": answer["_shards"] | shards}


def without_last_hit(answer: Any) -> Any:
    """The answer with a document less than it counts."""
    return answer | {"hits": answer["hits"] | {"hits": answer["hits"]["hits"][:-1]}}


def counted_in_part(answer: Any) -> Any:
    """The answer of a search that was not counted to its end."""
    return answer | {"hits": answer["hits"] | {"total": answer["hits"]["total"] | {"relation": "gte"}}}


REJECTED = json.dumps({"error": {"root_cause": [{"reason": "rejected execution"}]}, "status": 429}).encode()
FAILURE = {"shard": 0, "reason": {"type": "circuit_breaking_exception"}}
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


def test_with_elasticsearch_down_all_is_unknown(faulty: Faulty) -> None:
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


def test_a_live_view_that_comes_back_within_the_slot_costs_nothing_and_raises_no_alarm(faulty: Faulty) -> None:
    """It is down for the whole of the first look, with all of its tries, and back for the second."""
    slot = faulty.afresh()
    chunks = len(faulty.items(slot)) if faulty.plan(slot) else 0
    with faulty.elasticsearch.fault(Answer(503), SEARCH, times=3 * chunks) as down:
        assert faulty.run(slot)["outcome"] == "complete"
    assert len(down.met) == 3 * chunks
    faulty.assert_holds(slot)
    back = len(faulty.aws.seen(r"PUT /.*/staging/.*/missing-2\.json"))
    assert back == 1
    counted = [(name, value) for name, value in faulty.metrics_sent() if name in ("TicksComplete", "TicksPartial")]
    assert counted == [("TicksComplete", 1), ("TicksPartial", 0)]


def test_a_view_that_does_not_say_what_it_maps_is_no_wrong_country_file(faulty: Faulty) -> None:
    """Every observation asks for the mapping first. BadConfig would not be tried again."""
    slot = faulty.afresh()
    faulty.plan(slot)
    with faulty.elasticsearch.fault(Rewrite("no index", lambda _: {}), "_mapping"):
        answer = faulty.invoke("observe", faulty.items(slot)[0])
    assert answer.error_type == "LiveViewIncomplete", answer.payload


def test_what_passes_is_tried_again_with_growing_pauses_and_the_tick_is_complete(faulty: Faulty) -> None:
    slot = faulty.afresh()
    faulty.plan(slot)
    items = faulty.items(slot)
    # The first two tries of two chunks; a plan that stands is kept, so their ranges are known.
    kinds = {0: Answer(429, REJECTED), 2: Rewrite("failed shard", with_shards(total=2, failed=1))}
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
    # The local Step Functions passes over the jitter; that it is asked for is seen in the deployed definition.
    observe = faulty.deployed.definition(f"country-{COUNTRY}")["States"]["Observe"]["ItemProcessor"]["States"]
    (retry,) = [one for one in observe["ObserveChunk"]["Retry"] if "LiveViewIncomplete" in one["ErrorEquals"]]
    assert retry["JitterStrategy"] == "FULL" and "LiveViewUnavailable" in retry["ErrorEquals"]


def test_what_lasts_is_given_up_within_the_slot_and_each_chunk_has_its_own_reason(faulty: Faulty) -> None:
    slot = faulty.afresh()
    faulty.plan(slot)
    items = faulty.items(slot)
    kinds: dict[int, Kind] = {0: Answer(503), 1: Rewrite("timed_out", lambda answer: answer | {"timed_out": True})}
    with ExitStack() as faults:
        for number, kind in kinds.items():
            faults.enter_context(faulty.elasticsearch.fault(kind, SEARCH, where=where_chunk(items[number])))
        assert faulty.run(slot)["outcome"] == "partial"
    faulty.assert_holds(slot, unknown={0: UNAVAILABLE, 1: INCOMPLETE})
    # Four looks of three tries each; what the first look has found is not asked for again.
    assert [len(searches(faulty, item)) for item in items] == [12, 12, 1]
    partial = [value for name, value in faulty.metrics_sent() if name == "TicksPartial"]
    assert partial == [1]


def test_a_complete_answer_is_believed_and_stores_whose_documents_are_gone_are_unlisted(faulty: Faulty) -> None:
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
    """Finds the searches of one chunk."""
    return lambda request: of_chunk(item, request)


def searches(faulty: Faulty, item: dict[str, Any]) -> list[Any]:
    """The searches that a chunk has made, those that failed too."""
    return [request for request in faulty.elasticsearch.seen(SEARCH) if of_chunk(item, request)]
