//! A day's files as one: the same rows, in an order that keeps together what is asked for together.
//!
//! A day of 100,000 stores is 9.6 million rows, a few gigabytes as frames. So the files stay as they
//! are, compressed, and the day is made of them in ranges of store ids: each file is read once more
//! for each range, and what lies in it is sorted and written.

use std::collections::BTreeSet;

use bytes::Bytes;
use polars::prelude::*;
use storewatch_domain::Slot;

use crate::availability::AvailabilityRows;
use crate::hash;
use crate::parquet::{self, ParquetError};
use crate::tables::Table;

/// Rows that are sorted at once, which is what bounds the memory: about 400 bytes each, beside the files.
pub const RANGE_ROWS: usize = 1_000_000;

/// Rows in a row group of a compacted file: a reader passes over most of them by their statistics,
/// and their dictionaries are still worth it.
const ROW_GROUP: usize = 65_536;

/// Rows that are read of a file at once; whole row groups, so that none is read in two parts.
const BLOCK: usize = 4 * ROW_GROUP;

/// Blocks that are held at once before what is wanted of them is copied.
const BLOCKS_AT_ONCE: usize = 8;

/// One row in so many is looked at to cut the order into even ranges. No divisor of the rows that a
/// store has in a day, so that a file which is in order already is looked at everywhere.
const SAMPLED: usize = 61;

/// A file, and which of its rows are taken.
#[derive(Debug, Clone)]
pub struct Source {
    pub body: Bytes,
    pub rows: Rows,
}

/// Rows of a file, by their slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// All, and all have to be of this slot.
    Of(Slot),
    /// All but those of these slots.
    Without(BTreeSet<Slot>),
    /// Only those of these slots.
    Only(BTreeSet<Slot>),
}

/// What identifies a set of rows, in any order: two sets with equal digests are the same rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowsDigest {
    pub rows: u64,
    pub slots: BTreeSet<Slot>,
    /// The sum of a hash of each row's slot and key columns, so that order does not matter and a row
    /// that is there twice does.
    pub checksum: u64,
}

/// The order of the table's compacted rows, and which of its columns tell a row from the others.
///
/// A store's rows stand side by side, so that a day of a store lies in one place and nearly every
/// column repeats. Ids know nothing of cities: in the order of ids each row group would have stores of
/// every city, and in the order of cities most would have ids from everywhere. So the order is ranges
/// of ids first, about as many as a range has row groups, and within a range that of cities: a query
/// for a store passes over all ranges but one, a query for a city over most of each. Statuses change
/// through the day and no order keeps them together; as long runs they are read for next to nothing.
fn order(table: Table) -> (&'static [&'static str], &'static [&'static str]) {
    match table {
        Table::StoreAvailability => (&["city", "store_id", "slot"], &["store_id", "status"]),
        Table::AvailabilityByCity => (&["slot", "city"], &["city"]),
        Table::CountryTicks => (&["slot"], &["outcome"]),
        // No tick writes it, and its rows have no slot: a file of it is refused for that.
        Table::StoreSchedules => (&["store_id", "valid_from"], &["store_id"]),
    }
}

/// One file of all the sources' rows, and what is in it.
///
/// # Errors
/// A source is no file of the table, or has rows of another slot than it should.
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

/// What is in a compacted file, read from its bytes.
///
/// # Errors
/// It is no file of the table.
pub fn digest(table: Table, body: Bytes) -> Result<RowsDigest, ParquetError> {
    let (_, keys) = order(table);
    let mut content = RowsDigest::default();
    let source = Source { body, rows: Rows::Without(BTreeSet::new()) };
    each_block(table, &source, Some(&[&["slot"], keys].concat()), |block| content.add(&block, keys))?;
    Ok(content)
}

/// What the rows of all sources are, and where their order is to be cut.
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

/// Reads a source in blocks of rows, and hands over of each what is taken of it.
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
                    let what = format!("it has rows of the slot {other:?}, and is the file of {slot}");
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

/// Adds what was picked of a block. Rows that stand side by side are not copied when they are picked,
/// and keep their whole block in memory until they are.
fn append(rows: &mut DataFrame, picked: DataFrame) -> Result<(), ParquetError> {
    rows.vstack_mut_owned(picked)?;
    if rows.first_col_n_chunks() > BLOCKS_AT_ONCE {
        rows.rechunk_mut();
    }
    Ok(())
}

/// The rows that are of one of the slots, or those that are of none.
fn of_slots(block: &DataFrame, slots: &BTreeSet<Slot>, are: bool) -> Result<DataFrame, ParquetError> {
    let micros: BTreeSet<i64> = slots.iter().map(|slot| slot.start_micros()).collect();
    let own = block.column("slot")?.datetime()?.physical();
    let kept: BooleanChunked =
        own.iter().map(|slot| slot.is_some_and(|slot| micros.contains(&slot)) == are).collect();
    Ok(block.filter(&kept)?)
}

/// The rows of some slots of a day of `store_availability`, by their slots.
///
/// # Errors
/// It is no file of the table.
pub fn rows_of(body: Bytes, slots: BTreeSet<Slot>) -> Result<Vec<(Slot, AvailabilityRows)>, ParquetError> {
    let table = Table::StoreAvailability;
    let mut rows = DataFrame::empty_with_schema(&parquet::schema(table)?);
    let source = Source { body, rows: Rows::Only(slots.clone()) };
    each_block(table, &source, None, |block| append(&mut rows, block))?;
    rows.rechunk_mut();
    let one = |slot: Slot| Ok((slot, AvailabilityRows(of_slots(&rows, &BTreeSet::from([slot]), true)?)));
    slots.into_iter().map(one).collect()
}

/// Which rows lie in a range of ids: its first id belongs to it, its last does not.
fn between(
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
    use storewatch_domain::{IdType, MissingHours, Observation, Rules, Store, Zones, judge_chunk};

    fn slot(n: i64) -> Slot {
        Slot::containing(1_795_392_000 + n * Slot::SECONDS)
    }

    /// The file of a slot: stores of three cities and of none.
    fn file(n: i64, ids: impl Iterator<Item = u32>) -> Bytes {
        let city = |id: u32| ["Lugo", "Ávila", "León"].get(id as usize % 4).map(|city| (*city).to_owned());
        let stores: Vec<Store> =
            ids.map(|id| Store { id: id.to_string(), city: city(id), ..Store::default() }).collect();
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

    /// City, id and slot of each row.
    fn places(body: &Bytes) -> Vec<(Option<String>, String, i64)> {
        let frame = parquet::read(body.clone()).unwrap();
        parquet::check(Table::StoreAvailability, &frame).unwrap();
        let (cities, ids) = (frame.column("city").unwrap().str().unwrap(), frame.column("store_id").unwrap());
        let (ids, slots) = (ids.str().unwrap(), frame.column("slot").unwrap().datetime().unwrap().physical());
        let text = |texts: &StringChunked, n| texts.get(n).map(str::to_owned);
        (0..frame.height()).map(|n| (text(cities, n), text(ids, n).unwrap(), slots.get(n).unwrap())).collect()
    }

    #[test]
    fn whatever_the_ranges_the_rows_are_the_same_and_in_order_within_each() {
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
    fn a_source_gives_its_rows_without_the_slots_that_are_left_out() {
        let table = Table::StoreAvailability;
        let (day, _) = compact(table, &[of(0, file(0, 0..9)), of(1, file(1, 0..9))]).unwrap();
        let base = Source { body: day, rows: Rows::Without([slot(1)].into()) };
        let (body, found) = compact(table, &[base, of(1, file(1, 3..5))]).unwrap();
        assert_eq!(found.rows, 9 + 2);
        let (_, wanted) = compact(table, &[of(0, file(0, 0..9)), of(1, file(1, 3..5))]).unwrap();
        assert_eq!(digest(table, body).unwrap(), wanted);
    }

    #[test]
    fn a_file_that_holds_another_slot_is_refused() {
        let error = compact(Table::StoreAvailability, &[of(1, file(0, 0..9))]).unwrap_err();
        assert!(error.to_string().contains(&format!("is the file of {}", slot(1))), "{error}");
    }

    #[test]
    fn columns_that_were_added_since_a_file_was_written_are_null_in_it() {
        let mut frame = parquet::read(file(0, 0..9)).unwrap();
        frame.drop_in_place("schedule_as_of").unwrap();
        let old = parquet::write(&mut frame).unwrap();
        let (body, _) = compact(Table::StoreAvailability, &[of(0, old), of(1, file(1, 0..9))]).unwrap();
        let found = parquet::read(body).unwrap();
        assert_eq!(found.column("schedule_as_of").unwrap().null_count(), 9);
    }

    #[test]
    fn the_checksum_tells_a_row_that_is_missing_doubled_or_changed_and_not_their_order() {
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
