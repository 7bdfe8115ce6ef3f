"""What `current_outages` should contain at a slot, computed from all rows up to it.

A tick knows the tick before and its own rows only. So it looks for an opening by the hours of its own row, and it
starts anew after a day without any tick. For the last good look before an outage it searches eight ticks: `since_after`
may be null if neither a look nor an opening in them decides it and there were more ticks in the day before.
"""

from datetime import datetime, timedelta
from itertools import pairwise

from tests.harness.open_hours import HoursUnknownError, JudgedHours
from tests.harness.oracle import SLOT
from tests.harness.outages_oracle import WHOSE, History, kind_of, whole
from tests.harness.views_oracle import Row, Rows

LONGEST_GAP = timedelta(hours=24)
# A store that was not seen for as many slots is forgotten.
MOST_UNSEEN = 96
MOST_SEARCHED = 8


def current_outages(found: list[History], slot: datetime) -> Rows:
    """The rows of the tick of a slot, in the order of their stores."""
    ticks = sorted({own for history in found for own in history.looks if own <= slot}, reverse=True)
    assert ticks[0] == slot, f"{slot} has no rows"
    rows = [row for history in found if (row := _row(history, ticks))]
    return sorted(rows, key=lambda row: row["store_id"])


def _first(ticks: list[datetime]) -> datetime:
    """The tick after the last gap of more than a day."""
    gaps = (later for later, earlier in pairwise(ticks) if later - earlier > LONGEST_GAP)
    return next(gaps, ticks[-1])


def _row(history: History, ticks: list[datetime]) -> Row | None:
    """A store's row if it is in an outage at the slot of the latest tick."""
    slot = ticks[0]
    bad: Rows = []
    unseen, unseen_since, now = 0, 0, _first(ticks)
    while now <= slot:
        row, kind = history.looks.get(now), history.kind(now)
        if row and kind == "bad":
            unseen, unseen_since, bad = unseen + unseen_since if bad else 0, 0, [*bad, row]
        elif kind == "good":
            bad = []
        elif kind == "unseen" and bad:
            unseen_since += 1
            if unseen_since == MOST_UNSEEN:
                bad = []
        now += SLOT
    if not bad:
        return None
    here = history.looks.get(slot)
    return {
        "slot": slot,
        "store_id": history.store_id,
        **{name: bad[-1][name] for name in WHOSE},
        "since_after": _since(history, ticks, bad[0]),
        "since_by": bad[0]["observed_at"],
        "status": here and here["status"],
        "reason": bad[-1]["reason"],
        "bad_looks": len(bad),
        "unseen_looks": unseen,
        "lost_seconds": sum(row["scheduled_seconds"] for row in bad),
        "is_new": bad[0]["slot"] == slot,
        "opened_at": _opened(history, here) if here and kind_of(here) == "bad" else None,
        "unseen_since": unseen_since,
    }


def _since(history: History, ticks: list[datetime], row: Row) -> datetime | None:
    """The last good look before an outage or its opening, whichever is later, as far as the search decides it."""
    before = [tick for tick in ticks if timedelta() < row["slot"] - tick <= LONGEST_GAP]
    searched = before[:MOST_SEARCHED]
    good = next((history.looks[tick]["observed_at"] for tick in searched if history.kind(tick) == "good"), None)
    opened = _opened(history, row)
    is_decided = good or before == searched or (opened and searched[-1] <= opened)
    return max(filter(None, (good, opened)), default=None) if is_decided else None


def _opened(history: History, row: Row) -> datetime | None:
    """When the hours opened in which a look was bad, all of them those of its own row."""
    try:
        own = JudgedHours({row["slot"]: history.hours.of(row["slot"])})
        return own.opened(whole(row["observed_at"]), None)
    except HoursUnknownError:
        return None
