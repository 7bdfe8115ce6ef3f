//! Compacts a day's files into one: the same rows, sorted so that rows that are queried together are close.
//!
//! A day of 100,000 stores is 9.6 million rows, a few gigabytes as data frames. So the files stay
//! compressed in memory, and the day is built in ranges of store ids: for each range, every file is read
//! again, and its rows in the range are sorted and written.

use std::collections::BTreeSet;

use bytes::Bytes;
use polars::prelude::*;
use storewatch_domain::Slot;

use crate::availability::AvailabilityRows;
use crate::hash;
use crate::parquet::{self, ParquetError};
use crate::tables::Table;

/// Rows sorted at once. This bounds the memory: about 400 bytes per row, plus the files.
pub const RANGE_ROWS: usize = 1_000_000;

/// Rows in a row group of a compacted file: small enough for readers to skip most groups by their
/// statistics, and large enough for dictionaries to pay off.
pub(crate) const ROW_GROUP: usize = 65_536;

/// Rows read from a file at once. A multiple of the row group, so that no group is read twice.
pub(crate) const BLOCK: usize = 4 * ROW_GROUP;

/// Blocks held at once before their selected rows are copied.
const BLOCKS_AT_ONCE: usize = 8;

/// To find even ranges, one row in this many is sampled. It does not divide the 96 rows that a store has in
/// a day, so a file that is sorted already is sampled evenly.
pub(crate) const SAMPLED: usize = 61;

/// A file, and which of its rows to take.
#[derive(Debug, Clone)]
pub struct Source {
    pub body: Bytes,
    pub rows: Rows,
}

/// Selects rows of a file by slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// All rows, which must be of this slot.
    Of(Slot),
    /// All rows except those of these slots.
    Without(BTreeSet<Slot>),
    /// Only the rows of these slots.
    Only(BTreeSet<Slot>),
}

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
    let (wanted, cuts) = survey(table, sources, range)?;
    let schema = parquet::schema(table)?;
    let mut body = Vec::new();
    let mut writer = parquet::writer(&mut body).batched(&schema)?;
    let (sorted_by, _) = order(table);
    for n in 0..=cuts.len() {
        let (from, to) = (n.checked_sub(1).map(|n| &cuts[n]), cuts.get(n));
        let mut rows = DataFrame::empty_with_schema(&schema);
        for source in sources {
            each_block(table, source, None, |block| {
                let block =
                    if cuts.is_empty() { block } else { block.filter(&between(&block, from, to)?)? };
                append(&mut rows, block)
            })?;
        }
        rows.rechunk_mut();
        let sorting = SortMultipleOptions::default().with_nulls_last(true).with_maintain_order(true);
        rows.sort_in_place(sorted_by, sorting)?;
        for start in (0..rows.height()).step_by(ROW_GROUP) {
            writer.write_batch(&rows.slice(start as i64, ROW_GROUP))?;
        }
    }
    writer.finish()?;
    drop(writer);
    Ok((body.into(), wanted))
}

/// The digest of a compacted file, computed from its bytes.
///
/// # Errors
/// It is not a file of the table.
pub fn digest(table: Table, body: Bytes) -> Result<RowsDigest, ParquetError> {
    let (_, keys) = order(table);
    let mut content = RowsDigest::default();
    let source = Source { body, rows: Rows::Without(BTreeSet::new()) };
    each_block(table, &source, Some(&[&["slot"], keys].concat()), |block| content.add(&block, keys))?;
    Ok(content)
}

/// The digest of all sources' rows, and the ids at which to cut the ranges.
fn survey(table: Table, sources: &[Source], range: usize) -> Result<(RowsDigest, Vec<String>), ParquetError> {
    let (sorted_by, keys) = order(table);
    let mut columns = [sorted_by, keys].concat();
    columns.sort_unstable();
    columns.dedup();
    let (mut content, mut sample) = (RowsDigest::default(), Vec::new());
    for source in sources {
        each_block(table, source, Some(&columns), |block| {
            content.add(&block, keys)?;
            if table == Table::StoreAvailability {
                let ids = block.column("store_id")?.str()?;
                let rows = (0..block.height()).step_by(SAMPLED);
                sample.extend(rows.filter_map(|n| Some(ids.get(n)?.to_owned())));
            }
            Ok(())
        })?;
    }
    sample.sort_unstable();
    let groups = content.rows.div_ceil(ROW_GROUP as u64);
    let ranges = content.rows.div_ceil(range as u64).max(groups.isqrt()).max(1) as usize;
    let mut cuts: Vec<String> =
        (1..ranges).filter_map(|n| sample.get(n * sample.len() / ranges).cloned()).collect();
    cuts.dedup();
    Ok((content, cuts))
}

/// Reads a source in blocks of rows, and passes on the selected rows of each.
fn each_block(
    table: Table,
    source: &Source,
    columns: Option<&[&str]>,
    mut take: impl FnMut(DataFrame) -> Result<(), ParquetError>,
) -> Result<(), ParquetError> {
    let height = parquet::height(&source.body)?;
    for start in (0..height).step_by(BLOCK) {
        let block = parquet::read_part(table, source.body.clone(), columns, (start, BLOCK))?;
        let slots = block.column("slot")?.datetime()?.physical();
        match &source.rows {
            Rows::Of(slot) => {
                if let Some(other) = slots.iter().find(|own| *own != Some(slot.start_micros())) {
                    let other = other.map(parquet::instant).transpose()?.map(|at| Slot::of(at).to_string());
                    let what = format!("it has rows of the slot {other:?}, but is the file of {slot}");
                    return Err(ParquetError::Content(what));
                }
                take(block)?;
            }
            Rows::Without(left_out) if left_out.is_empty() => take(block)?,
            Rows::Without(left_out) => take(of_slots(&block, left_out, false)?)?,
            Rows::Only(wanted) => take(of_slots(&block, wanted, true)?)?,
        }
    }
    Ok(())
}

/// Appends the selected rows of a block. Adjacent rows are a view of the block and keep all of it in memory
/// until they are copied.
fn append(rows: &mut DataFrame, picked: DataFrame) -> Result<(), ParquetError> {
    rows.vstack_mut_owned(picked)?;
    if rows.first_col_n_chunks() > BLOCKS_AT_ONCE {
        rows.rechunk_mut();
    }
    Ok(())
}

/// The rows that are in one of the slots, or those that are in none.
fn of_slots(block: &DataFrame, slots: &BTreeSet<Slot>, are: bool) -> Result<DataFrame, ParquetError> {
    let micros: BTreeSet<i64> = slots.iter().map(|slot| slot.start_micros()).collect();
    let own = block.column("slot")?.datetime()?.physical();
    let kept: BooleanChunked =
        own.iter().map(|slot| slot.is_some_and(|slot| micros.contains(&slot)) == are).collect();
    Ok(block.filter(&kept)?)
}

/// The rows of some slots of a day of `store_availability`, by slot.
///
/// # Errors
/// It is not a file of the table.
pub fn rows_of(body: Bytes, slots: BTreeSet<Slot>) -> Result<Vec<(Slot, AvailabilityRows)>, ParquetError> {
    let table = Table::StoreAvailability;
    let mut rows = DataFrame::empty_with_schema(&parquet::schema(table)?);
    let source = Source { body, rows: Rows::Only(slots.clone()) };
    each_block(table, &source, None, |block| append(&mut rows, block))?;
    rows.rechunk_mut();
    let one = |slot: Slot| Ok((slot, AvailabilityRows::of(of_slots(&rows, &BTreeSet::from([slot]), true)?)?));
    slots.into_iter().map(one).collect()
}

/// Which rows are in a range of ids. The first id is included, the last is not.
pub(crate) fn between(
    block: &DataFrame,
    from: Option<&String>,
    to: Option<&String>,
) -> Result<BooleanChunked, ParquetError> {
    let ids = block.column("store_id")?.str()?;
    let inside = |id: Option<&str>| {
        // A null lies before every id, so that no row is lost.
        from.is_none_or(|from| Some(from.as_str()) <= id) && to.is_none_or(|to| id < Some(to))
    };
    Ok(ids.iter().map(inside).collect())
}

impl RowsDigest {
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
