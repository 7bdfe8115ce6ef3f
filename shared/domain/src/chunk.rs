//! Chunks: ranges of stores that are observed together, and how a whole chunk is judged.

use std::borrow::Cow;

use crate::hours::{LocalDate, MissingHours, Opening};
use crate::instant::Instant;
use crate::judgement::{Judged, LiveStore, Seen, Status, ViewFailure, judge, orphan};
use crate::labels::Labels;
use crate::outages::opened_at;
use crate::slot::Slot;
use crate::store::{IdRange, IdType, Store, StoreKey};
use crate::tzdb::{Zone, Zones};
use crate::zone::ZoneClocks;

/// No store has an id that the live view could have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "none of the {stores} stores has an id that can be one of the live view's (the first is {example:?}), which are {}",
    wanted(*.id_type)
)]
pub struct NoUsableIds {
    /// The number of stores.
    pub stores: usize,
    /// The id of the first store, shortened to 80 characters.
    pub example: String,
    /// How the live view maps ids.
    pub id_type: IdType,
}

fn wanted(id_type: IdType) -> String {
    match id_type {
        IdType::Long => "numbers (\"long\")".to_owned(),
        IdType::Keyword => format!("texts of at most {} bytes (\"keyword\")", StoreKey::LONGEST),
    }
}

/// An id, shortened for messages.
fn shown(id: &str) -> String {
    id.chars().take(80).collect()
}

/// One chunk of a country: its stores, and the range of ids that it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// In the order of the live view's ids. Stores that cannot be judged because of their id come first.
    pub stores: Vec<Store>,
    /// The ids that it covers, including orphans'.
    pub range: IdRange,
}

/// Sorts the stores in the order of the live view's ids and cuts them into chunks of at most `size`.
///
/// The ranges cover all ids without gaps or overlaps, so every document, even an orphan, falls into
/// exactly one chunk. If there are no stores, there is one chunk for all ids. A store is spoiled and
/// comes first if the live view cannot have its id, or an earlier store has the same id.
///
/// # Errors
/// There are stores, but the live view could have none of their ids.
///
/// ```
/// use storewatch_domain::{IdType, Store, StoreKey, cut};
/// let stores = ["10", "9", "200"].map(|id| Store { id: id.to_owned(), ..Store::default() });
/// let chunks = cut(stores.into(), IdType::Long, 2)?;
/// let ids: Vec<&str> = chunks[0].stores.iter().map(|store| store.id.as_str()).collect();
/// assert_eq!(ids, ["9", "10"]);
/// assert_eq!(chunks[0].range.last, Some(StoreKey::Long(200)));
/// assert!(chunks[1].range.contains(&StoreKey::Long(i64::MAX)));
/// # Ok::<(), storewatch_domain::NoUsableIds>(())
/// ```
pub fn cut(mut stores: Vec<Store>, id_type: IdType, size: usize) -> Result<Vec<Chunk>, NoUsableIds> {
    let mut keyed: Vec<(Option<StoreKey>, Store)> =
        stores.drain(..).map(|store| (StoreKey::new(&store.id, id_type), store)).collect();
    keyed.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.id.cmp(&b.1.id)));
    for n in 0..keyed.len() {
        let twin = n.checked_sub(1).filter(|&before| keyed[before].0 == keyed[n].0);
        let (key, store) = &keyed[n];
        let problem = match (key, twin) {
            (None, _) => Some(format!(
                "the live view cannot have the id {:?}: its ids are {}",
                shown(&store.id),
                wanted(id_type)
            )),
            (Some(key), Some(_)) => {
                Some(format!("id {:?} names the same store as another row: {key}", store.id))
            }
            _ => None,
        };
        if let Some(problem) = problem {
            keyed[n].1.spoil(problem);
        }
    }
    // Twins keep their keys until here, so that only the first of many equal ones stays unspoiled.
    for n in (1..keyed.len()).rev() {
        if keyed[n].0 == keyed[n - 1].0 {
            keyed[n].0 = None;
        }
    }
    keyed.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some((_, store)) = keyed.first().filter(|_| keyed.iter().all(|(key, _)| key.is_none())) {
        return Err(NoUsableIds { stores: keyed.len(), example: shown(&store.id), id_type });
    }
    let size = size.max(1);
    let starts: Vec<Option<StoreKey>> =
        (0..keyed.len()).step_by(size).map(|n| keyed[n..].iter().find_map(|(key, _)| key.clone())).collect();
    let mut rest = keyed.into_iter().map(|(_, store)| store);
    Ok((0..starts.len().max(1))
        .map(|n| Chunk {
            stores: rest.by_ref().take(size).collect(),
            range: IdRange {
                first: if n == 0 { None } else { starts[n].clone() },
                last: starts.get(n + 1).cloned().flatten(),
            },
        })
        .collect())
}

/// The settings by which a country's stores are judged.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The time zones in which stores' zones are looked up.
    pub zones: Zones,
    /// The zone of stores that name none; one of `zones`.
    pub default_timezone: Zone,
    /// Whether a store without weekly rows is open.
    pub missing_hours: MissingHours,
    /// How the live view maps ids.
    pub id_type: IdType,
}

/// An observation of one chunk's part of the live view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// When it was made.
    pub at: Instant,
    /// The listed stores, each once, in the order of their ids.
    pub stores: Vec<(StoreKey, LiveStore)>,
}

/// A judged store, with the other columns of its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedStore<'a> {
    /// PostgreSQL's id, or the live view's for an orphan.
    pub id: Cow<'a, str>,
    /// As PostgreSQL has it; `None` for an orphan.
    pub name: Option<&'a str>,
    /// As PostgreSQL has it; `None` for an orphan.
    pub city: Option<&'a str>,
    /// The store's zone as written, even if it does not exist, or else the country's default.
    pub timezone: &'a str,
    /// Local date and hour (0 to 23) of the slot in the store's zone; `None` if the zone does not exist.
    pub local: Option<(LocalDate, u8)>,
    /// When it was observed; `None` if it was not.
    pub observed_at: Option<Instant>,
    /// As PostgreSQL has them; none for an orphan.
    pub labels: &'a Labels,
    /// The status and what it is based on.
    pub judged: Judged<'a>,
    /// When the hours opened in which the observation found it unavailable or unlisted. `None` if it did
    /// not, and if they opened more than a day before.
    pub opened_at: Option<Instant>,
}

/// Judges the stores of a chunk and its orphans.
///
/// Rows are in the order of the live view's ids. Stores whose id the live view cannot have come first.
/// An observation made outside the slot is not used: its stores are `unknown` with the reason `late`.
///
/// Looks each zone up once, and walks stores and documents once, in the order of their ids.
pub fn judge_chunk<'a>(
    slot: Slot,
    rules: &'a Rules,
    stores: &'a [Store],
    view: Result<&'a Observation, ViewFailure>,
) -> Vec<JudgedStore<'a>> {
    let view = view.and_then(|seen| if slot.contains(seen.at) { Ok(seen) } else { Err(ViewFailure::Late) });
    let mut judging = Judging { openings: true, ..Judging::new(slot, rules) };
    judging.observed(view.ok().map(|seen| seen.at));
    let mut rows: Vec<JudgedStore<'a>> = Vec::with_capacity(stores.len());
    let mut known: Vec<(StoreKey, &'a Store)> = Vec::with_capacity(stores.len());
    for store in stores {
        match StoreKey::new(&store.id, rules.id_type) {
            Some(key) => known.push((key, store)),
            None => rows.push(judging.row(store, view.map(|_| None))),
        }
    }
    known.sort_by(|a, b| a.0.cmp(&b.0));
    let mut known = known.into_iter().peekable();
    for (key, live) in view.map_or(&[][..], |seen| &seen.stores) {
        while let Some((_, store)) = known.next_if(|(id, _)| id < key) {
            rows.push(judging.row(store, Ok(None)));
        }
        let mut listed = false;
        // Two ids in PostgreSQL, such as "7" and "07", can be the same id in the live view.
        while let Some((_, store)) = known.next_if(|(id, _)| id == key) {
            rows.push(judging.row(store, Ok(Some(live))));
            listed = true;
        }
        if !listed {
            rows.push(judging.orphan(key, live));
        }
    }
    rows.extend(known.map(|(_, store)| judging.row(store, view.map(|_| None))));
    rows
}

/// State shared by the stores of a slot.
pub(crate) struct Judging<'a> {
    slot: Slot,
    rules: &'a Rules,
    clocks: ZoneClocks<'a>,
    /// Whether to look for the openings of stores that are down.
    openings: bool,
    /// The clocks of the slots before, the latest first, as far as they were needed.
    earlier: Vec<ZoneClocks<'a>>,
    /// When the observation was made; `None` if there is no usable one.
    observed_at: Option<Instant>,
    /// The same in seconds since the start of the slot; 0 without an observation.
    second: u16,
}

impl<'a> Judging<'a> {
    pub(crate) fn new(slot: Slot, rules: &'a Rules) -> Self {
        let clocks = ZoneClocks::new(rules.zones.clone(), slot);
        Self { slot, rules, clocks, openings: false, earlier: Vec::new(), observed_at: None, second: 0 }
    }

    /// Sets when the following stores were observed, within the slot.
    pub(crate) fn observed(&mut self, at: Option<Instant>) {
        self.observed_at = at;
        self.second = at.map_or(0, |at| (at.micros_since(self.slot.first_instant()) / 1_000_000) as u16);
    }

    pub(crate) fn row(
        &mut self,
        store: &'a Store,
        live: Result<Option<&'a LiveStore>, ViewFailure>,
    ) -> JudgedStore<'a> {
        let rules = self.rules;
        let timezone = store.timezone.as_deref().unwrap_or(rules.default_timezone.name());
        let clock = self.clocks.get(timezone);
        let usable = clock.filter(|_| store.problem.is_none());
        let opening = usable.map(|clock| store.hours.opening(clock, rules.missing_hours));
        let second = self.second;
        let local = clock.map(|clock| (clock.local_date(), clock.local_hour()));
        let judged = judge(opening.as_ref(), live.map(|store| Seen { second, store }));
        let is_down = matches!(judged.status, Status::Unavailable | Status::Unlisted);
        JudgedStore {
            id: Cow::Borrowed(&store.id),
            name: store.name.as_deref(),
            city: store.city.as_deref(),
            timezone,
            local,
            observed_at: self.observed_at,
            labels: &store.labels,
            judged,
            opened_at: opening
                .filter(|_| is_down && self.openings)
                .and_then(|now| self.opened_at(store, timezone, now)),
        }
    }

    /// When the hours opened that contain the observation. `now` is when the store is open in the slot.
    fn opened_at(&mut self, store: &'a Store, timezone: &'a str, now: Opening) -> Option<Instant> {
        let (slot, rules, earlier) = (self.slot, self.rules, &mut self.earlier);
        let mut hours = |of: Slot| {
            let Some(back) = ((slot.start() - of.start()) / Slot::SECONDS - 1).try_into().ok() else {
                return Some(now.clone());
            };
            while earlier.len() <= back {
                let next = Slot::containing(slot.start() - (earlier.len() as i64 + 1) * Slot::SECONDS);
                earlier.push(ZoneClocks::new(rules.zones.clone(), next));
            }
            earlier[back].get(timezone).map(|clock| store.hours.opening(clock, rules.missing_hours))
        };
        opened_at(self.observed_at?, &mut hours).flatten()
    }

    fn orphan(&mut self, key: &StoreKey, live: &'a LiveStore) -> JudgedStore<'a> {
        let timezone = self.rules.default_timezone.name();
        let clock = self.clocks.get(timezone);
        JudgedStore {
            id: Cow::Owned(key.to_string()),
            name: None,
            city: None,
            timezone,
            local: clock.map(|clock| (clock.local_date(), clock.local_hour())),
            observed_at: self.observed_at,
            labels: &Labels::NONE,
            judged: orphan(live),
            opened_at: None,
        }
    }
}
