"""Slots, the quarter hours of ticks: how commands read and write them."""

import re
from datetime import UTC, datetime, timedelta

from infra.local.errors import StackError
from infra.vocabulary import SLOT_SECONDS

SLOT = timedelta(seconds=SLOT_SECONDS)


def current(now: datetime | None = None) -> datetime:
    """The start of the slot that contains an instant."""
    now = (now or datetime.now(UTC)).astimezone(UTC)
    return now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)


def parse(text: str) -> datetime:
    """`2026-11-23T04:15:00Z` or `20261123T0415Z`."""
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y%m%dT%H%MZ"):
        try:
            slot = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        if slot != current(slot):
            raise StackError(f"{text} is not a slot: they start at :00, :15, :30 and :45, such as {iso(current(slot))}")
        return slot
    raise StackError(f"{text!r} is not a slot: write it like {iso(current())} or {compact(current())}")


def floor(instant: str) -> datetime:
    """The slot of an instant such as `2026-11-23T04:17:09Z`."""
    return current(datetime.strptime(instant, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC))


def iso(slot: datetime) -> str:
    """A slot as in JSON and columns."""
    return f"{slot:%Y-%m-%dT%H:%M:%SZ}"


def compact(slot: datetime) -> str:
    """A slot as in keys and names."""
    return f"{slot:%Y%m%dT%H%MZ}"


def in_key(key: str) -> datetime | None:
    """The slot at the start of a key's last part; None if there is none."""
    name = key.rpartition("/")[2]
    return parse(name[:14]) if re.match(r"\d{8}T\d{4}Z", name) else None
