"""What `current_outages` should contain at a slot, computed from all rows up to it.

A tick knows the tick before and its own rows only. So it looks for an opening by the hours of its own row, and it
starts anew after a day without any tick.
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


def current_outages(found: list[History], slot: datetime) -> Rows:
    """The rows of the tick of a slot, in the order of their stores."""
    begin = _first_tick(found, slot)
    rows = [row for history in found if (row := _row(history, begin, slot))]
    return sorted(rows, key=lambda row: row["store_id"])


def _first_tick(found: list[History], slot: datetime) -> datetime:
    """The tick after the last gap of more than a day."""
    ticks = sorted({own for history in found for own in history.looks if own <= slot}, reverse=True)
    assert ticks[0] == slot, f"{slot} has no rows"
    gaps = (later for later, earlier in pairwise(ticks) if later - earlier > LONGEST_GAP)
    return next(gaps, ticks[-1])


def _row(history: History, begin: datetime, slot: datetime) -> Row | None:
    """A store's row if it is in an outage at the slot."""
    good: Row | None = None
    bad: Rows = []
    unseen, unseen_since, now = 0, 0, begin
    while now <= slot:
        row, kind = history.looks.get(now), history.kind(now)
        if row and kind == "bad":
            unseen, unseen_since, bad = unseen + unseen_since if bad else 0, 0, [*bad, row]
        elif kind == "good":
            good, bad = row, []
        elif kind == "unseen" and bad:
            unseen_since += 1
            if unseen_since == MOST_UNSEEN:
                bad = []
        now += SLOT
    if not bad:
        return None
    here = history.looks.get(slot)
    since = _opened(history, bad[0], good)
    return {
        "slot": slot,
        "store_id": history.store_id,
        **{name: bad[-1][name] for name in WHOSE},
        "since_after": since or (good and good["observed_at"]),
        "since_by": bad[0]["observed_at"],
        "status": here and here["status"],
        "reason": bad[-1]["reason"],
        "bad_looks": len(bad),
        "unseen_looks": unseen,
        "lost_seconds": sum(row["scheduled_seconds"] for row in bad),
        "is_new": bad[0]["slot"] == slot,
        "opened_at": _opened(history, here, None) if here and kind_of(here) == "bad" else None,
        "unseen_since": unseen_since,
    }


def _opened(history: History, row: Row, good: Row | None) -> datetime | None:
    """When the hours opened in which a look was bad, all of them those of its own row."""
    try:
        own = JudgedHours({row["slot"]: history.hours.of(row["slot"])})
        return own.opened(whole(row["observed_at"]), whole(good["observed_at"]) if good else None)
    except HoursUnknownError:
        return None
