//! Judges the rows of a past day again by other schedules, in ranges of ids.

mod around;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

use bytes::Bytes;
use polars_core::prelude::*;
use serde::{Deserialize, Serialize};
use storewatch_domain::{
    CitySummary, Counts, Instant, Look, Looks, Rules, Slot, Status, Store, Summary, judge_again,
};

use crate::availability::{AvailabilityRows, by_city, status};
use crate::blocks::Source;
use crate::compaction::{DayWriter, RANGE_ROWS, Rows, RowsDigest, ranges, survey};
use crate::parquet::{self, ParquetError};
use crate::tables::Table;

use around::Around;

/// How many rows changed from one status to another, under names such as `unavailable to closed`. The first
/// part is `nothing` if the store had no row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Changes(pub BTreeMap<String, u64>);

impl Changes {
    fn add(&mut self, from: Option<Status>, to: Status) {
        if from != Some(to) {
            let from = from.map_or("nothing", Status::as_str);
            *self.0.entry(format!("{from} to {to}")).or_default() += 1;
        }
    }

    fn add_all(&mut self, other: Self) {
        for (change, rows) in other.0 {
            *self.0.entry(change).or_default() += rows;
        }
    }
}

/// The schedules and rules by which a day is judged again.
#[derive(Debug)]
pub struct Rejudging<'a> {
    rules: &'a Rules,
    /// Sorted by their ids, as texts.
    stores: Vec<Store>,
    schedule_as_of: Instant,
}

/// A day that was judged again.
#[derive(Debug)]
pub struct RejudgedDay {
    /// The day's file of `store_availability`.
    pub rows: (Bytes, RowsDigest),
    /// The files of `availability_by_city` of its slots.
    pub cities: Vec<Source>,
    pub changes: Changes,
}

/// The sums of each slot's cities.
type Cities = BTreeMap<Slot, BTreeMap<Option<String>, CitySummary>>;

/// A slot of a range that was judged again.
struct RejudgedSlot {
    slot: Slot,
    rows: AvailabilityRows,
    cities: Vec<(Option<String>, CitySummary)>,
    changes: Changes,
}

impl<'a> Rejudging<'a> {
    /// The stores to judge again. `schedule_as_of` is when their schedules were read.
    pub fn new(rules: &'a Rules, mut stores: Vec<Store>, schedule_as_of: Instant) -> Self {
        stores.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Self { rules, stores, schedule_as_of }
    }

    /// How many stores are judged again.
    pub fn stores(&self) -> usize {
        self.stores.len()
    }

    /// Judges the stores again by what the rows of a compacted day say about the live view. Rows of other
    /// stores stay as they are, orphans too: a store that was deleted since existed then, and nothing new is
    /// known of it.
    ///
    /// # Errors
    /// It is not a file of `store_availability`, a status is unknown, or polars cannot make the rows.
    pub fn day(&self, body: Bytes) -> Result<RejudgedDay, ParquetError> {
        self.day_by(body, RANGE_ROWS)
    }

    fn day_by(&self, body: Bytes, range: usize) -> Result<RejudgedDay, ParquetError> {
        let table = Table::StoreAvailability;
        let sources = [Source::whole(body)];
        let (mut blocks, before) = survey(table, &sources)?;
        let mut cuts = blocks.cuts(ranges(before.rows, range));
        let mut around = Around::new(self.rules.id_type);
        if !cuts.is_empty() {
            blocks.clone().each_range(&cuts, Some(&around::COLUMNS), |rows, _| around.add(&rows))?;
            if around.is_ambiguous(&self.stores) {
                // All rows at once need more memory, but are always right.
                (cuts, around) = (Vec::new(), Around::new(self.rules.id_type));
            }
            around.settle();
        }
        let (mut day, mut content) = (DayWriter::new(table)?, RowsDigest::default());
        let (mut cities, mut changes) = (Cities::new(), Changes::default());
        let mut stores = &self.stores[..];
        blocks.each_range(&cuts, None, |rows, to| {
            let (own, rest) =
                stores.split_at(stores.partition_point(|store| to.is_none_or(|to| *store.id < *to)));
            stores = rest;
            let slots = with_all(AvailabilityRows::of(rows)?.by_slot()?, before.slots.iter().copied())?;
            let mut rows = DataFrame::empty_with_schema(&parquet::schema(table)?);
            for judged in self.slots(slots, own, &around)? {
                rows.vstack_mut_owned(judged.rows.into_table()?)?;
                changes.add_all(judged.changes);
                let slot = cities.entry(judged.slot).or_default();
                for (city, sums) in judged.cities {
                    slot.entry(city).and_modify(|known| known.merge(&sums)).or_insert(sums);
                }
            }
            rows.rechunk_mut();
            content.add_rows(table, &rows)?;
            day.range(rows)
        })?;
        let cities = cities.into_iter().map(|(slot, cities)| city_file(slot, &cities));
        let cities = cities.collect::<Result<_, _>>()?;
        Ok(RejudgedDay { rows: (day.finish()?, content), cities, changes })
    }

    /// Judges the slots of a range, on every core.
    fn slots(
        &self,
        slots: Vec<(Slot, AvailabilityRows)>,
        stores: &[Store],
        around: &Around,
    ) -> Result<Vec<RejudgedSlot>, ParquetError> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let each = slots.len().div_ceil(cores).max(1);
        let (mut parts, mut slots) = (Vec::new(), slots.into_iter().peekable());
        while slots.peek().is_some() {
            parts.push(slots.by_ref().take(each).collect::<Vec<_>>());
        }
        let judge = |(slot, rows): (Slot, AvailabilityRows)| self.slot(slot, rows, stores, around.of(slot));
        thread::scope(|scope| {
            let work = |part: Vec<_>| scope.spawn(move || part.into_iter().map(judge).collect::<Vec<_>>());
            let running: Vec<_> = parts.into_iter().map(work).collect();
            running
                .into_iter()
                .flat_map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        })
    }

    /// Judges the stores of a range in a slot. `around` is what the live view showed around the range's rows.
    fn slot(
        &self,
        slot: Slot,
        rows: AvailabilityRows,
        stores: &[Store],
        around: &[(String, Look)],
    ) -> Result<RejudgedSlot, ParquetError> {
        let frame = &rows.0;
        let (ids, statuses) = (frame.column("store_id")?.str()?, frame.column("status")?.str()?);
        let (observed_at, reasons) =
            (frame.column("observed_at")?.datetime()?, frame.column("reason")?.str()?);
        let (listed, online) = (frame.column("listed")?.bool()?, frame.column("online")?.bool()?);
        let (mut looks, mut before) = (Vec::with_capacity(rows.len()), HashMap::with_capacity(rows.len()));
        for n in 0..rows.len() {
            let id = ids.get(n).ok_or_else(|| ParquetError::Content("store_id is null".to_owned()))?;
            let status = status(statuses.get(n))?;
            let at = observed_at.physical().get(n).map(parquet::instant).transpose()?;
            let look = Look::from_row(at, listed.get(n), online.get(n), status, reasons.get(n));
            looks.push((id.to_owned(), look));
            before.insert(id, status);
        }
        looks.extend(around.iter().filter(|(id, _)| !before.contains_key(&**id)).cloned());
        let looks = Looks::new(self.rules.id_type, looks);
        let (judged, mut changes) = (judge_again(slot, self.rules, stores, &looks), Changes::default());
        for store in &judged {
            changes.add(before.get(store.id.as_ref()).copied(), store.judged.status);
        }
        let are_of = looks.are_of(stores).into_iter().take(rows.len());
        let others: BooleanChunked = are_of.map(|is_of| !is_of).collect();
        let others = AvailabilityRows::of(frame.filter(&others)?)?;
        let again = AvailabilityRows::new(slot, self.schedule_as_of, &judged)?;
        let rows = AvailabilityRows::merge(vec![again, others])?;
        let cities = rows.summary()?.cities.into_iter();
        let cities = cities.map(|(city, sums)| (city.map(str::to_owned), sums)).collect();
        Ok(RejudgedSlot { slot, rows, cities, changes })
    }
}

/// The rows by slot, with slots that have none: a store may get its first row in them.
fn with_all(
    known: Vec<(Slot, AvailabilityRows)>,
    slots: impl Iterator<Item = Slot>,
) -> Result<Vec<(Slot, AvailabilityRows)>, ParquetError> {
    let mut known: BTreeMap<Slot, AvailabilityRows> = known.into_iter().collect();
    let none = || AvailabilityRows::new(Slot::of(Instant::FIRST), Instant::FIRST, &[]);
    slots.map(|slot| Ok((slot, known.remove(&slot).map_or_else(none, Ok)?))).collect()
}

/// The file of `availability_by_city` of a slot.
fn city_file(slot: Slot, cities: &BTreeMap<Option<String>, CitySummary>) -> Result<Source, ParquetError> {
    let cities = cities.iter().map(|(city, sums)| (city.as_deref(), sums.clone())).collect();
    let summary = Summary { counts: Counts::default(), cities };
    Ok(Source { body: by_city(slot, &summary)?, rows: Rows::Of(slot) })
}

#[cfg(test)]
mod tests;
