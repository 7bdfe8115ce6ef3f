"""The month's stores: hours of every kind in several zones, schedules that change, stores that come and go.

Everything follows from a store's number. One country has stores in zones whose clocks change on different days.
"""

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from tests.harness.open_hours import Hours
from tests.harness.oracle import Country, ScheduledStore

COUNTRY, RULES = "pt", Country("Europe/Lisbon", "always_open")
FIRST, LAST = date(2026, 10, 1), date(2026, 10, 31)
STORES = 120
FIRST_ID = 1001

# Europe's clocks go back on the 25th, Sydney's and Lord Howe's go forward on the 4th, the latter's by half an hour.
_ZONES = (
    None,
    "Europe/Lisbon",
    "Atlantic/Azores",
    "Europe/Madrid",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "America/Mexico_City",
    "Asia/Kathmandu",
)
_CITIES = ("Lisboa", "Porto", "Ponta Delgada", "Évora", "Howe", "Sydney", "Cidade do México", None)
_CHAINS = ("Pão", "Pão", "Pão", "Brasa", "Mar", None)
_SEGMENTS = ("restaurant", "grocery", "pharmacy", None)
_DAYS = range(1, 8)
_MINUTE, _HOUR = 60, 3600
Weekly = list[tuple[int | None, int | None, int | None]]


def _every(opens: int, closes: int, days: "range | tuple[int, ...]" = _DAYS) -> Weekly:
    return [(day, opens, closes) for day in days]


def _weekly(number: int) -> Weekly:
    """One of ten kinds of hours. Two are open around the clock, one of those without any rows."""
    kinds: tuple[Weekly, ...] = (
        _every(9 * _HOUR, 21 * _HOUR),
        _every(12 * _HOUR, 16 * _HOUR) + _every(19 * _HOUR + 30 * _MINUTE, 23 * _HOUR + 30 * _MINUTE),
        _every(18 * _HOUR, 2 * _HOUR, (1, 2, 3, 4, 7)) + _every(18 * _HOUR, 4 * _HOUR, (5, 6)),
        _every(0, 24 * _HOUR),
        [],
        _every(6 * _HOUR, 6 * _HOUR, (1, 3, 5)) + _every(10 * _HOUR, 20 * _HOUR, (2, 4, 6, 7)),
        [(1, None, None), *_every(10 * _HOUR, 20 * _HOUR, (2, 3, 4, 5, 6, 7))],
        _every(8 * _HOUR + 7 * _MINUTE + 30, 19 * _HOUR + 52 * _MINUTE + 45),
        _every(9 * _HOUR, 15 * _HOUR) + _every(14 * _HOUR, 22 * _HOUR) + _every(10 * _HOUR, 11 * _HOUR),
        _every(22 * _HOUR, 6 * _HOUR),
    )
    return kinds[number % len(kinds)]


@dataclass(frozen=True)
class Version:
    """A store as its schedule source has it from an instant on."""

    since: datetime
    store: ScheduledStore
    problem: str | None = None
    hours: Hours = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hours", Hours(RULES, self.store))


@dataclass(frozen=True)
class MonthStore:
    """A store with its versions in order, and the times at which it is in the marketplace."""

    number: int
    versions: list[Version]
    present: list[tuple[datetime, datetime]]

    @property
    def store_id(self) -> str:
        """Its key."""
        return self.versions[0].store.store_id

    def at(self, instant: datetime) -> Version | None:
        """Its version at an instant; None if it is not in the marketplace."""
        if not any(start <= instant < end for start, end in self.present):
            return None
        return [version for version in self.versions if version.since <= instant][-1]


def stores() -> list[MonthStore]:
    """All stores, in the order of their ids."""
    return [_store(number) for number in range(STORES)]


def moment(day: int, hour: int = 0, minute: int = 0) -> datetime:
    """An instant of the month, UTC."""
    return datetime(FIRST.year, FIRST.month, 1) + timedelta(days=day - 1, hours=hour, minutes=minute)


def _store(number: int) -> MonthStore:
    zone = (number + number // 10) % len(_ZONES)
    store = ScheduledStore(
        str(FIRST_ID + number),
        f"Loja {number}",
        _CITIES[zone],
        _ZONES[zone],
        region=("PT-11", "PT-13", None)[number % 3],
        chain=_CHAINS[number % len(_CHAINS)],
        segment=_SEGMENTS[number % len(_SEGMENTS)],
        owner=f"equipa {number % 4}" if number % 9 else None,
        weekly=_weekly(number),
        exceptions=_exceptions(number),
    )
    first = Version(moment(1), store)
    return MonthStore(number, [first, *_changes(number, first)], _present(number))


def _exceptions(number: int) -> list[tuple[date, int | None, int | None]]:
    """Holidays, special hours, and two nights in which clocks change."""
    rows: list[tuple[date, int | None, int | None]] = []
    if number % 3 == 0:
        rows.append((date(2026, 10, 5), None, None))
    if number % 7 == 1:
        rows += [(date(2026, 10, 12), 10 * _HOUR, 14 * _HOUR), (date(2026, 10, 12), 15 * _HOUR, 16 * _HOUR)]
    if number % 5 == 4:
        rows += [(date(2026, 10, 3), 20 * _HOUR, 5 * _HOUR), (date(2026, 10, 24), 20 * _HOUR, 5 * _HOUR)]
    if number % 11 == 4:
        rows.append((date(2026, 10, 25), None, None))
    return rows


def _changes(number: int, first: Version) -> list[Version]:
    """Later versions: other hours in the middle of a day, another name or owner, a schedule that is bad for a while."""
    store, found = first.store, []
    if number % 12 == 5:
        found.append(replace(first, since=moment(4, 17), store=replace(store, weekly=_weekly(number + 1))))
        found.append(replace(first, since=moment(25, 9), store=replace(store, weekly=_weekly(number + 6))))
    if number % 17 == 3:
        found.append(replace(first, since=moment(24, 20), store=replace(store, owner="equipa nova")))
    if number % 23 == 7:
        found += [
            replace(first, since=moment(day, 11), store=replace(store, name=f"{store.name} {day}")) for day in (3, 26)
        ]
    if number % 29 == 11:
        problem = "[schedule].weekly of weekday 8: weekday 8 is not 1 (Monday) to 7 (Sunday)"
        found.append(replace(first, since=moment(4, 6), problem=problem))
        found.append(replace(first, since=moment(24, 10)))
    if number == 33:
        found.append(replace(first, since=moment(24, 20), problem="the zone is not known"))
        found.append(replace(first, since=moment(25, 6)))
    if number in (31, 92):
        found.append(replace(first, since=moment(1), problem="[schedule].weekly of weekday 1: closes is null"))
    return sorted(found, key=lambda version: version.since)


def _present(number: int) -> list[tuple[datetime, datetime]]:
    begin, end = moment(1), moment(32)
    if number % 19 == 6:
        return [(begin, moment(3, 12)), (moment(5, 15), end)]
    if number in (40, 41):
        return [(moment(4, 9, 30), end)]
    if number in (77, 78, 79):
        return [(begin, moment(25, 13))]
    if number == 80:
        return [(begin, moment(24, 23, 45)), (moment(25, 0, 30), end)]
    return [(begin, end)]
