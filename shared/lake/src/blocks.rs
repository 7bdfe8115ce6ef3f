//! Reads the rows of a day in ranges of store ids. Every row group of every file is decoded once.
//!
//! A day of a million stores is 96 million rows, too many to hold. Files are sorted by store id, in row groups
//! of a few thousand rows. So a row group is decoded when the ranges reach its first id, and its rows beyond
//! the range wait for the next one. The memory is that of a range, and of a row group of each file.
//!
//! Nothing depends on the order of the rows: a file that is not sorted, or has one large row group, is only
//! held for longer.

use std::collections::BTreeSet;

use bytes::Bytes;
use polars_core::prelude::*;
use storewatch_domain::Slot;

use crate::parquet::{self, ParquetError, RowGroup};
use crate::tables::Table;

/// To find even ranges, one row in this many is sampled. It does not divide the 96 rows that a store has in
/// a day, so a file that is sorted already is sampled evenly.
const SAMPLED: usize = 61;

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
}

impl Source {
    /// All rows of a file.
    pub(crate) fn whole(body: Bytes) -> Self {
        Self { body, rows: Rows::Without(BTreeSet::new()) }
    }

    /// Decodes a row group, and selects from its rows.
    fn read(
        &self,
        table: Table,
        columns: Option<&[&str]>,
        group: &RowGroup,
    ) -> Result<DataFrame, ParquetError> {
        let block = group.rows_of(table, columns)?;
        let slots = block.column("slot")?.datetime()?.physical();
        match &self.rows {
            Rows::Of(slot) => {
                if let Some(other) = slots.iter().find(|own| *own != Some(slot.start_micros())) {
                    let other = other.map(parquet::instant).transpose()?.map(|at| Slot::of(at).to_string());
                    let what = format!("it has rows of the slot {other:?}, but is the file of {slot}");
                    return Err(ParquetError::Content(what));
                }
                Ok(block)
            }
            Rows::Without(left_out) if left_out.is_empty() => Ok(block),
            Rows::Without(left_out) => {
                let left_out: BTreeSet<i64> = left_out.iter().map(|slot| slot.start_micros()).collect();
                let is_taken = |slot: Option<i64>| slot.is_none_or(|slot| !left_out.contains(&slot));
                let taken: BooleanChunked = slots.iter().map(is_taken).collect();
                Ok(block.filter(&taken)?)
            }
        }
    }
}

/// A row group that is not decoded yet.
#[derive(Debug, Clone)]
struct Block {
    /// The least id in it; `None` if one is null, or the table has no ranges.
    first: Option<String>,
    /// The number of its file.
    source: usize,
    group: RowGroup,
}

/// The rows of some files, to be read in ranges of ids.
#[derive(Debug, Clone)]
pub(crate) struct Blocks<'a> {
    table: Table,
    sources: &'a [Source],
    /// The block with the least id is last.
    waiting: Vec<Block>,
    /// Ids of rows, sorted, until the cuts are made.
    sample: Vec<String>,
}

impl<'a> Blocks<'a> {
    /// Finds out where each row group begins. Passes every row group's `columns` on; `slot` must be one of
    /// them, and `store_id` if the table has ranges.
    ///
    /// # Errors
    /// A source is not a file of the table, has rows of a slot that it should not have, or `look` fails.
    pub(crate) fn survey(
        table: Table,
        sources: &'a [Source],
        columns: &[&str],
        mut look: impl FnMut(&DataFrame) -> Result<(), ParquetError>,
    ) -> Result<Self, ParquetError> {
        let (mut waiting, mut sample) = (Vec::new(), Vec::new());
        for (n, source) in sources.iter().enumerate() {
            for group in parquet::row_groups(&source.body)? {
                let block = source.read(table, Some(columns), &group)?;
                look(&block)?;
                let mut first = None;
                if table == Table::StoreAvailability {
                    let ids = block.column("store_id")?.str()?;
                    first = ids.iter().min().flatten().map(str::to_owned);
                    let sampled = (0..ids.len()).step_by(SAMPLED);
                    sample.extend(sampled.filter_map(|n| Some(ids.get(n)?.to_owned())));
                }
                if block.height() > 0 {
                    waiting.push(Block { first, source: n, group });
                }
            }
        }
        // Stable, so that rows come in the order of their files.
        waiting.reverse();
        waiting.sort_by(|a, b| b.first.cmp(&a.first));
        sample.sort_unstable();
        Ok(Self { table, sources, waiting, sample })
    }

    /// The ids at which to cut the rows into so many ranges of about the same size. Fewer if there are too
    /// few ids.
    pub(crate) fn cuts(&mut self, ranges: usize) -> Vec<String> {
        let sample = std::mem::take(&mut self.sample);
        let cut = |n: usize| sample.get(n * sample.len() / ranges).cloned();
        let mut cuts: Vec<String> = (1..ranges).filter_map(cut).collect();
        cuts.dedup();
        cuts
    }

    /// Reads the rows of each range, from an id, included, to the next, not included, which is passed on too.
    /// A null comes before every id, so that no row is lost. `columns` are all if `None`.
    ///
    /// # Errors
    /// A source is not a file of the table, or `take` fails.
    pub(crate) fn each_range(
        mut self,
        cuts: &[String],
        columns: Option<&[&str]>,
        mut take: impl FnMut(DataFrame, Option<&str>) -> Result<(), ParquetError>,
    ) -> Result<(), ParquetError> {
        let empty = DataFrame::empty_with_schema(&parquet::schema(self.table)?);
        let mut kept = Vec::new();
        for to in cuts.iter().map(|cut| Some(cut.as_str())).chain([None]) {
            let mut parts = Parts { to, inside: Vec::new(), beyond: Vec::new() };
            for part in std::mem::take(&mut kept) {
                parts.add(part)?;
            }
            while let Some(block) =
                self.waiting.pop_if(|block| to.is_none_or(|to| block.first.as_deref() < Some(to)))
            {
                parts.add(self.sources[block.source].read(self.table, columns, &block.group)?)?;
            }
            kept = parts.beyond;
            let mut inside = parts.inside.into_iter();
            let mut rows = inside.next().unwrap_or_else(|| empty.clone());
            for part in inside {
                rows.vstack_mut_owned(part)?;
            }
            // Also lets go of the row groups of which these rows are a part.
            rows.rechunk_mut();
            take(rows, to)?;
        }
        Ok(())
    }
}

/// Rows in a range of ids that ends before `to`, and rows beyond it.
struct Parts<'a> {
    to: Option<&'a str>,
    inside: Vec<DataFrame>,
    beyond: Vec<DataFrame>,
}

impl Parts<'_> {
    fn add(&mut self, rows: DataFrame) -> Result<(), ParquetError> {
        let Some(to) = self.to else {
            self.inside.push(rows);
            return Ok(());
        };
        let is_inside: Vec<bool> = rows.column("store_id")?.str()?.iter().map(|id| id < Some(to)).collect();
        let count = is_inside.iter().filter(|is_inside| **is_inside).count();
        if count == rows.height() {
            self.inside.push(rows);
        } else if count == 0 {
            self.beyond.push(rows);
        } else if is_inside[..count].iter().all(|is_inside| *is_inside) {
            // Sorted: both parts are views, and nothing is copied.
            self.inside.push(rows.slice(0, count));
            self.beyond.push(rows.slice(count as i64, usize::MAX));
        } else {
            let is_inside: BooleanChunked = is_inside.into_iter().collect();
            self.inside.push(rows.filter(&is_inside)?);
            self.beyond.push(rows.filter(&!is_inside)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: Table = Table::StoreAvailability;

    fn slot(n: usize) -> Slot {
        Slot::containing(1_795_392_000 + n as i64 * Slot::SECONDS)
    }

    /// A row: the number of its slot, its id and its name.
    type Row = (usize, Option<String>, String);

    /// The file of some rows, in row groups of so many rows.
    fn file(rows: &[Row], group: usize) -> Bytes {
        let columns = TABLE.columns().iter().map(|(name, glue)| match *name {
            "slot" => {
                let slots = rows.iter().map(|(n, ..)| Some(slot(*n).first_instant())).collect();
                parquet::timestamps("slot", slots).unwrap()
            }
            "store_id" => {
                parquet::texts(name, &rows.iter().map(|(_, id, _)| id.as_deref()).collect::<Vec<_>>())
            }
            "name" => parquet::texts(name, &rows.iter().map(|(.., name)| Some(&**name)).collect::<Vec<_>>()),
            _ => parquet::nulls(name, glue, rows.len()).unwrap(),
        });
        let mut frame = DataFrame::new(rows.len(), columns.collect()).unwrap();
        let mut body = Vec::new();
        parquet::writer(&mut body).with_row_group_size(Some(group)).finish(&mut frame).unwrap();
        body.into()
    }

    fn rows_of(frame: &DataFrame) -> Vec<Row> {
        let text = |name: &str| frame.column(name).unwrap().str().unwrap().clone();
        let (ids, names) = (text("store_id"), text("name"));
        let slots = frame.column("slot").unwrap().datetime().unwrap().physical().clone();
        let number = |micros: i64| ((micros - slot(0).start_micros()) / 900_000_000) as usize;
        let row = |n: usize| {
            (number(slots.get(n).unwrap()), ids.get(n).map(str::to_owned), names.get(n).unwrap().to_owned())
        };
        (0..frame.height()).map(row).collect()
    }

    /// The rows of each range, with the id before which it ends.
    fn read(sources: &[Source], cuts: &[String]) -> Vec<(Option<String>, Vec<Row>)> {
        let mut found = Vec::new();
        let blocks = Blocks::survey(TABLE, sources, &["slot", "store_id"], |_| Ok(())).unwrap();
        blocks
            .each_range(cuts, None, |rows, to| {
                found.push((to.map(str::to_owned), rows_of(&rows)));
                Ok(())
            })
            .unwrap();
        found
    }

    /// A file's stores, the size of its row groups, and whether it is sorted.
    fn files() -> impl Strategy<Value = Vec<(BTreeSet<u16>, usize, bool)>> {
        let stores = prop::collection::btree_set(0..60_u16, 0..40);
        prop::collection::vec((stores, 1..50_usize, prop::bool::weighted(0.8)), 0..6)
    }

    proptest! {
        #[test]
        fn ranges_have_every_row_once_for_any_row_groups_stores_and_cuts(
            files in files(),
            cuts in prop::collection::btree_set(0..70_u16, 0..8),
            left_out in prop::collection::btree_set(0..6_usize, 0..3),
            has_null in any::<bool>(),
        ) {
            let mut all = Vec::new();
            let sources = files.iter().enumerate().map(|(n, (stores, group, is_sorted))| {
                let mut rows: Vec<Row> =
                    stores.iter().map(|id| (n, Some(id.to_string()), format!("{n} {id}"))).collect();
                rows.extend((has_null && n == 0).then(|| (n, None, "no id".to_owned())));
                if *is_sorted {
                    rows.sort_by(|a, b| a.1.cmp(&b.1));
                }
                let without = left_out.iter().map(|n| slot(*n)).collect();
                let source = Source { body: file(&rows, *group), rows: Rows::Without(without) };
                all.extend(rows.into_iter().filter(|_| !left_out.contains(&n)));
                source
            });
            let sources: Vec<Source> = sources.collect();
            let mut cuts: Vec<String> = cuts.iter().map(u16::to_string).collect();
            cuts.sort();
            let found = read(&sources, &cuts);
            prop_assert_eq!(found.len(), cuts.len() + 1);
            let mut from = None;
            for ((to, mut rows), cut) in found.into_iter().zip(cuts.iter().map(Some).chain([None])) {
                prop_assert_eq!(to.as_ref(), cut);
                let is_in = |id: &Option<String>| *id >= from && (cut.is_none() || id.as_ref() < cut);
                let mut wanted: Vec<Row> = all.iter().filter(|(_, id, _)| is_in(id)).cloned().collect();
                rows.sort();
                wanted.sort();
                prop_assert_eq!(rows, wanted);
                from = cut.cloned();
            }
        }
    }

    #[test]
    fn only_row_groups_that_a_range_reaches_are_decoded_for_it() {
        let rows: Vec<Row> = (0..100).map(|n| (0, Some(format!("{n:03}")), String::new())).collect();
        let sources = [Source { body: file(&rows, 10), rows: Rows::Of(slot(0)) }];
        let mut blocks = Blocks::survey(TABLE, &sources, &["slot", "store_id"], |_| Ok(())).unwrap();
        assert_eq!(blocks.waiting.len(), 10);
        let firsts: Vec<Option<&str>> =
            blocks.waiting.iter().rev().map(|block| block.first.as_deref()).collect();
        assert_eq!(firsts[..3], [Some("000"), Some("010"), Some("020")]);
        // The last one becomes one of another slot, which is refused when it is decoded.
        let other = file(&[(1, Some("090".to_owned()), String::new())], 10);
        blocks.waiting[0].group = parquet::row_groups(&other).unwrap().remove(0);
        let mut found = Vec::new();
        let cuts = ["015".to_owned(), "085".to_owned()];
        let read = blocks.each_range(&cuts, None, |rows, _| {
            found.push(rows.height());
            Ok(())
        });
        assert!(read.is_err());
        assert_eq!(found, [15, 70]);
    }

    #[test]
    fn cuts_make_even_ranges_and_files_without_rows_make_none() {
        let rows: Vec<Row> = (0..6_100).map(|n| (0, Some(format!("{n:04}")), String::new())).collect();
        let sources = [Source { body: file(&rows, 1_000), rows: Rows::Of(slot(0)) }];
        let mut blocks = Blocks::survey(TABLE, &sources, &["slot", "store_id"], |_| Ok(())).unwrap();
        let cuts = blocks.cuts(4);
        let heights: Vec<usize> = read(&sources, &cuts).into_iter().map(|(_, rows)| rows.len()).collect();
        assert_eq!(heights.iter().sum::<usize>(), 6_100);
        assert!(heights.iter().all(|height| (1_300..1_750).contains(height)), "{heights:?}");
        let empty = [Source { body: file(&[], 10), rows: Rows::Of(slot(0)) }];
        let mut blocks = Blocks::survey(TABLE, &empty, &["slot", "store_id"], |_| Ok(())).unwrap();
        assert_eq!(blocks.cuts(4), Vec::<String>::new());
        assert_eq!(read(&empty, &[]), [(None, Vec::new())]);
    }
}
