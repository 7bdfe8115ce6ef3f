"""Loads a country's stores into their own database, with COPY, and creates the roles that may read it."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from pathlib import Path

import psycopg
from psycopg import sql

from infra.local.config import Postgres
from infra.local.sample.model import Exceptions, Store, Week, clock
from infra.local.sample.places import Place

_SCHEMA = Path(__file__).with_name("schema.sql")
# What keeps people's queries from the functions' way. docs/workbench.md says the same for a country's own PostgreSQL.
_WORKBENCH = (
    "alter role {} connection limit 10",
    "alter role {} set default_transaction_read_only = on",
    "alter role {} set statement_timeout = '60s'",
    "alter role {} set idle_in_transaction_session_timeout = '60s'",
)
# How many stores are held in memory at once.
_BATCH = 10_000


def replace_database(postgres: Postgres, place: Place, stores: Iterable[Store], today: date) -> int:
    """Recreates the database with these stores and returns their number. Cuts the connections of its readers."""
    database = sql.Identifier(place.database)
    roles = {place.role: place.password, place.workbench_role: place.workbench_password}
    with psycopg.connect(postgres.conninfo(), autocommit=True) as admin:
        admin.execute(sql.SQL("drop database if exists {} with (force)").format(database))
        admin.execute(sql.SQL("create database {} template template0").format(database))
        # By default every role may connect to every database, and make tables there that last as long as a session. A
        # country's role must not open another country's.
        admin.execute(sql.SQL("revoke all on database {} from public").format(database))
        for name, password in roles.items():
            role = sql.Identifier(name)
            if not admin.execute("select 1 from pg_roles where rolname = %s", [name]).fetchone():
                admin.execute(sql.SQL("create role {}").format(role))
            admin.execute(sql.SQL("alter role {} login password {}").format(role, sql.Literal(password)))
            admin.execute(sql.SQL("grant connect on database {} to {}").format(database, role))
        for statement in _WORKBENCH:
            admin.execute(sql.SQL(statement).format(sql.Identifier(place.workbench_role)))
    with psycopg.connect(postgres.conninfo(place.database)) as connection:
        connection.execute(_SCHEMA.read_text())
        # The rows only refer to each other. Checking each one would take most of the time.
        connection.execute("set local session_replication_role = replica")
        count = _copy(connection, stores, datetime.combine(today, time(), UTC))
        for name in roles:
            connection.execute(
                sql.SQL("grant select on all tables in schema public to {}").format(sql.Identifier(name))
            )
    with psycopg.connect(postgres.conninfo(place.database), autocommit=True) as connection:
        connection.execute("vacuum analyze")
    return count


def drop_database(postgres: Postgres, place: Place) -> None:
    """Removes the database and its role."""
    with psycopg.connect(postgres.conninfo(), autocommit=True) as admin:
        admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(place.database)))
        for name in (place.role, place.workbench_role):
            admin.execute(sql.SQL("drop role if exists {}").format(sql.Identifier(name)))


def _copy(connection: psycopg.Connection, stores: Iterable[Store], midnight: datetime) -> int:
    count = 0
    weeks = _Templates()
    for batch in _batches(stores):
        changed = {store.id: (midnight - timedelta(minutes=store.updated_minutes)).isoformat() for store in batch}
        tables = {
            "stores (id, name, city, timezone, region, chain, segment, owner, active, updated_at)": (
                _store_row(store, changed[store.id]) for store in batch
            ),
            "store_hours (store_id, weekday, opens, closes, updated_at)": (
                weeks.rows(store.week, store.id, changed[store.id]) for store in batch
            ),
            "store_exceptions (store_id, date, opens, closes, updated_at)": (
                weeks.rows(store.exceptions, store.id, changed[store.id]) for store in batch
            ),
        }
        for table, rows in tables.items():
            with connection.cursor().copy(f"copy {table} from stdin") as copy:
                copy.write("".join(rows))
        count += len(batch)
    return count


def _batches(stores: Iterable[Store]) -> Iterator[list[Store]]:
    iterator = iter(stores)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


def _store_row(store: Store, changed: str) -> str:
    active = "t" if store.active else "f"
    texts = (store.name, store.city, store.timezone, store.region, store.chain, store.segment, store.owner)
    return "\t".join((str(store.id), *map(_text, texts), active, changed)) + "\n"


def _text(value: str | None) -> str:
    return "\\N" if value is None else value


class _Templates:
    """The rows of shared weeks and exceptions, rendered once, with gaps for the store's id and date of change."""

    # Characters that occur in no row.
    _ID = "\x01"
    _CHANGED = "\x02"

    def __init__(self) -> None:
        self._known: dict[Week | Exceptions, str] = {}

    def rows(self, hours: Week | Exceptions, store_id: int, changed: str) -> str:
        """The rows of one store."""
        template = self._known.get(hours)
        if template is None:
            template = self._known[hours] = "".join(
                f"{self._ID}\t{day}\t{_time(opens)}\t{_time(closes)}\t{self._CHANGED}\n"
                for day, opens, closes in hours.rows
            )
        return template.replace(self._ID, str(store_id)).replace(self._CHANGED, changed)


def _time(value: int | None) -> str:
    return "\\N" if value is None else clock(value)
