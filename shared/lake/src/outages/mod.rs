//! The outages of a day, and the looks that it missed: joins the rows of the day's stores with what the day
//! before carries over.
//!
//! It is a pure function of its inputs. So days that are made in any order, and again when one of them has
//! changed, end as one computation over all rows does.

mod carry;
mod files;
mod hours;
mod rows;

use std::collections::BTreeSet;

use bytes::Bytes;
use storewatch_domain::outages::{Outage, Sight};
use storewatch_domain::{Day, MissingHours, Slot, Zones};

use crate::in_order::InOrder;
use crate::parquet::ParquetError;
use crate::tables::OF_STORE;

use carry::Carried;
use files::{MissedRow, OutageRow, Rows};
use hours::{Openings, Schedules, Texts, held};
use rows::{Row, each_store};

/// The place of `timezone` in [`OF_STORE`].
const TIMEZONE: usize = 2;

/// The values of [`OF_STORE`].
type OfStore = [Option<String>; OF_STORE.len()];

/// A store that has had no row for this many days is carried no further.
pub const CARRIED_DAYS: i32 = 30;

/// What a day's outages are made from.
#[derive(Debug, Clone)]
pub struct Inputs {
    pub day: Day,
    /// The day of `store_availability`, and the slots of which it has rows.
    pub rows: Option<(Bytes, BTreeSet<Slot>)>,
    /// The day of `store_schedules`. Without it no hours of the day are known.
    pub schedules: Option<Bytes>,
    /// What the last day before carries over. `None` for the first day of a country.
    pub carried: Option<Bytes>,
    /// The first slot of the day that had a tick.
    pub first_tick: Option<Slot>,
    /// Without them no hours are known.
    pub zones: Option<Zones>,
    /// Without it the hours of stores without weekly hours are not known.
    pub missing_hours: Option<MissingHours>,
}

/// A file of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub body: Bytes,
    pub rows: u64,
}

/// What is made of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayOutages {
    /// The day of `outages`.
    pub outages: File,
    /// The day of `missed_looks`.
    pub missed_looks: File,
    /// What the day carries over.
    pub carried: Bytes,
}

/// Makes a day's outages.
///
/// # Errors
/// An input is damaged, or polars cannot write a file.
pub fn of_day(inputs: Inputs) -> Result<DayOutages, ParquetError> {
    let before = inputs.carried.as_ref().map(carry::last_slot).transpose()?;
    let slots = inputs.rows.as_ref().map(|(_, slots)| slots.clone()).unwrap_or_default();
    let missed = missed_slots(inputs.day, &slots, before, inputs.first_tick);
    let mut making = Making {
        day: inputs.day,
        end: Slot::containing(inputs.day.first_slot().start() + 86_400),
        carried: inputs.carried.map(|body| InOrder::new(&body, carry::read)).transpose()?,
        schedules: Schedules::new(inputs.schedules)?,
        openings: Openings::new(inputs.zones, inputs.missing_hours),
        missed,
        outages: Rows::new()?,
        missed_looks: Rows::new()?,
        next: Rows::new()?,
    };
    if let Some((body, _)) = &inputs.rows {
        each_store(body, |store_id, rows| making.take(store_id, rows))?;
    }
    making.finish()
}

/// A slot that no tick looked at, and the tick whose stores should have been looked at in it.
struct MissedSlot {
    slot: Slot,
    stores_of: Slot,
}

/// The day's slots without rows, from the country's first tick on. The stores are those of the nearest tick
/// with rows before it, or else after it. `before` is the last slot with rows that is carried over, if a day
/// before carries over anything.
fn missed_slots(
    day: Day,
    slots: &BTreeSet<Slot>,
    before: Option<Option<Slot>>,
    first_tick: Option<Slot>,
) -> Vec<MissedSlot> {
    let start = day.first_slot();
    // Without a day before, the country's first tick is of this day.
    let ticks = first_tick.into_iter().chain(slots.first().copied());
    let first = if before.is_some() { Some(start) } else { ticks.min() };
    let all = (0..96).map(|n| Slot::containing(start.start() + n * Slot::SECONDS));
    let missed = all.filter(|slot| first.is_some_and(|first| first <= *slot) && !slots.contains(slot));
    let with_stores = missed.filter_map(|slot| {
        let nearest = slots.range(..slot).next_back().copied().or(before.flatten());
        Some(MissedSlot { slot, stores_of: nearest.or_else(|| slots.first().copied())? })
    });
    with_stores.collect()
}

/// The work on a day: stores are taken in the order of their ids.
struct Making {
    day: Day,
    /// The slot after the day.
    end: Slot,
    carried: Option<InOrder<Carried>>,
    schedules: Schedules,
    openings: Openings,
    missed: Vec<MissedSlot>,
    outages: Rows<OutageRow>,
    missed_looks: Rows<MissedRow>,
    next: Rows<Carried>,
}

impl Making {
    /// Takes the rows of a store, and the stores before it that have no rows in the day.
    fn take(&mut self, store_id: &str, rows: &[Row<'_>]) -> Result<(), ParquetError> {
        while let Some(other) = self.carried_if(|carried| *carried.store_id < *store_id)? {
            self.store(other, &[])?;
        }
        let carried = self.carried_if(|carried| *carried.store_id == *store_id)?;
        let carried = carried.unwrap_or_else(|| Carried::new(store_id));
        self.store(carried, rows)
    }

    /// The next store that is carried over, if it is one that is wanted.
    fn carried_if(&mut self, wanted: impl FnOnce(&Carried) -> bool) -> Result<Option<Carried>, ParquetError> {
        match &mut self.carried {
            Some(carried) => carried.next_if(wanted),
            None => Ok(None),
        }
    }

    fn store(&mut self, mut store: Carried, rows: &[Row<'_>]) -> Result<(), ParquetError> {
        let before = store.track.last.map(|slot| (slot, store.labels.clone()));
        let schedules = if rows.is_empty() { Vec::new() } else { self.schedules.of(&store.store_id)? };
        let (mut schedule, mut last_bad, mut last) = (None, None, None);
        for row in rows {
            let Some(look) = row.look()? else { continue };
            let read_at = row.schedule_as_of()?;
            let holds = |n: &usize| read_at.is_some_and(|read_at| held(&schedules[*n], read_at));
            if last.is_none() || !schedule.as_ref().is_some_and(holds) {
                schedule = (0..schedules.len()).find(holds);
                let texts = schedule.and_then(|n| {
                    let zone = row.labels()[TIMEZONE].clone().unwrap_or_default();
                    Texts::of(&schedules[n].schedule, &zone)
                });
                store.history.add(row.slot, texts);
            }
            let mut hours = |slot| self.openings.opening(&store.history, slot);
            if let Some(outage) = store.track.take(&look, &mut hours) {
                let labels = last_bad.take().map(|row: &Row<'_>| row.labels());
                let labels = labels.or_else(|| store.bad_labels.take());
                self.tell(&store.store_id, labels.unwrap_or_default(), outage)?;
            }
            if matches!(look.sight, Sight::Bad { .. }) {
                last_bad = Some(row);
            }
            last = Some(row);
        }
        if let Some(row) = last {
            store.labels = row.labels();
        }
        if let Some(row) = last_bad {
            store.bad_labels = Some(row.labels());
        }
        if !self.missed.is_empty() {
            self.miss(&store, before, rows)?;
        }
        self.end_of_day(store)
    }

    /// Tells of an outage.
    fn tell(&mut self, store_id: &str, labels: OfStore, outage: Outage) -> Result<(), ParquetError> {
        self.outages.push(OutageRow { store_id: store_id.to_owned(), labels, outage })
    }

    /// Adds the slots in which the store was scheduled and nobody looked. `before` is its last row before
    /// the day.
    fn miss(
        &mut self,
        store: &Carried,
        before: Option<(Slot, OfStore)>,
        rows: &[Row<'_>],
    ) -> Result<(), ParquetError> {
        for MissedSlot { slot, stores_of } in &self.missed {
            let row = rows.iter().find(|row| row.slot == *stores_of && row.is_of_a_store());
            let labels = match (row, &before) {
                (Some(row), _) => row.labels(),
                (None, Some((last, labels))) if last == stores_of => labels.clone(),
                _ => continue,
            };
            let opening = self.openings.opening(&store.history, *slot);
            let scheduled_seconds = opening.map_or(0, |opening| opening.seconds());
            let zone = store.history.at(*slot).map(|texts| texts.zone.as_str());
            let local = zone.and_then(|zone| self.openings.local(zone, *slot));
            let Some(local) = local.filter(|_| scheduled_seconds > 0) else { continue };
            let store_id = store.store_id.clone();
            self.missed_looks.push(MissedRow { slot: *slot, store_id, labels, local, scheduled_seconds })?;
        }
        Ok(())
    }

    fn end_of_day(&mut self, mut store: Carried) -> Result<(), ParquetError> {
        let end = self.end.first_instant();
        store.track.count_to(end, &mut |slot| self.openings.opening(&store.history, slot));
        if let Some(outage) = &store.track.open {
            if Slot::of(outage.ended_after) >= self.day.first_slot() {
                let labels = store.bad_labels.clone().unwrap_or_default();
                self.tell(&store.store_id, labels, outage.clone())?;
            }
        } else {
            store.bad_labels = None;
        }
        let days = i64::from(CARRIED_DAYS) * 86_400;
        if store.track.last.is_some_and(|last| self.end.start() - last.start() <= days) {
            // An opening is looked for up to a day, and a second, before a look of the next day.
            store.history.forget_before(Slot::containing(self.day.first_slot().start() - 1));
            self.next.push(store)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<DayOutages, ParquetError> {
        while let Some(other) = self.carried_if(|_| true)? {
            self.store(other, &[])?;
        }
        self.openings.check()?;
        Ok(DayOutages {
            outages: self.outages.finish()?,
            missed_looks: self.missed_looks.finish()?,
            carried: self.next.finish()?.body,
        })
    }
}

#[cfg(test)]
mod tests;
