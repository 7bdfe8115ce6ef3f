//! Reads a day of `store_availability` store by store, in the order of their ids, and each store's rows in
//! the order of their slots.
//!
//! A compacted day has a store's rows in one place only while its city stays the same. So the rows are
//! gathered by range of ids, at most [`RANGE_ROWS`] or so at once. Nothing is copied out of the columns
//! until it is asked for: most stores have nothing to tell.

use std::collections::HashMap;

use bytes::Bytes;
use polars_core::prelude::*;
use storewatch_domain::outages::{Look, Sight};
use storewatch_domain::{Instant, Slot, Status};

use crate::availability::status;
use crate::blocks::{Blocks, Source};
use crate::compaction::RANGE_ROWS;
use crate::parquet::{self, ParquetError};
use crate::tables::{OF_STORE, Table};

use super::OfStore;

/// The columns that outages are told of, without [`OF_STORE`].
const COLUMNS: [&str; 7] =
    ["slot", "observed_at", "schedule_as_of", "scheduled_seconds", "store_id", "status", "reason"];

/// A block of rows, by column.
struct Block {
    slot: Int64Chunked,
    observed_at: Int64Chunked,
    schedule_as_of: Int64Chunked,
    scheduled_seconds: Int16Chunked,
    store_id: StringChunked,
    status: StringChunked,
    reason: StringChunked,
    /// `None` for a column that the table does not have.
    labels: [Option<StringChunked>; OF_STORE.len()],
}

impl Block {
    fn new(frame: &DataFrame) -> Result<Self, ParquetError> {
        let time = |name: &str| -> PolarsResult<_> { Ok(frame.column(name)?.datetime()?.physical().clone()) };
        let text = |name: &str| -> PolarsResult<_> { Ok(frame.column(name)?.str()?.clone()) };
        Ok(Self {
            slot: time("slot")?,
            observed_at: time("observed_at")?,
            schedule_as_of: time("schedule_as_of")?,
            scheduled_seconds: frame.column("scheduled_seconds")?.i16()?.clone(),
            store_id: text("store_id")?,
            status: text("status")?,
            reason: text("reason")?,
            labels: OF_STORE.map(|name| text(name).ok()),
        })
    }
}

/// A row of the day.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) slot: Slot,
    block: &'a Block,
    n: usize,
}

impl<'a> Row<'a> {
    /// What was seen. `None` for an orphan's row.
    pub(super) fn look(&self) -> Result<Option<Look<'a>>, ParquetError> {
        let Some(sight) = self.sight()? else { return Ok(None) };
        // Only a bad look's are of use.
        let is_bad = matches!(sight, Sight::Bad { .. });
        let at = is_bad || sight == Sight::Good;
        let seconds = self.block.scheduled_seconds.get(self.n).filter(|_| is_bad);
        Ok(Some(Look {
            slot: self.slot,
            at: if at { self.time(&self.block.observed_at)? } else { None },
            sight,
            scheduled_seconds: seconds.map_or(0, |seconds| seconds as u16),
            reason: if is_bad { self.block.reason.get(self.n) } else { None },
        }))
    }

    fn sight(&self) -> Result<Option<Sight>, ParquetError> {
        Ok(match self.block.status.get(self.n) {
            Some("available") => Some(Sight::Good),
            Some("closed") => Some(Sight::Off),
            other => Sight::of(status(other)?),
        })
    }

    pub(super) fn is_of_a_store(&self) -> bool {
        self.block.status.get(self.n) != Some(Status::Orphan.as_str())
    }

    /// When the schedule that judged it was read.
    pub(super) fn schedule_as_of(&self) -> Result<Option<Instant>, ParquetError> {
        self.time(&self.block.schedule_as_of)
    }

    pub(super) fn labels(&self) -> OfStore {
        let of = |column: &Option<StringChunked>| Some(column.as_ref()?.get(self.n)?.to_owned());
        self.block.labels.each_ref().map(of)
    }

    fn time(&self, column: &Int64Chunked) -> Result<Option<Instant>, ParquetError> {
        column.get(self.n).map(parquet::instant).transpose()
    }
}

/// Calls `take` with the rows of each store, in the order of ids.
///
/// # Errors
/// It is not a file of the table, or `take` fails.
pub(super) fn each_store(
    body: &Bytes,
    take: impl FnMut(&str, &[Row<'_>]) -> Result<(), ParquetError>,
) -> Result<(), ParquetError> {
    each_store_by(body, RANGE_ROWS, take)
}

fn each_store_by(
    body: &Bytes,
    most: usize,
    mut take: impl FnMut(&str, &[Row<'_>]) -> Result<(), ParquetError>,
) -> Result<(), ParquetError> {
    let table = Table::StoreAvailability;
    let (sources, mut rows) = ([Source::whole(body.clone())], 0);
    let mut blocks = Blocks::survey(table, &sources, &["slot", "store_id"], |block| {
        rows += block.height();
        Ok(())
    })?;
    let cuts = blocks.cuts(rows.div_ceil(most).max(1));
    let columns = [&COLUMNS[..], &OF_STORE].concat();
    blocks.each_range(&cuts, Some(&columns), |rows, _| {
        let block = Block::new(&rows)?;
        let mut stores = gather(&block)?;
        stores.sort_unstable_by(|a, b| a.0.cmp(b.0));
        for (id, mut rows) in stores {
            if !rows.is_sorted_by_key(|row| row.slot) {
                rows.sort_by_key(|row| row.slot);
            }
            take(id, &rows)?;
        }
        Ok(())
    })
}

/// The rows of each store.
fn gather(block: &Block) -> Result<Vec<(&str, Vec<Row<'_>>)>, ParquetError> {
    let missing = |name: &str| ParquetError::Content(format!("{name} is null"));
    let (mut stores, mut known) = (Vec::<(&str, Vec<Row<'_>>)>::new(), HashMap::new());
    let mut current = None;
    for n in 0..block.slot.len() {
        let id = block.store_id.get(n).ok_or_else(|| missing("store_id"))?;
        // Nearly every row is of the same store as the one before.
        let place = match current {
            Some((last, place)) if last == id => place,
            _ => *known.entry(id).or_insert_with(|| {
                stores.push((id, Vec::new()));
                stores.len() - 1
            }),
        };
        current = Some((id, place));
        let slot = block.slot.get(n).ok_or_else(|| missing("slot"))?;
        stores[place].1.push(Row { slot: Slot::of(parquet::instant(slot)?), block, n });
    }
    Ok(stores)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use storewatch_domain::{IdType, MissingHours, Observation, Rules, Store, Zones, judge_chunk};

    use super::*;
    use crate::availability::AvailabilityRows;
    use crate::compaction::{Rows, Source, compact};

    fn slot(n: i64) -> Slot {
        Slot::containing(1_795_392_000 + n * Slot::SECONDS)
    }

    /// The compacted day of some slots. Every third store moves from one city to another.
    fn day(slots: i64, stores: usize) -> Bytes {
        let zones = Zones::embedded();
        let rules = Rules {
            default_timezone: zones.get("UTC").unwrap(),
            zones,
            missing_hours: MissingHours::AlwaysOpen,
            id_type: IdType::Long,
        };
        let file = |n: i64| {
            let city =
                |id: usize| if id.is_multiple_of(3) && n > 2 { "Ávila" } else { ["Lugo", "León"][id % 2] };
            let store = |id: usize| {
                let (id, city) = (id.to_string(), Some(city(id).to_owned()));
                Store { id, city, ..Store::default() }
            };
            let stores: Vec<Store> = (100..100 + stores).map(store).collect();
            let view = Observation { at: slot(n).first_instant(), stores: Vec::new() };
            let judged = judge_chunk(slot(n), &rules, &stores, Ok(&view));
            let rows = AvailabilityRows::new(slot(n), slot(n).first_instant(), &judged).unwrap();
            AvailabilityRows::merge(vec![rows]).unwrap().write().unwrap()
        };
        let sources: Vec<Source> =
            (0..slots).map(|n| Source { body: file(n), rows: Rows::Of(slot(n)) }).collect();
        compact(Table::StoreAvailability, &sources).unwrap().0
    }

    #[test]
    fn each_store_comes_once_in_order_with_its_rows_in_order_for_any_ranges() {
        let body = day(6, 200);
        for most in [1_000_000, 1_000, 300, 7] {
            let mut found = Vec::new();
            each_store_by(&body, most, |id, rows| {
                assert!(rows.is_sorted_by(|a, b| a.slot < b.slot));
                let cities: Vec<Option<String>> = rows.iter().map(|row| row.labels()[1].clone()).collect();
                found.push((id.to_owned(), rows.len(), cities));
                Ok(())
            })
            .unwrap();
            assert!(found.is_sorted_by(|a, b| a.0 < b.0), "{most}");
            assert_eq!((found.len(), found.iter().map(|(_, rows, _)| rows).sum::<usize>()), (200, 1_200));
            let by_id: BTreeMap<_, _> = found.into_iter().map(|(id, _, cities)| (id, cities)).collect();
            let cities = |id: &str| by_id[id].iter().map(|city| city.as_deref().unwrap()).collect::<Vec<_>>();
            assert_eq!(cities("102"), ["Lugo", "Lugo", "Lugo", "Ávila", "Ávila", "Ávila"]);
        }
    }
}
