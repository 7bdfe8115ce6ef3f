//! A day that is judged again in ranges is the same as one that is judged again at once.

use std::collections::BTreeSet;

use proptest::prelude::*;
use storewatch_domain::{
    IdType, LiveStore, MissingHours, Observation, StoreHours, StoreKey, ViewFailure, WallTime, WeeklyHours,
    Zones, judge_chunk,
};

use super::*;
use crate::compaction::{self, compact};

const SLOTS: usize = 3;

fn slot(n: usize) -> Slot {
    Slot::containing(1_795_392_000 + n as i64 * Slot::SECONDS)
}

fn rules(id_type: IdType) -> Rules {
    let zones = Zones::embedded();
    let default_timezone = zones.get("UTC").unwrap();
    Rules { zones, default_timezone, missing_hours: MissingHours::AlwaysOpen, id_type }
}

/// A store that is open all day, or closed; some have a bad schedule.
fn store(id: &str, kind: u8) -> Store {
    let closed = (1..=7).map(|day| WeeklyHours::new(day, None, None).unwrap()).collect();
    let open = WeeklyHours::new(1, WallTime::from_seconds(0), WallTime::from_seconds(0)).unwrap();
    let weekly = if kind.is_multiple_of(3) { closed } else { vec![open] };
    let city = ["Lugo", "León", "Ávila"].get(usize::from(kind % 4)).map(|city| (*city).to_owned());
    Store {
        id: id.to_owned(),
        city,
        hours: StoreHours { weekly, exceptions: Vec::new() },
        problem: (kind % 7 == 6).then(|| "weekday 8".to_owned()),
        ..Store::default()
    }
}

/// What a world has: its stores at each slot, how its chunks were observed, and its stores now.
#[derive(Debug, Clone)]
struct World {
    id_type: IdType,
    /// The kind of each store, and the slots in which it has no row.
    stores: BTreeMap<String, (u8, BTreeSet<usize>)>,
    /// For each slot, the size of its chunks and the numbers of those that failed.
    slots: Vec<(usize, BTreeSet<usize>)>,
    now: BTreeMap<String, u8>,
}

/// Ids with one to four digits, and a few that are written in another way.
fn ids() -> impl Strategy<Value = String> {
    prop_oneof![
        20 => (0..5_000_u32).prop_map(|n| n.to_string()),
        20 => (0..120_u32).prop_map(|n| n.to_string()),
        5 => (1..60_u32).prop_map(|n| format!("-{n}")),
    ]
}

fn worlds() -> impl Strategy<Value = World> {
    let without = prop::collection::btree_set(0..SLOTS, 0..2);
    let stores = prop::collection::btree_map(ids(), (any::<u8>(), without), 1..60);
    let slots = (1..15_usize, prop::collection::btree_set(0..8_usize, 0..4));
    let slots = prop::collection::vec(slots, SLOTS);
    let padded = prop_oneof![9 => Just(None), 1 => ids().prop_map(|id| Some(format!("00{id}")))];
    let now = prop::collection::btree_map(ids(), any::<u8>(), 0..30);
    (any::<bool>(), stores, slots, now, any::<u64>(), padded).prop_map(
        |(is_number, stores, slots, mut now, kept, padded)| {
            let known = stores.iter().enumerate().filter(|(n, _)| (kept >> (n % 64)) & 1 == 0);
            now.extend(known.map(|(n, (id, (kind, _)))| (id.clone(), kind.wrapping_add(n as u8 % 2))));
            now.extend(padded.map(|id| (id, 1)));
            let id_type = if is_number { IdType::Long } else { IdType::Keyword };
            World { id_type, stores, slots, now }
        },
    )
}

impl World {
    /// The rows of a slot: chunks are ranges in the order of the live view's ids.
    fn rows(&self, n: usize) -> AvailabilityRows {
        let rules = rules(self.id_type);
        let has_row = |(_, (_, without)): &(&String, &(u8, BTreeSet<usize>))| !without.contains(&n);
        let own = self.stores.iter().filter(has_row).map(|(id, (kind, _))| store(id, *kind));
        let mut stores: Vec<Store> = own.collect();
        stores.sort_by_key(|store| StoreKey::new(&store.id, self.id_type));
        let (size, failed) = &self.slots[n];
        let parts = stores.chunks(*size).enumerate().map(|(chunk, stores)| {
            let at = slot(n).first_instant().plus_micros(1_000_000 * (chunk as i64 + 1));
            let seen = stores.iter().step_by(2).map(|store| {
                let live = LiveStore { online: store.id.len() % 2 == 0, reason: None };
                (StoreKey::new(&store.id, self.id_type).unwrap(), live)
            });
            let view = Observation { at, stores: seen.collect() };
            let failure = if chunk % 2 == 0 { ViewFailure::Unavailable } else { ViewFailure::Incomplete };
            let view = if failed.contains(&chunk) { Err(failure) } else { Ok(&view) };
            let judged = judge_chunk(slot(n), &rules, stores, view);
            AvailabilityRows::new(slot(n), slot(n).first_instant(), &judged).unwrap()
        });
        AvailabilityRows::merge(parts.collect()).unwrap()
    }

    fn day(&self) -> Bytes {
        let source = |n| Source { body: self.rows(n).write().unwrap(), rows: Rows::Of(slot(n)) };
        compact(Table::StoreAvailability, &(0..SLOTS).map(source).collect::<Vec<_>>()).unwrap().0
    }

    fn stores_now(&self) -> Vec<Store> {
        self.now.iter().map(|(id, kind)| store(id, *kind)).collect()
    }
}

/// The rows of a file, sorted by slot and store.
fn sorted(body: &Bytes) -> DataFrame {
    let frame = parquet::read(body.clone()).unwrap();
    frame.sort(["slot", "store_id"], SortMultipleOptions::default()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_day_judged_again_in_ranges_is_the_same_as_at_once(world in worlds(), range in 1..80_usize) {
        let rules = rules(world.id_type);
        let judging = Rejudging::new(&rules, world.stores_now(), slot(SLOTS).first_instant());
        let body = world.day();
        let once = judging.day(body.clone()).unwrap();
        let ranges = judging.day_by(body, range).unwrap();
        prop_assert!(sorted(&once.rows.0).equals_missing(&sorted(&ranges.rows.0)));
        prop_assert_eq!(&once.rows.1, &ranges.rows.1);
        let digest = compaction::digest(Table::StoreAvailability, ranges.rows.0).unwrap();
        prop_assert_eq!(digest, ranges.rows.1);
        prop_assert_eq!(once.changes, ranges.changes);
        let bodies = |cities: Vec<Source>| cities.into_iter().map(|city| city.body).collect::<Vec<_>>();
        prop_assert_eq!(bodies(once.cities), bodies(ranges.cities));
    }
}

#[test]
fn a_new_store_takes_what_was_shown_around_it_in_the_order_of_numbers() {
    let rules = rules(IdType::Long);
    // By number 5, 9 and 50 are one chunk, which failed; 70 and 500 are another. As texts, 5, 50 and 500 come
    // first, and a range ends among them.
    let stores = ["5", "9", "50", "70", "500"].map(|id| (id.to_owned(), (1, BTreeSet::new())));
    let slots = vec![(3, BTreeSet::from([0])); SLOTS];
    let now = ["8", "60", "499"].map(|id| (id.to_owned(), 1)).into();
    let world = World { id_type: IdType::Long, stores: stores.into(), slots, now };
    let judging = Rejudging::new(&rules, world.stores_now(), slot(SLOTS).first_instant());
    let again = judging.day_by(world.day(), 3).unwrap();
    let found = AvailabilityRows::read(again.rows.0).unwrap();
    let statuses: Vec<(String, Status)> =
        found.store_ids().unwrap().into_iter().zip(found.statuses().unwrap()).collect();
    let of = |id: &str| -> Vec<Status> {
        statuses.iter().filter(|(own, _)| own == id).map(|(_, status)| *status).collect()
    };
    assert_eq!(of("8"), [Status::Unknown; SLOTS]);
    assert_eq!(of("60"), [Status::Unknown; SLOTS], "it may be of the chunk that failed");
    assert_eq!(of("499"), [Status::Unlisted; SLOTS]);
}
