//! Values in PostgreSQL's binary format, of the types that schedule queries can return. A bad value that spoils
//! only one store is not an error here.

use std::error::Error;

use storewatch_domain::{LocalDate, WallTime};
use tokio_postgres::types::{FromSql, Type};

type Failure = Box<dyn Error + Sync + Send>;

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL's dates start.
const EPOCH_DAYS: i64 = 10_957;

/// An id of any supported type. Its text is the one that PostgreSQL writes.
pub(super) enum Id<'a> {
    Number(i64),
    Text(&'a str),
    Uuid([u8; 16]),
}

impl Id<'_> {
    /// Calls `take` with the text, without allocating for numbers and text.
    pub(super) fn with_text<T>(&self, take: impl FnOnce(&str) -> T) -> T {
        match self {
            Self::Number(number) => take(itoa::Buffer::new().format(*number)),
            Self::Text(text) => take(text),
            Self::Uuid(bytes) => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
                take(&parts.join("-"))
            }
        }
    }
}

impl<'a> FromSql<'a> for Id<'a> {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        match *kind {
            Type::INT2 | Type::INT4 | Type::INT8 => {
                Number::from_sql(kind, raw).map(|Number(n)| Self::Number(n))
            }
            Type::UUID => Ok(Self::Uuid(raw.try_into()?)),
            _ => Text::from_sql(kind, raw).map(|Text(text)| Self::Text(text)),
        }
    }

    fn accepts(kind: &Type) -> bool {
        ID_TYPES.contains(kind)
    }
}

/// An integer of any width.
pub(super) struct Number(pub(super) i64);

impl<'a> FromSql<'a> for Number {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        Ok(Self(match raw.len() {
            2 => i64::from(i16::from_be_bytes(raw.try_into()?)),
            4 => i64::from(i32::from_be_bytes(raw.try_into()?)),
            _ => i64::from_be_bytes(raw.try_into()?),
        }))
    }

    fn accepts(kind: &Type) -> bool {
        NUMBER_TYPES.contains(kind)
    }
}

/// Text. Trailing spaces of a `char(n)` are not significant (PostgreSQL's documentation, section "Character
/// Types"). They are removed, so that it equals a `varchar` or a document with the same id.
pub(super) struct Text<'a>(pub(super) &'a str);

impl<'a> FromSql<'a> for Text<'a> {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        let text = std::str::from_utf8(raw)?;
        Ok(Self(if *kind == Type::BPCHAR { text.trim_end_matches(' ') } else { text }))
    }

    fn accepts(kind: &Type) -> bool {
        TEXT_TYPES.contains(kind)
    }
}

/// A `time`, or a time as text.
pub(super) enum Time<'a> {
    Of(WallTime),
    /// Text that is not a time. It spoils only its own store.
    Bad(&'a str),
}

impl<'a> FromSql<'a> for Time<'a> {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        if *kind != Type::TIME {
            let text = std::str::from_utf8(raw)?;
            return Ok(wall_time(text.trim()).map_or(Self::Bad(text), Self::Of));
        }
        // PostgreSQL's own range is 00:00 to 24:00, so every value is a wall time.
        let micros = i64::from_be_bytes(raw.try_into()?);
        let time = WallTime::from_micros(micros).map(Self::Of);
        time.ok_or_else(|| format!("{micros} µs is not a time of day").into())
    }

    fn accepts(kind: &Type) -> bool {
        TIME_TYPES.contains(kind)
    }
}

/// `9:00`, `09:00`, `09:00:30`, `09:00:30.5`, up to `24:00`. Fractions of a second are cut off, as with a `time`.
fn wall_time(text: &str) -> Option<WallTime> {
    let (text, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let parts: Vec<u32> = text.split(':').map(digits).collect::<Option<_>>()?;
    let (hours, minutes, seconds) = match parts[..] {
        [hours, minutes] if fraction == "0" => (hours, minutes, 0),
        [hours, minutes, seconds] => (hours, minutes, seconds),
        _ => return None,
    };
    let is_time = minutes < 60 && seconds < 60 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    is_time.then(|| WallTime::from_seconds(hours * 3600 + minutes * 60 + seconds)).flatten()
}

fn digits(text: &str) -> Option<u32> {
    let is_number = matches!(text.len(), 1 | 2) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// A `date`. PostgreSQL's calendar ends in the year 5874897, and also has infinities.
pub(super) struct Date(pub(super) LocalDate);

impl<'a> FromSql<'a> for Date {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        let days = i64::from(i32::from_be_bytes(raw.try_into()?)) + EPOCH_DAYS;
        // A date that does not fit is far outside the range of an exception, which refuses it.
        Ok(Self(LocalDate::from_days(i32::try_from(days).unwrap_or(i32::MAX))))
    }

    fn accepts(kind: &Type) -> bool {
        DATE_TYPES.contains(kind)
    }
}

pub(super) const ID_TYPES: &[Type] =
    &[Type::INT2, Type::INT4, Type::INT8, Type::TEXT, Type::VARCHAR, Type::BPCHAR, Type::UUID];
pub(super) const NUMBER_TYPES: &[Type] = &[Type::INT2, Type::INT4, Type::INT8];
pub(super) const TEXT_TYPES: &[Type] = &[Type::TEXT, Type::VARCHAR, Type::BPCHAR, Type::NAME];
pub(super) const TIME_TYPES: &[Type] = &[Type::TIME, Type::TEXT, Type::VARCHAR, Type::BPCHAR];
pub(super) const DATE_TYPES: &[Type] = &[Type::DATE];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_text_are_read_in_their_usual_forms() {
        let good =
            [("9:00", 32_400), ("09:00", 32_400), ("09:00:30", 32_430), ("24:00", 86_400), ("0:5", 300)];
        for (text, seconds) in good {
            assert_eq!(wall_time(text).map(WallTime::seconds), Some(seconds), "{text}");
        }
        assert_eq!(wall_time("17:59:59.999"), WallTime::from_seconds(64_799));
        let bad = [
            "26:00",
            "24:01",
            "9",
            "",
            "9:60",
            "9:00:60",
            "+9:00",
            "9:00 pm",
            "9:00.5",
            "09:00:00.x",
            "009:00",
        ];
        for text in bad {
            assert_eq!(wall_time(text), None, "{text}");
        }
    }
}
