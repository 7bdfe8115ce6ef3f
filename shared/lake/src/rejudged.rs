//! Judges the rows of a past slot again by other schedules.

use std::collections::{BTreeMap, HashMap};

use polars::prelude::*;
use serde::{Deserialize, Serialize};
use storewatch_domain::{Instant, Look, Looks, Rules, Slot, Status, Store, judge_again};

use crate::availability::{AvailabilityRows, status};
use crate::parquet::{self, ParquetError};

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
}

/// Judges the stores again by what their rows say about the live view, in the rows' slot. `schedule_as_of`
/// is when their schedules were read. Rows of other stores stay as they are, orphans too: a store that was
/// deleted since existed then, and nothing new is known of it.
///
/// # Errors
/// A status is unknown, or polars cannot make the rows.
pub fn judged_again(
    rows: AvailabilityRows,
    slot: Slot,
    rules: &Rules,
    stores: &[Store],
    schedule_as_of: Instant,
    changes: &mut Changes,
) -> Result<AvailabilityRows, ParquetError> {
    let frame = &rows.0;
    let (ids, statuses) = (frame.column("store_id")?.str()?, frame.column("status")?.str()?);
    let (observed_at, reasons) = (frame.column("observed_at")?.datetime()?, frame.column("reason")?.str()?);
    let (listed, online) = (frame.column("listed")?.bool()?, frame.column("online")?.bool()?);
    let (mut looks, mut before) = (Vec::with_capacity(rows.len()), HashMap::with_capacity(rows.len()));
    for n in 0..rows.len() {
        let id = ids.get(n).ok_or_else(|| ParquetError::Content("store_id is null".to_owned()))?;
        let status = status(statuses.get(n))?;
        let at = observed_at.physical().get(n).map(parquet::instant).transpose()?;
        looks.push((id.to_owned(), Look::from_row(at, listed.get(n), online.get(n), status, reasons.get(n))));
        before.insert(id, status);
    }
    let looks = Looks::new(rules.id_type, looks);
    let judged = judge_again(slot, rules, stores, &looks);
    for store in &judged {
        changes.add(before.get(store.id.as_ref()).copied(), store.judged.status);
    }
    let others: BooleanChunked = looks.are_of(stores).into_iter().map(|is_of| !is_of).collect();
    let others = AvailabilityRows::of(frame.filter(&others)?)?;
    let again = AvailabilityRows::new(slot, schedule_as_of, &judged)?;
    AvailabilityRows::merge(vec![again, others])
}
