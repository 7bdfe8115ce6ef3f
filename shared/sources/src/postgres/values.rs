//! Values as PostgreSQL sends them in binary: what the schedule queries may return, and nothing is
//! refused here that only spoils one store.

use std::error::Error;

use storewatch_domain::{LocalDate, WallTime};
use tokio_postgres::types::{FromSql, Type};

type Failure = Box<dyn Error + Sync + Send>;

/// Days from 1970-01-01 to 2000-01-01, from which PostgreSQL counts.
const EPOCH_DAYS: i64 = 10_957;

/// An id of any type that countries use; written as PostgreSQL writes it as text.
pub(super) enum Id<'a> {
    Number(i64),
    Text(&'a str),
    Uuid([u8; 16]),
}

impl Id<'_> {
    /// Hands the text to `take`, without an allocation for numbers and text.
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
            _ => Ok(Self::Text(std::str::from_utf8(raw)?)),
        }
    }

    fn accepts(kind: &Type) -> bool {
        ID_TYPES.contains(kind)
    }
}

/// A whole number of any width.
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

/// A `time`; PostgreSQL's own range is 00:00 to 24:00, so every value is a wall time.
pub(super) struct Time(pub(super) WallTime);

impl<'a> FromSql<'a> for Time {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        WallTime::from_micros(micros)
            .map(Self)
            .ok_or_else(|| format!("{micros} µs are no time of a day").into())
    }

    fn accepts(kind: &Type) -> bool {
        TIME_TYPES.contains(kind)
    }
}

/// A `date`. PostgreSQL's calendar ends in the year 5874897, and has infinities beyond.
pub(super) struct Date(pub(super) LocalDate);

impl<'a> FromSql<'a> for Date {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        let days = i64::from(i32::from_be_bytes(raw.try_into()?)) + EPOCH_DAYS;
        // What does not fit is far outside what an exception may name, and is refused there.
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
pub(super) const TIME_TYPES: &[Type] = &[Type::TIME];
pub(super) const DATE_TYPES: &[Type] = &[Type::DATE];
