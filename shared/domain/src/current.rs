//! Current outages: which stores are in an outage at a tick, from the tick before and this tick's rows.
//!
//! A tick must say at once who is down and since when. So it adds its own looks to what the tick before
//! said, and reads nothing older, except where the tick before did not see a store that is down now.

use crate::instant::Instant;
use crate::judgement::Status;
use crate::outages::Sight;
use crate::slot::Slot;

/// The tick before is looked for in this many seconds before the slot. After a longer silence, nothing that
/// was said before counts.
pub const HORIZON: i64 = 86_400;

/// The most ticks that are searched for the last good look before an outage.
pub const LOOKS: usize = 8;

/// A store is forgotten once it has been unseen for this many slots since its last bad look: a day. It was
/// deleted, or nobody knows.
pub const FORGOTTEN: u64 = 96;

/// An outage as a tick tells it. The fields are the columns of the same names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ongoing {
    /// The last good look before it, or when its hours opened, whichever is later; `None` if that is not
    /// known.
    pub since_after: Option<Instant>,
    /// The first bad look.
    pub since_by: Instant,
    /// The status at the slot; `None` if the store has no row there.
    pub status: Option<Status>,
    /// The number of bad looks.
    pub bad_looks: u64,
    /// Missed and unknown slots between the first and the last bad look.
    pub unseen_looks: u64,
    /// The scheduled seconds of the bad looks' slots.
    pub lost_seconds: u64,
    /// Whether it begins at the slot.
    pub is_new: bool,
    /// When the hours opened in which this slot's look was bad; `None` if it was not, or if they opened more
    /// than a day before.
    pub opened_at: Option<Instant>,
    /// Missed and unknown slots since the last bad look.
    pub unseen_since: u64,
}

/// A row of the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// The store.
    pub id: &'a str,
    /// What was found.
    pub status: Status,
    /// When; the slot's start stands for it if it is missing.
    pub at: Option<Instant>,
    /// How much of the slot lies within the hours, 0 to 900 seconds.
    pub scheduled_seconds: u16,
    /// When the hours opened in which the store was found down.
    pub opened_at: Option<Instant>,
}

/// A store in an outage at the slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down<'a> {
    /// The store.
    pub id: &'a str,
    /// The outage. If it is new, `since_after` is still to be found, by [`since_after`].
    pub outage: Ongoing,
    /// Which of the rows is its bad look; `None` if it was not found down at this slot.
    pub row: Option<usize>,
    /// Which of the outages of the tick before it is; `None` if it is new.
    pub before: Option<usize>,
}

/// What the tick before said: its slot, and its outages in the order of their ids.
pub type Before<'b, 'a> = (Slot, &'b [(&'a str, Ongoing)]);

/// The outages at the slot, in the order of their ids. `rows` are the slot's, in that order too. The slots
/// since the tick before count as missed.
pub fn down_at<'a>(slot: Slot, rows: &[Row<'a>], before: Option<Before<'_, 'a>>) -> Vec<Down<'a>> {
    let (missed, before) = before.map_or((0, &[][..]), |(last, before)| {
        (((slot.start() - last.start()) / Slot::SECONDS - 1).max(0) as u64, before)
    });
    let mut before = before.iter().enumerate().peekable();
    let (mut down, mut first) = (Vec::new(), 0);
    // An orphan may have the id of a store that cannot be judged.
    for same in rows.chunk_by(|a, b| a.id == b.id) {
        while let Some(old) = before.next_if(|(_, (id, _))| *id < same[0].id) {
            down.extend(carried(old, None, missed));
        }
        let old = before.next_if(|(_, (id, _))| *id == same[0].id);
        let seen =
            same.iter().enumerate().filter_map(|(n, row)| Some((first + n, row, Sight::of(row.status)?)));
        let seen = seen.min_by_key(|(_, _, sight)| *sight == Sight::Unseen);
        match (seen, old) {
            (Some((n, row, Sight::Bad { .. })), old) => down.push(found(slot, (n, row), old, missed)),
            (Some((_, _, Sight::Good)), _) | (None, None) => {}
            (seen, old) => {
                down.extend(old.and_then(|old| carried(old, seen.map(|(_, row, _)| row.status), missed)))
            }
        }
        first += same.len();
    }
    down.extend(before.filter_map(|old| carried(old, None, missed)));
    down
}

/// A store that was found down.
fn found<'a>(
    slot: Slot,
    (n, row): (usize, &Row<'a>),
    old: Option<(usize, &(&'a str, Ongoing))>,
    missed: u64,
) -> Down<'a> {
    let at = row.at.unwrap_or_else(|| slot.first_instant());
    let old = old.filter(|(_, (_, outage))| outage.unseen_since + missed < FORGOTTEN);
    let so_far = old.map(|(_, (_, outage))| outage);
    let outage = Ongoing {
        since_after: so_far.and_then(|outage| outage.since_after),
        since_by: so_far.map_or(at, |outage| outage.since_by),
        status: Some(row.status),
        bad_looks: so_far.map_or(0, |outage| outage.bad_looks) + 1,
        unseen_looks: so_far.map_or(0, |outage| outage.unseen_looks + outage.unseen_since + missed),
        lost_seconds: so_far.map_or(0, |outage| outage.lost_seconds) + u64::from(row.scheduled_seconds),
        is_new: so_far.is_none(),
        opened_at: row.opened_at,
        unseen_since: 0,
    };
    Down { id: row.id, outage, row: Some(n), before: old.map(|(n, _)| n) }
}

/// A store that has closed or was not seen. `None` if it is forgotten.
fn carried<'a>(
    (n, (id, outage)): (usize, &(&'a str, Ongoing)),
    status: Option<Status>,
    missed: u64,
) -> Option<Down<'a>> {
    let is_unseen = status.is_none_or(|status| status == Status::Unknown);
    let unseen_since = outage.unseen_since + missed + u64::from(is_unseen);
    let outage = Ongoing { status, is_new: false, opened_at: None, unseen_since, ..outage.clone() };
    (unseen_since < FORGOTTEN).then_some(Down { id, outage, row: None, before: Some(n) })
}

/// Since when a new outage can have lasted, as far as an earlier tick decides it: the tick's slot, and its
/// look if that was good. `None` if only a tick before that can tell.
pub fn since_after(opened_at: Option<Instant>, tick: Slot, good: Option<Instant>) -> Option<Instant> {
    // Looks before the opening cannot be later than it.
    good.max(opened_at).filter(|since| good.is_some() || *since >= tick.first_instant())
}
