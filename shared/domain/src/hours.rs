//! Opening hours: the rows of a schedule, and when a store is open.
//!
//! An interval belongs to the local date on which it opens. Both ends are converted to instants first.
//! Everything after that uses instants, never wall times.

use std::fmt;
use std::ops::{Range, RangeInclusive};

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::zone::{Day, SlotClock};

/// A local date: days since 1970-01-01, in the proleptic Gregorian calendar.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LocalDate(i32);

impl LocalDate {
    /// The dates of the years 0 to 9999, which ISO 8601 writes with four digits.
    pub const WRITTEN: RangeInclusive<Self> = Self(-719_528)..=Self(2_932_896);

    /// The date `days` after 1970-01-01. Every number is a date.
    pub const fn from_days(days: i32) -> Self {
        Self(days)
    }

    /// Days since 1970-01-01.
    pub const fn days(self) -> i32 {
        self.0
    }

    /// The date `n` days later, saturating at the ends of the range.
    pub const fn plus_days(self, n: i32) -> Self {
        Self(self.0.saturating_add(n))
    }

    /// The weekday as ISO 8601 numbers it: Monday is 1, Sunday is 7.
    pub const fn weekday(self) -> u8 {
        // 1970-01-01 was a Thursday.
        ((self.0 as i64 + 3).rem_euclid(7) + 1) as u8
    }

    /// The date as chrono's type; `None` if it is outside chrono's range.
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

/// A local wall time: whole seconds since midnight, 0 to 86,400. 24:00 is the end of the date: a store
/// can close then, but not open.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct WallTime(u32);

impl WallTime {
    /// 00:00, the start of the date.
    pub const MIDNIGHT: Self = Self(0);
    /// 24:00, the end of the date.
    pub const END_OF_DAY: Self = Self(86_400);

    /// A wall time from seconds since midnight; `None` if not within 0 to 86,400.
    pub const fn from_seconds(seconds: u32) -> Option<Self> {
        if seconds <= 86_400 { Some(Self(seconds)) } else { None }
    }

    /// A wall time from microseconds since midnight, as in PostgreSQL's `time`. Fractions of a second are
    /// cut off. `None` if not within 0 to 86,400 seconds.
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

impl TryFrom<u32> for WallTime {
    type Error = String;

    /// As [`WallTime::from_seconds`].
    fn try_from(seconds: u32) -> Result<Self, String> {
        Self::from_seconds(seconds)
            .ok_or_else(|| format!("{seconds} is not 0 to 86400 seconds since midnight"))
    }
}

impl From<WallTime> for u32 {
    fn from(time: WallTime) -> Self {
        time.0
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

/// Why a row of a store's schedule is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// The weekday is not an ISO 8601 number.
    #[error("weekday {0} is not 1 (Monday) to 7 (Sunday)")]
    Weekday(i64),
    /// It closes, but does not open.
    #[error("opens is null")]
    OpensMissing,
    /// It opens, but does not close.
    #[error("closes is null")]
    ClosesMissing,
    /// It opens at 24:00, which ends a date. Use 00:00 on the next date.
    #[error("opens is 24:00, which only closes may be")]
    OpensAtEndOfDay,
    /// The year of the date does not have the four digits of ISO 8601.
    #[error("{0} is outside the years 0 to 9999")]
    Date(LocalDate),
}

/// Hours on one weekday. A weekday can have several rows. A row without hours adds none, but it is a
/// weekly row, so [`MissingHours`] does not apply to the store.
///
/// `closes > opens`: closes on the same local date. `closes < opens`: closes on the next local date.
/// `closes = opens`: closes at the same wall time on the next date.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Row<u8>", into = "Row<u8>")]
pub struct WeeklyHours {
    weekday: u8,
    hours: Option<Hours>,
}

impl WeeklyHours {
    /// Checks a weekly row: weekday 1 to 7, Monday is 1 (ISO 8601).
    ///
    /// # Errors
    /// The weekday is out of range, only one of `opens` and `closes` is missing, or it opens at 24:00.
    pub fn new(weekday: i64, opens: Option<WallTime>, closes: Option<WallTime>) -> Result<Self, HoursError> {
        let number = u8::try_from(weekday).ok().filter(|day| (1..=7).contains(day));
        let weekday = number.ok_or(HoursError::Weekday(weekday))?;
        Ok(Self { weekday, hours: Hours::of_row(opens, closes)? })
    }

    /// 1 (Monday) to 7 (Sunday).
    pub fn weekday(&self) -> u8 {
        self.weekday
    }

    /// When it opens, and when it closes on the same or the next date; `None` if the row adds no hours.
    pub fn hours(&self) -> Option<(WallTime, WallTime)> {
        self.hours.map(|hours| (hours.opens, hours.closes))
    }
}

/// Hours on one date, which replace the weekly hours of that date. A row without hours only replaces
/// them: the store is closed unless another row for the date opens it. Hours that continue from the
/// night before stay, because they belong to the date on which they opened.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Row<LocalDate>", into = "Row<LocalDate>")]
pub struct ExceptionHours {
    date: LocalDate,
    hours: Option<Hours>,
}

impl ExceptionHours {
    /// Checks an exception row.
    ///
    /// # Errors
    /// Only one of `opens` and `closes` is missing, it opens at 24:00, or the date is outside the years 0
    /// to 9999, which ISO 8601 writes with four digits.
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

    /// When it opens and closes; `None` if the row adds no hours.
    pub fn hours(&self) -> Option<(WallTime, WallTime)> {
        self.hours.map(|hours| (hours.opens, hours.closes))
    }
}

/// A row as it is serialized: its day, and when it opens and closes, if at all.
type Row<D> = (D, Option<(WallTime, WallTime)>);

impl TryFrom<Row<u8>> for WeeklyHours {
    type Error = HoursError;

    fn try_from((weekday, hours): Row<u8>) -> Result<Self, HoursError> {
        let (opens, closes) = hours.unzip();
        Self::new(weekday.into(), opens, closes)
    }
}

impl From<WeeklyHours> for Row<u8> {
    fn from(row: WeeklyHours) -> Self {
        (row.weekday(), row.hours())
    }
}

impl TryFrom<Row<LocalDate>> for ExceptionHours {
    type Error = HoursError;

    fn try_from((date, hours): Row<LocalDate>) -> Result<Self, HoursError> {
        let (opens, closes) = hours.unzip();
        Self::new(date, opens, closes)
    }
}

impl From<ExceptionHours> for Row<LocalDate> {
    fn from(row: ExceptionHours) -> Self {
        (row.date(), row.hours())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Hours {
    opens: WallTime,
    closes: WallTime,
}

impl Hours {
    const ALL_DAY: Self = Self { opens: WallTime::MIDNIGHT, closes: WallTime::MIDNIGHT };

    /// The hours of a row; `None` if both ends are missing.
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

/// What a store without weekly rows means. Its exceptions still replace their dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingHours {
    /// Never open.
    Closed,
    /// Open at all times.
    AlwaysOpen,
}

/// The rows of one store's schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreHours {
    /// In any order. Ranges may touch, overlap or contain each other.
    pub weekly: Vec<WeeklyHours>,
    /// In any order. A date can have several.
    pub exceptions: Vec<ExceptionHours>,
}

/// When a store is open within one slot: sorted, disjoint, non-empty intervals in whole seconds since
/// the start of the slot, 0 to 900. Intervals that touch are joined.
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
    // There is almost always at most one interval, so only a second one needs an allocation.
    first: (u16, u16),
    others: Vec<(u16, u16)>,
}

impl Opening {
    /// Open for the whole slot.
    pub const WHOLE_SLOT: Self = Self { first: (0, 900), others: Vec::new() };

    /// How much of the slot lies within the hours, 0 to 900 seconds.
    pub fn seconds(&self) -> u16 {
        self.first.1 - self.first.0 + self.others.iter().map(|(start, end)| end - start).sum::<u16>()
    }

    /// Whether the store is open in the given second of the slot, 0 to 899.
    pub fn contains(&self, second: u16) -> bool {
        let holds = |&(start, end): &(u16, u16)| start <= second && second < end;
        holds(&self.first) || self.others.iter().any(holds)
    }

    /// The intervals `[start, end)`, in order.
    pub fn intervals(&self) -> impl Iterator<Item = Range<u16>> + '_ {
        let parts = std::iter::once(&self.first).filter(|part| part.0 < part.1).chain(&self.others);
        parts.map(|&(start, end)| start..end)
    }

    /// Adds a non-empty interval. Overlaps count once.
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
        // `dedup_by` passes the later of two neighbours first.
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
    /// When the store is open in the clock's slot. The intervals of a date are a union. If a date has
    /// exceptions, they replace its weekly rows.
    pub fn opening(&self, clock: &SlotClock, missing: MissingHours) -> Opening {
        let mut opening = Opening::default();
        let mut add = |day: &Day, hours: Hours| {
            if let Some(part) = clock.part(day, hours.opens, hours.closes) {
                opening.add(part);
            }
        };
        // One bit for each day of the clock: whether it has exceptions.
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
