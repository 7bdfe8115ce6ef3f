//! When a store is open in a slot: by the schedule by which the slot's own row was judged, and for a slot
//! without a row by that of the nearest row before it, or else after it.

use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use storewatch_domain::{Instant, LocalDate, MissingHours, Opening, Slot, SlotClock, StoreHours, Zones};

use crate::in_order::InOrder;
use crate::parquet::ParquetError;
use crate::schedule_texts;
use crate::store_schedules::{self, Schedule};

/// The hours of a store from a slot on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Era {
    pub(super) from: Slot,
    /// `None` if the schedule is not known, or is a bad one.
    pub(super) hours: Option<Texts>,
}

/// Hours as `store_schedules` tells them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Texts {
    /// The zone by which the store was judged.
    pub(super) zone: String,
    pub(super) weekly: Option<String>,
    pub(super) exceptions: Option<String>,
}

impl Texts {
    /// The texts of a schedule. `zone` is the country's, for a store that names none.
    pub(super) fn of(schedule: &Schedule, zone: &str) -> Option<Self> {
        let text = |text: &store_schedules::Text| text.as_deref().map(str::to_owned);
        schedule.problem.is_none().then(|| Self {
            zone: text(&schedule.timezone).unwrap_or_else(|| zone.to_owned()),
            weekly: text(&schedule.weekly),
            exceptions: text(&schedule.exceptions),
        })
    }
}

/// The hours of a store in the order of time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct History(Vec<Era>);

impl History {
    /// Adds what counts from a slot on. Slots come in order.
    pub(super) fn add(&mut self, from: Slot, hours: Option<Texts>) {
        if self.0.last().is_none_or(|last| last.hours != hours) {
            self.0.push(Era { from, hours });
        }
    }

    /// What counts for a slot.
    pub(super) fn at(&self, slot: Slot) -> Option<&Texts> {
        let after = self.0.partition_point(|era| era.from <= slot);
        self.0.get(after.saturating_sub(1))?.hours.as_ref()
    }

    /// Forgets what counts only before a slot.
    pub(super) fn forget_before(&mut self, slot: Slot) {
        let after = self.0.partition_point(|era| era.from <= slot);
        self.0.drain(..after.saturating_sub(1));
        if let Some(first) = self.0.first_mut() {
            first.from = first.from.max(slot);
        }
    }
}

/// A day of `store_schedules`, read in the order of ids.
pub(super) struct Schedules(Option<InOrder<store_schedules::Row>>);

impl Schedules {
    pub(super) fn new(body: Option<Bytes>) -> Result<Self, ParquetError> {
        Ok(Self(body.map(|body| InOrder::new(&body, store_schedules::rows_of)).transpose()?))
    }

    /// The schedules of the next store. Those of stores before it are skipped.
    pub(super) fn of(&mut self, store_id: &str) -> Result<Vec<store_schedules::Row>, ParquetError> {
        let mut found = Vec::new();
        let Some(rows) = &mut self.0 else { return Ok(found) };
        while rows.next_if(|row| &*row.store_id < store_id)?.is_some() {}
        while let Some(row) = rows.next_if(|row| &*row.store_id == store_id)? {
            found.push(row);
        }
        Ok(found)
    }
}

/// Whether a schedule held when the schedules were read.
pub(super) fn held(row: &store_schedules::Row, read_at: Instant) -> bool {
    row.from <= read_at && row.until.is_none_or(|until| read_at < until)
}

/// Computes openings, and keeps what several stores share.
pub(super) struct Openings {
    zones: Option<Zones>,
    missing_hours: Option<MissingHours>,
    hours: HashMap<(Option<String>, Option<String>), Rc<StoreHours>>,
    clocks: HashMap<String, HashMap<Slot, Option<SlotClock>>>,
    /// The first text that cannot be read.
    error: Option<ParquetError>,
}

impl Openings {
    pub(super) fn new(zones: Option<Zones>, missing_hours: Option<MissingHours>) -> Self {
        let (hours, clocks) = (HashMap::new(), HashMap::new());
        Self { zones, missing_hours, hours, clocks, error: None }
    }

    /// When a store is open in a slot. `None` if it is not known.
    pub(super) fn opening(&mut self, history: &History, slot: Slot) -> Option<Opening> {
        let texts = history.at(slot)?;
        let missing = match self.missing_hours {
            None if texts.weekly.is_none() => return None,
            missing => missing.unwrap_or(MissingHours::Closed),
        };
        let hours = self.hours(texts)?;
        Some(hours.opening(self.clock(&texts.zone, slot)?, missing))
    }

    /// The date and the hour at which a slot starts in a zone.
    pub(super) fn local(&mut self, zone: &str, slot: Slot) -> Option<(LocalDate, u8)> {
        self.clock(zone, slot).map(|clock| (clock.local_date(), clock.local_hour()))
    }

    /// Fails if a text could not be read.
    pub(super) fn check(&mut self) -> Result<(), ParquetError> {
        self.error.take().map_or(Ok(()), Err)
    }

    fn hours(&mut self, texts: &Texts) -> Option<Rc<StoreHours>> {
        let key = (texts.weekly.clone(), texts.exceptions.clone());
        if let Some(known) = self.hours.get(&key) {
            return Some(Rc::clone(known));
        }
        match schedule_texts::hours(key.0.as_deref(), key.1.as_deref()) {
            Ok(hours) => {
                let hours = Rc::new(hours);
                self.hours.insert(key, Rc::clone(&hours));
                Some(hours)
            }
            Err(error) => {
                self.error.get_or_insert(error);
                None
            }
        }
    }

    fn clock(&mut self, zone: &str, slot: Slot) -> Option<&SlotClock> {
        if !self.clocks.contains_key(zone) {
            self.clocks.insert(zone.to_owned(), HashMap::new());
        }
        let zones = self.zones.as_ref()?;
        let make = || Some(SlotClock::new(&zones.get(zone).ok()?, slot));
        self.clocks.get_mut(zone)?.entry(slot).or_insert_with(make).as_ref()
    }
}
