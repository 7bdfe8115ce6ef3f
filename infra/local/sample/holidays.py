"""The national holidays of the sample countries. Many stores keep other hours on them."""

from datetime import date, timedelta

# (month, day). Holidays around Easter are given by their distance from it.
_FIXED = {
    "es": [(1, 1), (1, 6), (5, 1), (8, 15), (10, 12), (11, 1), (12, 6), (12, 8), (12, 25)],
    "mx": [(1, 1), (5, 1), (9, 16), (11, 2), (12, 12), (12, 25)],
    "pt": [(1, 1), (4, 25), (5, 1), (6, 10), (8, 15), (10, 5), (11, 1), (12, 1), (12, 8), (12, 25)],
}
_DAYS_FROM_EASTER = {"es": [-2], "mx": [-3, -2], "pt": [-2, 60]}
# (month, weekday as in date.weekday(), which one of the month): Mexico's long weekends.
_NTH_WEEKDAY = {"mx": [(2, 0, 1), (3, 0, 3), (11, 0, 3)]}


def holidays(country: str, first: date, last: date) -> list[date]:
    """The holidays of a country from the first to the last date, both included."""
    found: set[date] = set()
    for year in range(first.year, last.year + 1):
        found.update(date(year, month, day) for month, day in _FIXED[country])
        found.update(_easter(year) + timedelta(days=days) for days in _DAYS_FROM_EASTER[country])
        found.update(_nth_weekday(year, *which) for which in _NTH_WEEKDAY.get(country, []))
    return sorted(day for day in found if first <= day <= last)


def _nth_weekday(year: int, month: int, weekday: int, nth: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))


def _easter(year: int) -> date:
    """Easter Sunday in the Gregorian calendar, from its golden number, century and epact."""
    golden = year % 19
    century = year // 100
    epact = (century - century // 4 - (8 * century + 13) // 25 + 19 * golden + 15) % 30
    epact -= (epact // 28) * (1 - (29 // (epact + 1)) * ((21 - golden) // 11))
    weekday = (year + year // 4 + epact + 2 - century + century // 4) % 7
    moon = epact - weekday
    month = 3 + (moon + 40) // 44
    return date(year, month, moon + 28 - 31 * (month // 4))
