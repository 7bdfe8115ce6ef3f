//! What the sources say at any time, and which rows follow from it. A separate, simple model computes the
//! rows: stores are open all day or not at all, so that it needs to know only the date.

use std::collections::BTreeMap;

use fastrand::Rng;
use storewatch_domain::{
    ExceptionHours, IdType, Instant, Labels, LocalDate, Slot, Status, Store, StoreHours, StoreKey, WallTime,
    WeeklyHours,
};
use storewatch_sources::memory::Document;

/// When a store is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hours {
    Always,
    Never,
    AlwaysBut(LocalDate),
    NeverBut(LocalDate),
    /// Its rows are invalid.
    Bad,
}

/// What PostgreSQL says from an instant on.
#[derive(Debug, Clone)]
struct Edition {
    from: i64,
    stores: Vec<(StoreKey, Hours)>,
}

/// What one country's sources say.
pub struct Truth {
    seed: u64,
    pub id_type: IdType,
    pub chunk_stores: usize,
    pub versioned: bool,
    /// Where in the slot the country looks.
    pub look_after_seconds: i64,
    keys: Vec<StoreKey>,
    editions: Vec<Edition>,
}

impl Truth {
    /// A country's sources over these slots, which are in order.
    pub fn new(seed: u64, id_type: IdType, base: i64, slots: &[Slot]) -> Self {
        let mut rng = Rng::with_seed(seed);
        let key = |n: i64| match id_type {
            IdType::Long => StoreKey::Long(base + n),
            IdType::Keyword => StoreKey::Keyword(format!("k{base}-{n}")),
        };
        // Their order as text differs from their order as numbers.
        let mut keys: Vec<StoreKey> = [1, 2, 7, 9, 10, 11, 20, 100, 101, 1000].map(key).into();
        keys.sort();
        let dates: Vec<LocalDate> = slots.iter().map(|slot| date(*slot)).collect();
        let mut editions: Vec<Edition> = Vec::new();
        for slot in slots {
            if editions.is_empty() || rng.bool() {
                let from = slot.start_micros() + rng.i64(0..Slot::SECONDS * 1_000_000);
                let from = if editions.is_empty() { i64::MIN } else { from };
                editions.push(Edition { from, stores: stores(&mut rng, &keys, &dates) });
            }
        }
        let (chunk_stores, versioned) = (rng.usize(2..=3), rng.bool());
        let look_after_seconds = [0, 0, 300, 600][(seed % 4) as usize];
        Self { seed, id_type, chunk_stores, versioned, look_after_seconds, keys, editions }
    }

    /// The edition of the schedules at the instant.
    pub fn edition_at(&self, micros: i64) -> usize {
        self.editions.iter().rposition(|edition| edition.from <= micros).unwrap_or(0)
    }

    /// The stores of an edition, as PostgreSQL has them.
    pub fn stores(&self, edition: usize) -> Vec<Store> {
        self.editions[edition].stores.iter().map(|(key, hours)| store(key, *hours)).collect()
    }

    /// When a store opened that is open in the slot. `None` if it was open on the day before, too.
    pub fn opened_at(&self, slot: Slot, edition: usize, id: &str) -> Option<Instant> {
        let (_, hours) = self.editions[edition].stores.iter().find(|(key, _)| key.to_string() == id)?;
        let was_open = match *hours {
            Hours::Always => true,
            Hours::AlwaysBut(but) => but != date(slot).plus_days(-1),
            Hours::NeverBut(but) => but == date(slot).plus_days(-1),
            Hours::Never | Hours::Bad => false,
        };
        (!was_open).then(|| slot.day().first_slot().first_instant())
    }

    /// The documents of the live view at the instant. They change at the start of each slot, and once
    /// within it.
    pub fn documents_at(&self, micros: i64) -> Vec<Document> {
        let slot = Slot::containing(micros.div_euclid(1_000_000));
        let changes = slot.start_micros() + self.rng(slot, 2).i64(0..Slot::SECONDS * 1_000_000);
        self.documents(slot, u64::from(micros >= changes))
    }

    fn rng(&self, slot: Slot, part: u64) -> Rng {
        Rng::with_seed(self.seed ^ (slot.start() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (part << 60))
    }

    fn documents(&self, slot: Slot, part: u64) -> Vec<Document> {
        let mut rng = self.rng(slot, part);
        let mut documents = Vec::new();
        for key in &self.keys {
            for _ in 0..[0, 1, 1, 1, 2][rng.usize(..5)] {
                documents.push(Document { id: key.clone(), online: rng.u8(..4) > 0, reason: None });
            }
        }
        // The live view has an id of every edition: until one ever matches, all stores are unknown.
        for (key, _) in self.editions.iter().filter_map(|edition| edition.stores.first()) {
            if !documents.iter().any(|document| document.id == *key) {
                documents.push(Document { id: key.clone(), online: true, reason: None });
            }
        }
        documents
    }

    /// Checks the rows of a slot's file. Returns how many of its chunks cannot have been observed.
    ///
    /// Each chunk must match an undisturbed observation in the slot, or be entirely unknown.
    pub fn check_rows(&self, slot: Slot, edition: usize, rows: &[(String, String)]) -> Result<u32, String> {
        let mut stores = self.editions[edition].stores.clone();
        stores.sort_by(|a, b| a.0.cmp(&b.0));
        let mut of_chunk: BTreeMap<usize, BTreeMap<StoreKey, &str>> = BTreeMap::new();
        for (id, status) in rows {
            let key = StoreKey::new(id, self.id_type).ok_or_else(|| format!("{id:?} is not an id"))?;
            if !self.keys.contains(&key) {
                return Err(format!("{id:?} is not a store of this country"));
            }
            let before = stores.iter().filter(|(known, _)| *known <= key).count();
            let chunk = before.saturating_sub(1) / self.chunk_stores;
            of_chunk.entry(chunk).or_default().insert(key, status);
        }
        let seen: [Vec<Document>; 2] = [self.documents(slot, 0), self.documents(slot, 1)];
        let mut unknown = 0;
        for (n, chunk) in stores.chunks(self.chunk_stores).enumerate() {
            let found = of_chunk.remove(&n).unwrap_or_default();
            let not_judged: BTreeMap<StoreKey, &str> =
                chunk.iter().map(|(key, _)| (key.clone(), Status::Unknown.as_str())).collect();
            let first = (n > 0).then(|| &chunk[0].0);
            let last = stores.get((n + 1) * self.chunk_stores).map(|(key, _)| key);
            let inside =
                |key: &StoreKey| first.is_none_or(|first| first <= key) && last.is_none_or(|last| key < last);
            let wanted = seen.each_ref().map(|documents| {
                let documents: Vec<&Document> =
                    documents.iter().filter(|document| inside(&document.id)).collect();
                judged(date(slot), chunk, &documents)
            });
            if wanted.contains(&found) {
                continue;
            }
            unknown += 1;
            if found != not_judged {
                return Err(format!(
                    "chunk {n} of {slot}, schedules {edition}, says\n  {found:?}\nbut an observer could see\n  {:?}\n  {:?}",
                    wanted[0], wanted[1]
                ));
            }
        }
        match of_chunk.first_key_value() {
            None => Ok(unknown),
            Some((_, rows)) => Err(format!("{rows:?} are not in any chunk")),
        }
    }
}

fn date(slot: Slot) -> LocalDate {
    LocalDate::from_days(slot.start().div_euclid(86_400) as i32)
}

fn stores(rng: &mut Rng, keys: &[StoreKey], dates: &[LocalDate]) -> Vec<(StoreKey, Hours)> {
    let mut keys = keys.to_vec();
    rng.shuffle(&mut keys);
    keys.truncate(rng.usize(3..=8));
    let mut hours = || match rng.u8(..12) {
        0..5 => Hours::Always,
        5 | 6 => Hours::Never,
        7 | 8 => Hours::AlwaysBut(dates[rng.usize(..dates.len())]),
        9 | 10 => Hours::NeverBut(dates[rng.usize(..dates.len())]),
        _ => Hours::Bad,
    };
    keys.into_iter().map(|key| (key, hours())).collect()
}

fn store(key: &StoreKey, hours: Hours) -> Store {
    let all_day = |weekday| WeeklyHours::new(weekday, Some(WallTime::MIDNIGHT), Some(WallTime::END_OF_DAY));
    let always: Vec<WeeklyHours> = (1..=7).map(|weekday| all_day(weekday).unwrap()).collect();
    let (open, close) = (Some(WallTime::MIDNIGHT), Some(WallTime::END_OF_DAY));
    let (weekly, exceptions) = match hours {
        Hours::Always => (always, vec![]),
        Hours::AlwaysBut(date) => (always, vec![ExceptionHours::new(date, None, None).unwrap()]),
        Hours::NeverBut(date) => (vec![], vec![ExceptionHours::new(date, open, close).unwrap()]),
        Hours::Never | Hours::Bad => (vec![], vec![]),
    };
    let id = key.to_string();
    Store {
        city: [None, Some("Zamora".to_owned()), Some("Ávila".to_owned())][id.len() % 3].clone(),
        name: Some(format!("store {id}")),
        id,
        timezone: None,
        labels: Labels::NONE,
        hours: StoreHours { weekly, exceptions },
        problem: (hours == Hours::Bad).then(|| "weekday 8".to_owned()),
    }
}

fn judged<'a>(
    date: LocalDate,
    stores: &[(StoreKey, Hours)],
    documents: &[&Document],
) -> BTreeMap<StoreKey, &'a str> {
    let orphans = documents.iter().map(|document| (document.id.clone(), Status::Orphan.as_str()));
    let mut rows: BTreeMap<StoreKey, &str> = orphans.collect();
    for (key, hours) in stores {
        let open = match *hours {
            Hours::Always => Some(true),
            Hours::Never => Some(false),
            Hours::AlwaysBut(but) => Some(but != date),
            Hours::NeverBut(but) => Some(but == date),
            Hours::Bad => None,
        };
        let mut listed = documents.iter().filter(|document| document.id == *key).peekable();
        let (is_listed, online) = (listed.peek().is_some(), listed.any(|document| document.online));
        let status = match (open, online, is_listed) {
            (None, _, _) => Status::Unknown,
            (Some(true), true, _) => Status::Available,
            (Some(true), false, true) => Status::Unavailable,
            (Some(true), false, false) => Status::Unlisted,
            (Some(false), true, _) => Status::Unexpected,
            (Some(false), false, _) => Status::Closed,
        };
        rows.insert(key.clone(), status.as_str());
    }
    rows
}
