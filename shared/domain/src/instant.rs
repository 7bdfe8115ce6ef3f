//! Instants: when something happened, as events, tables and keys write it.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// An instant of the years 1970 to 9999 UTC, to the microsecond.
///
/// JSON has it as RFC 3339 with six digits of a second and `Z`; tables and keys as Unix microseconds.
///
/// ```
/// use storewatch_domain::Instant;
/// let instant: Instant = "2026-11-23T05:15:01.5+01:00".parse()?;
/// assert_eq!(instant.to_string(), "2026-11-23T04:15:01.500000Z");
/// assert_eq!(Instant::from_micros(instant.micros()), Some(instant));
/// assert!("1969-12-31T23:59:59Z".parse::<Instant>().is_err());
/// # Ok::<(), storewatch_domain::InvalidInstant>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Instant(i64);

/// The text is not an [`Instant`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInstant {
    /// It is not RFC 3339, or names no offset from UTC.
    #[error("{0:?} is not an RFC 3339 time such as \"2026-11-23T04:15:00Z\"")]
    NotATime(String),
    /// Keys have years of four digits, and there is nothing to watch before 1970.
    #[error("{0:?} is outside the years 1970 to 9999")]
    OutOfRange(String),
}

impl Instant {
    /// 1970-01-01T00:00:00Z.
    pub const FIRST: Self = Self(0);
    /// The last microsecond of the year 9999.
    pub const LAST: Self = Self(253_402_300_800_000_000 - 1);

    /// The instant so many microseconds after [`Instant::FIRST`]. `None` if it lies outside the years 1970
    /// to 9999.
    pub fn from_micros(micros: i64) -> Option<Self> {
        (Self::FIRST.0..=Self::LAST.0).contains(&micros).then_some(Self(micros))
    }

    /// Unix microseconds.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// How long after `earlier` it is, in microseconds; negative if it is before.
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }

    /// The instant so many microseconds later, or earlier if negative. Stops at the first and the last instant.
    pub fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros).clamp(Self::FIRST.0, Self::LAST.0))
    }

    /// For formatting. Cannot overflow: chrono reaches 262,000 years in both directions.
    pub(crate) fn utc(self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::microseconds(self.0)
    }
}

impl FromStr for Instant {
    type Err = InvalidInstant;

    /// Takes any RFC 3339 time. Digits after the microsecond are dropped.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shown = || text.chars().take(60).collect();
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| InvalidInstant::NotATime(shown()))?;
        Self::from_micros(time.timestamp_micros()).ok_or_else(|| InvalidInstant::OutOfRange(shown()))
    }
}

impl TryFrom<String> for Instant {
    type Error = InvalidInstant;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Instant> for String {
    fn from(instant: Instant) -> Self {
        instant.to_string()
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.utc().to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instant({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_instant_is_read_back_from_its_text(micros in 0..=Instant::LAST.0) {
            let instant = Instant::from_micros(micros).unwrap();
            let text = instant.to_string();
            prop_assert_eq!((text.len(), text.parse()), (27, Ok(instant)));
            let json = serde_json::to_string(&instant).unwrap();
            prop_assert_eq!(&json, &format!("\"{text}\""));
            prop_assert_eq!(serde_json::from_str::<Instant>(&json).unwrap(), instant);
        }
    }

    #[test]
    fn what_is_no_time_or_outside_the_calendar_is_refused() {
        for text in ["", "now", "2026-11-23", "2026-11-23T04:15:00", "2026-13-01T00:00:00Z"] {
            assert_eq!(text.parse::<Instant>(), Err(InvalidInstant::NotATime(text.into())));
        }
        for text in ["1969-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-01:00"] {
            assert_eq!(text.parse::<Instant>(), Err(InvalidInstant::OutOfRange(text.into())));
        }
        assert_eq!(Instant::from_micros(-1), None);
        assert_eq!(Instant::from_micros(Instant::LAST.0 + 1), None);
    }

    #[test]
    fn the_first_and_the_last_instant_end_the_calendar() {
        assert_eq!(Instant::FIRST.to_string(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(Instant::LAST.to_string(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(Instant::FIRST.plus_micros(i64::MIN), Instant::FIRST);
        assert_eq!(Instant::LAST.plus_micros(i64::MAX), Instant::LAST);
        assert_eq!(Instant::FIRST.plus_micros(7).micros_since(Instant::FIRST.plus_micros(9)), -2);
    }

    #[test]
    fn digits_after_the_microsecond_are_dropped() {
        let instant: Instant = "2026-11-23T04:15:00.1234567Z".parse().unwrap();
        assert_eq!(instant.to_string(), "2026-11-23T04:15:00.123456Z");
    }
}
