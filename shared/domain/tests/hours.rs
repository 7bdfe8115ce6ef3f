//! The rules and edge cases of opening hours, with literal dates and instants.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use chrono::{DateTime, NaiveDate};
use storewatch_domain::{
    ExceptionHours, LocalDate, MissingHours, Opening, Slot, SlotClock, StoreHours, WallTime, WeeklyHours,
    Zone, Zones,
};

fn time(text: &str) -> WallTime {
    let parts: Vec<u32> = text.split(':').map(|part| part.parse().unwrap()).collect();
    WallTime::from_seconds(parts[0] * 3600 + parts[1] * 60 + parts.get(2).unwrap_or(&0)).unwrap()
}

fn weekly(rows: &[(i64, &str, &str)]) -> StoreHours {
    let row = |&(day, o, c): &(i64, &str, &str)| WeeklyHours::new(day, Some(time(o)), Some(time(c))).unwrap();
    StoreHours { weekly: rows.iter().map(row).collect(), exceptions: Vec::new() }
}

fn every_day(opens: &str, closes: &str) -> StoreHours {
    weekly(&(1..=7).map(|day| (day, opens, closes)).collect::<Vec<_>>())
}

fn except(mut hours: StoreHours, date: &str, range: Option<(&str, &str)>) -> StoreHours {
    let date = LocalDate::from(date.parse::<NaiveDate>().unwrap());
    let (opens, closes) = range.map_or((None, None), |(o, c)| (Some(time(o)), Some(time(c))));
    hours.exceptions.push(ExceptionHours::new(date, opens, closes).unwrap());
    hours
}

fn zone(name: &str) -> Zone {
    Zones::embedded().get(name).unwrap()
}

fn instant(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).unwrap().timestamp()
}

fn opening(hours: &StoreHours, place: &str, at: &str, missing: MissingHours) -> Opening {
    hours.opening(&SlotClock::new(&zone(place), Slot::containing(instant(at))), missing)
}

fn is_open(hours: &StoreHours, zone: &str, at: &str, missing: MissingHours) -> bool {
    opening(hours, zone, at, missing).contains((instant(at).rem_euclid(Slot::SECONDS)) as u16)
}

/// The intervals of an opening, as minutes and seconds since the start of its slot.
fn parts(opening: &Opening) -> Vec<String> {
    let text = |second: u16| format!("{:02}:{:02}", second / 60, second % 60);
    opening.intervals().map(|part| format!("{}-{}", text(part.start), text(part.end))).collect()
}

/// Checks whether the store is open at each instant.
fn check(hours: &StoreHours, zone: &str, states: &[(&str, bool)]) {
    for (at, open) in states {
        assert_eq!(is_open(hours, zone, at, MissingHours::Closed), *open, "{zone} at {at}");
    }
}

/// The open seconds in all slots from one instant to another.
fn seconds(hours: &StoreHours, place: &str, from: &str, to: &str) -> i64 {
    let place = zone(place);
    (instant(from)..instant(to))
        .step_by(900)
        .map(|at| hours.opening(&SlotClock::new(&place, Slot::containing(at)), MissingHours::Closed))
        .map(|opening| i64::from(opening.seconds()))
        .sum()
}

#[test]
fn a_store_is_open_from_its_opening_second_up_to_but_not_including_its_closing_second() {
    let hours = weekly(&[(1, "09:00", "17:30:15")]);
    check(
        &hours,
        "UTC",
        &[
            ("2026-11-23T08:59:59Z", false),
            ("2026-11-23T09:00:00Z", true),
            ("2026-11-23T17:30:14Z", true),
            ("2026-11-23T17:30:15Z", false),
            ("2026-11-24T10:00:00Z", false),
        ],
    );
    assert_eq!(opening(&hours, "UTC", "2026-11-23T17:31:00Z", MissingHours::Closed).seconds(), 15);
    assert_eq!(opening(&hours, "UTC", "2026-11-23T12:00:00Z", MissingHours::Closed).seconds(), 900);
}

#[test]
fn ranges_of_a_date_are_a_union_and_overlaps_count_once() {
    let overlapping =
        weekly(&[(1, "09:00", "10:10"), (1, "10:05", "10:07"), (1, "10:10", "10:12"), (1, "09:30", "10:06")]);
    let found = opening(&overlapping, "UTC", "2026-11-23T10:11:00Z", MissingHours::Closed);
    assert_eq!(parts(&found), ["00:00-12:00"]);
    let split = weekly(&[(1, "09:00", "10:02"), (1, "10:04", "10:05"), (1, "10:10", "11:00")]);
    let found = opening(&split, "UTC", "2026-11-23T10:03:00Z", MissingHours::Closed);
    assert_eq!(parts(&found), ["00:00-02:00", "04:00-05:00", "10:00-15:00"]);
    assert_eq!((found.seconds(), found.contains(180)), (120 + 60 + 300, false));
}

#[test]
fn closing_at_24_00_means_the_following_midnight() {
    check(
        &weekly(&[(1, "18:00", "24:00")]),
        "Europe/Madrid",
        &[("2026-11-23T22:59:59Z", true), ("2026-11-23T23:00:00Z", false)],
    );
    check(
        &weekly(&[(1, "18:00", "00:00")]),
        "Europe/Madrid",
        &[("2026-11-23T22:59:59Z", true), ("2026-11-23T23:00:00Z", false)],
    );
}

#[test]
fn sunday_night_continues_into_monday() {
    check(
        &weekly(&[(7, "20:00", "03:00")]),
        "UTC",
        &[
            ("2026-11-22T19:59:59Z", false),
            ("2026-11-22T23:59:59Z", true),
            ("2026-11-23T02:59:59Z", true),
            ("2026-11-23T03:00:00Z", false),
        ],
    );
}

#[test]
fn equal_opens_and_closes_mean_24_hours() {
    check(
        &weekly(&[(1, "10:00", "10:00")]),
        "UTC",
        &[
            ("2026-11-23T09:59:59Z", false),
            ("2026-11-23T10:00:00Z", true),
            ("2026-11-24T09:59:59Z", true),
            ("2026-11-24T10:00:00Z", false),
        ],
    );
}

#[test]
fn an_exception_replaces_its_date_but_not_the_rest_of_the_night_before() {
    let hours = except(every_day("20:00", "04:00"), "2026-12-25", None);
    check(
        &hours,
        "UTC",
        &[
            ("2026-12-25T03:59:59Z", true),
            ("2026-12-25T04:00:00Z", false),
            ("2026-12-25T21:00:00Z", false),
            ("2026-12-26T03:00:00Z", false),
            ("2026-12-26T20:00:00Z", true),
        ],
    );
    let shorter = except(
        except(every_day("09:00", "21:00"), "2026-12-24", Some(("09:00", "14:00"))),
        "2026-12-24",
        None,
    );
    check(
        &shorter,
        "UTC",
        &[("2026-12-24T13:59:59Z", true), ("2026-12-24T14:00:00Z", false), ("2026-12-23T20:00:00Z", true)],
    );
}

#[test]
fn a_store_without_weekly_rows_follows_the_country_setting_and_its_exceptions_apply() {
    let hours = except(StoreHours::default(), "2026-11-23", Some(("10:00", "11:00")));
    for (at, always, never) in [
        ("2026-11-22T10:30:00Z", true, false),
        ("2026-11-23T09:59:00Z", false, false),
        ("2026-11-23T10:30:00Z", true, true),
        ("2026-11-24T00:00:00Z", true, false),
    ] {
        assert_eq!(is_open(&hours, "UTC", at, MissingHours::AlwaysOpen), always, "{at}");
        assert_eq!(is_open(&hours, "UTC", at, MissingHours::Closed), never, "{at}");
    }
}

#[test]
fn a_skipped_wall_time_uses_the_offset_before_the_gap() {
    // Madrid, 29 March 2026: 02:00 +01:00 becomes 03:00 +02:00 at 01:00Z. 02:30 means 01:30Z.
    let hours = weekly(&[(7, "02:30", "05:00")]);
    check(
        &hours,
        "Europe/Madrid",
        &[("2026-03-29T01:29:59Z", false), ("2026-03-29T01:30:00Z", true), ("2026-03-29T03:00:00Z", false)],
    );
    // It opens in the gap and closes after it, but before the instant at which it opens, so it is empty.
    let empty = weekly(&[(7, "02:45", "03:15")]);
    assert_eq!(seconds(&empty, "Europe/Madrid", "2026-03-28T22:00:00Z", "2026-03-30T02:00:00Z"), 0);
}

#[test]
fn a_wall_time_that_occurs_twice_means_its_first_occurrence() {
    // Madrid, 25 October 2026: 03:00 +02:00 becomes 02:00 +01:00 at 01:00Z.
    check(
        &weekly(&[(7, "02:30", "04:00")]),
        "Europe/Madrid",
        &[
            ("2026-10-25T00:29:59Z", false),
            ("2026-10-25T00:30:00Z", true),
            ("2026-10-25T02:59:59Z", true),
            ("2026-10-25T03:00:00Z", false),
        ],
    );
    check(
        &weekly(&[(7, "01:00", "02:30")]),
        "Europe/Madrid",
        &[("2026-10-25T00:29:59Z", true), ("2026-10-25T00:30:00Z", false), ("2026-10-25T01:29:00Z", false)],
    );
}

#[test]
fn an_overnight_shift_is_an_hour_shorter_in_spring_and_an_hour_longer_in_autumn() {
    let hours = weekly(&[(6, "22:00", "06:00")]);
    assert_eq!(seconds(&hours, "Europe/Madrid", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z"), 7 * 3600);
    assert_eq!(seconds(&hours, "Europe/Madrid", "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z"), 9 * 3600);
}

#[test]
fn a_store_that_never_closes_stays_open_across_clock_changes() {
    let hours = every_day("00:00", "00:00");
    for (from, to) in
        [("2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z"), ("2026-10-24T00:00:00Z", "2026-10-27T00:00:00Z")]
    {
        for zone in ["Europe/Madrid", "Africa/Cairo", "Australia/Lord_Howe", "America/New_York"] {
            assert_eq!(seconds(&hours, zone, from, to), 3 * 86_400, "{zone} from {from}");
        }
    }
}

#[test]
fn lord_howe_changes_by_half_an_hour() {
    // 4 October 2026: 02:00 +10:30 becomes 02:30 +11:00 at 15:30Z on the 3rd.
    check(
        &weekly(&[(7, "02:15", "03:00")]),
        "Australia/Lord_Howe",
        &[
            ("2026-10-03T15:44:59Z", false),
            ("2026-10-03T15:45:00Z", true),
            ("2026-10-03T15:59:59Z", true),
            ("2026-10-03T16:00:00Z", false),
        ],
    );
    // 5 April 2026: 02:00 +11:00 becomes 01:30 +10:30 at 15:00Z on the 4th.
    assert_eq!(
        seconds(
            &weekly(&[(7, "01:00", "02:00")]),
            "Australia/Lord_Howe",
            "2026-04-04T12:00:00Z",
            "2026-04-04T18:00:00Z"
        ),
        5400
    );
}

#[test]
fn a_gap_at_midnight_moves_hours_that_open_or_close_at_midnight() {
    // Cairo, 24 April 2026: 00:00 +02:00 becomes 01:00 +03:00 at 22:00Z on the 23rd.
    check(
        &weekly(&[(5, "00:00", "02:00")]),
        "Africa/Cairo",
        &[("2026-04-23T21:59:59Z", false), ("2026-04-23T22:00:00Z", true), ("2026-04-23T23:00:00Z", false)],
    );
    check(
        &weekly(&[(4, "20:00", "24:00")]),
        "Africa/Cairo",
        &[("2026-04-23T21:59:59Z", true), ("2026-04-23T22:00:00Z", false)],
    );
    // Beirut, 29 March 2026: the same at 22:00Z on the 28th.
    check(
        &weekly(&[(7, "00:30", "02:00")]),
        "Asia/Beirut",
        &[("2026-03-28T22:29:59Z", false), ("2026-03-28T22:30:00Z", true), ("2026-03-28T23:00:00Z", false)],
    );
}

#[test]
fn kathmandu_is_five_hours_and_three_quarters_ahead() {
    check(
        &weekly(&[(1, "09:00", "17:00")]),
        "Asia/Kathmandu",
        &[("2026-11-23T03:14:59Z", false), ("2026-11-23T03:15:00Z", true), ("2026-11-23T11:15:00Z", false)],
    );
}

#[test]
fn negative_daylight_saving_is_a_clock_change_like_any_other() {
    // Dublin, 25 October 2026: 02:00 +01:00 becomes 01:00 +00:00 at 01:00Z.
    check(
        &weekly(&[(7, "01:30", "03:00")]),
        "Europe/Dublin",
        &[("2026-10-25T00:29:59Z", false), ("2026-10-25T00:30:00Z", true), ("2026-10-25T03:00:00Z", false)],
    );
    // Casablanca goes to +00:00 for Ramadan: 15 February 2026, 03:00 +01:00 becomes 02:00 +00:00 at 02:00Z.
    check(
        &weekly(&[(7, "02:30", "04:00")]),
        "Africa/Casablanca",
        &[
            ("2026-02-15T01:29:59Z", false),
            ("2026-02-15T01:30:00Z", true),
            ("2026-02-15T03:59:59Z", true),
            ("2026-02-15T04:00:00Z", false),
        ],
    );
}

#[test]
fn the_day_that_apia_skipped_uses_the_offset_before_it() {
    // After 29 December 2011 23:59:59 -10:00 came 31 December 00:00 +14:00, at 10:00Z on the 30th.
    let friday = weekly(&[(5, "09:00", "17:00")]);
    check(
        &friday,
        "Pacific/Apia",
        &[
            ("2011-12-30T18:59:59Z", false),
            ("2011-12-30T19:00:00Z", true),
            ("2011-12-31T02:59:59Z", true),
            ("2011-12-31T03:00:00Z", false),
        ],
    );
    // Thursday's 24 hours from 20:00 end on Friday at 20:00, a wall time that was skipped.
    let thursday = weekly(&[(4, "20:00", "20:00")]);
    check(
        &thursday,
        "Pacific/Apia",
        &[
            ("2011-12-30T05:59:59Z", false),
            ("2011-12-30T06:00:00Z", true),
            ("2011-12-31T05:59:59Z", true),
            ("2011-12-31T06:00:00Z", false),
        ],
    );
}

#[test]
fn hours_cross_the_end_of_a_year_and_of_a_leap_day_like_any_midnight() {
    check(
        &weekly(&[(4, "22:00", "02:00")]),
        "UTC",
        &[("2026-12-31T23:59:59Z", true), ("2027-01-01T01:59:59Z", true), ("2027-01-01T02:00:00Z", false)],
    );
    let leap = except(StoreHours::default(), "2028-02-29", Some(("22:00", "02:00")));
    check(
        &leap,
        "UTC",
        &[
            ("2028-02-29T22:00:00Z", true),
            ("2028-03-01T01:59:59Z", true),
            ("2028-03-01T02:00:00Z", false),
            ("2028-02-28T23:00:00Z", false),
        ],
    );
}

#[test]
fn the_local_time_of_a_slot_is_the_time_at_its_start() {
    let clock = SlotClock::new(&zone("america/TIJUANA"), "2026-11-23T07:45:00Z".parse().unwrap());
    assert_eq!((clock.local_date().to_string(), clock.local_hour()), ("2026-11-22".to_owned(), 23));
}

#[test]
fn exceptions_on_one_date_are_a_union_like_weekly_rows() {
    let day = "2026-12-24";
    let hours = except(every_day("09:00", "21:00"), day, Some(("10:00", "12:00")));
    let hours = except(except(hours, day, Some(("11:00", "13:00"))), day, Some(("23:00", "24:00")));
    check(
        &hours,
        "UTC",
        &[
            ("2026-12-24T09:30:00Z", false),
            ("2026-12-24T12:30:00Z", true),
            ("2026-12-24T13:00:00Z", false),
            ("2026-12-24T23:59:59Z", true),
            ("2026-12-25T00:00:00Z", false),
        ],
    );
    assert_eq!(seconds(&hours, "UTC", "2026-12-24T00:00:00Z", "2026-12-25T00:00:00Z"), 4 * 3600);
}

#[test]
fn an_exception_past_midnight_adds_to_the_next_date() {
    let hours = except(every_day("09:00", "17:00"), "2026-12-31", Some(("20:00", "04:00")));
    check(
        &hours,
        "UTC",
        &[
            ("2026-12-31T10:00:00Z", false),
            ("2026-12-31T20:00:00Z", true),
            ("2027-01-01T03:59:59Z", true),
            ("2027-01-01T04:00:00Z", false),
            ("2027-01-01T09:00:00Z", true),
        ],
    );
}

#[test]
fn an_exception_follows_the_clock_changes_of_its_date() {
    // Madrid, 29 March 2026: 02:00 becomes 03:00 at 01:00Z.
    let hours = except(StoreHours::default(), "2026-03-29", Some(("01:30", "03:30")));
    assert_eq!(seconds(&hours, "Europe/Madrid", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z"), 3600);
}

#[test]
fn a_wall_time_in_a_repeated_hour_after_midnight_means_its_first_occurrence() {
    // Havana, 2 November 2025: 01:00 -04:00 becomes 00:00 -05:00 at 05:00Z. Every wall time of
    // the date occurs with the second offset, but in the first hour its first occurrence counts.
    check(
        &weekly(&[(7, "00:30", "02:00")]),
        "America/Havana",
        &[
            ("2025-11-02T04:29:59Z", false),
            ("2025-11-02T04:30:00Z", true),
            ("2025-11-02T06:59:59Z", true),
            ("2025-11-02T07:00:00Z", false),
        ],
    );
}

#[test]
fn a_range_inside_another_does_not_end_it() {
    let hours = weekly(&[(1, "09:00", "18:00"), (1, "10:05", "10:07")]);
    let found = opening(&hours, "UTC", "2026-11-23T10:00:00Z", MissingHours::Closed);
    assert_eq!(parts(&found), ["00:00-15:00"]);
    let reversed = weekly(&[(1, "10:05", "10:07"), (1, "09:00", "18:00")]);
    assert_eq!(opening(&reversed, "UTC", "2026-11-23T10:00:00Z", MissingHours::Closed), found);
}

#[test]
fn ranges_that_touch_are_joined_and_ranges_a_second_apart_are_not() {
    let touching = weekly(&[(1, "10:02", "10:05"), (1, "10:05", "10:09")]);
    let found = opening(&touching, "UTC", "2026-11-23T10:00:00Z", MissingHours::Closed);
    assert_eq!(parts(&found), ["02:00-09:00"]);
    let apart = weekly(&[(1, "10:05:01", "10:09"), (1, "10:02", "10:05"), (1, "10:12", "10:13")]);
    let found = opening(&apart, "UTC", "2026-11-23T10:00:00Z", MissingHours::Closed);
    assert_eq!(parts(&found), ["02:00-05:00", "05:01-09:00", "12:00-13:00"]);
    assert_eq!(format!("{found:?}"), "[120..300, 301..540, 720..780]");
    let beside = weekly(&[(1, "10:02", "10:05"), (1, "10:15", "11:00"), (1, "09:00", "10:00")]);
    let found = opening(&beside, "UTC", "2026-11-23T10:00:00Z", MissingHours::Closed);
    assert_eq!(parts(&found), ["02:00-05:00"], "ranges that only touch the slot are left out");
}

#[test]
fn an_offset_with_seconds_is_applied_to_the_second() {
    // Monrovia was 44 minutes and 30 seconds behind until 7 January 1972.
    check(
        &weekly(&[(3, "09:00", "10:00")]),
        "Africa/Monrovia",
        &[("1972-01-05T09:44:29Z", false), ("1972-01-05T09:44:30Z", true), ("1972-01-05T10:44:30Z", false)],
    );
}

#[test]
fn the_first_and_last_possible_slots_work_like_any_other() {
    let hours = every_day("00:00", "24:00");
    for at in ["1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
        for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"] {
            assert_eq!(opening(&hours, zone, at, MissingHours::Closed).seconds(), 900, "{zone} at {at}");
        }
    }
    let last = except(StoreHours::default(), "9999-12-31", Some(("23:00", "24:00")));
    check(&last, "UTC", &[("9999-12-31T22:59:59Z", false), ("9999-12-31T23:59:59Z", true)]);
}

#[test]
fn a_weekly_row_without_hours_adds_none_but_counts_as_a_row() {
    let null = |day| WeeklyHours::new(day, None, None).unwrap();
    let mut hours = weekly(&[(1, "09:00", "12:00"), (7, "22:00", "02:00")]);
    hours.weekly.extend([null(1), null(2)]);
    check(
        &hours,
        "UTC",
        &[
            ("2026-11-22T23:00:00Z", true),
            // The rest of Sunday night stays, and Monday's other row applies.
            ("2026-11-23T01:59:59Z", true),
            ("2026-11-23T02:00:00Z", false),
            ("2026-11-23T09:00:00Z", true),
            ("2026-11-24T10:00:00Z", false),
        ],
    );
    // A store with only such rows is closed, even if stores without rows are always open. Its exceptions apply.
    let closed = StoreHours { weekly: (1..=7).map(null).collect(), exceptions: Vec::new() };
    let special = except(closed.clone(), "2026-11-23", Some(("10:00", "11:00")));
    for (hours, at, open) in [
        (&closed, "2026-11-23T10:30:00Z", false),
        (&special, "2026-11-23T10:30:00Z", true),
        (&special, "2026-11-23T11:00:00Z", false),
        (&special, "2026-11-24T10:30:00Z", false),
    ] {
        assert_eq!(is_open(hours, "UTC", at, MissingHours::AlwaysOpen), open, "{at}");
    }
}
