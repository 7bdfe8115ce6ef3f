"""Stores at the edges of the rules, made around the slot that is ticked: what a sample of usual stores seldom holds."""

import json
import urllib.request
from datetime import date, datetime, timedelta

import psycopg

from sample.places import Place
from stack.config import Stack
from stack.zones import ZoneInfo

# Beyond the ids of the sample; among them some of several lengths, which as text are in another order than as numbers.
FIRST_ID = 99
# Far from each other, with offsets of 30 and 45 minutes and dates on both sides of the date line.
ZONES = (
    "Europe/Lisbon",
    "Atlantic/Azores",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Pago_Pago",
    "Africa/Casablanca",
    "America/St_Johns",
)
Rows = list[tuple[str, str | None, str | None]]


def add_edges(stack: Stack, place: Place, slot: datetime) -> None:
    """Adds the stores to a country's database, and every other one to its live view."""
    with psycopg.connect(stack.postgres.conninfo(place.database)) as connection:
        number = FIRST_ID
        for zone in ZONES:
            for weekly, exceptions in _cases(slot.astimezone(ZoneInfo(zone))):
                number += 1
                name = f"Edge {number}"
                connection.execute(
                    "insert into stores (id, name, city, timezone) values (%s, %s, 'Edge', %s)", [number, name, zone]
                )
                for day, opens, closes in weekly:
                    weekday = date.fromisoformat(day).isoweekday()
                    connection.execute(
                        "insert into store_hours values (%s, %s, %s, %s)", [number, weekday, opens, closes]
                    )
                for day, opens, closes in exceptions:
                    connection.execute(
                        "insert into store_exceptions values (%s, %s, %s, %s)", [number, day, opens, closes]
                    )
        # Only one end of an exception is there; a zone is written in other letters; a store that nobody knows the city of.
        connection.execute("insert into stores (id, name) values (1, 'Half an exception'), (3, 'Placeless')")
        connection.execute("insert into store_exceptions values (1, %s, '09:00', null)", [slot.date()])
        connection.execute("insert into stores (id, name, timezone) values (2, 'Lower case', 'europe/LISBON')")
    lines = []
    for store_id in (2, 9, *range(FIRST_ID + 1, number + 1, 2)):  # 9 is no store: an orphan
        lines.append(json.dumps({"index": {"_id": f"edge-{store_id}"}}))
        lines.append(json.dumps({"store_id": store_id, "country": "pt", "online": store_id % 4 != 2}))
    body = ("\n".join(lines) + "\n").encode()
    request = urllib.request.Request(
        f"{stack.elasticsearch.url}/{place.index}/_bulk?refresh=true", body, {"Content-Type": "application/x-ndjson"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert not json.load(answer)["errors"]


def _cases(local: datetime) -> list[tuple[Rows, Rows]]:
    """Weekly and exception rows around a slot's local time."""
    today, yesterday = (f"{local - timedelta(days=days):%Y-%m-%d}" for days in (0, 1))

    def clock(minutes: int) -> str:
        return f"{local + timedelta(minutes=minutes):%H:%M}"

    inside = [(today, clock(3), clock(11))]
    overnight = [(yesterday, clock(15), clock(7))]  # from yesterday, a day less some minutes: it ends inside the slot
    return [
        (inside, []),
        ([(today, clock(2), clock(6)), (today, clock(4), clock(9)), (today, clock(9), clock(10))], []),  # a union
        ([(today, clock(1), clock(13)), (today, clock(4), clock(5))], []),  # one contains the other
        ([(today, clock(0), clock(15))], []),  # just the slot
        ([(today, clock(-60), clock(0))], []),  # closes as it begins
        ([(today, clock(15), clock(60))], []),  # opens as it ends
        (overnight, []),
        (overnight, [(today, None, None)]),  # the tail of the night before stays
        (overnight, [(yesterday, None, None)]),  # and goes with its own date
        ([(today, clock(5), clock(5))], []),  # 24 hours
        ([(yesterday, clock(5), clock(5))], []),
        ([(today, "00:00", "24:00")], []),
        ([(today, "00:00", "00:00")], [(today, clock(4), clock(8)), (today, clock(10), clock(12))]),
        ([(today, "00:00", "24:00")], [(today, None, None)]),
        ([(today, "00:00", "24:00")], [(today, None, None), (today, clock(4), clock(8))]),
        ([], [(today, clock(4), clock(8))]),  # without weekly hours the exceptions replace their dates all the same
        ([], [(today, None, None)]),
        ([], []),
        ([(today, None, None)], []),  # a weekly row without hours: closed, even where no hours mean always open
        ([(today, None, None), (today, clock(4), clock(8))], []),
        ([(today, None, None)], [(today, clock(4), clock(8))]),
    ]
