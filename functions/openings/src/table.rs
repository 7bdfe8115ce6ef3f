//! The table `openings`. Its template, infra/etls/openings/table.yaml, has the same columns.

use bytes::Bytes;
use polars_core::prelude::*;
use storewatch_domain::{Instant, Slot};
use storewatch_lake::{EtlTable, ParquetError, Table, parquet};

/// One row per store that opens in the hour after the slot, sorted by store.
pub const OPENINGS: Table = Table::Etl(&EtlTable {
    name: "openings",
    columns: &[
        ("slot", "timestamp"),
        ("observed_at", "timestamp"),
        ("store_id", "string"),
        ("name", "string"),
        ("city", "string"),
        ("timezone", "string"),
        ("opens_at", "timestamp"),
        ("listed", "boolean"),
    ],
});

/// A store that opens soon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening<'a> {
    pub observed_at: Instant,
    pub store_id: &'a str,
    pub name: Option<&'a str>,
    pub city: Option<&'a str>,
    /// As PostgreSQL has it, or else the country's default.
    pub timezone: &'a str,
    pub opens_at: Instant,
    /// Whether the live view has a document of the store.
    pub listed: bool,
}

/// Writes the openings of a slot as a file. Sorts them by the stores' ids.
///
/// # Errors
/// Polars cannot write it.
pub fn write(slot: Slot, rows: &mut [Opening<'_>]) -> Result<Bytes, ParquetError> {
    rows.sort_by_key(|row| row.store_id);
    let times = |name: &str, of: fn(&Opening<'_>) -> Instant| {
        parquet::timestamps(name, rows.iter().map(|row| Some(of(row))).collect())
    };
    let ids: Vec<Option<&str>> = rows.iter().map(|row| Some(row.store_id)).collect();
    let names: Vec<Option<&str>> = rows.iter().map(|row| row.name).collect();
    let cities: Vec<Option<&str>> = rows.iter().map(|row| row.city).collect();
    let zones: Vec<Option<&str>> = rows.iter().map(|row| Some(row.timezone)).collect();
    let listed: Vec<bool> = rows.iter().map(|row| row.listed).collect();
    let columns = vec![
        parquet::timestamps("slot", vec![Some(slot.first_instant()); rows.len()])?,
        times("observed_at", |row| row.observed_at)?,
        parquet::texts("store_id", &ids),
        parquet::texts("name", &names),
        parquet::texts("city", &cities),
        parquet::texts("timezone", &zones),
        times("opens_at", |row| row.opens_at)?,
        Series::new("listed".into(), listed).into_column(),
    ];
    let mut frame = DataFrame::new(rows.len(), columns)?;
    parquet::check(OPENINGS, &frame)?;
    parquet::write(&mut frame)
}
