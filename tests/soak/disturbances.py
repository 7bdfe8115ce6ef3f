"""What goes wrong in a soak: the kinds of disturbance, what each may excuse, and the seeded plan of when it happens.

Most disturbances pass and excuse nothing: the tick must be complete. A lasting one excuses unknown stores with its
reason, or schedules older than the tick, or a country tick that fails and runs again afterwards.
"""

import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.faults.http import Exchange, HttpProxy, Kind, Request
from tests.faults.kinds import (
    Answer,
    CutAnswer,
    CutRequest,
    Hold,
    Kill,
    LoseAnswer,
    Reset,
    Rewrite,
    aws_error,
    s3_error,
)
from tests.soak.servers import COUNTRIES, PREFIX, Served

UNAVAILABLE, INCOMPLETE = "live_view_unavailable", "live_view_incomplete"
# How a tick is delivered: as usual, or in other ways.
USUAL, TWICE, AT_ONCE, LATE, STOPPED = "usual", "delivered twice", "two at once", "late", "stopped"

_SEARCH = r"POST /.*/_search"
_METRICS = r"PutMetricData"
_GLUE = r"AWSGlue\."
_CHUNK = r"PUT /.*/staging/.*/chunk-00000\.parquet"
_TABLE = r"PUT /.*/store_availability/"
# Where an execution is stopped: at a request of each of its functions.
STOPS = (r"PUT /.*/staging/.*/manifest\.json", _SEARCH, _TABLE, r"AWSGlue\.BatchGetPartition")


@dataclass(frozen=True)
class Disturbance:
    """One kind of disturbance of one country during one tick."""

    name: str
    begin: Callable[[Served], AbstractContextManager[Any]]
    weight: int = 2
    reasons: frozenset[str] = frozenset()
    may_be_stale: bool = False
    may_fail: bool = False


@dataclass(frozen=True)
class Planned:
    """The plan for one slot."""

    delivery: str
    disturbances: dict[str, list[Disturbance]]
    stop: tuple[str, str] | None = None  # country and request


def _at(proxy: str, kind: Kind, pattern: str, **options: Any) -> Callable[[Served], AbstractContextManager[Any]]:
    def begin(served: Served) -> AbstractContextManager[Any]:
        http: HttpProxy = getattr(served, proxy)
        return http.fault(kind, pattern, **options)

    return begin


@dataclass(frozen=True)
class _Named:
    """A kind of fault under the name that it has here."""

    name: str
    kind: Kind

    async def apply(self, exchange: Exchange) -> None:
        """As that kind does."""
        await self.kind.apply(exchange)


def _passing(name: str, proxy: str, kind: Kind, pattern: str, times: int = 1, weight: int = 2) -> Disturbance:
    return Disturbance(f"{name}, passing", _at(proxy, _Named(name, kind), pattern, times=times), weight)


def _lasting(name: str, kind: Kind, reason: str, weight: int = 1, **options: Any) -> Disturbance:
    begin = _at("elasticsearch", _Named(name, kind), _SEARCH, **options)
    return Disturbance(f"{name}, lasting", begin, weight, frozenset([reason]))


def _of_first_chunk(request: Request) -> bool:
    """Whether a search is for the chunk whose range is open below."""
    bounds = json.loads(request.body)["query"]["bool"]["filter"][0].get("range", {}).get("store_id", {})
    return "gte" not in bounds


def _failed_shard(answer: Any) -> Any:
    return answer | {"_shards": answer["_shards"] | {"failed": 1}}


def _timed_out(answer: Any) -> Any:
    return answer | {"timed_out": True}


_ES, _AWS = "elasticsearch", "aws"
_KILLED = {after: Kill(PREFIX, after) for after in (False, True)}
_PARTIAL = Rewrite("partial answer", _failed_shard)
KINDS: tuple[Disturbance, ...] = (
    # Two tries of a chunk may fail. So a fault that meets two requests must pass.
    _passing("Elasticsearch 429", _ES, Answer(429, b"{}"), _SEARCH, times=2),
    _passing("Elasticsearch 503", _ES, Answer(503, b"no master"), _SEARCH, times=2),
    _passing("Elasticsearch truncated", _ES, CutAnswer(), _SEARCH, times=2),
    _passing("Elasticsearch partial", _ES, _PARTIAL, _SEARCH),
    _passing("Elasticsearch reset", _ES, Reset(), _SEARCH),
    _passing("Elasticsearch hanging", _ES, Hold(), _SEARCH),
    # A lasting 429 is left out: chunks wait for their turn, and a tick takes minutes.
    _lasting("Elasticsearch 503", Answer(503, b"no master"), UNAVAILABLE),
    _lasting("Elasticsearch 500", Answer(500, b"{}"), UNAVAILABLE, where=_of_first_chunk, weight=2),
    _lasting("Elasticsearch truncated", CutAnswer(), INCOMPLETE, where=_of_first_chunk),
    _lasting("Elasticsearch partial", _PARTIAL, INCOMPLETE),
    _lasting("Elasticsearch timed out", Rewrite("timed_out", _timed_out), INCOMPLETE, where=_of_first_chunk),
    _lasting("Elasticsearch hanging", Hold(), UNAVAILABLE),
    Disturbance("Elasticsearch refusing", lambda served: served.elasticsearch.refusing(), 1, frozenset([UNAVAILABLE])),
    Disturbance("PostgreSQL refusing", lambda served: served.postgres.refusing(), 3, may_be_stale=True),
    # The certificate and the login pass. The cut is in the stores, their hours or the end.
    Disturbance("PostgreSQL dropping", lambda served: served.postgres.resetting(after=6_000), 2, may_be_stale=True),
    Disturbance(
        "PostgreSQL dropping late", lambda served: served.postgres.resetting(after=12_000), 2, may_be_stale=True
    ),
    Disturbance("PostgreSQL dropping once", lambda s: s.postgres.resetting(after=4_000, times=1), 2, may_be_stale=True),
    Disturbance("PostgreSQL trickling", lambda served: served.postgres.trickling(pause=0.2), 1, may_be_stale=True),
    _passing("S3 500", _AWS, s3_error(500, "InternalError"), r"(PUT|GET) /.*/country=", times=3, weight=4),
    _passing("S3 503", _AWS, s3_error(503, "SlowDown"), r"(PUT|GET) /.*(country=|list-type)", times=3, weight=4),
    _passing("S3 reset", _AWS, Reset(), r"PUT /.*/country=", times=2),
    _passing(
        "S3 answer lost", _AWS, LoseAnswer(), r"PUT /.*/(manifest\.json|store_availability|country_ticks|pending)"
    ),
    _passing("S3 answer to a table's put lost", _AWS, LoseAnswer(), _TABLE),
    _passing("S3 request cut off", _AWS, CutRequest(), r"PUT /.*/(schedules|staging|availability_by_city)/"),
    _passing("S3 object cut off", _AWS, CutAnswer(), r"GET /.*/(schedules|staging)/.*chunk", weight=2),
    Disturbance(
        "S3 refusing the table", _at(_AWS, _Named("S3 503", s3_error(503, "SlowDown")), _TABLE), 1, may_fail=True
    ),
    _passing("Glue throttled", _AWS, aws_error(400, "ThrottlingException"), _GLUE, times=2),
    _passing("Glue answer lost", _AWS, LoseAnswer(), _GLUE),
    Disturbance("CloudWatch refusing", _at(_AWS, _Named("CloudWatch 500", Answer(500)), _METRICS), 2),
    Disturbance(
        "CloudWatch forbidding", _at(_AWS, _Named("CloudWatch 403", aws_error(403, "AccessDenied")), _METRICS), 2
    ),
    _passing("observe killed", _ES, _KILLED[False], _SEARCH, weight=3),
    _passing("observe killed after it has staged", _AWS, _KILLED[True], _CHUNK),
    _passing("plan killed", _AWS, _KILLED[True], STOPS[0]),
    _passing("merge killed before it writes", _AWS, _KILLED[False], _TABLE),
    _passing("merge killed after it wrote", _AWS, _KILLED[True], _TABLE),
    _passing("register killed", _AWS, _KILLED[False], _GLUE),
    # After being killed twice, the chunk is given up.
    Disturbance("observe killed twice", _at(_ES, _KILLED[False], _SEARCH, times=2), 1, frozenset([UNAVAILABLE])),
    Disturbance("merge killed twice", _at(_AWS, _KILLED[True], _TABLE, times=2), 1, may_fail=True),
)
# Only errors that the SDK does not retry, so that a slot takes seconds, not minutes. The state machine retries them.
CATALOG_AWAY = Disturbance("Glue away", _at(_AWS, _Named("Glue away", aws_error(400, "AccessDeniedException")), _GLUE))
_AWAY_SLOTS = 3
# An hour that is disturbed, or not.
_STRETCH = 4


def plan(seed: int, slots: int) -> list[Planned]:
    """The plan for each slot. The first makes a snapshot of the schedules; the last is undisturbed."""
    quiet = {stretch for stretch in range(slots) if random.Random(f"{seed} quiet {stretch}").random() < 0.3}
    # One country lacks the catalog when the day begins and needs partitions, another one later.
    first, second = random.Random(f"{seed} catalog").sample(COUNTRIES, 2)
    later = random.Random(f"{seed} later").randrange(slots // 3, max(slots // 3 + 1, slots - _AWAY_SLOTS - 1))
    away = {first: range(_AWAY_SLOTS), second: range(later, later + _AWAY_SLOTS)}
    found: list[Planned] = []
    for number in range(slots):
        draw = random.Random(f"{seed} slot {number}")
        is_last = number == slots - 1
        is_quiet = number // _STRETCH in quiet or number == 0 or is_last
        disturbances: dict[str, list[Disturbance]] = {code: [] for code in COUNTRIES}
        for code in COUNTRIES:
            if number in away.get(code, ()) and not is_last:
                disturbances[code].append(CATALOG_AWAY)
            elif not is_quiet and draw.random() < 0.35:
                disturbances[code] += draw.choices(KINDS, [kind.weight for kind in KINDS])
        delivery, stop = USUAL, None
        if not is_quiet:
            delivery = draw.choices([USUAL, TWICE, AT_ONCE, LATE, STOPPED], [80, 6, 6, 4, 4])[0]
        # The slot after a late one has both.
        if delivery == LATE and (number + 2 >= slots or (found and found[-1].delivery == LATE)):
            delivery = USUAL
        if delivery == LATE:
            disturbances = {code: [] for code in COUNTRIES}
        if delivery == STOPPED:
            code = draw.choice([code for code in COUNTRIES if CATALOG_AWAY not in disturbances[code]])
            disturbances[code], stop = [], (code, draw.choice(STOPS))
        found.append(Planned(delivery, disturbances, stop))
    return found


@contextmanager
def held(served: Served, pattern: str) -> Iterator[tuple[Any, threading.Event]]:
    """Holds the country's requests that match the pattern until the event is set."""
    go_on = threading.Event()
    proxy = served.elasticsearch if pattern == _SEARCH else served.aws
    with proxy.fault(Hold(go_on, name="held while it is stopped"), pattern) as fault:
        try:
            yield fault, go_on
        finally:
            go_on.set()
