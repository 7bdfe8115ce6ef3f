//! Slots: the quarter hours that name ticks, rows and keys.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::day::Day;
use crate::instant::{Instant, InvalidInstant};

/// The 15 minutes `[t, t + 15 min)` that start at :00, :15, :30 or :45 UTC.
///
/// ```
/// use storewatch_domain::Slot;
/// let slot: Slot = "2026-11-23T04:15:00Z".parse().unwrap();
/// assert_eq!(slot.key(), "20261123T0415Z");
/// assert_eq!(slot.day().to_string(), "2026-11-23");
/// assert_eq!(Slot::containing(slot.start() + 899), slot);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slot(i64);

/// The text does not name a slot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSlot {
    /// It is not an RFC 3339 time with an offset.
    #[error("slot {0:?} is not an RFC 3339 time such as \"2026-11-23T04:15:00Z\"")]
    NotATime(String),
    /// It is a time, but not the start of a slot.
    #[error("slot {0:?} does not start at minute 00, 15, 30 or 45")]
    NotAStart(String),
    /// Years in keys have four digits, and there is nothing to watch before 1970.
    #[error("slot {0:?} is outside the years 1970 to 9999")]
    OutOfRange(String),
}

impl Slot {
    /// The length of every slot, in seconds.
    pub const SECONDS: i64 = 900;
    /// 10000-01-01T00:00:00Z: years in keys have four digits.
    const END: i64 = 253_402_300_800;

    /// The slot that contains the instant (Unix seconds). Instants before 1970 or after 9999 count as
    /// the first or the last slot.
    pub fn containing(instant: i64) -> Self {
        let instant = instant.clamp(0, Self::END - 1);
        Self(instant - instant.rem_euclid(Self::SECONDS))
    }

    /// The slot that contains the time. Fractions of a second are ignored.
    ///
    /// # Errors
    /// The text is not an RFC 3339 time, or is outside the years 1970 to 9999.
    pub fn containing_time(text: &str) -> Result<Self, InvalidSlot> {
        Ok(Self::of(text.parse()?))
    }

    /// The slot in which the instant lies.
    pub fn of(instant: Instant) -> Self {
        Self::containing(instant.micros() / 1_000_000)
    }

    /// The first instant of the slot.
    pub fn first_instant(self) -> Instant {
        // Slots lie in the same years as instants.
        Instant::FIRST.plus_micros(self.start_micros())
    }

    /// The first instant of the slot, Unix seconds.
    pub fn start(self) -> i64 {
        self.0
    }

    /// The first instant after the slot, Unix seconds.
    pub fn end(self) -> i64 {
        self.0 + Self::SECONDS
    }

    /// The first instant of the slot, Unix microseconds, as in the tables.
    pub fn start_micros(self) -> i64 {
        self.0 * 1_000_000
    }

    /// Whether the instant lies in the slot.
    pub fn contains(self, instant: Instant) -> bool {
        Self::of(instant) == self
    }

    /// The form used in keys and names: `20261123T0415Z`.
    pub fn key(self) -> String {
        self.first_instant().utc().format("%Y%m%dT%H%MZ").to_string()
    }

    /// The UTC day of the slot.
    pub fn day(self) -> Day {
        Day::of(self)
    }
}

impl FromStr for Slot {
    type Err = InvalidSlot;

    /// Accepts only an RFC 3339 time at which a slot starts.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let instant: Instant = text.parse()?;
        let slot = Self::of(instant);
        if slot.first_instant() == instant { Ok(slot) } else { Err(InvalidSlot::NotAStart(text.to_owned())) }
    }
}

impl From<InvalidInstant> for InvalidSlot {
    fn from(error: InvalidInstant) -> Self {
        match error {
            InvalidInstant::NotATime(text) => Self::NotATime(text),
            InvalidInstant::OutOfRange(text) => Self::OutOfRange(text),
        }
    }
}

impl TryFrom<String> for Slot {
    type Error = InvalidSlot;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Slot> for String {
    fn from(slot: Slot) -> Self {
        slot.to_string()
    }
}

impl fmt::Display for Slot {
    /// The form used in JSON and columns: `2026-11-23T04:15:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first_instant().utc().format("%Y-%m-%dT%H:%M:%SZ"))
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_time_names_the_slot_that_contains_it() {
        let slot = Slot::containing_time("2026-11-23T04:29:59.999Z").unwrap();
        assert_eq!(slot.to_string(), "2026-11-23T04:15:00Z");
    }

    #[test]
    fn an_offset_is_converted_to_utc() {
        let slot: Slot = "2026-11-23T05:15:00+01:00".parse().unwrap();
        assert_eq!(slot.to_string(), "2026-11-23T04:15:00Z");
    }

    #[test]
    fn a_time_inside_a_slot_does_not_parse_as_a_slot() {
        for text in ["2026-11-23T04:16:00Z", "2026-11-23T04:15:01Z", "2026-11-23T04:15:00.5Z"] {
            assert_eq!(text.parse::<Slot>(), Err(InvalidSlot::NotAStart(text.into())));
        }
    }

    #[test]
    fn a_text_that_is_not_a_time_is_refused_and_quoted() {
        for text in ["", "now", "2026-11-23", "2026-11-23T04:15:00", "2026-13-01T00:00:00Z"] {
            assert_eq!(text.parse::<Slot>(), Err(InvalidSlot::NotATime(text.into())));
        }
        let before = "1969-12-31T23:45:00Z";
        assert_eq!(before.parse::<Slot>(), Err(InvalidSlot::OutOfRange(before.into())));
    }

    #[test]
    fn an_instant_outside_the_years_1970_to_9999_counts_as_the_first_or_last_slot() {
        for (instant, wanted) in [
            (i64::MIN, "1970-01-01T00:00:00Z"),
            (-1, "1970-01-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:45:00Z"),
            (253_402_300_800, "9999-12-31T23:45:00Z"),
            (i64::MAX, "9999-12-31T23:45:00Z"),
        ] {
            assert_eq!(Slot::containing(instant).to_string(), wanted, "{instant}");
        }
    }

    #[test]
    fn a_slot_round_trips_as_text() {
        let slot: Slot = "2026-11-23T04:15:00Z".parse().unwrap();
        assert_eq!((slot.start(), slot.end()), (1_795_407_300, 1_795_408_200));
        assert_eq!(
            (String::from(slot).as_str(), slot.key()),
            ("2026-11-23T04:15:00Z", "20261123T0415Z".into())
        );
        assert_eq!(format!("{slot:?}"), "Slot(2026-11-23T04:15:00Z)");
    }

    #[test]
    fn a_slot_includes_its_start_and_excludes_its_end() {
        let slot: Slot = "2026-11-23T04:15:00Z".parse().unwrap();
        let after = |micros| slot.first_instant().plus_micros(micros);
        assert!(slot.contains(after(0)));
        assert!(slot.contains(after(899_999_999)));
        assert!(!slot.contains(after(900_000_000)));
        assert!(!slot.contains(after(-1)));
    }
}
