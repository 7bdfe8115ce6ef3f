//! The files of `store_availability` and `availability_by_city`: makes rows of judged stores, merges chunks
//! into one file, and sums it up.

use std::collections::BTreeMap;

use bytes::Bytes;
use polars_core::prelude::*;
use storewatch_domain::current::Row;
use storewatch_domain::{Instant, InvalidStatus, JudgedStore, Labels, LocalDate, Slot, Status, Summary};

use crate::current::CurrentRows;
use crate::parquet::{self, ParquetError};
use crate::tables::Table;

/// The column beside the table's: when the hours opened in which a store was found down. Staged chunks have
/// it, because `merge` has no hours; the table's files do not.
const OPENED_AT: &str = "opened_at";

/// Rows of `store_availability`.
#[derive(Debug, Clone)]
pub struct AvailabilityRows(pub(crate) DataFrame);

impl AvailabilityRows {
    /// Makes rows of a frame with the table's columns, and perhaps the one beside them. Columns that were
    /// added to the table after the frame's file was written are null.
    pub(crate) fn of(frame: DataFrame) -> Result<Self, ParquetError> {
        let height = frame.height();
        let table = Table::StoreAvailability.columns().iter().copied();
        let wanted: Vec<(&str, &str)> = table.chain([(OPENED_AT, "timestamp")]).collect();
        let known = frame.columns().iter().filter(|own| wanted.iter().any(|(name, _)| own.name() == name));
        if known.count() < frame.width() {
            parquet::check(Table::StoreAvailability, &frame)?;
        }
        let column = |(name, glue): (&str, &str)| match frame.column(name) {
            Ok(column) => Ok(column.clone()),
            // What an earlier release did not write.
            Err(_) if name == OPENED_AT || Labels::NAMES.contains(&name) => {
                parquet::nulls(name, glue, height)
            }
            Err(missing) => Err(missing.into()),
        };
        let columns: Vec<Column> = wanted.into_iter().map(column).collect::<Result<_, ParquetError>>()?;
        let frame = DataFrame::new(height, columns)?;
        parquet::check(Table::StoreAvailability, &frame.drop(OPENED_AT)?)?;
        Ok(Self(frame))
    }

    /// The rows with the openings that the slot's current outages tell.
    ///
    /// # Errors
    /// The columns are not the table's.
    pub fn with_openings(mut self, current: &CurrentRows) -> Result<Self, ParquetError> {
        let mut openings = current.openings()?.into_iter().peekable();
        let ids = self.0.column("store_id")?.str()?;
        // Both are in the order of their ids.
        let mut opening = |id: Option<&str>| {
            while openings.next_if(|(own, _)| Some(*own) < id).is_some() {}
            openings.peek().filter(|(own, _)| Some(*own) == id).and_then(|(_, opened_at)| *opened_at)
        };
        let openings = parquet::timestamps(OPENED_AT, ids.iter().map(&mut opening).collect())?;
        self.0.with_column(openings)?;
        Ok(self)
    }

    /// Makes rows of judged stores. `schedule_as_of` is when their schedules were read.
    ///
    /// # Errors
    /// Polars rejects the columns.
    pub fn new(
        slot: Slot,
        schedule_as_of: Instant,
        stores: &[JudgedStore<'_>],
    ) -> Result<Self, ParquetError> {
        let n = stores.len();
        macro_rules! column {
            ($name:literal, $value:expr) => {
                Series::new($name.into(), stores.iter().map($value).collect::<Vec<_>>()).into_column()
            };
        }
        let times = parquet::timestamps;
        let mut columns = vec![
            times("slot", vec![Some(slot.first_instant()); n])?,
            times("observed_at", stores.iter().map(|store| store.observed_at).collect())?,
            column!("store_id", |store: &JudgedStore<'_>| store.id.as_ref()),
            column!("name", |store: &JudgedStore<'_>| store.name),
            column!("city", |store: &JudgedStore<'_>| store.city),
            column!("timezone", |store: &JudgedStore<'_>| store.timezone),
            parquet::dates(
                "local_date",
                stores.iter().map(|store| store.local.map(|(date, _)| date.days())).collect(),
            )?,
            column!("local_hour", |store: &JudgedStore<'_>| store.local.map(|(_, hour)| hour as i8)),
            column!("scheduled", |store: &JudgedStore<'_>| store.judged.scheduled),
            column!("scheduled_seconds", |store: &JudgedStore<'_>| store
                .judged
                .scheduled_seconds
                .map(|seconds| seconds as i16)),
            column!("listed", |store: &JudgedStore<'_>| store.judged.listed),
            column!("online", |store: &JudgedStore<'_>| store.judged.online),
            column!("status", |store: &JudgedStore<'_>| store.judged.status.as_str()),
            column!("reason", |store: &JudgedStore<'_>| store.judged.reason),
            times("schedule_as_of", vec![Some(schedule_as_of); n])?,
        ];
        columns.extend(parquet::labels(stores.iter().map(|store| store.labels)));
        columns.push(times(OPENED_AT, stores.iter().map(|store| store.opened_at).collect())?);
        Self::of(DataFrame::new(n, columns)?)
    }

    /// Reads rows back from a table's file or a staged one. Columns that it is older than are null: a chunk may
    /// have been staged just before a deployment.
    ///
    /// # Errors
    /// The file is not Parquet, or its columns are not the table's.
    pub fn read(body: Bytes) -> Result<Self, ParquetError> {
        Self::of(parquet::read(body)?)
    }

    /// Writes the rows as a file of the table.
    ///
    /// # Errors
    /// Polars cannot write it.
    pub fn write(&self) -> Result<Bytes, ParquetError> {
        parquet::write(&mut self.0.drop(OPENED_AT)?)
    }

    /// The rows with the table's columns only.
    pub(crate) fn into_table(mut self) -> Result<DataFrame, ParquetError> {
        self.0.drop_in_place(OPENED_AT)?;
        Ok(self.0)
    }

    /// The rows of each slot.
    ///
    /// # Errors
    /// A slot is null.
    pub fn by_slot(self) -> Result<Vec<(Slot, Self)>, ParquetError> {
        let mut places = BTreeMap::<Option<i64>, Vec<IdxSize>>::new();
        for (n, slot) in self.0.column("slot")?.datetime()?.physical().iter().enumerate() {
            places.entry(slot).or_default().push(n as IdxSize);
        }
        let rows_of = |(slot, places): (Option<i64>, Vec<IdxSize>)| {
            let slot = slot.ok_or_else(|| ParquetError::Content("a slot is null".to_owned()))?;
            let rows = self.0.take(&IdxCa::from_vec("rows".into(), places))?;
            Ok((Slot::of(parquet::instant(slot)?), Self(rows)))
        };
        places.into_iter().map(rows_of).collect()
    }

    /// Writes the rows as a staged chunk.
    ///
    /// # Errors
    /// Polars cannot write it.
    pub fn stage(&mut self) -> Result<Bytes, ParquetError> {
        parquet::write_staged(&mut self.0)
    }

    /// What `current_outages` needs of each row, in row order.
    ///
    /// # Errors
    /// An id is null, or a status is unknown.
    pub fn looks(&self) -> Result<Vec<Row<'_>>, ParquetError> {
        let (ids, statuses) = (self.0.column("store_id")?.str()?, self.0.column("status")?.str()?);
        let (at, opened_at) = (self.0.column("observed_at")?, self.0.column(OPENED_AT)?);
        let (at, opened_at) = (at.datetime()?.physical(), opened_at.datetime()?.physical());
        let seconds = self.0.column("scheduled_seconds")?.i16()?;
        let instant = |micros: Option<i64>| micros.map(parquet::instant).transpose();
        let rows = ids.iter().zip(statuses.iter()).zip(at.iter().zip(opened_at.iter())).zip(seconds.iter());
        let row = |(((id, name), (at, opened_at)), seconds): (_, Option<i16>)| {
            Ok(Row {
                id: Option::ok_or_else(id, || ParquetError::Content("store_id is null".to_owned()))?,
                status: status(name)?,
                at: instant(at)?,
                scheduled_seconds: seconds.unwrap_or(0) as u16,
                opened_at: instant(opened_at)?,
            })
        };
        rows.map(row).collect()
    }

    /// The ids, in row order.
    ///
    /// # Errors
    /// One is null.
    pub fn store_ids(&self) -> Result<Vec<String>, ParquetError> {
        let missing = || ParquetError::Content("store_id is null".to_owned());
        let ids = self.0.column("store_id")?.str()?;
        ids.iter().map(|id| id.map(str::to_owned).ok_or_else(missing)).collect()
    }

    /// The statuses, in row order.
    ///
    /// # Errors
    /// One is null, or is not a status.
    pub fn statuses(&self) -> Result<Vec<Status>, ParquetError> {
        self.0.column("status")?.str()?.iter().map(status).collect()
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.0.height()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Merges the parts, sorted by store.
    ///
    /// # Errors
    /// Polars cannot concatenate them.
    pub fn merge(parts: Vec<Self>) -> Result<Self, ParquetError> {
        let mut parts = parts.into_iter().map(|part| part.0);
        let mut all = match parts.next() {
            Some(first) => first,
            None => return Self::new(Slot::of(Instant::FIRST), Instant::FIRST, &[]),
        };
        for part in parts {
            all.vstack_mut_owned(part)?;
        }
        all.rechunk_mut();
        let sorted = all.sort(["store_id"], SortMultipleOptions::default().with_maintain_order(true))?;
        Ok(Self(sorted))
    }

    /// Counts the observed stores that are in the live view.
    ///
    /// # Errors
    /// The columns are not the table's.
    pub fn meeting(&self) -> Result<Meeting, ParquetError> {
        let (ids, statuses) = (self.0.column("store_id")?.str()?, self.0.column("status")?.str()?);
        let listed = self.0.column("listed")?.bool()?;
        let mut meeting = Meeting::default();
        for n in 0..self.len() {
            let id = || ids.get(n).map(str::to_owned);
            if statuses.get(n) == Some(Status::Orphan.as_str()) {
                meeting.orphans += 1;
                meeting.first_orphan = meeting.first_orphan.or_else(id);
            } else if let Some(listed) = listed.get(n) {
                meeting.observed += 1;
                meeting.listed += u64::from(listed);
                meeting.first_observed = meeting.first_observed.or_else(id);
            }
        }
        Ok(meeting)
    }

    /// Sums up the rows.
    ///
    /// # Errors
    /// A status is unknown.
    pub fn summary(&self) -> Result<Summary<'_>, ParquetError> {
        let (cities, statuses) = (self.0.column("city")?.str()?, self.0.column("status")?.str()?);
        let (dates, hours) = (self.0.column("local_date")?.date()?, self.0.column("local_hour")?.i8()?);
        let seconds = self.0.column("scheduled_seconds")?.i16()?;
        let mut summary = Summary::default();
        for n in 0..self.len() {
            let status = status(statuses.get(n))?;
            let local =
                dates.physical().get(n).map(LocalDate::from_days).zip(hours.get(n).map(|hour| hour as u8));
            summary.add(cities.get(n), local, status, seconds.get(n).map(|seconds| seconds as u16));
        }
        Ok(summary)
    }
}

/// How far the ids of PostgreSQL and of the live view matched in one slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meeting {
    /// Stores in PostgreSQL that were observed.
    pub observed: u64,
    /// How many of them are in the live view.
    pub listed: u64,
    /// Ids in the live view that belong to no store.
    pub orphans: u64,
    pub first_observed: Option<String>,
    pub first_orphan: Option<String>,
}

impl Meeting {
    /// The share of observed stores that are listed, 0 to 1; `None` if none was observed.
    pub fn listed_share(&self) -> Option<f64> {
        (self.observed > 0).then(|| self.listed as f64 / self.observed as f64)
    }

    /// Whether both sides have ids but share none. False if the live view is empty.
    pub fn is_empty(&self) -> bool {
        self.observed > 0 && self.orphans > 0 && self.listed == 0
    }
}

/// Parses a row's status.
pub(crate) fn status(name: Option<&str>) -> Result<Status, ParquetError> {
    let name = name.ok_or_else(|| ParquetError::Content("status is null".to_owned()))?;
    name.parse().map_err(|error: InvalidStatus| ParquetError::Content(error.to_string()))
}

/// Writes the file of `availability_by_city` for a slot.
///
/// # Errors
/// Polars cannot make or write the file.
pub fn by_city(slot: Slot, summary: &Summary<'_>) -> Result<Bytes, ParquetError> {
    let cities: Vec<_> = summary.cities.iter().collect();
    let n = cities.len();
    let numbers = |name: &str, value: &dyn Fn(&storewatch_domain::CitySummary) -> u64| {
        let values: Vec<i64> = cities.iter().map(|(_, city)| value(city) as i64).collect();
        Series::new(name.into(), values).into_column()
    };
    let mut columns = vec![
        parquet::timestamps("slot", vec![Some(slot.first_instant()); n])?,
        parquet::texts("city", &cities.iter().map(|(name, _)| **name).collect::<Vec<_>>()),
        parquet::dates(
            "local_date",
            cities.iter().map(|(_, city)| city.local_date.map(LocalDate::days)).collect(),
        )?,
        Series::new(
            "local_hour".into(),
            cities.iter().map(|(_, city)| city.local_hour.map(|hour| hour as i8)).collect::<Vec<_>>(),
        )
        .into_column(),
        numbers("stores", &|city| city.counts.stores()),
    ];
    columns.extend(Status::ALL.map(|status| numbers(status.as_str(), &|city| city.counts.get(status))));
    columns.push(numbers("scheduled_seconds", &|city| city.scheduled_seconds));
    columns.push(numbers("available_seconds", &|city| city.available_seconds));
    columns.push(numbers("unseen", &|city| city.unseen));
    let mut frame = DataFrame::new(n, columns)?;
    parquet::check(Table::AvailabilityByCity, &frame)?;
    parquet::write(&mut frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use storewatch_domain::{
        IdType, Labels, LiveStore, MissingHours, Observation, Rules, Store, StoreKey, Zones, judge_chunk,
    };

    /// The rows of a store with labels and of an orphan.
    fn rows() -> AvailabilityRows {
        let slot: Slot = "2026-11-23T09:00:00Z".parse().unwrap();
        let zones = Zones::embedded();
        let rules = Rules {
            default_timezone: zones.get("UTC").unwrap(),
            zones,
            missing_hours: MissingHours::Closed,
            id_type: IdType::Long,
        };
        let text = |text: &str| Some(text.to_owned());
        let labels = Labels { region: text("ES-MD"), chain: text("Sol"), segment: None, owner: text("Ana") };
        let stores = [Store { id: "7".to_owned(), labels, ..Store::default() }];
        let orphan = (StoreKey::Long(8), LiveStore::default());
        let seen = Observation { at: slot.first_instant(), stores: vec![orphan] };
        let judged = judge_chunk(slot, &rules, &stores, Ok(&seen));
        AvailabilityRows::new(slot, slot.first_instant(), &judged).unwrap()
    }

    fn labels(rows: &AvailabilityRows) -> Vec<[Option<&str>; 4]> {
        let column = |name: &str| rows.0.column(name).unwrap().str().unwrap();
        (0..rows.len()).map(|n| Labels::NAMES.map(|name| column(name).get(n))).collect()
    }

    #[test]
    fn a_row_says_whose_store_it_is_and_an_orphan_is_nobody_s() {
        let rows = AvailabilityRows::read(rows().write().unwrap()).unwrap();
        assert_eq!(labels(&rows), [[Some("ES-MD"), Some("Sol"), None, Some("Ana")], [None; 4]]);
    }

    #[test]
    fn rows_that_an_earlier_release_staged_are_read_without_the_newer_columns() {
        let mut old = rows();
        old.0 = old.0.drop_many(Labels::NAMES);
        let read = AvailabilityRows::read(old.write().unwrap()).unwrap();
        assert_eq!((labels(&read), read.store_ids().unwrap().len()), (vec![[None; 4]; 2], 2));
        old.0 = old.0.drop("status").unwrap();
        assert!(
            AvailabilityRows::read(old.write().unwrap()).is_err(),
            "only the last columns may be missing"
        );
    }
}
