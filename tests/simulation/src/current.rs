//! Who is in an outage at a slot, by all rows up to it: a separate, simple model walks through the slots one by
//! one. The functions carry it from tick to tick instead.
//!
//! `since_after` is the last good look or the opening, whichever is later. The functions search for the good
//! look in the last eight ticks before the outage, of the day before it. It may be null only if neither is
//! known, or if more ticks than these could have had a good look after the opening.

use std::collections::BTreeMap;

use storewatch_domain::current::Ongoing;
use storewatch_domain::{Instant, Slot, Status};
use storewatch_lake::ParquetError;
use storewatch_lake::availability::AvailabilityRows;

/// The most ticks that are searched, and the most slots between two ticks that know of each other. A store that
/// was not seen for as many is forgotten.
const SEARCHED: usize = 8;
const A_DAY: i64 = 96;

/// A store's look in one slot.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    status: Status,
    at: Instant,
    seconds: u64,
    /// When the store opened, if it is down.
    opened_at: Option<Instant>,
}

/// The looks of the ticks that have rows, by store.
pub type Ticks = BTreeMap<Slot, BTreeMap<String, Look>>;

/// The looks in a slot's rows. `opened_at` tells when a store of this id opened.
pub fn looks(
    slot: Slot,
    rows: &AvailabilityRows,
    opened_at: impl Fn(&str) -> Option<Instant>,
) -> Result<BTreeMap<String, Look>, ParquetError> {
    let rows = rows.looks()?;
    let stores = rows.iter().filter(|row| row.status != Status::Orphan);
    let look = |row: &storewatch_domain::current::Row<'_>| Look {
        status: row.status,
        at: row.at.unwrap_or_else(|| slot.first_instant()),
        seconds: u64::from(row.scheduled_seconds),
        opened_at: opened_at(row.id).filter(|_| is_down(row.status)),
    };
    Ok(stores.map(|row| (row.id.to_owned(), look(row))).collect())
}

/// The stores in an outage at the slot, in the order of their ids.
pub fn expected(ticks: &Ticks, slot: Slot) -> Vec<(String, Ongoing)> {
    // Everything from before a silence of more than a day is forgotten.
    let mut from = slot;
    while let Some((earlier, _)) =
        ticks.range(..from).next_back().filter(|(earlier, _)| slots(**earlier, from) <= A_DAY)
    {
        from = *earlier;
    }
    let ids: std::collections::BTreeSet<&String> = ticks.values().flat_map(BTreeMap::keys).collect();
    ids.into_iter().filter_map(|id| Some((id.clone(), store(ticks, id, from, slot)?))).collect()
}

fn store(ticks: &Ticks, id: &str, from: Slot, to: Slot) -> Option<Ongoing> {
    let mut ongoing: Option<Ongoing> = None;
    for n in 0..=slots(from, to) {
        let slot = Slot::containing(from.start() + n * Slot::SECONDS);
        let look = ticks.get(&slot).and_then(|looks| looks.get(id));
        let status = look.map(|look| look.status);
        let unseen = look.is_none_or(|look| look.status == Status::Unknown);
        ongoing = ongoing.filter(|one| {
            status != Some(Status::Available) && one.unseen_since + u64::from(unseen) < A_DAY as u64
        });
        if let Some(one) = &mut ongoing {
            (one.status, one.is_new, one.opened_at) = (status, false, None);
            one.unseen_since += u64::from(unseen);
        }
        let Some(look) = look.filter(|look| is_down(look.status)) else { continue };
        let one = ongoing.get_or_insert_with(|| Ongoing {
            since_after: since(ticks, id, slot, look.opened_at),
            since_by: look.at,
            status,
            bad_looks: 0,
            unseen_looks: 0,
            lost_seconds: 0,
            is_new: true,
            opened_at: None,
            unseen_since: 0,
        });
        one.opened_at = look.opened_at;
        one.bad_looks += 1;
        one.unseen_looks += std::mem::take(&mut one.unseen_since);
        one.lost_seconds += look.seconds;
    }
    ongoing
}

/// Since when an outage that begins at the slot can have lasted.
fn since(ticks: &Ticks, id: &str, slot: Slot, opened_at: Option<Instant>) -> Option<Instant> {
    let near: Vec<_> =
        ticks.range(..slot).rev().take_while(|(earlier, _)| slots(**earlier, slot) <= A_DAY).collect();
    let searched = &near[..near.len().min(SEARCHED)];
    let good =
        searched.iter().filter_map(|(_, looks)| looks.get(id)).find(|look| look.status == Status::Available);
    let last = good.map(|look| look.at).max(opened_at);
    let reaches =
        opened_at.is_some_and(|opened| searched.iter().any(|(earlier, _)| earlier.first_instant() <= opened));
    last.filter(|_| good.is_some() || reaches || near.len() <= SEARCHED)
}

fn is_down(status: Status) -> bool {
    status == Status::Unavailable || status == Status::Unlisted
}

fn slots(from: Slot, to: Slot) -> i64 {
    (to.start() - from.start()) / Slot::SECONDS
}
