"""Makes the live view of the sample stores at an instant: mostly in step with their hours, wrong in known ways."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b

from infra.local import slots
from infra.local.sample.countries import COUNTRIES
from infra.local.sample.hours import is_open
from infra.local.sample.model import Exceptions, Store, Week

REASONS = (
    "tablet_offline",
    "too_many_orders",
    "kitchen_closed",
    "out_of_stock",
    "no_couriers",
    "manual_pause",
    "technical_problem",
    "menu_not_published",
    "payment_suspended",
    "health_inspection",
    "moving",
    "weather",
)

# Per mille. Each slot redraws which stores are missing, offline, or online out of hours. Stores with two documents
# and orphans are fixed, and each slot shows half of them, so it is known what earlier slots left.
_MISSING = 10
_OFFLINE = 30
_OUT_OF_HOURS = 10
_TWICE = 4
_ORPHAN = 6


@dataclass(frozen=True, slots=True)
class Document:
    """What a document of the index holds in a slot, or that it must be absent."""

    id: str
    store_id: int
    present: bool
    online: bool = False
    reason: str | None = None
    updated_at: datetime | None = None


def documents(stores: Iterable[Store], country: str, seed: int, instant: datetime) -> Iterator[Document]:
    """The documents of a slot, including those of other slots that must be removed."""
    slot = slots.current(instant)
    default_timezone = COUNTRIES[country].default_timezone
    known: dict[tuple[Week, Exceptions, str], bool | None] = {}
    last_id = None
    for store in stores:
        if last_id is None:
            # Before the first store: an orphan that is always present.
            yield _orphan(store.id - 1, seed, slot, always=True)
        elif store.id > last_id + 1 and _part(seed, "orphan", store.id - 1) < 2 * _ORPHAN:
            yield _orphan(store.id - 1, seed, slot)
        last_id = store.id
        hours = (store.week, store.exceptions, default_timezone if store.timezone is None else store.timezone)
        if hours not in known:
            known[hours] = is_open(*hours, slot)
        yield from _documents_of(store, known[hours], seed, slot)
    if last_id is not None:
        yield _orphan(last_id + 1, seed, slot, always=True)


def _documents_of(store: Store, is_open: bool | None, seed: int, slot: datetime) -> Iterator[Document]:
    draw = _draw(seed, slot, store.id)
    part = draw % 1000
    updated_at = slot - timedelta(seconds=(draw >> 16) % 900)
    reason = REASONS[(draw >> 32) % len(REASONS)]
    scheduled = is_open if is_open is not None else bool(draw & 1)
    if not store.active or part < _MISSING:
        yield Document(str(store.id), store.id, present=False)
    elif scheduled and part < _MISSING + _OFFLINE:
        yield Document(str(store.id), store.id, True, False, reason, updated_at)
    elif not scheduled and part < _MISSING + _OUT_OF_HOURS:
        yield Document(str(store.id), store.id, True, True, None, updated_at)
    else:
        yield Document(str(store.id), store.id, True, scheduled, None, updated_at)
    if _part(seed, "twice", store.id) < _TWICE:
        # The other online state than the usual document's: a store is online if any of its documents is.
        shown = store.active and draw >> 48 & 1 == 1
        yield Document(f"{store.id}-2", store.id, shown, not scheduled, reason if scheduled else None, updated_at)


def _orphan(store_id: int, seed: int, slot: datetime, *, always: bool = False) -> Document:
    draw = _draw(seed, slot, store_id)
    updated_at = slot - timedelta(days=draw % 400)
    return Document(str(store_id), store_id, always or draw >> 48 & 1 == 1, draw >> 49 & 1 == 1, None, updated_at)


def _draw(*what: object) -> int:
    """64 bits that look random, and are the same for the same input."""
    return int.from_bytes(blake2b(" ".join(map(str, what)).encode(), digest_size=8).digest(), "big")


def _part(*what: object) -> int:
    return _draw(*what) % 1000
