//! UTC calendar days, by which the tables of the lake are partitioned.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::hours::LocalDate;
use crate::instant::Instant;
use crate::slot::Slot;

/// A UTC calendar day in the years 1970 to 9999, written `2026-11-23`.
///
/// ```
/// use storewatch_domain::{Day, Slot};
/// let day: Day = "2026-11-23".parse()?;
/// assert_eq!(day.first_slot().to_string(), "2026-11-23T00:00:00Z");
/// assert_eq!(day.first_slot().day(), day);
/// assert!("2026-11-3".parse::<Day>().is_err());
/// # Ok::<(), storewatch_domain::InvalidDay>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(LocalDate);

/// The text is not a [`Day`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("day {0:?} is not a date of the years 1970 to 9999 such as \"2026-11-23\"")]
pub struct InvalidDay(pub String);

impl Day {
    /// 1970-01-01.
    pub const FIRST: Self = Self(LocalDate::from_days(0));
    /// 9999-12-31.
    pub const LAST: Self = Self(*LocalDate::WRITTEN.end());

    /// The day that contains the instant.
    pub fn containing(instant: Instant) -> Self {
        Self::of(Slot::of(instant))
    }

    /// The day that contains the slot.
    pub fn of(slot: Slot) -> Self {
        // Slots and days cover the same years.
        Self(LocalDate::from_days((slot.start() / 86_400) as i32))
    }

    /// The calendar date.
    pub const fn date(self) -> LocalDate {
        self.0
    }

    /// The slot at 00:00.
    pub fn first_slot(self) -> Slot {
        Slot::containing(i64::from(self.0.days()) * 86_400)
    }

    /// The day `days` later, or earlier if negative. `None` if it lies outside the years 1970 to 9999.
    pub fn plus_days(self, days: i32) -> Option<Self> {
        Some(Self(self.0.plus_days(days))).filter(|day| (Self::FIRST..=Self::LAST).contains(day))
    }

    /// Every day from this one to `last`, both included. Empty if `last` is earlier.
    pub fn through(self, last: Self) -> impl Iterator<Item = Self> {
        (self.0.days()..=last.0.days()).map(|days| Self(LocalDate::from_days(days)))
    }
}

impl FromStr for Day {
    type Err = InvalidDay;

    /// Accepts exactly what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let date = text.parse::<NaiveDate>().ok();
        let day = date.and_then(|date| Self::FIRST.plus_days(date.to_epoch_days()));
        // chrono also accepts other forms, such as 2026-11-3.
        day.filter(|day| day.to_string() == text).ok_or_else(|| InvalidDay(text.chars().take(60).collect()))
    }
}

impl TryFrom<String> for Day {
    type Error = InvalidDay;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Day({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_round_trips_as_text() {
        for text in ["1970-01-01", "2024-02-29", "2026-11-23", "9999-12-31"] {
            let day: Day = text.parse().unwrap();
            assert_eq!((day.to_string(), String::from(day)), (text.to_owned(), text.to_owned()));
            assert_eq!(format!("{day:?}"), format!("Day({text})"));
            assert_eq!(day.first_slot().to_string(), format!("{text}T00:00:00Z"));
        }
    }

    #[test]
    fn every_other_text_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-11-3",
            "2026-13-01",
            "2026-02-29",
            "1969-12-31",
            "10000-01-01",
            "+2026-11-23",
            " 2026-11-23",
            "2026-11-23 ",
            "2026-11-23T00:00:00Z",
            "20261123",
            "2026-11-2é",
        ] {
            assert_eq!(text.parse::<Day>(), Err(InvalidDay(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn the_96_slots_of_a_day_belong_to_it_and_the_next_one_to_the_next_day() {
        let day: Day = "2026-12-31".parse().unwrap();
        let start = day.first_slot();
        for slot in (0..96).map(|n| Slot::containing(start.start() + n * Slot::SECONDS)) {
            assert_eq!(
                (slot.day(), Day::containing(slot.first_instant().plus_micros(899_999_999))),
                (day, day)
            );
        }
        let next = Slot::containing(start.start() + 86_400).day();
        assert_eq!((next.to_string(), day.plus_days(1)), ("2027-01-01".to_owned(), Some(next)));
        assert_eq!(day.through(next).collect::<Vec<_>>(), [day, next]);
        assert_eq!(next.through(day).count(), 0);
    }

    #[test]
    fn the_first_and_the_last_instant_are_of_the_first_and_the_last_day() {
        assert_eq!(
            (Day::containing(Instant::FIRST), Day::containing(Instant::LAST)),
            (Day::FIRST, Day::LAST)
        );
        assert_eq!((Day::FIRST.plus_days(-1), Day::LAST.plus_days(1)), (None, None));
        assert_eq!(Day::LAST.plus_days(i32::MAX), None);
    }
}
