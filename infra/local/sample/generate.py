"""Makes plausible stores. The same seed, country and day always give the same stores, however many are requested."""

import itertools
import random
from collections.abc import Iterator
from datetime import date, timedelta

from infra.local.sample.countries import COUNTRIES, Country
from infra.local.sample.holidays import holidays
from infra.local.sample.model import Exceptions, Store, Week, minutes

# Each block of stores has its own random numbers and ids, so that stores can be made in a stream.
BLOCK = 10_000
# The ids of a block. It has gaps, as deleted stores leave them. Orphans use the free ids.
_IDS_PER_BLOCK = 5 * BLOCK
_DAYS = range(1, 8)
_NONE = Exceptions(())
# The kinds of stores, as a marketplace calls them.
_SEGMENTS = {
    "restaurant": "restaurant",
    "bar": "restaurant",
    "fast_food": "fast_food",
    "all_day": "convenience",
    "shop": "grocery",
    "office": "services",
}
# The team of each country's largest chain.
_KEY_ACCOUNTS = "Key Accounts"


def stores(country: str, count: int, seed: int, today: date) -> Iterator[Store]:
    """The first stores of a country, ordered by id: `count` active ones, and the inactive ones among them."""
    kinds = _kinds(country, today)
    active = 0
    for block in itertools.count():
        for store in _block(country, block, BLOCK, seed, today, kinds):
            yield store
            active += store.active
            if active == count:
                return


class _Kind:
    """A kind of store: its possible weeks, and what it does on holidays."""

    def __init__(
        self, name: str, weight: int, weeks: list[tuple[int, Week]], on_holidays: list[tuple[int, Exceptions]]
    ):
        self.name = name
        self.weight = weight
        self.weeks = [week for _, week in weeks]
        self.week_weights = [weight for weight, _ in weeks]
        self.exceptions = [exceptions for _, exceptions in on_holidays]
        self.exception_weights = [weight for weight, _ in on_holidays]


class _Chains:
    """Which chains the stores belong to: a third to none, 15 % to the largest, and the others to a long tail."""

    def __init__(self, land: Country, rng: random.Random):
        self._rng = rng
        self._names = [f"Grupo {name}" for name in land.names]
        # As the n-th largest of many things often is (Zipf's law).
        self._weights = [1 / n for n in range(2, len(self._names) + 1)]
        self.largest = self._names[0]

    def draw(self, city: str) -> str | None:
        """The chain of a store in the city."""
        luck = self._rng.random()
        if luck < 0.33:
            return None
        if luck < 0.48:
            return self.largest
        (name,) = self._rng.choices(self._names[1:], self._weights)
        # The last ones have stores in one city only.
        return name if luck < 0.85 else f"{name} de {city}"


def _week(*days_and_hours: tuple[str, str]) -> Week:
    """`("1-5", "09:00-14:00 17:00-20:30")`: the hours of a range of weekdays."""
    rows: list[tuple[int, int | None, int | None]] = []
    for days, hours in days_and_hours:
        first, _, last = days.partition("-")
        for weekday in range(int(first), int(last or first) + 1):
            for span in hours.split():
                opens, closes = span.split("-")
                rows.append((weekday, minutes(opens), minutes(closes)))
    return Week(tuple(sorted(rows, key=lambda row: (row[0], row[1] or 0))))


def _kinds(country: str, today: date) -> list[_Kind]:
    days = holidays(country, today - timedelta(days=30), today + timedelta(days=60))
    great_days = [day for day in days if (day.month, day.day) in ((12, 25), (1, 1))]

    def closed(dates: list[date]) -> Exceptions:
        return Exceptions(tuple((day, None, None) for day in dates))

    def shortened(opens: str, closes: str) -> Exceptions:
        return Exceptions(tuple((day, minutes(opens), minutes(closes)) for day in days))

    return [
        _Kind(
            "restaurant",
            30,
            [
                (40, _week(("1-7", "13:00-16:00 20:00-23:30"))),
                (25, _week(("2-7", "13:00-16:30 20:30-00:00"))),  # closes at midnight
                (15, _week(("1-5", "12:30-16:00"), ("6-7", "12:30-17:00 20:00-24:00"))),
                (10, _week(("3-7", "12:00-16:00 19:30-00:30"))),
                (10, _week(("1-7", "12:00-23:45"))),
            ],
            [(40, closed(great_days)), (30, _NONE), (20, shortened("13:00", "17:00")), (10, closed(days))],
        ),
        _Kind(
            "bar",
            14,
            [
                (40, _week(("1-4", "18:00-01:00"), ("5-6", "18:00-03:30"), ("7", "18:00-00:30"))),
                (30, _week(("3-7", "20:00-03:00"))),
                (20, _week(("4-6", "22:00-06:00"))),
                (10, _week(("1-7", "08:00-02:00"))),
            ],
            [(50, _NONE), (30, closed(great_days)), (20, shortened("19:00", "02:30"))],
        ),
        _Kind(
            "all_day",
            6,
            [
                (60, _week(("1-7", "00:00-00:00"))),
                (20, _week(("1-7", "00:00-24:00"))),
                (20, _week(("1-7", "08:00-08:00"))),
            ],
            [(95, _NONE), (5, closed(great_days))],
        ),
        _Kind(
            "shop",
            28,
            [
                (30, _week(("1-6", "09:30-14:00 17:00-20:30"))),
                (25, _week(("1-6", "09:00-21:00"))),
                (15, _week(("1-7", "08:00-22:00"))),
                (15, _week(("1-5", "10:00-20:00"), ("6", "10:00-14:00"))),
                (10, _week(("1-6", "07:00-15:00"), ("7", "08:00-13:30"))),
                (5, _week(("1-6", "09:15-13:50 16:40-20:10"))),  # not on quarter hours
            ],
            [(50, closed(days)), (30, shortened("10:00", "14:00")), (20, closed(great_days))],
        ),
        _Kind(
            "office",
            7,
            [
                (60, _week(("1-5", "09:00-18:00"))),
                (40, _week(("1-4", "08:30-14:00 15:00-17:30"), ("5", "08:30-14:00"))),
            ],
            [(100, closed(days))],
        ),
        _Kind(
            "fast_food",
            14,
            [
                (50, _week(("1-7", "11:00-24:00"))),
                (30, _week(("1-4", "12:00-23:00"), ("5-7", "12:00-01:30"))),
                (20, _week(("1-7", "18:00-05:00"))),
            ],
            [(60, _NONE), (25, closed(great_days)), (15, shortened("12:00", "18:00"))],
        ),
        # Registered, but without hours so far.
        _Kind("shop", 1, [(1, _week())], [(1, _NONE)]),
    ]


def _block(country: str, block: int, count: int, seed: int, today: date, kinds: list[_Kind]) -> Iterator[Store]:
    land = COUNTRIES[country]
    # Seeded with text: its hash is the same in every run and version of Python.
    rng = random.Random(f"{seed} {country} {block}")
    chosen_kinds = rng.choices(kinds, [kind.weight for kind in kinds], k=BLOCK)
    cities = rng.choices(land.cities, [weight for _, weight, *_ in land.cities], k=BLOCK)
    chains = _Chains(land, random.Random(f"{seed} {country} {block} chains"))
    store_id = land.first_id + block * _IDS_PER_BLOCK
    for kind, (city, _, zone, region) in zip(chosen_kinds[:count], cities, strict=False):
        store_id += rng.choice((1, 1, 1, 2, 3, 5))
        week = rng.choices(kind.weeks, kind.week_weights)[0]
        exceptions = rng.choices(kind.exceptions, kind.exception_weights)[0]
        luck = rng.random()
        if luck < 0.03:
            exceptions = _own_exceptions(exceptions, today, rng)
        elif luck < 0.031:
            week, zone = _bad(week, zone, rng)
        name = _name(land, kind.name, city, rng)
        chain = chains.draw(city)
        yield Store(
            id=store_id,
            name=name,
            city=city if rng.random() > 0.002 else None,
            # Most rows leave out the time zone if it is the country's default.
            timezone=None if zone == land.default_timezone and rng.random() < 0.6 else zone,
            region=region,
            chain=chain,
            # A pharmacy's sign says so in each of the countries' languages.
            segment="pharmacy" if name.startswith("Farm") else _SEGMENTS[kind.name],
            owner=_KEY_ACCOUNTS if chain == chains.largest else land.teams.get(region, land.teams[""]),
            active=rng.random() > 0.01,
            week=week,
            exceptions=exceptions,
            updated_minutes=rng.randrange(2 * 365 * 24 * 60),
        )


def _own_exceptions(usual: Exceptions, today: date, rng: random.Random) -> Exceptions:
    """A store's own exceptions: closed for a while, or open at other times on a day around today."""
    first = today + timedelta(days=rng.randint(-6, 3))
    rows: list[tuple[date, int | None, int | None]]
    if rng.random() < 0.6:
        rows = [(first + timedelta(days=day), None, None) for day in range(rng.randint(1, 10))]
    else:
        opens = rng.randrange(7 * 60, 20 * 60, 15)
        rows = [(first, opens, (opens + rng.randrange(120, 720, 15)) % (24 * 60))]
    own = {day for day, _, _ in rows}
    return Exceptions(tuple(sorted(rows + [row for row in usual.rows if row[0] not in own], key=lambda row: row[0])))


def _bad(week: Week, zone: str, rng: random.Random) -> tuple[Week, str]:
    """Gives a store a bad row: an unknown time zone, an eighth day, or an end without a start."""
    match rng.randrange(3):
        case 0:
            return week, rng.choice(("Europe/Atlantis", "GMT+25", ""))
        case 1:
            return Week((*week.rows, (8, minutes("09:00"), minutes("18:00")))), zone
        case _:
            return Week((*week.rows, (rng.choice(_DAYS), None, minutes("18:00")))), zone


def _name(land: Country, kind: str, city: str, rng: random.Random) -> str:
    name = f"{rng.choice(land.signs[kind])} {rng.choice(land.names)}"
    return f"{name} {city}" if rng.random() < 0.3 else name
