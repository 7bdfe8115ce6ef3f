//! Opening hours: the rows that a schedule is made of, and when a store is open because of them.
//!
//! An interval belongs to the local date on which it opens. Both of its ends are turned into
//! instants first; everything after that is computed on instants, never on wall clocks.

use std::fmt;
use std::ops::{Range, RangeInclusive};

use chrono::NaiveDate;
use serde::Deserialize;

use crate::zone::{Day, SlotClock};

/// A local date: days since 1970-01-01, in the proleptic Gregorian calendar.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalDate(i32);

impl LocalDate {
    /// The years 0 to 9999, which ISO 8601 writes with four digits.
    pub const WRITTEN: RangeInclusive<Self> = Self(-719_528)..=Self(2_932_896);

    /// The date that lies `days` after 1970-01-01. Every number is a date.
    pub const fn from_days(days: i32) -> Self {
        Self(days)
    }

    /// Days since 1970-01-01.
    pub const fn days(self) -> i32 {
        self.0
    }

    /// The date `n` days later; it stops at the ends of the calendar.
    pub const fn plus_days(self, n: i32) -> Self {
        Self(self.0.saturating_add(n))
    }

    /// The weekday as ISO 8601 numbers it: Monday is 1, Sunday is 7.
    pub const fn weekday(self) -> u8 {
        // 1970-01-01 was a Thursday.
        ((self.0 as i64 + 3).rem_euclid(7) + 1) as u8
    }

    /// The same date for chrono, where chrono's calendar reaches that far.
    pub fn to_naive(self) -> Option<NaiveDate> {
        NaiveDate::from_epoch_days(self.0)
    }
}

impl From<NaiveDate> for LocalDate {
    fn from(date: NaiveDate) -> Self {
        Self(date.to_epoch_days())
    }
}

impl fmt::Display for LocalDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_naive() {
            Some(date) if Self::WRITTEN.contains(self) => write!(f, "{date}"),
            _ => write!(f, "the date {} days from 1970-01-01", self.0),
        }
    }
}

impl fmt::Debug for LocalDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A local wall time: whole seconds since midnight, 0 to 86,400. The last one, 24:00, is the end of
/// the date and only ever closes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(u32);

impl WallTime {
    /// 00:00, the start of the date.
    pub const MIDNIGHT: Self = Self(0);
    /// 24:00, the end of the date.
    pub const END_OF_DAY: Self = Self(86_400);

    /// A wall time from seconds since midnight, 0 to 86,400.
    pub const fn from_seconds(seconds: u32) -> Option<Self> {
        if seconds <= 86_400 { Some(Self(seconds)) } else { None }
    }

    /// A wall time from microseconds since midnight, as PostgreSQL's `time` counts. A fraction of a
    /// second is cut off.
    pub const fn from_micros(micros: i64) -> Option<Self> {
        if micros < 0 || micros > 86_400_000_000 {
            return None;
        }
        Some(Self((micros / 1_000_000) as u32))
    }

    /// Seconds since midnight.
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}:{:02}", self.0 / 3600, self.0 / 60 % 60, self.0 % 60)
    }
}

impl fmt::Debug for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why a row of a store's schedule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// The weekday is not one of ISO 8601's numbers.
    #[error("weekday {0} is not 1 (Monday) to 7 (Sunday)")]
    Weekday(i64),
    /// There is an end, but no start.
    #[error("opens is null")]
    OpensMissing,
    /// There is a start, but no end.
    #[error("closes is null")]
    ClosesMissing,
    /// 24:00 ends a date; what starts then starts at 00:00 of the next.
    #[error("opens is 24:00, which only closes may be")]
    OpensAtEndOfDay,
    /// The date is not one that ISO 8601 writes with a year of four digits.
    #[error("{0} is outside the years 0 to 9999")]
    Date(LocalDate),
}

/// The hours of one weekday, one row of several perhaps. Without hours the row adds none; it counts as a
/// weekly row all the same, so that [`MissingHours`] does not apply to its store.
///
/// `closes > opens`: the same local date. `closes < opens`: closes on the next local date.
/// `closes = opens`: 24 hours, to the same wall time on the next date.
///
/// ```
/// use storewatch_domain::{HoursError, WallTime, WeeklyHours};
/// let (evening, late) = (WallTime::from_seconds(20 * 3600), WallTime::from_seconds(2 * 3600));
/// assert!(WeeklyHours::new(7, evening, late).is_ok()); // Sunday night, until Monday
/// assert_eq!(WeeklyHours::new(0, evening, late), Err(HoursError::Weekday(0)));
/// assert_eq!(WeeklyHours::new(1, None, None)?.hours(), None); // closed on Mondays
/// assert_eq!(WeeklyHours::new(1, evening, None), Err(HoursError::ClosesMissing));
/// # Ok::<(), HoursError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WeeklyHours {
    weekday: u8,
    hours: Option<Hours>,
}

impl WeeklyHours {
    /// Checks a weekly row: weekday 1 to 7, Monday is 1 (ISO 8601).
    ///
    /// # Errors
    /// The weekday is out of range, just one of the ends is missing, or it opens at 24:00.
    pub fn new(weekday: i64, opens: Option<WallTime>, closes: Option<WallTime>) -> Result<Self, HoursError> {
        let number = u8::try_from(weekday).ok().filter(|day| (1..=7).contains(day));
        let weekday = number.ok_or(HoursError::Weekday(weekday))?;
        Ok(Self { weekday, hours: Hours::of_row(opens, closes)? })
    }

    /// 1 (Monday) to 7 (Sunday).
    pub fn weekday(&self) -> u8 {
        self.weekday
    }

    /// When it opens, on its own date, and when it closes, on that date or the next; `None` if the row
    /// adds no hours.
    pub fn hours(&self) -> Option<(WallTime, WallTime)> {
        self.hours.map(|hours| (hours.opens, hours.closes))
    }
}

/// The hours of one date; they replace the weekly hours of that date. Without hours the row only
/// replaces: the store is closed unless another row of the date opens it. What spills over from the
/// night before stays, for it belongs to the date on which it opened.
///
/// ```
/// use storewatch_domain::{ExceptionHours, HoursError, LocalDate, WallTime};
/// let christmas = LocalDate::from_days(20_812);
/// assert_eq!(christmas.to_string(), "2026-12-25");
/// assert_eq!(ExceptionHours::new(christmas, None, None)?.hours(), None);
/// let half = ExceptionHours::new(christmas, Some(WallTime::MIDNIGHT), None);
/// assert_eq!(half, Err(HoursError::ClosesMissing));
/// # Ok::<(), HoursError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExceptionHours {
    date: LocalDate,
    hours: Option<Hours>,
}

impl ExceptionHours {
    /// Checks an exception row.
    ///
    /// # Errors
    /// Just one of the ends is missing, it opens at 24:00, or the date is outside the years 0 to 9999
    /// that ISO 8601 writes with four digits.
    pub fn new(
        date: LocalDate,
        opens: Option<WallTime>,
        closes: Option<WallTime>,
    ) -> Result<Self, HoursError> {
        if !LocalDate::WRITTEN.contains(&date) {
            return Err(HoursError::Date(date));
        }
        Ok(Self { date, hours: Hours::of_row(opens, closes)? })
    }

    /// The date whose weekly hours are replaced.
    pub fn date(&self) -> LocalDate {
        self.date
    }

    /// Opens and closes, or nothing where the row adds no hours.
    pub fn hours(&self) -> Option<(WallTime, WallTime)> {
        self.hours.map(|hours| (hours.opens, hours.closes))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Hours {
    opens: WallTime,
    closes: WallTime,
}

impl Hours {
    const ALL_DAY: Self = Self { opens: WallTime::MIDNIGHT, closes: WallTime::MIDNIGHT };

    /// The hours of a row; `None` if it has neither end.
    fn of_row(opens: Option<WallTime>, closes: Option<WallTime>) -> Result<Option<Self>, HoursError> {
        match (opens, closes) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(HoursError::OpensMissing),
            (Some(_), None) => Err(HoursError::ClosesMissing),
            (Some(WallTime::END_OF_DAY), _) => Err(HoursError::OpensAtEndOfDay),
            (Some(opens), Some(closes)) => Ok(Some(Self { opens, closes })),
        }
    }
}

/// What a store without weekly rows is; its exceptions replace their dates all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingHours {
    /// Never open.
    Closed,
    /// Open at all times.
    AlwaysOpen,
}

/// The hours of one store, as its rows give them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreHours {
    /// In any order; ranges may touch, overlap or contain one another.
    pub weekly: Vec<WeeklyHours>,
    /// In any order, several a date perhaps.
    pub exceptions: Vec<ExceptionHours>,
}

/// When a store is open within one slot: intervals that are sorted, disjoint and not empty, in whole
/// seconds since the start of the slot, 0 to 900. Intervals that touch are one.
///
/// ```
/// use storewatch_domain::*;
/// let at = |hour: u32| WallTime::from_seconds(hour * 3600);
/// let hours = StoreHours {
///     weekly: vec![WeeklyHours::new(1, at(9), at(17))?], // Mondays
///     exceptions: Vec::new(),
/// };
/// let monday_morning: Slot = "2026-11-23T08:00:00Z".parse()?;
/// let clock = SlotClock::new(&Zones::embedded().get("Europe/Madrid")?, monday_morning);
/// let opening = hours.opening(&clock, MissingHours::Closed);
/// assert_eq!((opening.seconds(), opening.contains(0)), (900, true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Opening {
    // Nearly always there is one interval at most, so that only a second one costs an allocation.
    first: (u16, u16),
    others: Vec<(u16, u16)>,
}

impl Opening {
    /// How much of the slot lies inside the hours, in seconds, 0 to 900.
    pub fn seconds(&self) -> u16 {
        self.first.1 - self.first.0 + self.others.iter().map(|(start, end)| end - start).sum::<u16>()
    }

    /// Whether the store is open in that second of the slot, 0 to 899.
    pub fn contains(&self, second: u16) -> bool {
        let holds = |&(start, end): &(u16, u16)| start <= second && second < end;
        holds(&self.first) || self.others.iter().any(holds)
    }

    /// The intervals `[start, end)` in their order.
    pub fn intervals(&self) -> impl Iterator<Item = Range<u16>> + '_ {
        let parts = std::iter::once(&self.first).filter(|part| part.0 < part.1).chain(&self.others);
        parts.map(|&(start, end)| start..end)
    }

    /// Adds an interval that is not empty. What overlaps counts once.
    fn add(&mut self, part: (u16, u16)) {
        if self.first.0 == self.first.1 {
            self.first = part;
        } else if part.0 < self.first.0 || self.first.1 < part.1 {
            self.widen(part);
        }
    }

    #[cold]
    fn widen(&mut self, part: (u16, u16)) {
        let mut parts = std::mem::take(&mut self.others);
        parts.extend([self.first, part]);
        parts.sort_unstable();
        // `dedup_by` hands over the later of two neighbours first.
        parts.dedup_by(|later, earlier| {
            let touch = later.0 <= earlier.1;
            if touch {
                earlier.1 = earlier.1.max(later.1);
            }
            touch
        });
        self.first = parts.remove(0);
        self.others = parts;
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.intervals()).finish()
    }
}

impl StoreHours {
    /// When the store is open in the clock's slot. The intervals of a date are a union; the
    /// exceptions of a date stand in place of its weekly rows.
    pub fn opening(&self, clock: &SlotClock, missing: MissingHours) -> Opening {
        let mut opening = Opening::default();
        let mut add = |day: &Day, hours: Hours| {
            if let Some(part) = clock.part(day, hours.opens, hours.closes) {
                opening.add(part);
            }
        };
        // A bit for each day of the clock: whether exceptions replace it.
        let mut replaced = 0_u8;
        for row in &self.exceptions {
            if let Some((n, day)) = clock.day_of_date(row.date) {
                replaced |= 1 << n;
                row.hours.into_iter().for_each(|hours| add(day, hours));
            }
        }
        if self.weekly.is_empty() && missing == MissingHours::AlwaysOpen {
            let days = clock.days().iter().enumerate();
            days.filter(|(n, _)| replaced & 1 << n == 0).for_each(|(_, day)| add(day, Hours::ALL_DAY));
        }
        for row in &self.weekly {
            if let Some((n, day)) = clock.day_of_weekday(row.weekday)
                && replaced & 1 << n == 0
                && let Some(hours) = row.hours
            {
                add(day, hours);
            }
        }
        opening
    }
}
