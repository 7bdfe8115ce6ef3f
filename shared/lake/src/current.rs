//! The files of `current_outages`: who is down at a tick, and since when. Each is made from the file of the
//! tick before and from the rows of both ticks.

use bytes::Bytes;
use polars_core::prelude::*;
use storewatch_domain::current::{Down, Ongoing};
use storewatch_domain::{Instant, Slot, Status};

use crate::availability::{AvailabilityRows, status};
use crate::parquet::{self, ParquetError};
use crate::tables::{OF_STORE, Table};

/// Rows of `current_outages`.
#[derive(Debug, Clone)]
pub struct CurrentRows(DataFrame);

impl CurrentRows {
    /// Makes the rows of a slot. `rows` are the stores' rows of the slot, and `before` the outages of the
    /// tick before, as they were when `down` was made of them.
    ///
    /// # Errors
    /// The columns are not the tables', or polars rejects those made of them.
    pub fn new(
        slot: Slot,
        down: &[Down<'_>],
        rows: &AvailabilityRows,
        before: Option<&Self>,
    ) -> Result<Self, ParquetError> {
        let n = down.len();
        // Which store it is, and why it is down, as in the row of the last bad look.
        let of_last_bad_look = ["store_id"].into_iter().chain(OF_STORE).chain(["reason"]);
        let copied: Vec<Column> = of_last_bad_look
            .map(|name| copied(name, down, &rows.0, before.map(|before| &before.0)))
            .collect::<Result<_, ParquetError>>()?;
        let copied = |name: &str| copied.iter().find(|column| column.name() == name).cloned();
        let number = |name: &str, value: fn(&Ongoing) -> u64| {
            let values: Vec<i64> = down.iter().map(|one| value(&one.outage) as i64).collect();
            Series::new(name.into(), values).into_column()
        };
        let time = |name: &str, value: fn(&Ongoing) -> Option<Instant>| {
            parquet::timestamps(name, down.iter().map(|one| value(&one.outage)).collect())
        };
        let made = |name: &str| {
            Ok(match name {
                "slot" => parquet::timestamps(name, vec![Some(slot.first_instant()); n])?,
                "since_after" => time(name, |one| one.since_after)?,
                "since_by" => time(name, |one| Some(one.since_by))?,
                "status" => {
                    let of = |one: &Down<'_>| one.outage.status.map(Status::as_str);
                    parquet::texts(name, &down.iter().map(of).collect::<Vec<_>>())
                }
                "bad_looks" => number(name, |one| one.bad_looks),
                "unseen_looks" => number(name, |one| one.unseen_looks),
                "lost_seconds" => number(name, |one| one.lost_seconds),
                "is_new" => {
                    let new: Vec<bool> = down.iter().map(|one| one.outage.is_new).collect();
                    Series::new(name.into(), new).into_column()
                }
                "opened_at" => time(name, |one| one.opened_at)?,
                "unseen_since" => number(name, |one| one.unseen_since),
                _ => copied(name).ok_or_else(|| ParquetError::Content(format!("{name} has no source")))?,
            })
        };
        let columns = Table::CurrentOutages.columns().iter().map(|(name, _)| made(name));
        Self::of(DataFrame::new(n, columns.collect::<Result<_, ParquetError>>()?)?)
    }

    fn of(frame: DataFrame) -> Result<Self, ParquetError> {
        parquet::check(Table::CurrentOutages, &frame)?;
        Ok(Self(frame))
    }

    /// Reads rows back from a file.
    ///
    /// # Errors
    /// The file is not Parquet, or its columns are not the table's.
    pub fn read(body: Bytes) -> Result<Self, ParquetError> {
        Self::of(parquet::read(body)?)
    }

    /// Writes the rows as a file.
    ///
    /// # Errors
    /// Polars cannot write it.
    pub fn write(&mut self) -> Result<Bytes, ParquetError> {
        parquet::write(&mut self.0)
    }

    /// Whether both have the same rows.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.equals_missing(&other.0)
    }

    /// The outages, by the ids of their stores, in row order.
    ///
    /// # Errors
    /// The columns are not the table's, or one that is never null is.
    pub fn outages(&self) -> Result<Vec<(&str, Ongoing)>, ParquetError> {
        let ids = self.0.column("store_id")?.str()?;
        let statuses = self.0.column("status")?.str()?;
        let new = self.0.column("is_new")?.bool()?;
        let [since_after, since_by, opened_at] =
            [self.time("since_after")?, self.time("since_by")?, self.time("opened_at")?];
        let number = |name: &str| -> Result<&Int64Chunked, ParquetError> { Ok(self.0.column(name)?.i64()?) };
        let (bad, unseen) = (number("bad_looks")?, number("unseen_looks")?);
        let (lost, since) = (number("lost_seconds")?, number("unseen_since")?);
        let count = |column: &Int64Chunked, n| column.get(n).map(|value| value as u64).ok_or_else(null);
        let outage = |n: usize| {
            let outage = Ongoing {
                since_after: since_after[n],
                since_by: since_by[n].ok_or_else(null)?,
                status: statuses.get(n).map(|name| status(Some(name))).transpose()?,
                bad_looks: count(bad, n)?,
                unseen_looks: count(unseen, n)?,
                lost_seconds: count(lost, n)?,
                is_new: new.get(n).ok_or_else(null)?,
                opened_at: opened_at[n],
                unseen_since: count(since, n)?,
            };
            Ok((ids.get(n).ok_or_else(null)?, outage))
        };
        (0..self.0.height()).map(outage).collect()
    }

    /// When the hours opened of each store, by id.
    pub(crate) fn openings(&self) -> Result<Vec<(&str, Option<Instant>)>, ParquetError> {
        let ids = self.0.column("store_id")?.str()?;
        Ok(ids.iter().flatten().zip(self.time("opened_at")?).collect())
    }

    fn time(&self, name: &str) -> Result<Vec<Option<Instant>>, ParquetError> {
        times(&self.0, name)
    }
}

fn null() -> ParquetError {
    ParquetError::Content("a column of current_outages that is never null is null".to_owned())
}

fn times(frame: &DataFrame, name: &str) -> Result<Vec<Option<Instant>>, ParquetError> {
    let times = frame.column(name)?.datetime()?.physical();
    times.iter().map(|time| time.map(parquet::instant).transpose()).collect()
}

/// A text column of the rows of the last bad looks. Null where a frame does not have it.
fn copied(
    name: &str,
    down: &[Down<'_>],
    rows: &DataFrame,
    before: Option<&DataFrame>,
) -> Result<Column, ParquetError> {
    let column =
        |frame: &'_ DataFrame| frame.column(name).ok().map(|column| column.str().cloned()).transpose();
    let (rows, before) = (column(rows)?, before.map(column).transpose()?.flatten());
    let value = |one: &Down<'_>| match (one.row, one.before) {
        (Some(n), _) => rows.as_ref().and_then(|column| column.get(n)).map(str::to_owned),
        (None, Some(n)) => before.as_ref().and_then(|column| column.get(n)).map(str::to_owned),
        (None, None) => None,
    };
    Ok(Series::new(name.into(), down.iter().map(value).collect::<Vec<Option<String>>>()).into_column())
}

/// The looks of an earlier tick, as far as a search for a good one needs them.
#[derive(Debug, Clone)]
pub struct EarlierLooks {
    slot: Slot,
    frame: DataFrame,
}

impl EarlierLooks {
    /// Reads them from the tick's file of `store_availability`.
    ///
    /// # Errors
    /// The file is not one of the table.
    pub fn read(slot: Slot, body: Bytes) -> Result<Self, ParquetError> {
        let columns = ["store_id", "status", "observed_at"];
        let mut frame = parquet::read_table(Table::StoreAvailability, body, Some(&columns))?;
        frame.rechunk_mut();
        Ok(Self { slot, frame })
    }

    /// When the store was found available; `None` if it was not.
    ///
    /// # Errors
    /// The columns are not the table's.
    pub fn good(&self, id: &str) -> Result<Option<Instant>, ParquetError> {
        let (ids, statuses) = (self.frame.column("store_id")?.str()?, self.frame.column("status")?.str()?);
        // The rows are in the order of their ids.
        let (mut first, mut end) = (0, ids.len());
        while first < end {
            let middle = first.midpoint(end);
            if ids.get(middle) < Some(id) { first = middle + 1 } else { end = middle }
        }
        let same = (first..ids.len()).take_while(|n| ids.get(*n) == Some(id));
        let Some(good) = same.into_iter().find(|n| statuses.get(*n) == Some(Status::Available.as_str()))
        else {
            return Ok(None);
        };
        let at = self.frame.column("observed_at")?.datetime()?.physical().get(good);
        at.map_or(Ok(Some(self.slot.first_instant())), |at| parquet::instant(at).map(Some))
    }
}
