"""Stores at the edges of the rules, made around the slot of the tick. Usual samples rarely contain them."""

import json
import urllib.request
from datetime import date, datetime, timedelta

import psycopg

from infra.local.config import Stack
from infra.local.sample.places import Place
from infra.local.zones import ZoneInfo

# Beyond the sample's ids. Some have other lengths, so that they sort differently as text and as numbers.
FIRST_ID = 99
# Far apart, with offsets of 30 and 45 minutes, and dates on both sides of the date line.
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
    """Adds the stores to a country's database, and every second one to its live view."""
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
        # An exception with only one end, a zone with unusual case, and a store without a city.
        connection.execute("insert into stores (id, name) values (1, 'Half an exception'), (3, 'Placeless')")
        connection.execute("insert into store_exceptions values (1, %s, '09:00', null)", [slot.date()])
        connection.execute("insert into stores (id, name, timezone) values (2, 'Lower case', 'europe/LISBON')")
        # A region that is none, a chain that is too long, and labels that are empty or as long as can be.
        labels = [(4, "Lisboa", "Sol", ""), (5, "PT-11", "x" * 10_000, "Ana"), (6, "", "ñ" * 200, "Ana")]
        connection.cursor().executemany(
            "insert into stores (id, name, region, chain, owner) values (%s, 'Labelled', %s, %s, %s)", labels
        )
    lines = []
    for store_id in (2, 9, *range(FIRST_ID + 1, number + 1, 2)):  # 9 is not a store: an orphan
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

    inside: Rows = [(today, clock(3), clock(11))]
    overnight: Rows = [
        (yesterday, clock(15), clock(7))
    ]  # since yesterday, a few minutes less than a day: it ends inside the slot
    return [
        (inside, []),
        ([(today, clock(2), clock(6)), (today, clock(4), clock(9)), (today, clock(9), clock(10))], []),  # a union
        ([(today, clock(1), clock(13)), (today, clock(4), clock(5))], []),  # one contains the other
        ([(today, clock(0), clock(15))], []),  # exactly the slot
        ([(today, clock(-60), clock(0))], []),  # closes when the slot begins
        ([(today, clock(15), clock(60))], []),  # opens when the slot ends
        (overnight, []),
        (overnight, [(today, None, None)]),  # the tail of the night before stays
        (overnight, [(yesterday, None, None)]),  # but an exception on its own date removes it
        ([(today, clock(5), clock(5))], []),  # 24 hours
        ([(yesterday, clock(5), clock(5))], []),
        ([(today, "00:00", "24:00")], []),
        ([(today, "00:00", "00:00")], [(today, clock(4), clock(8)), (today, clock(10), clock(12))]),
        ([(today, "00:00", "24:00")], [(today, None, None)]),
        ([(today, "00:00", "24:00")], [(today, None, None), (today, clock(4), clock(8))]),
        ([], [(today, clock(4), clock(8))]),  # exceptions replace their dates even without weekly hours
        ([], [(today, None, None)]),
        ([], []),
        ([(today, None, None)], []),  # a weekly row without times: closed, even if missing hours mean always open
        ([(today, None, None), (today, clock(4), clock(8))], []),
        ([(today, None, None)], [(today, clock(4), clock(8))]),
    ]
