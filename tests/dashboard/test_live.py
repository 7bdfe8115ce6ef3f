"""Every number of Live and Store, beside the same in plain Python from the rows of the lake."""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.dashboard import files
from tests.dashboard.conftest import Shown, query

pytestmark = pytest.mark.smoke

FILES = files.load()
SLOT = timedelta(minutes=15)
RATED = ("available", "unavailable", "unlisted")
BAD = ("unavailable", "unlisted")
SHARES = {"availability": "now", "hour_availability": "hour", "week_availability": "week"}
Row = dict[str, Any]
# A store whose day was closed by an exception, and one that nobody could judge.
STORE, UNKNOWN = "110", "114"


@pytest.fixture(scope="module")
def looks(shown: Shown) -> list[Row]:
    """All rows of stores, without orphans."""
    columns = "country, day, slot, store_id, name, city, region, chain, local_date, status, reason, scheduled_seconds"
    return shown.lake.ask(f"select {columns} from store_availability where status <> 'orphan'")


def _asked(shown: Shown, dataset: str, columns: list[str], metrics: list[str], **wanted: Any) -> list[Row]:
    body = query(shown, dataset, columns=columns, metrics=metrics, force=True, **{"row_limit": 10_000, **wanted})
    return list(shown.client("admin").post("chart/data", body)["result"][0]["data"])


def _of_store(country: str, store: str) -> list[Row]:
    return [{"col": "country", "op": "==", "val": country}, {"col": "store_id", "op": "==", "val": store}]


def _newest(looks: list[Row]) -> dict[str, datetime]:
    return {country: max(row["slot"] for row in looks if row["country"] == country) for country in ("es", "mx")}


def _at(looks: list[Row], before: timedelta) -> list[Row]:
    newest = _newest(looks)
    return [row for row in looks if row["slot"] == newest[row["country"]] - before]


def _share(rows: list[Row]) -> float | None:
    rated = [row for row in rows if row["status"] in RATED]
    return sum(row["status"] == "available" for row in rated) / len(rated) if rated else None


def _same(found: list[Row], expected: list[Row]) -> None:
    assert expected
    for one, other in zip(sorted(found, key=_key), sorted(expected, key=_key), strict=True):
        assert one == pytest.approx(other)


def _key(row: Row) -> str:
    return json.dumps([row[name] for name in sorted(row) if isinstance(row[name], str | None)])


def _milliseconds(instant: datetime) -> float:
    return (instant - datetime(1970, 1, 1)).total_seconds() * 1000


def test_the_big_numbers_are_those_of_the_newest_slot(shown: Shown, looks: list[Row]) -> None:
    now = _at(looks, timedelta())
    since = {
        (row["country"], row["slot"], row["store_id"]): row["since_by"]
        for row in shown.lake.ask("select country, slot, store_id, since_by from current_outages")
    }
    bad = [row for row in now if row["status"] in BAD]
    hour = [
        row for row in bad if since[row["country"], row["slot"], row["store_id"]] <= row["slot"] - timedelta(hours=1)
    ]
    expected = {
        "availability": _share(now),
        "coverage": 1 - sum(row["status"] == "unknown" for row in now) / len(now),
        "down": len(bad),
    }
    _same(_asked(shown, "stores_now", [], list(expected)), [expected])
    _same(_asked(shown, "stores_now_since", [], ["down_over_an_hour"]), [{"down_over_an_hour": len(hour)}])


@pytest.mark.parametrize("by", ["region", "chain"])
def test_availability_stands_beside_an_hour_and_a_week_before(shown: Shown, looks: list[Row], by: str) -> None:
    expected = []
    ago = {"now": timedelta(), "hour": timedelta(hours=1), "week": timedelta(days=7)}
    at = {name: _at(looks, before) for name, before in ago.items()}
    assert all(at.values()), "the lake has all three slots"
    for country, value in {(row["country"], row[by]) for rows in at.values() for row in rows}:
        own = {name: [r for r in rows if (r["country"], r[by]) == (country, value)] for name, rows in at.items()}
        row: Row = {"country": country, by: value}
        row |= {name: _share(own[at]) for name, at in SHARES.items()}
        row["down"] = sum(one["status"] in BAD for one in own["now"])
        row["rated"] = sum(one["status"] in RATED for one in own["now"])
        expected.append(row)
    _same(_asked(shown, "latest_slot", ["country", by], [*SHARES, "down", "rated"]), expected)


def test_stores_that_need_attention_are_those_that_are_down(shown: Shown, looks: list[Row]) -> None:
    bad = [row for row in _at(looks, timedelta()) if row["status"] in BAD]
    sums = shown.lake.ask("select country, slot, store_id, since_by, reason, lost_seconds, owner from current_outages")
    told = {(row["country"], row["slot"], row["store_id"]): row for row in sums}
    expected = []
    for row in bad:
        outage = told[row["country"], row["slot"], row["store_id"]]
        expected.append(
            {
                "country": row["country"],
                "store_id": row["store_id"],
                "chain": row["chain"],
                "owner": outage["owner"],
                "reason": outage["reason"],
                "since_by": _milliseconds(outage["since_by"]),
                "lost_minutes": outage["lost_seconds"] / 60,
            }
        )
    found = _asked(shown, "stores_down", list(expected[0]) if expected else ["store_id"], [])
    assert len(found) == len(expected)
    if expected:
        _same(found, expected)


def test_the_age_is_that_of_the_moment_and_no_older_than_a_minute(shown: Shown, looks: list[Row]) -> None:
    before = datetime.now(UTC).replace(tzinfo=None)
    found = {row["country"]: row for row in _asked(shown, "data_age", ["country", "slot"], ["age"])}
    after = datetime.now(UTC).replace(tzinfo=None)
    newest = _newest(looks)
    assert found.keys() == newest.keys()
    for country, slot in newest.items():
        assert found[country]["slot"] == _milliseconds(slot)
        assert (
            (before - slot) // timedelta(minutes=1) <= found[country]["age"] <= (after - slot) // timedelta(minutes=1)
        )
    aged = [chart for chart in FILES.charts.values() if chart.dataset == "data_age"]
    assert [chart.cache_timeout for chart in aged] == [60, 60]
    asked = query(shown, "data_age", chart=aged[0].slice_name, metrics=["age"])
    assert shown.client("admin").post("chart/data", asked)["result"][0]["cache_timeout"] == 60


def test_the_strip_has_96_slots_a_city_and_tells_unknown_from_closed(shown: Shown, looks: list[Row]) -> None:
    found = _asked(shown, "city_slots", ["country", "city", "slot", "state", "rated", "available"], [])
    seen: dict[tuple[str, str, float], list[str]] = defaultdict(list)
    unseen: dict[tuple[str, str, float], int] = defaultdict(int)
    for row in looks:
        key = row["country"], row["city"] or "(no city)", _milliseconds(row["slot"])
        seen[key].append(row["status"])
        unseen[key] += row["status"] == "unknown" and row["scheduled_seconds"] != 0
    by_city: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in found:
        by_city[row["country"], row["city"]].append(row)
    assert by_city.keys() == {(row["country"], row["city"] or "(no city)") for row in looks}
    for rows in by_city.values():
        slots = sorted(row["slot"] for row in rows)
        assert slots == [slots[-1] - n * _milliseconds(datetime(1970, 1, 1) + SLOT) for n in reversed(range(96))]
    assert {row["state"] for row in found} >= {"unknown", "closed", "95 % and more"}
    for row in found:
        key = row["country"], row["city"], row["slot"]
        assert row["state"] == _state(seen.get(key), unseen[key]), key


def _state(statuses: list[str] | None, unseen: int) -> str:
    rated = [status for status in statuses or () if status in RATED]
    if statuses is None or unseen > len(rated):
        return "unknown"
    if not rated:
        return "closed"
    share = rated.count("available") / len(rated)
    return "95 % and more" if share >= 0.95 else "80 to 95 %" if share >= 0.8 else "under 80 %"


def test_a_region_of_the_map_has_the_share_of_its_stores(shown: Shown, looks: list[Row]) -> None:
    areas = {"ES-MD": ["ES-M"], "ES-CN": ["ES-GC", "ES-TF"], "MX-CMX": ["MX-DIF"], "MX-BCN": ["MX-BCN"]}
    areas["ES-AN"] = [f"ES-{code}" for code in ("AL", "CA", "CO", "GR", "H", "J", "MA", "SE")]
    # Two areas that no map has hold the colours in place.
    expected: list[Row] = [{"area": "0 %", "not_available": 0}, {"area": "20 %", "not_available": 0.2}]
    for region in {row["region"] for row in looks if row["region"]}:
        share = _share([row for row in _at(looks, timedelta()) if row["region"] == region])
        if share is not None:
            expected += [{"area": area, "not_available": 1 - share} for area in areas[region]]
    _same(_asked(shown, "regions_now", ["area"], ["not_available"]), expected)


@pytest.mark.parametrize("store", [STORE, UNKNOWN])
def test_a_store_has_the_hours_that_were_scheduled_and_seen(shown: Shown, looks: list[Row], store: str) -> None:
    own = [row for row in looks if row["country"] == "es" and row["store_id"] == store]
    hours: dict[tuple[str, str], float] = defaultdict(float)
    for row in own:
        default = 900 if row["status"] == "unknown" else 0
        seconds = default if row["scheduled_seconds"] is None else row["scheduled_seconds"]
        hours[str(row["local_date"]), row["status"]] += seconds / 3600
    found = _asked(shown, "store_looks", ["local_date", "status"], ["scheduled_hours"], filters=_of_store("es", store))
    days = {
        (f"{datetime(1970, 1, 1) + timedelta(milliseconds=row['local_date']):%Y-%m-%d}", row["status"]): row[
            "scheduled_hours"
        ]
        for row in found
    }
    assert days == pytest.approx(dict(hours))
    scheduled = sum(hours.values())
    lost = sum(value for (_, status), value in hours.items() if status in BAD)
    unknown = sum(value for (_, status), value in hours.items() if status == "unknown")
    expected = {"availability": _share(own), "lost_hours": lost, "seen": 1 - unknown / scheduled}
    _same(_asked(shown, "store_looks", [], list(expected), filters=_of_store("es", store)), [expected])


def test_missed_slots_of_a_store_are_not_seen(shown: Shown) -> None:
    missed = shown.lake.ask("select country, store_id, scheduled_seconds from missed_looks")
    country, store = missed[0]["country"], missed[0]["store_id"]
    own = [row["scheduled_seconds"] for row in missed if (row["country"], row["store_id"]) == (country, store)]
    filters = [*_of_store(country, store), {"col": "status", "op": "==", "val": "missed"}]
    expected = [{"scheduled_hours": pytest.approx(sum(own) / 3600), "seen": 0}]
    assert _asked(shown, "store_looks", [], ["scheduled_hours", "seen"], filters=filters) == expected


def test_the_bars_of_a_store_cover_its_slots_once_each_on_its_own_clock(shown: Shown, looks: list[Row]) -> None:
    columns = ["local_day", "status", "reason", "slot", "slots", "begins", "ends"]
    found = _asked(shown, "store_runs", columns, [], filters=_of_store("es", STORE))
    own = {row["slot"]: row for row in looks if row["country"] == "es" and row["store_id"] == STORE}
    covered = []
    for run in found:
        first = datetime(1970, 1, 1) + timedelta(milliseconds=run["slot"])
        covered += [first + n * SLOT for n in range(run["slots"])]
        for slot in covered[-run["slots"] :]:
            assert (own[slot]["status"], own[slot]["reason"]) == (run["status"], run["reason"])
            assert run["local_day"][:10] == str(own[slot]["local_date"])
        assert run["ends"] - run["begins"] == run["slots"] * 900_000
    assert sorted(covered) == sorted(own)


def test_a_stores_outages_are_told_once_each(shown: Shown) -> None:
    last: dict[str, Row] = {}
    rows = shown.lake.ask("select * from outages where country = 'es' and store_id = '112'")
    for row in sorted(rows, key=lambda row: row["day"]):
        last[row["outage_id"]] = row
    expected = [
        {
            "outage_id": one["outage_id"],
            "kind": one["kind"],
            "first_reason": one["first_reason"],
            "began_by": _milliseconds(one["began_by"]),
            "lost_minutes": one["lost_seconds"] / 60,
            "minutes_at_least": one["seconds_at_least"] / 60,
            "is_open": one["is_open"],
        }
        for one in last.values()
    ]
    _same(_asked(shown, "store_outages", list(expected[0]), [], filters=_of_store("es", "112")), expected)
    sums = _asked(shown, "store_outages", [], ["outages", "lost"], filters=_of_store("es", "112"))
    _same(sums, [{"outages": len(last), "lost": sum(one["lost_seconds"] for one in last.values()) / 60}])


def test_why_a_store_was_judged_so_names_the_schedule_of_then(shown: Shown) -> None:
    columns = ["day", "status", "slots", "exceptions", "problem", "weekly"]
    found = _asked(shown, "store_judged", columns, [], filters=_of_store("es", STORE))
    expected = shown.lake.ask(
        f"""select day, status, count(*) as slots, exceptions, problem, weekly
        from judged_by where country = 'es' and store_id = '{STORE}' group by day, status, reason, exceptions, problem, weekly"""
    )
    assert sorted(map(str, (sorted(row.items()) for row in found))) == sorted(
        map(str, (sorted(row.items()) for row in expected))
    )
    assert any("closed" in (row["exceptions"] or "") for row in found)


@pytest.mark.parametrize(
    "name", ["stores_now", "latest_slot", "data_age", "store_looks", "store_outages", "regions_now"]
)
def test_no_data_is_empty_and_never_zero_or_whole(shown: Shown, name: str) -> None:
    shown_metrics = {
        str(chart.params[key])
        for chart in FILES.charts.values()
        if chart.dataset == name
        for key in ("metric",)
        if chart.params.get(key)
    } or set(FILES.datasets[name].metrics)
    nowhere = [{"col": "country", "op": "==", "val": "zz"}]
    assert _asked(shown, name, [], sorted(shown_metrics), filters=nowhere) == [dict.fromkeys(sorted(shown_metrics))]
