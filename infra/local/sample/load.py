"""Fills the stack's servers with a sample and updates its live view. Commands and tests call it."""

import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import UTC, date, datetime, timedelta
from multiprocessing import get_context

import psycopg

from infra.local import slots
from infra.local.config import Stack
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.sample import places
from infra.local.sample.countries import COUNTRIES, split
from infra.local.sample.database import drop_database, replace_database
from infra.local.sample.generate import stores
from infra.local.sample.index import Index
from infra.local.sample.live_view import documents
from infra.local.sample.places import Parameters, Place

# A slot's live view must be ready this long before the slot begins.
AHEAD = timedelta(seconds=60)


def load(
    stack: Stack,
    *,
    count: int = 10_000,
    seed: int = 1,
    countries: list[str] | None = None,
    prefix: str | None = None,
    today: date | None = None,
    at: datetime | None = None,
) -> dict[str, Place]:
    """Recreates the countries' databases, roles and indices. Returns the place of each country.

    The stores depend on `count`, `seed` and `today` (holidays lie around it), the live view on `seed` and `at`.
    """
    codes = countries or list(COUNTRIES)
    _check(count, codes, prefix)
    known = places.read_places(stack, prefix)
    chosen = {code: _place(code, prefix, known.get(code)) for code in codes}
    now = datetime.now(UTC)
    counts = split(count, codes)
    parameters = {code: Parameters(counts[code], seed, today or now.date()) for code in codes}
    # Written first, so that a half-loaded sample can be dropped and its passwords are not lost.
    places.write(stack, prefix, chosen, parameters)
    _in_processes(
        [(_load_database, (stack, code, chosen[code], parameters[code])) for code in codes]
        + [(_load_index, (stack, code, chosen[code], parameters[code], at or now + AHEAD, True)) for code in codes]
    )
    return chosen


def refresh(stack: Stack, *, prefix: str | None = None, at: datetime | None = None) -> None:
    """Rewrites the live views for the slot of `at`. The default is now, or the next slot if that is about to begin."""
    places.check_prefix(prefix)
    parameters = places.read_parameters(stack, prefix)
    where = places.read_places(stack, prefix)
    instant = at or datetime.now(UTC) + AHEAD
    _in_processes(
        [(_load_index, (stack, code, where[code], entry, instant, False)) for code, entry in parameters.items()]
    )


def drop(stack: Stack, *, prefix: str | None = None) -> None:
    """Removes the databases, roles, indices and files of a sample."""
    places.check_prefix(prefix)
    for place in places.read_places(stack, prefix).values():
        drop_database(stack.postgres, place)
        with Index(stack.elasticsearch.url, place.index) as index:
            index.delete()
    for file in (places.places_file(stack, prefix), places.parameters_file(stack, prefix)):
        file.unlink(missing_ok=True)


def _check(count: int, codes: list[str], prefix: str | None) -> None:
    places.check_prefix(prefix)
    unknown = [code for code in codes if code not in COUNTRIES]
    if unknown or not codes:
        raise StackError(f"--countries: {unknown} must be some of {', '.join(COUNTRIES)}")
    if len(set(codes)) < len(codes):
        raise StackError(f"--countries: {','.join(codes)} names a country twice")
    if not len(codes) <= count <= 1_000_000:
        raise StackError(f"--stores {count}: must be from one per country to 1000000")


def _place(code: str, prefix: str | None, known: Place | None) -> Place:
    """A sample that is loaded again keeps its passwords, because deployed secrets hold them."""
    database, role, index = places.names(code, prefix)
    password, workbench = (known.password, known.workbench_password) if known else ("", "")
    return Place(database, role, password or secrets.token_urlsafe(24), index, workbench or secrets.token_urlsafe(24))


def _load_database(stack: Stack, code: str, place: Place, parameters: Parameters) -> None:
    started = time.monotonic()
    made = stores(code, parameters.stores, parameters.seed, parameters.today)
    try:
        count = replace_database(stack.postgres, place, made, parameters.today)
    except psycopg.Error as error:
        raise StackError(f"database {place.database} was not loaded: {error}; see `stack status`") from error
    say(f"sample {code}", f"{count} stores in database {place.database} ({time.monotonic() - started:.1f} s)")


def _load_index(stack: Stack, code: str, place: Place, parameters: Parameters, instant: datetime, is_new: bool) -> None:
    started = time.monotonic()
    made = stores(code, parameters.stores, parameters.seed, parameters.today)
    with Index(stack.elasticsearch.url, place.index) as index:
        if is_new:
            index.create()
        count = index.write(code, documents(made, code, parameters.seed, instant))
    slot = f"{slots.current(instant):%Y-%m-%d %H:%M} UTC"
    say(f"sample {code}", f"{count} documents in index {place.index} as of {slot} ({time.monotonic() - started:.1f} s)")


def _in_processes(calls: list[tuple[Callable[..., None], tuple[object, ...]]]) -> None:
    """Runs the calls in parallel processes, because making the stores is pure Python work."""
    with ProcessPoolExecutor(mp_context=get_context("fork")) as pool:
        futures: list[Future[None]] = [pool.submit(call, *arguments) for call, arguments in calls]
    errors = [error for future in futures if (error := future.exception())]
    for error in errors:
        if not isinstance(error, StackError):
            raise error
    if errors:
        raise StackError("\n".join(str(error) for error in errors))
