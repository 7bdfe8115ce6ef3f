//! The file of `country_ticks`: one row that says how a country's tick went. It is written last: if it says
//! complete, the other files exist and are final.

use std::str::FromStr;

use bytes::Bytes;
use polars_core::prelude::*;
use serde::{Deserialize, Serialize};
use storewatch_domain::{Instant, Slot};

use crate::parquet::{self, ParquetError};
use crate::tables::Table;

/// How a country tick ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Outcome {
    /// There are no rows of stores: the schedules or the lake were unavailable.
    Failed,
    /// Some chunks could not be observed; their stores are `unknown`.
    Partial,
    /// Every chunk was observed in its slot.
    Complete,
}

impl Outcome {
    /// All outcomes, from worst to best.
    pub const ALL: [Self; 3] = [Self::Failed, Self::Partial, Self::Complete];

    /// The outcome as in the column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Partial => "partial",
            Self::Complete => "complete",
        }
    }
}

/// The text is not an [`Outcome`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an outcome of a tick")]
pub struct InvalidOutcome(pub String);

impl FromStr for Outcome {
    type Err = InvalidOutcome;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|outcome| outcome.as_str() == text);
        known.ok_or_else(|| InvalidOutcome(text.to_owned()))
    }
}

impl TryFrom<String> for Outcome {
    type Error = InvalidOutcome;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Outcome> for String {
    fn from(outcome: Outcome) -> Self {
        outcome.as_str().to_owned()
    }
}

/// A row of `country_ticks`.
#[derive(Debug, Clone, PartialEq)]
pub struct TickRecord {
    pub slot: Slot,
    pub started_at: Instant,
    pub finished_at: Instant,
    pub outcome: Outcome,
    /// The number of stores in PostgreSQL; `None` if it is unknown.
    pub stores: Option<u64>,
    pub chunks: Option<u32>,
    pub chunks_unknown: Option<u32>,
    /// 0 to 1; `None` if there are no rows.
    pub coverage: Option<f64>,
    pub schedule_as_of: Option<Instant>,
    /// What failed; `None` if nothing did.
    pub error: Option<String>,
    /// The release of the time zone database by which the stores were judged. `None` if none was, and in
    /// rows written before this column existed.
    pub tzdb: Option<String>,
}

impl TickRecord {
    /// Writes the row as a file.
    ///
    /// # Errors
    /// Polars cannot write it.
    pub fn write(&self) -> Result<Bytes, ParquetError> {
        let number = |name: &str, value: Option<i64>| Series::new(name.into(), [value]).into_column();
        let mut frame = DataFrame::new(
            1,
            vec![
                parquet::timestamps("slot", vec![Some(self.slot.first_instant())])?,
                parquet::timestamps("started_at", vec![Some(self.started_at)])?,
                parquet::timestamps("finished_at", vec![Some(self.finished_at)])?,
                parquet::texts("outcome", &[Some(self.outcome.as_str())]),
                number("stores", self.stores.map(|n| n as i64)),
                number("chunks", self.chunks.map(i64::from)),
                number("chunks_unknown", self.chunks_unknown.map(i64::from)),
                Series::new("coverage".into(), [self.coverage]).into_column(),
                parquet::timestamps("schedule_as_of", vec![self.schedule_as_of])?,
                parquet::texts("error", &[self.error.as_deref()]),
                parquet::texts("tzdb", &[self.tzdb.as_deref()]),
            ],
        )?;
        parquet::check(Table::CountryTicks, &frame)?;
        parquet::write(&mut frame)
    }

    /// Reads the row from its file.
    ///
    /// # Errors
    /// The file is not Parquet, or does not hold one row of the table.
    pub fn read(body: Bytes) -> Result<Self, ParquetError> {
        let mut rows = Self::read_all(body)?;
        match (rows.pop(), rows.len()) {
            (Some(row), 0) => Ok(row),
            (row, more) => {
                let rows = more + usize::from(row.is_some());
                Err(ParquetError::Content(format!("expected one row, found {rows}")))
            }
        }
    }

    /// Reads the rows of a compacted day.
    ///
    /// # Errors
    /// The file is not Parquet, or does not hold rows of the table.
    pub fn read_all(body: Bytes) -> Result<Vec<Self>, ParquetError> {
        let frame = parquet::read_table(Table::CountryTicks, body, None)?;
        (0..frame.height()).map(|n| Self::row(&frame, n)).collect()
    }

    fn row(frame: &DataFrame, n: usize) -> Result<Self, ParquetError> {
        let time = |name: &str| -> Result<Option<Instant>, ParquetError> {
            frame.column(name)?.datetime()?.physical().get(n).map(parquet::instant).transpose()
        };
        let number =
            |name: &str| -> Result<Option<i64>, ParquetError> { Ok(frame.column(name)?.i64()?.get(n)) };
        let text = |name: &str| -> Result<Option<String>, ParquetError> {
            Ok(frame.column(name)?.str()?.get(n).map(str::to_owned))
        };
        let missing = |name: &str| ParquetError::Content(format!("{name} is null"));
        let outcome = frame.column("outcome")?.str()?.get(n).ok_or_else(|| missing("outcome"))?;
        Ok(Self {
            slot: Slot::of(time("slot")?.ok_or_else(|| missing("slot"))?),
            started_at: time("started_at")?.ok_or_else(|| missing("started_at"))?,
            finished_at: time("finished_at")?.ok_or_else(|| missing("finished_at"))?,
            outcome: outcome
                .parse()
                .map_err(|error: InvalidOutcome| ParquetError::Content(error.to_string()))?,
            stores: number("stores")?.map(|n| n as u64),
            chunks: number("chunks")?.map(|n| n as u32),
            chunks_unknown: number("chunks_unknown")?.map(|n| n as u32),
            coverage: frame.column("coverage")?.f64()?.get(n),
            schedule_as_of: time("schedule_as_of")?,
            error: text("error")?,
            tzdb: text("tzdb")?,
        })
    }

    /// What a tick of the slot must exceed to replace this one.
    pub fn worth(&self) -> (Outcome, f64) {
        (self.outcome, self.coverage.unwrap_or(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compaction;

    #[test]
    fn a_row_older_than_the_column_tzdb_has_no_release() {
        let slot: Slot = "2026-11-23T09:00:00Z".parse().unwrap();
        let record = TickRecord {
            slot,
            started_at: slot.first_instant(),
            finished_at: slot.first_instant().plus_micros(1),
            outcome: Outcome::Complete,
            stores: Some(1),
            chunks: Some(1),
            chunks_unknown: Some(0),
            coverage: Some(1.0),
            schedule_as_of: Some(slot.first_instant()),
            error: None,
            tzdb: Some("2026f".to_owned()),
        };
        let mut frame = parquet::read(record.write().unwrap()).unwrap().drop("tzdb").unwrap();
        let old = parquet::write(&mut frame).unwrap();
        assert_eq!(TickRecord::read(old.clone()).unwrap(), TickRecord { tzdb: None, ..record.clone() });

        // A day with ticks from before and after the change is compacted whole.
        let source = |body, of: Slot| compaction::Source { body, rows: compaction::Rows::Of(of) };
        let later = TickRecord { slot: Slot::containing(slot.end()), ..record };
        let sources = [source(old, slot), source(later.write().unwrap(), later.slot)];
        let (day, _) = compaction::compact(Table::CountryTicks, &sources).unwrap();
        let found = TickRecord::read_all(day).unwrap();
        let releases: Vec<Option<&str>> = found.iter().map(|tick| tick.tzdb.as_deref()).collect();
        assert_eq!(releases, [None, Some("2026f")]);
    }
}
