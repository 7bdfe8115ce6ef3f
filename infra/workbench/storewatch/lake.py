"""What analysts ask of the lake most: availability, the worst, and outages, of a country and some days."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd

from .access import checked
from .engine import sql
from .errors import StorewatchError

Day = str | date

# What availability can be told by: what it is in SQL, and whether it is of single stores. Those cost more to read.
_BY_CITY = {
    "slot": "slot",
    "hour": "date_trunc('hour', slot)",
    "day": "day",
    "week": "cast(date_trunc('week', cast(day as date)) as varchar)",
    "city": "city",
    "local_hour": "local_hour",
}
_BY_STORE = {"store": "store_id", "region": "region", "chain": "chain", "segment": "segment", "owner": "owner"}
_STEPS = {"slot": "15min", "hour": "h", "day": "D", "week": "7D"}
_DAY = "%Y-%m-%d"

# As the views count: rows that are older than the column `unseen` may have had any store scheduled, and a missed look is
# of a store that was.
_CITY_LOOKS = """
    select day, slot, city, local_hour, stores as store_ticks, available, unavailable, unlisted, unknown,
        coalesce(unseen, unknown) as unseen, scheduled_seconds, available_seconds
    from availability_by_city
    where country = :country and day between :first and :last
    union all
    select day, slot, city, local_hour, 0, 0, 0, 0, 0, 1, 0, 0
    from missed_looks
    where country = :country and day between :first and :last
"""
_STORE_LOOKS = """
    select slot, store_id, name, city, region, chain, segment, owner, 1 as store_ticks,
        if(status = 'available', 1, 0) as available,
        if(status = 'unavailable', 1, 0) as unavailable,
        if(status = 'unlisted', 1, 0) as unlisted,
        if(status = 'unknown', 1, 0) as unknown,
        if(status = 'unknown' and coalesce(scheduled_seconds, 900) > 0, 1, 0) as unseen,
        if(status in ('available', 'unavailable', 'unlisted'), scheduled_seconds, 0) as scheduled_seconds,
        if(status = 'available', scheduled_seconds, 0) as available_seconds
    from store_availability
    where country = :country and day between :first and :last and status <> 'orphan'
    union all
    select slot, store_id, name, city, region, chain, segment, owner, 0, 0, 0, 0, 0, 1, 0, 0
    from missed_looks
    where country = :country and day between :first and :last
"""
_SUMS = (
    "store_ticks",
    "available",
    "unavailable",
    "unlisted",
    "unknown",
    "unseen",
    "scheduled_seconds",
    "available_seconds",
)
_COUNTS = (*_SUMS[:-2], "scheduled_minutes", "lost_minutes")

_OUTAGES = """
    select day, outage_id, store_id, name, city, timezone, region, chain, segment, owner,
        began_after, began_by, ended_after, ended_by, is_open, bad_looks, unlisted_looks, unseen_looks, kind,
        first_reason, reasons, flaps,
        lost_seconds / 60e0 as lost_minutes,
        seconds_at_least / 60e0 as minutes_at_least,
        seconds_at_most / 60e0 as minutes_at_most
    from (
        select *, row_number() over (partition by outage_id order by day desc) as place
        from outages
        where country = :country and day between :first and :last
    )
    where place = 1
    order by began_by, store_id
"""


def countries() -> list[str]:
    """The countries in the lake, also those that you may not read. Asks the catalog only."""
    return list(sql('select distinct country from "country_ticks$partitions" order by country')["country"])


def newest_day(country: str) -> str:
    """The newest day that is over and compacted, so that outages and missed slots are told: '2026-03-24'.

    In a lake without one, the newest that is over, or today. Asks the catalog only.
    """
    found = sql(
        """
        select coalesce(
            max(day) filter (where is_whole and day < :today), max(day) filter (where day < :today), max(day)
        ) as day
        from (
            select country, day, true as is_whole from "store_schedules$partitions"
            union all
            select country, day, false from "country_ticks$partitions"
        )
        where country = :country
        """,
        country=checked(country),
        today=_today().strftime(_DAY),
    )["day"].iloc[0]
    if pd.isna(found):
        _refuse_unknown(country)
    return found


def newest_week(country: str) -> str:
    """The Monday of the newest whole week up to newest_day; if nothing is as old as that, of the week of newest_day."""
    newest = date.fromisoformat(newest_day(country))
    first = sql('select min(day) as day from "country_ticks$partitions" where country = :country', country=country)
    after = newest + timedelta(days=1)
    monday = after - timedelta(days=after.weekday() + 7)
    if f"{monday}" < first["day"].iloc[0]:
        monday = newest - timedelta(days=newest.weekday())
    return f"{monday}"


def availability(country: str, first: Day, last: Day | None = None, *, by: str | None = "day") -> pd.DataFrame:
    """Availability of a country from one day to another, both included, in UTC; of one day if there is no `last`.

    `by` is slot, hour, day, week (named by its Monday), city or local_hour, or, which costs more to read, store, region,
    chain, segment or owner; None is one row for all. A row has

    - counts of store ticks (a store in a slot): store_ticks, available, unavailable, unlisted, unknown, and unseen, which may
      have been scheduled and were not seen: unknown, or the slot was missed (told once the day is compacted);
    - scheduled_minutes and lost_minutes: of slots seen, and of those in which the store was unavailable or unlisted;
    - what `shares` makes of them.

    Every slot, hour, day or week until now has a row: one in which nothing was seen has no counts (null, not 0).
    Raises as `sql` does.
    """
    named = {**_BY_CITY, **_BY_STORE}
    if by is not None and by not in named:
        raise StorewatchError(f"by={by!r}: use one of {', '.join(named)}, or None")
    days = _period(first, last)
    columns = [f"{named[by]} as {by}"] if by else []
    if by == "store":
        columns = ["store_id", "max_by(name, slot) as name", "max_by(city, slot) as city"]
    found = sql(
        f"with looks as ({_STORE_LOOKS if by in _BY_STORE else _CITY_LOOKS})\n"
        f"select {', '.join([*columns, *(f'sum({name}) as {name}' for name in _SUMS)])} from looks\n"
        + (f"group by {named[by]} order by 1" if by else "having count(*) > 0"),
        country=checked(country),
        first=days[0].strftime(_DAY),
        last=days[1].strftime(_DAY),
    )
    if found.empty:
        _refuse_unknown(country)
    if by in _STEPS:
        found = _with_gaps(found, by, *days)
    scheduled, available = _floats(found.pop("scheduled_seconds")), _floats(found.pop("available_seconds"))
    return shares(found.assign(scheduled_minutes=scheduled / 60, lost_minutes=(scheduled - available) / 60))


def shares(counts: pd.DataFrame) -> pd.DataFrame:
    """The counts of `availability` with their shares, 0 to 1: sum rows of several frames first, then divide by this.

    availability is available / (available + unavailable + unlisted), availability_weighted the same in scheduled minutes,
    availability_low and availability_high what it would be if all unseen had been bad, or good, and coverage
    1 - unknown / store_ticks. NaN where there is nothing to divide.
    """
    found = {name: _floats(counts[name]) for name in _COUNTS}
    seen = found["available"] + found["unavailable"] + found["unlisted"]
    possible = seen + found["unseen"]
    return counts.assign(
        availability=_divided(found["available"], seen),
        availability_weighted=_divided(found["scheduled_minutes"] - found["lost_minutes"], found["scheduled_minutes"]),
        availability_low=_divided(found["available"], possible),
        availability_high=_divided(found["available"] + found["unseen"], possible),
        coverage=1 - _divided(found["unknown"], found["store_ticks"]),
    )


def worst(country: str, first: Day, last: Day | None = None, *, by: str = "store", n: int = 10) -> pd.DataFrame:
    """The `n` that lost the most minutes in some days, worst first: stores, or what else `availability` is told `by`.

    Its columns, before them `place` (equal minutes share one), and usual_minutes and p95_minutes: what half, and 95 of 100,
    of all that were seen do not exceed, by nearest rank.
    """
    found = availability(country, first, last, by=by)
    seen = found[found["availability"].notna()].sort_values("lost_minutes", ascending=False, kind="stable")
    lost = seen["lost_minutes"]
    found = seen.assign(usual_minutes=_nearest_rank(lost, 0.5), p95_minutes=_nearest_rank(lost, 0.95))
    found.insert(0, "place", lost.rank(method="min", ascending=False).astype("Int64"))
    return found.head(n).reset_index(drop=True)


def outages(country: str, first: Day, last: Day | None = None) -> pd.DataFrame:
    """The outages with a bad look or their end in some days, each once, as they were told at the end of `last`.

    Columns are those of the view outages_of (docs/tables.md); `day` is the last of the days that tells of it. An outage that
    began earlier is told from its begin on. `is_open` is of the end of `last`. lost_minutes counts scheduled time of bad
    looks, minutes_at_least and minutes_at_most open time between the inner and the outer bounds, NaN if not known.
    There once a day is compacted, which is the day after; a printed line names the days that are not.
    """
    days = [day.strftime(_DAY) for day in _period(first, last)]
    found = sql(_OUTAGES, country=checked(country), first=days[0], last=days[1])
    if found.empty:
        _refuse_unknown(country)
    if untold := _not_compacted(country, *days):
        print(f"Nothing is told of days that are not compacted: {', '.join(untold)}")
    return found


def _floats(values: pd.Series) -> np.ndarray:
    """Numbers of which null is NaN."""
    return values.to_numpy(dtype="float64", na_value=np.nan)


def _divided(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _nearest_rank(values: pd.Series, share: float) -> float:
    """What that share of the values do not exceed; one of them."""
    return float(np.quantile(values, share, method="inverted_cdf")) if len(values) else float("nan")


def _not_compacted(country: str, first: str, last: str) -> list[str]:
    """The days of a period that have ticks and are not compacted: that they have no outages says nothing."""
    found = sql(
        """
        select day from "country_ticks$partitions" where country = :country and day between :first and :last
        except
        select day from "store_schedules$partitions" where country = :country and day between :first and :last
        order by day
        """,
        country=country,
        first=first,
        last=last,
    )
    return list(found["day"])


def _with_gaps(found: pd.DataFrame, by: str, first: date, last: date) -> pd.DataFrame:
    """A row for every time, also for those of which the lake has nothing."""
    begin = first - timedelta(days=first.weekday()) if by == "week" else first
    end = min(datetime.combine(last, datetime.max.time()), datetime.now(UTC).replace(tzinfo=None))
    times = pd.date_range(begin, end, freq=_STEPS[by], unit="us")
    wanted = pd.Index(times.strftime(_DAY), dtype="str") if by in ("day", "week") else times
    return found.set_index(by).reindex(wanted.union(pd.Index(found[by]))).rename_axis(by).reset_index()


def _period(first: Day, last: Day | None) -> tuple[date, date]:
    days = _day(first), _day(first if last is None else last)
    if days[0] > days[1]:
        raise StorewatchError(f"the days {first} to {last} are in the wrong order")
    return days


def _day(value: Day) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return datetime.strptime(value, _DAY).date()
    except (TypeError, ValueError) as error:
        raise StorewatchError(f"{value!r} is no day: write it as '2026-03-24'") from error


def _today() -> date:
    return datetime.now(UTC).date()


def _refuse_unknown(country: str) -> None:
    """An empty answer is one only if the lake has the country."""
    if country not in (known := countries()):
        raise StorewatchError(f"the lake has no country {country!r}: it has {', '.join(known) or 'none'}")
