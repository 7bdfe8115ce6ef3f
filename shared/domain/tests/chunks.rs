//! Chunks: every id belongs to exactly one, and judging a chunk is the same as judging its stores one by one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

mod random;

use proptest::prelude::*;
use random::{SLOT, id, id_type, random_stores};
use storewatch_domain::{
    IdRange, IdType, LiveStore, MissingHours, Observation, Rules, Seen, Slot, SlotClock, Status, Store,
    StoreHours, StoreKey, ViewFailure, WallTime, WeeklyHours, Zones, cut, judge, judge_chunk,
};

fn live(online: bool, reason: Option<&str>) -> LiveStore {
    LiveStore { online, reason: reason.map(str::to_owned) }
}
fn stores(ids: &[&str]) -> Vec<Store> {
    let weekly = (1..=7)
        .map(|day| WeeklyHours::new(day, Some(WallTime::MIDNIGHT), Some(WallTime::END_OF_DAY)).unwrap());
    let hours = StoreHours { weekly: weekly.collect(), exceptions: Vec::new() };
    ids.iter().map(|id| Store { id: (*id).to_owned(), hours: hours.clone(), ..Store::default() }).collect()
}

fn ids(stores: &[Store]) -> Vec<&str> {
    stores.iter().map(|store| store.id.as_str()).collect()
}

#[test]
fn chunks_are_ranges_in_the_order_of_the_live_view_and_cover_every_id() {
    let long = cut(stores(&["10", "9", "-3", "200", "7"]), IdType::Long, 2).unwrap();
    let parts: Vec<_> = long.iter().map(|chunk| ids(&chunk.stores)).collect();
    assert_eq!(parts, [vec!["-3", "7"], vec!["9", "10"], vec!["200"]]);
    let keyword = cut(stores(&["10", "9", "é", "Z", "a"]), IdType::Keyword, 2).unwrap();
    let parts: Vec<_> = keyword.iter().map(|chunk| ids(&chunk.stores)).collect();
    assert_eq!(parts, [vec!["10", "9"], vec!["Z", "a"], vec!["é"]]);
    for id in [i64::MIN, -4, -3, 0, 8, 9, 10, 11, 199, 200, i64::MAX] {
        let holding = long.iter().filter(|chunk| chunk.range.contains(&StoreKey::Long(id))).count();
        assert_eq!(holding, 1, "{id}");
    }
    for chunk in &long {
        assert!(
            chunk
                .stores
                .iter()
                .all(|store| chunk.range.contains(&StoreKey::new(&store.id, IdType::Long).unwrap()))
        );
    }
}

#[test]
fn a_text_too_long_for_a_search_is_not_an_id_and_the_message_shortens_it() {
    let (longest, longer) = ("x".repeat(512), "x".repeat(513));
    assert_eq!(StoreKey::new(&longest, IdType::Keyword), Some(StoreKey::Keyword(longest.clone())));
    assert_eq!(StoreKey::new(&longer, IdType::Keyword), None);
    let chunks = cut(stores(&["a", &longer, "z"]), IdType::Keyword, 1).unwrap();
    let problems: Vec<_> =
        chunks.iter().flat_map(|chunk| &chunk.stores).map(|s| s.problem.as_deref()).collect();
    let wanted = format!(
        "the live view cannot have the id \"{}\": its ids are texts of at most 512 bytes (\"keyword\")",
        "x".repeat(80)
    );
    assert_eq!(problems, [Some(wanted.as_str()), None, None]);
    assert!(chunks.iter().all(|chunk| chunk.range.first.as_ref().is_none_or(StoreKey::can_bound)));
    let error = cut(stores(&["one"]), IdType::Long, 1).unwrap_err();
    let wanted = "none of the 1 stores has an id that can be one of the live view's (the first is \"one\"), which are numbers (\"long\")";
    assert_eq!(error.to_string(), wanted);
}

#[test]
fn a_range_is_empty_if_it_ends_at_or_before_its_start() {
    let range = |first: Option<i64>, last: Option<i64>| {
        IdRange { first: first.map(StoreKey::Long), last: last.map(StoreKey::Long) }.is_empty()
    };
    assert!(range(Some(7), Some(7)) && range(Some(8), Some(7)));
    assert!(
        !range(Some(7), Some(8))
            && !range(None, Some(i64::MIN))
            && !range(Some(7), None)
            && !range(None, None)
    );
}

#[test]
fn a_country_without_stores_has_one_chunk_for_all_ids_so_orphans_are_seen() {
    let chunks = cut(Vec::new(), IdType::Long, 10).unwrap();
    assert_eq!(chunks.len(), 1);
    assert_eq!(chunks[0].range, IdRange::default());
}

#[test]
fn an_id_that_the_live_view_cannot_have_spoils_only_its_own_store() {
    let chunks = cut(stores(&["5", "x", "05", "6", "y"]), IdType::Long, 2).unwrap();
    let spoiled = |store: &&Store| store.problem.is_some();
    let mut bad: Vec<&str> =
        chunks.iter().flat_map(|chunk| &chunk.stores).filter(spoiled).map(|s| s.id.as_str()).collect();
    bad.sort_unstable();
    assert_eq!(bad, ["5", "x", "y"], "\"05\" comes before \"5\" in text order, so it is judged");
    assert_eq!(chunks.iter().map(|chunk| chunk.stores.len()).sum::<usize>(), 5);
    for id in [-1, 5, 6, 7] {
        assert_eq!(
            chunks.iter().filter(|chunk| chunk.range.contains(&StoreKey::Long(id))).count(),
            1,
            "{id}"
        );
    }
    let none = cut(stores(&["x", "y"]), IdType::Long, 10).unwrap_err();
    assert_eq!((none.stores, none.example.as_str()), (2, "x"));
}

#[test]
fn a_chunk_is_judged_with_its_orphans_and_never_by_a_late_view() {
    let slot: Slot = "2026-11-23T09:00:00Z".parse().unwrap();
    let rules = Rules {
        zones: Zones::embedded(),
        default_timezone: Zones::embedded().get("UTC").unwrap(),
        missing_hours: MissingHours::Closed,
        id_type: IdType::Long,
    };
    let mut chunk = stores(&["1", "3", "4", "7"]);
    chunk[2].timezone = Some("Mars/Olympus".to_owned());
    let seen = [(1, true), (2, true), (4, true), (7, false), (9, false)];
    let mut view = Observation {
        at: slot.first_instant(),
        stores: seen.map(|(id, online)| (StoreKey::Long(id), live(online, None))).into(),
    };
    let rows = judge_chunk(slot, &rules, &chunk, Ok(&view));
    let found: Vec<_> =
        rows.iter().map(|row| (row.id.as_ref(), row.judged.status.as_str(), row.local.is_some())).collect();
    assert_eq!(
        found,
        [
            ("1", "available", true),
            ("2", "orphan", true),
            ("3", "unlisted", true),
            ("4", "unknown", false),
            ("7", "unavailable", true),
            ("9", "orphan", true),
        ]
    );
    for at in [-1, 900_000_000].map(|micros| slot.first_instant().plus_micros(micros)) {
        view.at = at;
        let rows = judge_chunk(slot, &rules, &chunk, Ok(&view));
        assert_eq!(rows.len(), 4, "a late view has no orphans");
        let reasons: Vec<_> = rows.iter().map(|row| row.judged.reason.unwrap()).collect();
        assert_eq!(reasons, ["late", "late", "bad_schedule", "late"]);
        assert!(rows.iter().all(|row| row.observed_at.is_none() && row.judged.online.is_none()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn judging_a_chunk_is_the_same_as_judging_its_stores_one_by_one(
        stores in random_stores(),
        id_type in id_type(),
        seen in prop::collection::btree_map(id(), (any::<bool>(), prop::option::of(Just("paused"))), 0..12),
        // Sometimes late or early, even by a microsecond.
        at in prop_oneof![8 => 0..900_000_000_i64, 1 => Just(-1), 1 => Just(900_000_000), 1 => Just(899_999_999)],
        failure in prop::option::weighted(0.2, prop::sample::select(vec![ViewFailure::Unavailable, ViewFailure::Incomplete])),
    ) {
        let slot: Slot = SLOT.parse().unwrap();
        let rules = Rules { zones: Zones::embedded(), default_timezone: Zones::embedded().get("Asia/Kathmandu").unwrap(), missing_hours: MissingHours::Closed, id_type };
        let documents: BTreeMap<StoreKey, LiveStore> = seen
            .iter()
            .filter_map(|(id, (online, reason))| Some((StoreKey::new(id, id_type)?, live(*online, *reason))))
            .collect();
        let observation = Observation {
            at: slot.first_instant().plus_micros(at),
            stores: documents.iter().map(|(id, store)| (id.clone(), store.clone())).collect(),
        };
        let rows = judge_chunk(slot, &rules, &stores, failure.map_or(Ok(&observation), Err));

        let failure = failure.or((!(0..900_000_000).contains(&at)).then_some(ViewFailure::Late));
        let mut orphans = documents.clone();
        for store in &stores {
            let key = StoreKey::new(&store.id, id_type);
            let found = key.as_ref().and_then(|key| documents.get(key));
            if let Some(key) = &key {
                orphans.remove(key);
            }
            let zone = store.timezone.as_deref().map_or(Ok(rules.default_timezone.clone()), |name| rules.zones.get(name));
            let clock = zone.ok().map(|zone| SlotClock::new(&zone, slot));
            let usable = clock.as_ref().filter(|_| store.problem.is_none());
            let opening = usable.map(|clock| store.hours.opening(clock, rules.missing_hours));
            let view = match failure {
                Some(failure) => Err(failure),
                None => Ok(Seen { second: (at / 1_000_000) as u16, store: found }),
            };
            let mut mine = rows.iter().filter(|row| row.id == store.id && row.judged.status != Status::Orphan);
            let row = mine.next().expect("every store has a row");
            prop_assert!(mine.next().is_none(), "and only one: {}", store.id);
            prop_assert_eq!(&row.judged, &judge(opening.as_ref(), view), "{}", store.id);
            prop_assert_eq!(row.local, clock.map(|clock| (clock.local_date(), clock.local_hour())));
            prop_assert_eq!(row.timezone, store.timezone.as_deref().unwrap_or("Asia/Kathmandu"));
            prop_assert_eq!(row.observed_at, failure.is_none().then_some(observation.at));
        }
        let found: Vec<&str> =
            rows.iter().filter(|row| row.judged.status == Status::Orphan).map(|row| row.id.as_ref()).collect();
        let expected: Vec<String> = match failure {
            Some(_) => Vec::new(),
            None => orphans.keys().map(StoreKey::to_string).collect(),
        };
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(rows.len(), stores.len() + expected.len());
        let keys: Vec<_> = rows.iter().map(|row| StoreKey::new(&row.id, id_type)).collect();
        prop_assert!(keys.is_sorted(), "in the order of the live view's ids: {:?}", keys);
    }

    #[test]
    fn every_store_and_every_id_belongs_to_exactly_one_chunk(
        stores in random_stores(), id_type in id_type(), size in 0..6_usize, other in id()
    ) {
        let usable = stores.iter().any(|store| StoreKey::new(&store.id, id_type).is_some());
        let chunks = cut(stores.clone(), id_type, size);
        if !usable && !stores.is_empty() {
            prop_assert_eq!(chunks.unwrap_err().stores, stores.len());
            return Ok(());
        }
        let chunks = chunks.unwrap();
        prop_assert!(chunks.iter().all(|chunk| chunk.stores.len() <= size.max(1)));
        let mut ids: Vec<&str> = chunks.iter().flat_map(|chunk| &chunk.stores).map(|s| s.id.as_str()).collect();
        ids.sort_unstable();
        let expected: Vec<&str> = stores.iter().map(|store| store.id.as_str()).collect();
        prop_assert_eq!(ids, expected, "no store is lost or duplicated");
        let holding = |key: &StoreKey| chunks.iter().filter(|chunk| chunk.range.contains(key)).count();
        for id in stores.iter().map(|store| store.id.as_str()).chain([other.as_str()]) {
            prop_assert!(StoreKey::new(id, id_type).is_none_or(|key| holding(&key) == 1), "{}", id);
        }
        // A store that can be judged lies in the range of its own chunk.
        let mut judged = Vec::new();
        for chunk in &chunks {
            for store in chunk.stores.iter().filter(|store| store.problem.is_none()) {
                let key = StoreKey::new(&store.id, id_type).unwrap();
                prop_assert!(chunk.range.contains(&key), "{}", store.id);
                judged.push(key);
            }
        }
        judged.sort();
        // If several stores have the same id in the live view, only the first in text order is judged.
        let mut first: BTreeMap<StoreKey, &Store> = BTreeMap::new();
        for store in &stores {
            if let Some(key) = StoreKey::new(&store.id, id_type) {
                first.entry(key).or_insert(store);
            }
        }
        let expected = first.into_iter().filter(|(_, store)| store.problem.is_none()).map(|(key, _)| key);
        prop_assert_eq!(judged, expected.collect::<Vec<_>>());
    }
}
