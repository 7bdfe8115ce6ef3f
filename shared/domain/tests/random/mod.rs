//! Random stores, for the tests of chunks and of judging again.

use std::collections::BTreeMap;

use proptest::prelude::*;
use storewatch_domain::{IdType, Store, StoreHours, WallTime, WeeklyHours};

pub(crate) const SLOT: &str = "2026-11-23T09:00:00Z";
const ZONES: [Option<&str>; 5] =
    [None, Some("Europe/Madrid"), Some("asia/calcutta"), Some("US/Pacific"), Some("Mars/Olympus")];

/// Ids of both types that collide, and some that are not numbers.
pub(crate) fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (-6..12_i64).prop_map(|id| id.to_string()),
        1 => (0..12_i64).prop_map(|id| format!("0{id}")),
        1 => prop::sample::select(vec!["x", "é", "", "9223372036854775808", " 7"]).prop_map(str::to_owned),
    ]
}

fn random_store() -> impl Strategy<Value = Store> {
    let hours = (1..=7_i64, 0..86_400_u32, 0..=86_400_u32).prop_map(|(day, opens, closes)| {
        WeeklyHours::new(day, WallTime::from_seconds(opens), WallTime::from_seconds(closes)).unwrap()
    });
    let problem = prop::option::weighted(0.1, Just("weekday 8".to_owned()));
    (id(), 0..ZONES.len(), prop::collection::vec(hours, 0..8), problem).prop_map(
        |(id, zone, weekly, problem)| {
            let hours = StoreHours { weekly, exceptions: Vec::new() };
            Store { id, timezone: ZONES[zone].map(str::to_owned), hours, problem, ..Store::default() }
        },
    )
}

/// Stores as PostgreSQL has them: ids are unique.
pub(crate) fn random_stores() -> impl Strategy<Value = Vec<Store>> {
    prop::collection::vec(random_store(), 0..20).prop_map(|stores| {
        let by_id: BTreeMap<String, Store> =
            stores.into_iter().map(|store| (store.id.clone(), store)).collect();
        by_id.into_values().collect()
    })
}

pub(crate) fn id_type() -> impl Strategy<Value = IdType> {
    prop_oneof![Just(IdType::Long), Just(IdType::Keyword)]
}
