//! The files of the tables `outages` and `missed_looks`, and of what a day carries over, written in row groups
//! as the rows come.

use polars_core::prelude::*;
use polars_io::parquet::write::BatchedWriter;
use storewatch_domain::outages::Outage;
use storewatch_domain::{LocalDate, Slot};

use crate::compaction::ROW_GROUP;
use crate::parquet::{self, Body, ParquetError};
use crate::tables::{self, OF_STORE, Table};

use super::{File, OfStore};

/// A row of one of the files.
pub(super) trait FileRow: Sized {
    /// What the file is, for messages.
    const NAME: &'static str;

    /// The columns, in order.
    fn schema() -> &'static [tables::Column];

    /// The store's id and its labels.
    fn store(&self) -> (&str, &OfStore);

    /// The columns before the store's and those after them.
    fn columns(rows: &[Self]) -> Result<(Vec<Column>, Vec<Column>), ParquetError>;
}

/// A row of `outages`.
pub(super) struct OutageRow {
    pub(super) store_id: String,
    pub(super) labels: OfStore,
    pub(super) outage: Outage,
}

/// A row of `missed_looks`.
pub(super) struct MissedRow {
    pub(super) slot: Slot,
    pub(super) store_id: String,
    pub(super) labels: OfStore,
    pub(super) local: (LocalDate, u8),
    pub(super) scheduled_seconds: u16,
}

/// Rows on their way into a file. They come in the order of the table.
pub(super) struct Rows<R> {
    waiting: Vec<R>,
    count: u64,
    writer: BatchedWriter<Body>,
    body: Body,
}

impl<R: FileRow> Rows<R> {
    pub(super) fn new() -> Result<Self, ParquetError> {
        let body = Body::default();
        let writer = parquet::writer(body.clone()).batched(&parquet::schema_of(R::schema())?)?;
        Ok(Self { waiting: Vec::new(), count: 0, writer, body })
    }

    pub(super) fn push(&mut self, row: R) -> Result<(), ParquetError> {
        self.waiting.push(row);
        self.count += 1;
        if self.waiting.len() == ROW_GROUP { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        let rows = std::mem::take(&mut self.waiting);
        let (mut columns, rest) = R::columns(&rows)?;
        let ids: Vec<&str> = rows.iter().map(|row| row.store().0).collect();
        columns.push(Series::new("store_id".into(), ids).into_column());
        for (n, name) in OF_STORE.into_iter().enumerate() {
            let texts: Vec<Option<&str>> = rows.iter().map(|row| row.store().1[n].as_deref()).collect();
            columns.push(parquet::texts(name, &texts));
        }
        columns.extend(rest);
        let frame = DataFrame::new(rows.len(), columns)?;
        parquet::check_columns(R::NAME, R::schema(), &frame)?;
        self.writer.write_batch(&frame)?;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<File, ParquetError> {
        if !self.waiting.is_empty() {
            self.flush()?;
        }
        self.writer.finish()?;
        Ok(File { body: self.body.take(), rows: self.count })
    }
}

fn numbers(name: &str, values: Vec<Option<u64>>) -> Column {
    let values: Vec<Option<i64>> = values.into_iter().map(|value| value.map(|n| n as i64)).collect();
    Series::new(name.into(), values).into_column()
}

impl FileRow for OutageRow {
    const NAME: &'static str = "outages";

    fn schema() -> &'static [tables::Column] {
        Table::Outages.columns()
    }

    fn store(&self) -> (&str, &OfStore) {
        (&self.store_id, &self.labels)
    }

    fn columns(rows: &[Self]) -> Result<(Vec<Column>, Vec<Column>), ParquetError> {
        let of = || rows.iter().map(|row| &row.outage);
        let times = parquet::timestamps;
        let count = |name, value: fn(&Outage) -> u64| numbers(name, of().map(|o| Some(value(o))).collect());
        let ids: Vec<String> = rows.iter().map(OutageRow::id).collect();
        let reasons: Vec<Option<String>> = of().map(reasons).collect();
        let kinds: Vec<Option<&str>> = of().map(|o| o.kind().map(|kind| kind.as_str())).collect();
        let first: Vec<Option<&str>> = of().map(|o| o.reasons.first().map(|(text, _)| &**text)).collect();
        let open: Vec<bool> = of().map(|outage| outage.ended_by.is_none()).collect();
        let rest = vec![
            times("began_after", of().map(|outage| outage.began_after).collect())?,
            times("began_by", of().map(|outage| Some(outage.began_by)).collect())?,
            times("ended_after", of().map(|outage| Some(outage.ended_after)).collect())?,
            times("ended_by", of().map(|outage| outage.ended_by).collect())?,
            Series::new("is_open".into(), open).into_column(),
            count("bad_looks", |outage| outage.bad_looks),
            count("unlisted_looks", |outage| outage.unlisted_looks),
            count("unseen_looks", |outage| outage.unseen_looks),
            count("lost_seconds", |outage| outage.lost_seconds),
            numbers("seconds_at_least", of().map(|outage| outage.seconds_at_least).collect()),
            numbers("seconds_at_most", of().map(Outage::seconds_at_most).collect()),
            parquet::texts("kind", &kinds),
            parquet::texts("first_reason", &first),
            Series::new("reasons".into(), reasons).into_column(),
            count("flaps", |outage| u64::from(outage.flaps)),
        ];
        Ok((vec![Series::new("outage_id".into(), ids).into_column()], rest))
    }
}

impl OutageRow {
    fn id(&self) -> String {
        format!("{}/{}", self.store_id, self.outage.first_slot.key())
    }
}

/// The reasons as a JSON object, the most frequent first.
fn reasons(outage: &Outage) -> Option<String> {
    let one = |(reason, looks): (&str, u64)| format!("{}:{looks}", serde_json::Value::from(reason));
    let all: Vec<String> = outage.ranked_reasons().into_iter().map(one).collect();
    (!all.is_empty()).then(|| format!("{{{}}}", all.join(",")))
}

impl FileRow for MissedRow {
    const NAME: &'static str = "missed_looks";

    fn schema() -> &'static [tables::Column] {
        Table::MissedLooks.columns()
    }

    fn store(&self) -> (&str, &OfStore) {
        (&self.store_id, &self.labels)
    }

    fn columns(rows: &[Self]) -> Result<(Vec<Column>, Vec<Column>), ParquetError> {
        let slots = rows.iter().map(|row| Some(row.slot.first_instant())).collect();
        let hours: Vec<i8> = rows.iter().map(|row| row.local.1 as i8).collect();
        let seconds: Vec<i16> = rows.iter().map(|row| row.scheduled_seconds as i16).collect();
        let rest = vec![
            parquet::dates("local_date", rows.iter().map(|row| Some(row.local.0.days())).collect())?,
            Series::new("local_hour".into(), hours).into_column(),
            Series::new("scheduled_seconds".into(), seconds).into_column(),
        ];
        Ok((vec![parquet::timestamps("slot", slots)?], rest))
    }
}
