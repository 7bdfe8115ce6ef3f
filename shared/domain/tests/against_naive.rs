//! The hours against a second, deliberately naive implementation that shares no code with them: it
//! finds the instant of a wall time by walking through the zone's minutes, and asks minute by minute
//! whether a store is open.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use chrono::{DateTime, Datelike, Offset, TimeDelta, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use proptest::prelude::*;
use storewatch_domain::{
    ExceptionHours, LocalDate, MissingHours, Slot, SlotClock, StoreHours, WallTime, WeeklyHours,
};

/// Opens and closes in minutes of the day.
type Range = (i64, i64);

#[derive(Debug, Clone)]
struct Case {
    zone: Tz,
    weekly: Vec<(i64, Range)>,
    /// Days from the local date of the instant.
    exceptions: Vec<(i32, Option<Range>)>,
    always_open: bool,
    /// Unix seconds, a whole minute.
    at: i64,
}

fn offset(zone: Tz, at: i64) -> i64 {
    let time = DateTime::from_timestamp(at, 0).unwrap().naive_utc();
    i64::from(zone.offset_from_utc_datetime(&time).fix().local_minus_utc())
}

/// The first minute that shows the wall time; if none does, the wall time with the offset that was
/// in force before the clocks jumped over it.
fn naive_instant(zone: Tz, wall: i64) -> i64 {
    let mut before = offset(zone, wall - 16 * 3600);
    for at in (wall - 16 * 3600..wall + 30 * 3600).step_by(60) {
        let shown = at + offset(zone, at);
        if shown == wall {
            return at;
        }
        if shown > wall {
            return wall - before;
        }
        before = offset(zone, at);
    }
    panic!("{zone} never shows {wall}");
}

/// The intervals of the days around the instant.
fn naive_intervals(case: &Case) -> Vec<(i64, i64)> {
    let today = DateTime::from_timestamp(case.at, 0).unwrap().with_timezone(&case.zone).date_naive();
    let mut intervals = Vec::new();
    for n in -3..=3 {
        let date = today + TimeDelta::days(n);
        let weekday = i64::from(date.weekday().number_from_monday());
        let special: Vec<_> = case.exceptions.iter().filter(|(day, _)| i64::from(*day) == n).collect();
        let ranges: Vec<Range> = if !special.is_empty() {
            special.iter().filter_map(|(_, range)| *range).collect()
        } else if !case.weekly.is_empty() {
            case.weekly.iter().filter(|(day, _)| *day == weekday).map(|(_, range)| *range).collect()
        } else if case.always_open {
            vec![(0, 0)]
        } else {
            vec![]
        };
        let midnight = date.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp();
        for (opens, closes) in ranges {
            let end = if closes > opens { closes } else { closes + 1440 };
            let start = naive_instant(case.zone, midnight + opens * 60);
            intervals.push((start, naive_instant(case.zone, midnight + end * 60)));
        }
    }
    intervals
}

fn hours(case: &Case) -> StoreHours {
    let time = |minutes: i64| WallTime::from_seconds(minutes as u32 * 60);
    let today = DateTime::from_timestamp(case.at, 0).unwrap().with_timezone(&case.zone).date_naive();
    let exception = |(n, range): &(i32, Option<Range>)| {
        let date = LocalDate::from(today + TimeDelta::days(i64::from(*n)));
        let (opens, closes) = range.map_or((None, None), |(o, c)| (time(o), time(c)));
        ExceptionHours::new(date, opens, closes).unwrap()
    };
    let weekly = |(day, (o, c)): &(i64, Range)| WeeklyHours::new(*day, time(*o), time(*c)).unwrap();
    StoreHours {
        weekly: case.weekly.iter().map(weekly).collect(),
        exceptions: case.exceptions.iter().map(exception).collect(),
    }
}

/// The next transition of the zone within 400 days, if there is one.
fn next_transition(zone: Tz, from: i64) -> Option<i64> {
    let hours = (from..from + 400 * 86_400).step_by(3600);
    let mut before = offset(zone, from);
    for at in hours {
        let now = offset(zone, at);
        if now != before {
            return Some(at);
        }
        before = now;
    }
    None
}

fn range() -> impl Strategy<Value = Range> {
    let minute = prop_oneof![0..1440_i64, (0..24_i64).prop_map(|hour| hour * 60), 0..240_i64];
    let closes = prop_oneof![minute.clone(), Just(1440), Just(0)];
    prop_oneof![3 => (minute.clone(), closes), 1 => minute.prop_map(|m| (m, m))]
}

fn case() -> impl Strategy<Value = Case> {
    // From 1975 on every offset is of whole minutes; to 2037 the database knows every rule.
    let at = (157_766_400_i64..2_114_380_800).prop_map(|at| at - at.rem_euclid(60));
    let near = prop_oneof![2 => -600..600_i64, 1 => -3000..3000_i64];
    (
        prop::sample::select(&TZ_VARIANTS[..]),
        prop::collection::vec((1..=7_i64, range()), 0..16),
        prop::collection::vec((-2..=2_i32, prop::option::of(range())), 0..4),
        any::<bool>(),
        at,
        any::<bool>(),
        near,
    )
        .prop_map(|(zone, weekly, exceptions, always_open, at, snap, minutes)| {
            let transition = if snap { next_transition(zone, at) } else { None };
            let at = transition.map_or(at, |transition| transition + minutes * 60);
            Case { zone, weekly, exceptions, always_open, at: at - at.rem_euclid(60) }
        })
}

/// The number of cases; `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    ProptestConfig { cases: ProptestConfig::default().cases.max(4_000), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_naive_implementation_agrees_everywhere(case in case()) {
        let slot = Slot::containing(case.at);
        let missing = if case.always_open { MissingHours::AlwaysOpen } else { MissingHours::Closed };
        let found = hours(&case).opening(&SlotClock::new(case.zone, slot), missing, Some(case.at));
        let intervals = naive_intervals(&case);
        let open = |at: i64| intervals.iter().any(|(start, end)| *start <= at && at < *end);
        prop_assert_eq!(found.at, Some(open(case.at)));
        let minutes = (slot.start()..slot.end()).step_by(60).filter(|at| open(*at)).count();
        prop_assert_eq!(usize::from(found.seconds), minutes * 60);
    }
}
