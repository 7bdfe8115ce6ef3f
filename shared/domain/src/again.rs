//! Judges a past slot again, by the schedules as they are now. The live view cannot be asked about
//! the past, but the rows of the slot have kept what it showed.

use std::collections::{HashMap, HashSet};

use crate::chunk::{JudgedStore, Judging, Rules};
use crate::instant::Instant;
use crate::judgement::{LiveStore, Reason, Status, ViewFailure};
use crate::slot::Slot;
use crate::store::{IdType, Store, StoreKey};

/// What the live view showed of a store, as kept in its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The store was observed.
    Seen {
        /// When, within the slot.
        at: Instant,
        /// Its documents; `None` if it was not listed.
        store: Option<LiveStore>,
    },
    /// The store was not observed, and why. `None` if the row gives another reason instead, that its
    /// schedule was bad.
    Unseen(Option<ViewFailure>),
}

impl Look {
    /// Reads it from a row's columns of these names.
    pub fn from_row(
        observed_at: Option<Instant>,
        listed: Option<bool>,
        online: Option<bool>,
        status: Status,
        reason: Option<&str>,
    ) -> Self {
        let (Some(at), Some(listed)) = (observed_at, listed) else {
            let reason = reason.and_then(|reason| reason.parse::<Reason>().ok());
            return Self::Unseen(reason.and_then(Reason::view_failure));
        };
        let reason = reason.filter(|_| status != Status::Unknown).map(str::to_owned);
        Self::Seen { at, store: listed.then_some(LiveStore { online: online == Some(true), reason }) }
    }
}

/// What the live view showed of all stores in one slot.
#[derive(Debug, Clone)]
pub struct Looks {
    id_type: IdType,
    rows: Vec<(String, Look)>,
    by_id: HashMap<String, usize>,
    /// In the order of the live view's ids, which is also the order of the chunks. As in
    /// [`cut`](crate::cut), a row comes first if the live view cannot have its id, or an earlier row has
    /// the same id.
    by_key: Vec<(Option<StoreKey>, usize)>,
}

/// When a store was observed and its documents, or why it was not observed.
type View<'a> = Result<(Instant, Option<&'a LiveStore>), ViewFailure>;

impl Looks {
    /// Takes the ids of a slot's rows, and what each row says about the live view. Ids must be unique.
    pub fn new(id_type: IdType, rows: Vec<(String, Look)>) -> Self {
        let by_id = rows.iter().zip(0..).map(|((id, _), n)| (id.clone(), n)).collect();
        let mut by_key: Vec<(Option<StoreKey>, usize)> =
            rows.iter().zip(0..).map(|((id, _), n)| (StoreKey::new(id, id_type), n)).collect();
        by_key.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| rows[a.1].0.cmp(&rows[b.1].0)));
        for n in (1..by_key.len()).rev() {
            if by_key[n].0 == by_key[n - 1].0 {
                by_key[n].0 = None;
            }
        }
        by_key.sort_by(|a, b| a.0.cmp(&b.0));
        Self { id_type, rows, by_id, by_key }
    }

    /// For each row, in order, whether it belongs to one of these stores. [`judge_again`] replaces these
    /// rows. An orphan's row belongs to the store that has been added with its id.
    pub fn are_of(&self, stores: &[Store]) -> Vec<bool> {
        let ids: HashSet<&str> = stores.iter().map(|store| store.id.as_str()).collect();
        let keys: HashSet<StoreKey> =
            stores.iter().filter_map(|store| StoreKey::new(&store.id, self.id_type)).collect();
        let of_store = |id: &String| {
            ids.contains(id.as_str())
                || StoreKey::new(id, self.id_type).is_some_and(|key| keys.contains(&key))
        };
        self.rows.iter().map(|(id, _)| of_store(id)).collect()
    }

    /// What the live view showed of the store; `None` if the slot has no rows at all.
    fn of(&self, store: &Store) -> Option<View<'_>> {
        let key = StoreKey::new(&store.id, self.id_type);
        let place = self.by_key.partition_point(|(other, _)| *other < key);
        let same = || self.by_key.get(place).filter(|(other, _)| key.is_some() && *other == key);
        let (own, same) = (self.by_id.get(&store.id).copied(), same().map(|(_, n)| *n));
        // A row with the same text may be a duplicate of another row's id. Such rows were not compared with a view.
        let own = if store.problem.is_none() { same.or(own) } else { own.or(same) };
        match own.map(|n| &self.rows[n].1) {
            Some(Look::Seen { at, store }) => Some(Ok((*at, store.as_ref()))),
            Some(Look::Unseen(failure)) => Some(Err(self.failure(*failure, place))),
            None => self.near(place),
        }
    }

    /// How the chunk was observed that covers a place in the order of ids without a row. A chunk is a
    /// range of ids, so the chunk is that of the row before or of the row after. If only one of these
    /// was observed, it is not known which one it is, and a store that may not have been observed must
    /// not be called unlisted.
    fn near(&self, place: usize) -> Option<View<'_>> {
        let look = |(_, n): &(Option<StoreKey>, usize)| &self.rows[*n].1;
        let (before, after) = (self.by_key[..place].last().map(look), self.by_key.get(place).map(look));
        let failed = [before, after].into_iter().flatten().find_map(|look| match look {
            Look::Seen { .. } => None,
            Look::Unseen(failure) => Some(*failure),
        });
        match (failed, before.or(after)?) {
            (Some(failure), _) => Some(Err(self.failure(failure, place))),
            (None, Look::Seen { at, .. }) => Some(Ok((*at, None))),
            (None, Look::Unseen(failure)) => Some(Err(self.failure(*failure, place))),
        }
    }

    /// Why the chunk at this place was not observed: the reason in the row itself if it has one, otherwise
    /// the reason in the nearest rows that were not observed either.
    fn failure(&self, told: Option<ViewFailure>, place: usize) -> ViewFailure {
        let unseen = |(_, n): &(Option<StoreKey>, usize)| match &self.rows[*n].1 {
            Look::Seen { .. } => None,
            Look::Unseen(failure) => Some(*failure),
        };
        let before = self.by_key[..place].iter().rev().map_while(unseen).find_map(|failure| failure);
        let after = || self.by_key[place..].iter().map_while(unseen).find_map(|failure| failure);
        told.or(before).or_else(after).unwrap_or(ViewFailure::Unavailable)
    }
}

/// Judges the stores by what the live view showed of them in the slot.
///
/// A store without a row, because its schedule was entered later, was still observed: an observation
/// asks for a range of ids. It counts as not listed if the stores around it were observed, and as
/// unknown if they were not. The live view's reason is lost if the store's row has `bad_schedule`
/// instead.
///
/// If the slot has no rows, returns none: what the live view showed is not known.
///
/// ```
/// use storewatch_domain::*;
/// let slot: Slot = "2026-11-23T09:00:00Z".parse()?;
/// let zones = Zones::embedded();
/// let rules = Rules {
///     default_timezone: zones.get("UTC")?,
///     zones,
///     missing_hours: MissingHours::AlwaysOpen,
///     id_type: IdType::Long,
/// };
/// let offline = Look::Seen { at: slot.first_instant(), store: Some(LiveStore::default()) };
/// let looks = Looks::new(rules.id_type, vec![("7".to_owned(), offline)]);
/// let stores = ["7", "8"].map(|id| Store { id: id.to_owned(), ..Store::default() });
/// let statuses: Vec<Status> =
///     judge_again(slot, &rules, &stores, &looks).iter().map(|row| row.judged.status).collect();
/// assert_eq!(statuses, [Status::Unavailable, Status::Unlisted]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn judge_again<'a>(
    slot: Slot,
    rules: &'a Rules,
    stores: &'a [Store],
    looks: &'a Looks,
) -> Vec<JudgedStore<'a>> {
    let mut judging = Judging::new(slot, rules);
    let judged = stores.iter().filter_map(|store| {
        let view = looks.of(store)?;
        judging.observed(view.ok().map(|(at, _)| at));
        // The live view cannot have this id, so no document was this store's.
        let named = StoreKey::new(&store.id, rules.id_type).is_some();
        Some(judging.row(store, view.map(|(_, live)| live.filter(|_| named))))
    });
    judged.collect()
}
