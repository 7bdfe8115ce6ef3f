//! Judging again: what was seen of the stores in a slot that is past, held against schedules as they
//! are now. The live view's past cannot be asked for, but a slot's rows have kept what it said.

use std::collections::{HashMap, HashSet};

use crate::chunk::{JudgedStore, Judging, Rules};
use crate::instant::Instant;
use crate::judgement::{LiveStore, Reason, Status, ViewFailure};
use crate::slot::Slot;
use crate::store::{IdType, Store, StoreKey};

/// What was seen of a store, as its row has kept it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// It was observed.
    Seen {
        /// When, within the slot.
        at: Instant,
        /// Its documents; nothing where it was not listed.
        store: Option<LiveStore>,
    },
    /// It was not observed, and why not; nothing where its row says something else, that its schedule
    /// was bad.
    Unseen(Option<ViewFailure>),
}

impl Look {
    /// Reads it from the columns of a row that are named so.
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

/// What was seen of all the stores in one slot.
#[derive(Debug, Clone)]
pub struct Looks {
    id_type: IdType,
    rows: Vec<(String, Look)>,
    by_id: HashMap<String, usize>,
    /// In the order of the live view's ids, which is that of the chunks. What is no such id, or the id of
    /// a row before, comes first, as [`cut`](crate::cut) has it.
    by_key: Vec<(Option<StoreKey>, usize)>,
}

/// A store's view: when it was observed and its documents, or why it was not.
type View<'a> = Result<(Instant, Option<&'a LiveStore>), ViewFailure>;

impl Looks {
    /// The ids of a slot's rows with what they say of the live view. Ids are unique.
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

    /// Which of the rows are of one of these stores, in their own order: those that [`judge_again`]
    /// makes anew. An orphan's is of the store that has come for its id.
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

    /// What was seen of the store; nothing where the slot has no rows at all.
    fn of(&self, store: &Store) -> Option<View<'_>> {
        let key = StoreKey::new(&store.id, self.id_type);
        let place = self.by_key.partition_point(|(other, _)| *other < key);
        let same = || self.by_key.get(place).filter(|(other, _)| key.is_some() && *other == key);
        let (own, same) = (self.by_id.get(&store.id).copied(), same().map(|(_, n)| *n));
        // A row of the same text may have been a second row of one id, which no view was held against.
        let own = if store.problem.is_none() { same.or(own) } else { own.or(same) };
        match own.map(|n| &self.rows[n].1) {
            Some(Look::Seen { at, store }) => Some(Ok((*at, store.as_ref()))),
            Some(Look::Unseen(failure)) => Some(Err(self.failure(*failure, place))),
            None => self.near(place),
        }
    }

    /// How the chunk was seen that a place in the order of ids lies in, which has no row. A chunk is a
    /// range of ids, so it is the chunk of the row before or of the row after. Where only one of them
    /// was observed it is not known which, and whoever was not observed is not called unlisted.
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

    /// Why a chunk was not observed of which a row was not observed for this reason, or tells none: then
    /// the rows beside it do that were not observed either.
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

/// Judges the stores by what was seen of them in the slot.
///
/// A store that has no row in the slot, because its schedule was entered later, was looked for all
/// the same: observing asks for ranges of ids. It is judged as not listed where the stores around it
/// were observed, and as unknown where they were not. A reason of the live view is lost where the
/// store's row said `bad_schedule` in its place.
///
/// Without any row of the slot nothing is judged: nobody knows what was seen.
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
        // Its id is none of the live view's, so it was in no document.
        let named = StoreKey::new(&store.id, rules.id_type).is_some();
        Some(judging.row(store, view.map(|(_, live)| live.filter(|_| named))))
    });
    judged.collect()
}
