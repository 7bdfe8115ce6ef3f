"""The oracle of outages itself, on a few looks with literal answers: what it says of a month is only as good.

Looks are written a letter a slot: g good, b unavailable, u unlisted, c closed, x unexpected, ? unknown, . missed.
"""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.harness.current_outages_oracle import current_outages
from tests.harness.open_hours import slot_of
from tests.harness.oracle import LABELS, SLOT, Country
from tests.harness.outages_oracle import WHOSE, histories, missed_looks, outages, outages_of
from tests.harness.views_oracle import Row, Rows, Tables

RULES = Country("Europe/Lisbon", "closed")
LOOKED = timedelta(seconds=5, microseconds=500_000)
STATUSES = {"g": "available", "b": "unavailable", "u": "unlisted", "c": "closed", "x": "unexpected", "?": "unknown"}
WEEK = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SHOP, NIGHT, ALWAYS = "09:00-21:00", "22:00-06:00", "00:00-24:00"  # 08:00 to 20:00 UTC in summer


def at(text: str) -> datetime:
    """An instant of October 2026: `06 10:15`, or with seconds."""
    return datetime.fromisoformat(f"2026-10-{text}")


def told(
    begin: str, looks: str, *, hours: str = SHOP, zone: str = "Europe/Lisbon", reasons: str = "", bad: str = ""
) -> Tables:
    """The tables of one store with the same hours every day. A reason is a letter a slot; a blank is none. `bad` are
    the days whose schedule is bad."""
    tables: Tables = {"store_availability": [], "country_ticks": [], "store_schedules": []}
    for number, look in enumerate(looks):
        slot = at(begin) + number * SLOT
        tables["country_ticks"].append({"slot": slot, "day": f"{slot:%Y-%m-%d}"})
        if look != ".":
            reason = reasons[number : number + 1].strip() or None
            row = {"day": f"{slot:%Y-%m-%d}", "slot": slot, "store_id": "7", "name": f"{slot:%d}", "city": None}
            row |= {
                "timezone": zone,
                **dict.fromkeys(LABELS),
                "observed_at": slot + LOOKED,
                "status": STATUSES[look],
                "reason": reason,
            }
            tables["store_availability"].append(row | {"scheduled_seconds": 900, "schedule_as_of": slot})
    for day in sorted({row["day"] for row in tables["store_availability"]}):
        weekly = "; ".join(f"{weekday} {hours}" for weekday in WEEK)
        tables["store_schedules"].append(schedule(day, weekly, zone, problem="bad" if day[8:] in bad.split() else None))
    return tables


def schedule(day: str, weekly: str, zone: str, problem: str | None = None) -> Row:
    """A row of store_schedules, valid for all of a day's readings."""
    row: Row = dict.fromkeys((*WHOSE, "exceptions", "valid_until"))
    row |= {"day": day, "store_id": "7", "timezone": zone, "weekly": weekly}
    return row | {"problem": problem, "valid_from": at("01")}


def only(tables: Tables, *names: str) -> list[Any]:
    """Some columns of the only outage, as it ended."""
    (row,) = outages_of(outages(histories(tables, RULES)))
    return [row[name] for name in names]


BOUNDS = ("began_after", "began_by", "ended_after", "ended_by")
LENGTHS = ("seconds_at_least", "seconds_at_most", "kind")
COUNTS = ("bad_looks", "unlisted_looks", "unseen_looks", "lost_seconds")


def test_an_outage_lies_between_its_inner_and_its_outer_looks() -> None:
    tables = told("06 10:00", "gbug")
    expected = [at(f"06 {time}:05.500000") for time in ("10:00", "10:15", "10:30", "10:45")]
    assert only(tables, *BOUNDS) == expected
    assert only(tables, *LENGTHS) == [900, 2700, "mid_shift"]
    assert only(tables, *COUNTS, "outage_id", "is_open") == [2, 1, 0, 1800, "7/20261006T1015Z", False]


def test_a_late_opening_begins_with_the_hours() -> None:
    tables = told("05 19:45", "g" + 48 * "c" + "bg")
    assert only(tables, *BOUNDS[:2]) == [at("06 08:00"), at("06 08:00:05.500000")]
    assert only(tables, *LENGTHS) == [0, 5 + 900, "late_opening"]


def test_an_opening_in_the_middle_of_a_slot_counts_from_there() -> None:
    tables = told("06 08:00", "ccbg", hours="09:16:40-21:00")
    assert only(tables, "began_after", *LENGTHS) == [at("06 08:16:40"), 0, 13 * 60 + 25 + 900, "late_opening"]


def test_a_look_that_was_closed_after_the_opening_does_not_hide_it() -> None:
    # The shop opens seconds after the look that found it closed.
    tables = told("06 08:00", "cbg", hours="09:00:10-21:00")
    assert only(tables, "began_after", *LENGTHS) == [at("06 08:00:10"), 0, 895 + 900, "late_opening"]


def test_closed_time_neither_ends_an_outage_nor_counts() -> None:
    tables = told("06 19:15", "gbb" + 48 * "c" + "g")
    assert only(tables, *BOUNDS[2:]) == [at("06 19:45:05.500000"), at("07 08:00:05.500000")]
    assert only(tables, *LENGTHS) == [900, 900 + 900 + 895 + 5, "early_closing"]


def test_an_outage_of_a_whole_night_lasts_an_hour_more_when_the_clocks_go_back() -> None:
    # 21:00 UTC, 22:00 in Lisbon, to 06:00 UTC and in Lisbon.
    tables = told("24 20:45", "c" + 36 * "b" + 64 * "c" + "g", hours=NIGHT)
    assert only(tables, "began_after", "ended_by") == [at("24 21:00"), at("25 22:00:05.500000")]
    assert only(tables, *LENGTHS) == [35 * 900, 5 + 35 * 900 + 895 + 5, "whole_shift"]


def test_lord_howe_s_clocks_go_forward_by_half_an_hour() -> None:
    # 22:00 is 11:30 UTC before the change, 06:00 is 19:00 UTC after it: seven hours and a half.
    tables = told("03 11:15", "c" + 30 * "b" + 64 * "c" + "g", hours=NIGHT, zone="Australia/Lord_Howe")
    assert only(tables, "began_after", *LENGTHS) == [at("03 11:30"), 29 * 900, 5 + 29 * 900 + 895 + 5, "whole_shift"]


def test_each_day_tells_an_outage_from_its_beginning_to_the_day_s_end() -> None:
    tables = told("06 20:30", "g" + 20 * "b" + "g", hours=ALWAYS)
    days = outages(histories(tables, RULES))
    assert list(days) == ["2026-10-06", "2026-10-07"]
    ((first,), (second,)) = days.values()
    assert first["outage_id"] == second["outage_id"] == "7/20261006T2045Z"
    names = ("bad_looks", "is_open", "ended_by", "seconds_at_most", "name")
    assert [first[name] for name in names] == [13, True, None, None, "06"]
    assert [second[name] for name in names] == [20, False, at("07 01:45:05.500000"), 21 * 900, "07"]


def test_an_outage_that_ends_at_midnight_has_a_row_on_the_day_of_the_good_look_only_for_its_end() -> None:
    days = outages(histories(told("06 23:30", "gbg", hours=ALWAYS), RULES))
    assert {day: [row["is_open"] for row in rows] for day, rows in days.items()} == {
        "2026-10-06": [True],
        "2026-10-07": [False],
    }


def test_an_open_outage_is_an_early_closing_once_its_store_has_closed() -> None:
    assert only(told("06 10:00", "gb"), "kind", "is_open") == ["early_closing", True]
    assert only(told("06 10:00", "gb", hours=ALWAYS), "kind", "is_open") == ["mid_shift", True]


def test_unknown_and_missed_looks_are_counted_apart() -> None:
    tables = told("06 10:00", "g?b?.c.bb?.g")
    assert only(tables, *COUNTS) == [3, 0, 3, 2700]
    assert only(tables, *BOUNDS) == [at(f"06 {time}:05.500000") for time in ("10:00", "10:30", "12:00", "12:45")]
    assert only(tables, *LENGTHS) == [6 * 900, 11 * 900, "mid_shift"]


def test_an_outage_before_any_good_look_begins_with_the_hours_or_is_open_to_the_past() -> None:
    assert only(told("06 10:00", "bg"), "began_after", "kind") == [at("06 08:00"), "late_opening"]
    assert only(told("06 10:00", "bg", hours=ALWAYS), "began_after", *LENGTHS) == [None, 0, None, "mid_shift"]


def test_an_opening_is_looked_for_within_24_hours() -> None:
    # Open from Tuesday 09:00 in Lisbon on; the look is cut to whole seconds.
    for bad, expected in ((96, at("06 08:00:05")), (97, None)):
        tables = told("06 08:00", "c" + (bad - 1) * "?" + "bg", hours=ALWAYS)
        tables["store_schedules"][0]["weekly"] = "Tue 09:00:05-24:00; Wed 00:00-24:00"
        assert only(tables, "began_after") == [expected]


def test_hours_are_those_by_which_each_slot_was_judged() -> None:
    # The second reading knows that the shop closes at 11:00 UTC and opens again at 11:30.
    tables = told("06 10:30", "gb.bcbg")
    later = tables["store_schedules"][0] | {"weekly": "Tue 09:00-12:00; Tue 12:30-21:00", "valid_from": at("06 11:15")}
    tables["store_schedules"][0]["valid_until"] = later["valid_from"]
    tables["store_schedules"].append(later)
    # The slot of 11:00 is judged by the row before it, that of 11:15 by its own.
    assert only(tables, *BOUNDS[1:3], *LENGTHS) == [
        at("06 10:45:05.500000"), at("06 11:45:05.500000"), 895 + 900 + 905, 900 + 2700 + 900, "mid_shift",
    ]  # fmt: skip


def test_without_its_hours_an_outage_has_bounds_but_no_lengths() -> None:
    tables = told("06 23:00", "gbbbb?g", hours=ALWAYS, bad="07")
    assert only(tables, *BOUNDS) == [
        at(f"{time}:05.500000") for time in ("06 23:00", "06 23:15", "07 00:00", "07 00:30")
    ]
    assert only(tables, *LENGTHS) == [None, None, None]
    assert only(told("06 10:00", "gbbg", bad="06"), *LENGTHS, "lost_seconds") == [None, None, None, 1800]


@pytest.mark.parametrize(
    ("looks", "expected"),
    [("gggbg", [0]), ("bgbg", [0, 1]), ("bgbgbg", [0, 1, 2]), ("bggbg", [0, 0]), ("b?gbg", [0, 0]), ("bg?bg", [0, 0])],
)
def test_a_flap_is_one_good_look_between_bad_ones_within_the_hour(looks: str, expected: list[int]) -> None:
    found = outages_of(outages(histories(told("06 10:00", looks), RULES)))
    assert [row["flaps"] for row in found] == expected


def test_reasons_are_counted_the_most_frequent_first() -> None:
    tables = told("06 10:00", "gbbbubg", reasons="z baa  ")
    assert only(tables, "first_reason", "reasons") == ["b", '{"a":2,"b":1}']
    assert only(told("06 10:00", "gbg"), "first_reason", "reasons") == [None, None]
    assert only(told("06 10:00", "gbbg", reasons=' é"'), "reasons") == ['{"é":1,"\\"":1}']


def test_the_first_twenty_reasons_of_an_outage_are_told() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    tables = told("06 10:00", "g" + 27 * "b" + "g", reasons=f" {letters}a")
    (reasons,) = only(tables, "reasons")
    assert reasons == '{"a":2,' + ",".join(f'"{letter}":1' for letter in letters[1:20]) + "}"


def test_a_missed_slot_is_told_for_the_stores_that_were_scheduled_in_it() -> None:
    tables = told("06 07:30", "...g.", hours="09:05-21:00")
    found = missed_looks(histories(tables, RULES), tables, ["2026-10-06"])
    told_of = [(row["slot"], row["local_hour"], row["scheduled_seconds"], row["name"]) for row in found["2026-10-06"]]
    assert told_of[:2] == [(at("06 08:00"), 9, 600, "06"), (at("06 08:30"), 9, 900, "06")]
    assert (len(told_of), told_of[-1][:2]) == (2 + 45, (at("06 19:45"), 20))


def now(tables: Tables, *names: str) -> list[Any] | None:
    """Some columns of the store in current_outages at the last slot that has rows."""
    rows: Rows = current_outages(histories(tables, RULES), max(row["slot"] for row in tables["store_availability"]))
    return [rows[0][name] for name in names] if rows else None


SINCE = ("since_after", "since_by", "bad_looks", "unseen_looks", "unseen_since", "is_new", "status")


def test_a_store_is_down_from_its_first_bad_look_to_its_good_one() -> None:
    good, bad = at("06 10:00:05.500000"), at("06 10:15:05.500000")
    assert now(told("06 10:00", "gb"), *SINCE) == [good, bad, 1, 0, 0, True, "unavailable"]
    assert now(told("06 10:00", "gb.u"), *SINCE) == [good, bad, 2, 1, 0, False, "unlisted"]
    assert now(told("06 10:00", "gb.?"), *SINCE) == [good, bad, 1, 0, 2, False, "unknown"]
    assert now(told("06 10:00", "gbx"), *SINCE, "opened_at") == [good, bad, 1, 0, 0, False, "unexpected", None]
    assert now(told("06 10:00", "gbg"), *SINCE) is None


def test_the_hours_in_which_a_store_is_down_are_told() -> None:
    assert now(told("06 10:00", "gb"), "opened_at", "lost_seconds") == [at("06 08:00"), 900]
    assert now(told("06 10:00", "?b"), "opened_at", "since_after") == [at("06 08:00"), at("06 08:00")]
    assert now(told("06 10:00", "gb", hours=ALWAYS), "opened_at") == [None]


def test_a_store_that_was_not_seen_for_a_day_is_forgotten() -> None:
    assert now(told("06 10:00", "gb" + 95 * "?"), "unseen_since") == [95]
    assert now(told("06 10:00", "gb" + 96 * "?"), "unseen_since") is None
    # After a day without a tick nothing is known of before.
    assert now(told("06 10:00", "gb" + 95 * "." + "b"), "bad_looks", "unseen_looks") == [2, 95]
    assert now(told("06 10:00", "gb" + 96 * "." + "b", hours=ALWAYS), "bad_looks", "since_after") == [1, None]


def test_slots_begin_at_the_quarter_hours() -> None:
    assert slot_of(at("06 10:29:59.999999")) == at("06 10:15")
