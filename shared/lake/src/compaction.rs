//! Compacts a day's files into one: the same rows, sorted so that rows that are queried together are close.
//!
//! A day of a million stores is 96 million rows, tens of gigabytes as data frames. So the files stay
//! compressed in memory, and the day is built in ranges of store ids ([`blocks`](crate::blocks)).

use std::collections::BTreeSet;

use bytes::Bytes;
use polars_core::prelude::*;
use polars_io::parquet::write::BatchedWriter;
use storewatch_domain::Slot;

use crate::blocks::Blocks;
pub use crate::blocks::{Rows, Source};
use crate::hash;
use crate::parquet::{self, Body, ParquetError};
use crate::tables::Table;

/// Rows sorted at once. This bounds the memory: about 400 bytes per row, plus the files.
pub(crate) const RANGE_ROWS: usize = 1_000_000;

/// Rows in a row group of a compacted file: small enough for readers to skip most groups by their
/// statistics, and large enough for dictionaries to pay off.
pub(crate) const ROW_GROUP: usize = 65_536;

/// Identifies a set of rows in any order: equal digests mean the same rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowsDigest {
    pub rows: u64,
    pub slots: BTreeSet<Slot>,
    /// The sum of a hash of each row's slot and key columns. It does not depend on the order, and a
    /// duplicated row changes it.
    pub checksum: u64,
}

/// The sort order of the table's compacted rows, and the columns that identify a row.
///
/// A store's rows are adjacent, so that a store's day is in one place and nearly every column repeats. Ids
/// say nothing about cities: sorted by id, every row group would have stores of every city; sorted by city,
/// most groups would have ids from everywhere. So rows are sorted by ranges of ids first, each about as
/// many row groups long as there are ranges, and by city within a range. A query for a store skips all
/// ranges but one; a query for a city skips most of each. Statuses change through the day, so no order
/// keeps them together; as long runs they cost almost nothing to read.
fn order(table: Table) -> (&'static [&'static str], &'static [&'static str]) {
    match table {
        Table::StoreAvailability => (&["city", "store_id", "slot"], &["store_id", "status"]),
        Table::AvailabilityByCity => (&["slot", "city"], &["city"]),
        Table::CountryTicks => (&["slot"], &["outcome"]),
        // No tick writes these.
        Table::StoreSchedules => (&["store_id", "valid_from"], &["store_id"]),
        Table::Outages => (&["store_id", "began_by"], &["outage_id"]),
        Table::CurrentOutages => (&["slot", "store_id"], &["store_id", "status"]),
        Table::MissedLooks => (&["store_id", "slot"], &["store_id"]),
        // Their days are not compacted.
        Table::Etl(_) => (&["slot"], &["slot"]),
    }
}

/// Compacts the rows of all sources into one file. Returns its digest too.
///
/// # Errors
/// A source is not a file of the table, or has rows of a slot that it should not have.
pub fn compact(table: Table, sources: &[Source]) -> Result<(Bytes, RowsDigest), ParquetError> {
    compact_by(table, sources, RANGE_ROWS)
}

fn compact_by(table: Table, sources: &[Source], range: usize) -> Result<(Bytes, RowsDigest), ParquetError> {
    let (mut blocks, wanted) = survey(table, sources)?;
    let cuts = blocks.cuts(ranges(wanted.rows, range));
    let mut day = DayWriter::new(table)?;
    blocks.each_range(&cuts, None, |rows, _| day.range(rows))?;
    Ok((day.finish()?, wanted))
}

/// The sources' row groups, and the digest of their rows.
pub(crate) fn survey(table: Table, sources: &[Source]) -> Result<(Blocks<'_>, RowsDigest), ParquetError> {
    let (_, keys) = order(table);
    let columns = key_columns(table);
    let mut content = RowsDigest::default();
    let blocks = Blocks::survey(table, sources, &columns, |block| content.add(block, keys))?;
    Ok((blocks, content))
}

/// How many ranges so many rows are cut into, each of at most about `most` rows.
pub(crate) fn ranges(rows: u64, most: usize) -> usize {
    let groups = rows.div_ceil(ROW_GROUP as u64);
    rows.div_ceil(most as u64).max(groups.isqrt()).max(1) as usize
}

/// Writes a table's day, range by range.
pub(crate) struct DayWriter {
    table: Table,
    writer: BatchedWriter<Body>,
    body: Body,
}

impl DayWriter {
    pub(crate) fn new(table: Table) -> Result<Self, ParquetError> {
        let body = Body::default();
        let writer = parquet::writer(body.clone()).batched(&parquet::schema(table)?)?;
        Ok(Self { table, writer, body })
    }

    /// Sorts the rows of the next range and writes them.
    pub(crate) fn range(&mut self, mut rows: DataFrame) -> Result<(), ParquetError> {
        let (sorted_by, _) = order(self.table);
        let sorting = SortMultipleOptions::default().with_nulls_last(true).with_maintain_order(true);
        rows.sort_in_place(sorted_by, sorting)?;
        for start in (0..rows.height()).step_by(ROW_GROUP) {
            self.writer.write_batch(&rows.slice(start as i64, ROW_GROUP))?;
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Bytes, ParquetError> {
        self.writer.finish()?;
        Ok(self.body.take())
    }
}

/// The digest of a compacted file, computed from its bytes.
///
/// # Errors
/// It is not a file of the table.
pub fn digest(table: Table, body: Bytes) -> Result<RowsDigest, ParquetError> {
    Ok(survey(table, &[Source::whole(body)])?.1)
}

/// The columns that a digest is made of.
fn key_columns(table: Table) -> Vec<&'static str> {
    let mut columns = [&["slot"], order(table).1].concat();
    columns.sort_unstable();
    columns.dedup();
    columns
}

impl RowsDigest {
    /// Adds the digest of some rows of a table.
    pub(crate) fn add_rows(&mut self, table: Table, rows: &DataFrame) -> Result<(), ParquetError> {
        self.add(rows, order(table).1)
    }

    fn add(&mut self, block: &DataFrame, keys: &[&str]) -> Result<(), ParquetError> {
        let slots = block.column("slot")?.datetime()?.physical();
        let texts: Vec<&StringChunked> =
            keys.iter().map(|name| block.column(name)?.str()).collect::<PolarsResult<_>>()?;
        let mut texts: Vec<_> = texts.iter().map(|texts| texts.iter()).collect();
        let mut last = None;
        for slot in slots.iter() {
            let micros = slot.ok_or_else(|| ParquetError::Content("a slot is null".to_owned()))?;
            if last != slot {
                self.slots.insert(Slot::of(parquet::instant(micros)?));
                last = slot;
            }
            let mut hash = hash::bytes(hash::START, &micros.to_le_bytes());
            for text in &mut texts {
                hash = hash::text(hash, text.next().flatten());
            }
            self.checksum = self.checksum.wrapping_add(hash::mixed(hash));
        }
        self.rows += block.height() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::availability::AvailabilityRows;
    use storewatch_domain::{IdType, Labels, MissingHours, Observation, Rules, Store, Zones, judge_chunk};

    fn slot(n: i64) -> Slot {
        Slot::containing(1_795_392_000 + n * Slot::SECONDS)
    }

    /// The file of a slot. Its stores are in three cities or in none.
    fn file(n: i64, ids: impl Iterator<Item = u32>) -> Bytes {
        let city = |id: u32| ["Lugo", "Ávila", "León"].get(id as usize % 4).map(|city| (*city).to_owned());
        let labels = || Labels::from_values(Labels::NAMES.map(|name| Some(name.to_owned())));
        let stores: Vec<Store> = ids
            .map(|id| Store { id: id.to_string(), city: city(id), labels: labels(), ..Store::default() })
            .collect();
        let rules = Rules {
            zones: Zones::embedded(),
            default_timezone: Zones::embedded().get("UTC").unwrap(),
            missing_hours: MissingHours::AlwaysOpen,
            id_type: IdType::Long,
        };
        let view = Observation { at: slot(n).first_instant(), stores: Vec::new() };
        let judged = judge_chunk(slot(n), &rules, &stores, Ok(&view));
        let rows = AvailabilityRows::new(slot(n), slot(n).first_instant(), &judged).unwrap();
        AvailabilityRows::merge(vec![rows]).unwrap().write().unwrap()
    }

    fn of(n: i64, body: Bytes) -> Source {
        Source { body, rows: Rows::Of(slot(n)) }
    }

    /// The city, id and slot of each row.
    fn places(body: &Bytes) -> Vec<(Option<String>, String, i64)> {
        let frame = parquet::read(body.clone()).unwrap();
        parquet::check(Table::StoreAvailability, &frame).unwrap();
        let (cities, ids) = (frame.column("city").unwrap().str().unwrap(), frame.column("store_id").unwrap());
        let (ids, slots) = (ids.str().unwrap(), frame.column("slot").unwrap().datetime().unwrap().physical());
        let text = |texts: &StringChunked, n| texts.get(n).map(str::to_owned);
        (0..frame.height()).map(|n| (text(cities, n), text(ids, n).unwrap(), slots.get(n).unwrap())).collect()
    }

    #[test]
    fn rows_are_the_same_for_any_ranges_and_sorted_within_each() {
        let table = Table::StoreAvailability;
        let sources: Vec<Source> = (0..5).map(|n| of(n, file(n, 100..900))).collect();
        let (whole, wanted) = compact_by(table, &sources, 1_000_000).unwrap();
        assert_eq!((wanted.rows, wanted.slots.len()), (4000, 5));
        let sorted = |places: &[(Option<String>, String, i64)]| {
            places.is_sorted_by_key(|(city, id, slot)| (city.is_none(), city.clone(), id.clone(), *slot))
        };
        assert!(sorted(&places(&whole)));
        for range in [1, 7, 500, 1500] {
            let (body, content) = compact_by(table, &sources, range).unwrap();
            assert_eq!(content, wanted);
            assert_eq!(digest(table, body.clone()).unwrap(), wanted);
            let (mut found, mut all) = (places(&body), places(&whole));
            if range == 1500 {
                let cuts = found.windows(2).filter(|pair| !sorted(pair)).count();
                assert_eq!(cuts, 2, "three ranges of ids");
            }
            found.sort();
            all.sort();
            assert_eq!(found, all);
        }
    }

    #[test]
    fn a_day_without_rows_is_a_file_without_rows() {
        let (body, wanted) = compact(Table::StoreAvailability, &[of(0, file(0, 0..0))]).unwrap();
        assert_eq!(wanted, RowsDigest::default());
        assert_eq!(digest(Table::StoreAvailability, body).unwrap(), wanted);
    }

    #[test]
    fn excluded_slots_are_left_out_of_a_source() {
        let table = Table::StoreAvailability;
        let (day, _) = compact(table, &[of(0, file(0, 0..9)), of(1, file(1, 0..9))]).unwrap();
        let base = Source { body: day, rows: Rows::Without([slot(1)].into()) };
        let (body, found) = compact(table, &[base, of(1, file(1, 3..5))]).unwrap();
        assert_eq!(found.rows, 9 + 2);
        let (_, wanted) = compact(table, &[of(0, file(0, 0..9)), of(1, file(1, 3..5))]).unwrap();
        assert_eq!(digest(table, body).unwrap(), wanted);
    }

    #[test]
    fn a_file_with_rows_of_another_slot_is_refused() {
        let error = compact(Table::StoreAvailability, &[of(1, file(0, 0..9))]).unwrap_err();
        assert!(error.to_string().contains(&format!("is the file of {}", slot(1))), "{error}");
    }

    #[test]
    fn columns_added_after_a_file_was_written_are_null() {
        let frame = parquet::read(file(0, 0..9)).unwrap();
        let old = parquet::write(&mut frame.drop_many(Labels::NAMES)).unwrap();
        let (body, _) = compact(Table::StoreAvailability, &[of(0, old), of(1, file(1, 0..9))]).unwrap();
        let found = parquet::read(body).unwrap();
        let nulls = Labels::NAMES.map(|name| found.column(name).unwrap().null_count());
        assert_eq!(nulls, [9; 4], "the later rows have labels");
    }

    #[test]
    fn the_checksum_detects_missing_doubled_and_changed_rows_but_not_their_order() {
        let table = Table::StoreAvailability;
        let sum = |ids: Vec<u32>| digest(table, file(0, ids.into_iter())).unwrap().checksum;
        let whole = sum(vec![1, 2, 3]);
        assert_eq!(sum(vec![3, 1, 2]), whole);
        for other in [vec![1, 2], vec![1, 2, 3, 3], vec![1, 2, 4], vec![1, 23], vec![12, 3]] {
            assert_ne!(sum(other.clone()), whole, "{other:?}");
        }
        assert_ne!(digest(table, file(1, 1..4)).unwrap().checksum, whole);
    }
}
