//! Judging again gives the result that the new schedules would have given at the time. If what the live view
//! showed is not known, it says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod random;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use random::{SLOT, id, id_type, random_stores};
use storewatch_domain::{
    IdRange, IdType, JudgedStore, LiveStore, Look, Looks, MissingHours, Observation, Rules, Slot, Status,
    Store, StoreKey, ViewFailure, Zones, cut, judge_again, judge_chunk,
};

fn rules(id_type: IdType) -> Rules {
    Rules {
        zones: Zones::embedded(),
        default_timezone: Zones::embedded().get("Asia/Kathmandu").unwrap(),
        missing_hours: MissingHours::AlwaysOpen,
        id_type,
    }
}

fn slot() -> Slot {
    SLOT.parse().unwrap()
}

/// What a slot's rows have kept about the live view.
fn looks(id_type: IdType, rows: &[JudgedStore<'_>]) -> Looks {
    let look = |row: &JudgedStore<'_>| {
        let judged = &row.judged;
        Look::from_row(row.observed_at, judged.listed, judged.online, judged.status, judged.reason)
    };
    Looks::new(id_type, rows.iter().map(|row| (row.id.to_string(), look(row))).collect())
}

/// A slot's chunks, and the view of each.
#[derive(Debug)]
struct Views(Vec<(IdRange, Result<Observation, ViewFailure>)>);

impl Views {
    /// The rows of these stores, each judged within the chunk that contains its id.
    fn judge<'a>(&'a self, rules: &'a Rules, stores: &'a [Vec<Store>]) -> Vec<JudgedStore<'a>> {
        let judged = self.0.iter().zip(stores);
        judged
            .flat_map(|((_, view), stores)| judge_chunk(slot(), rules, stores, view.as_ref().map_err(|e| *e)))
            .collect()
    }

    /// The stores by chunk, as in a plan. Stores with an unusable or duplicate id are in the first chunk.
    fn cut(&self, id_type: IdType, stores: &[Store]) -> Vec<Vec<Store>> {
        let mut parts = vec![Vec::new(); self.0.len()];
        let mut known = BTreeSet::new();
        let mut stores = stores.to_vec();
        stores.sort_by(|a, b| a.id.cmp(&b.id));
        for store in stores {
            let key = StoreKey::new(&store.id, id_type).filter(|key| known.insert(key.clone()));
            let chunk =
                key.map_or(0, |key| self.0.iter().position(|(range, _)| range.contains(&key)).unwrap());
            parts[chunk].push(store);
        }
        parts
    }
}

const FAILURES: [ViewFailure; 3] = [ViewFailure::Unavailable, ViewFailure::Incomplete, ViewFailure::Late];

prop_compose! {
    /// Stores as they were, stores as they are now, and the view of each chunk of the former.
    fn worlds()(
        id_type in id_type(),
        before in random_stores(),
        now in random_stores(),
        kept in any::<bool>(),
        size in 1..6_usize,
        seen in prop::collection::btree_map(id(), (any::<bool>(), prop::option::of(Just("paused"))), 0..12),
        views in prop::collection::vec((0..900_000_000_i64, prop::option::weighted(0.3, 0..FAILURES.len())), 24),
    ) -> (IdType, Vec<Store>, Vec<Store>, Views) {
        // `cut` needs at least one store with a usable id.
        let before: Vec<Store> = before.into_iter().chain([Store { id: "3".to_owned(), ..Store::default() }]).collect();
        let before: BTreeMap<String, Store> = before.into_iter().map(|store| (store.id.clone(), store)).collect();
        let chunks = cut(before.into_values().collect(), id_type, size).unwrap();
        let documents: BTreeMap<StoreKey, LiveStore> = seen
            .into_iter()
            .filter_map(|(id, (online, reason))| {
                Some((StoreKey::new(&id, id_type)?, LiveStore { online, reason: reason.map(str::to_owned) }))
            })
            .collect();
        let view = |(n, range): (usize, &IdRange)| {
            let (at, failure) = views[n];
            let inside = documents.iter().filter(|(key, _)| range.contains(key));
            let stores = inside.map(|(key, store)| (key.clone(), store.clone())).collect();
            failure.map_or(Ok(Observation { at: slot().first_instant().plus_micros(at), stores }), |n| Err(FAILURES[n]))
        };
        let ranges: Vec<IdRange> = chunks.iter().map(|chunk| chunk.range.clone()).collect();
        let views = ranges.iter().enumerate().map(|part| (part.1.clone(), view(part))).collect();
        let before: Vec<Store> = chunks.into_iter().flat_map(|chunk| chunk.stores).collect();
        let now: Vec<Store> = match kept {
            // The same stores, but half of them with different hours, zones and problems.
            true => before.iter().zip(now.iter().cycle()).enumerate().map(|(n, (store, other))| match n % 2 {
                0 => store.clone(),
                _ => Store { id: store.id.clone(), ..other.clone() },
            }).collect(),
            false => now,
        };
        let now = cut(now, id_type, 99).map(|mut chunks| chunks.remove(0).stores).unwrap_or_default();
        (id_type, before, now, Views(views))
    }
}

/// Only a tick needs to know when the hours opened. A day that is judged again does not.
fn without_opening<'a>(row: &JudgedStore<'a>) -> JudgedStore<'a> {
    JudgedStore { opened_at: None, ..row.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn judging_again_by_the_same_schedules_changes_no_row((id_type, before, _, views) in worlds()) {
        let (rules, parts) = (rules(id_type), views.cut(id_type, &before));
        let rows = views.judge(&rules, &parts);
        let looks = looks(id_type, &rows);
        let stores: Vec<Store> = parts.concat();
        let again = judge_again(slot(), &rules, &stores, &looks);
        let rows: Vec<_> = rows.iter().filter(|row| row.judged.status != Status::Orphan).collect();
        prop_assert_eq!(again.len(), stores.len());
        for row in &again {
            let old = rows.iter().find(|old| old.id == row.id).unwrap();
            prop_assert_eq!(row, &without_opening(old));
        }
    }

    #[test]
    fn judging_again_by_other_schedules_gives_the_rows_they_would_have_given_at_the_time(
        (id_type, before, now, views) in worlds()
    ) {
        let (rules, parts, new_parts) =
            (rules(id_type), views.cut(id_type, &before), views.cut(id_type, &now));
        let rows = views.judge(&rules, &parts);
        let looks = looks(id_type, &rows);
        let wanted = views.judge(&rules, &new_parts);
        let any_failed = views.0.iter().any(|(_, view)| view.is_err());
        let again = judge_again(slot(), &rules, &now, &looks);
        prop_assert_eq!(again.len(), now.len());
        for row in &again {
            let wanted = wanted.iter().find(|wanted| wanted.id == row.id && wanted.judged.status != Status::Orphan).unwrap();
            let key = StoreKey::new(&row.id, id_type);
            let same = |old: &&JudgedStore<'_>| old.id == row.id || (key.is_some() && StoreKey::new(&old.id, id_type) == key);
            let old = rows.iter().filter(same).max_by_key(|old| old.id == row.id);
            let was_bad = old.is_some_and(|old| old.judged.reason == Some("bad_schedule"));
            if wanted.judged.reason == Some("bad_schedule") {
                // A duplicate id is looked up in another chunk, but it cannot be judged anyway.
                prop_assert_eq!((row.judged.status, row.judged.reason), (Status::Unknown, wanted.judged.reason));
            } else if old.is_some() && !was_bad {
                prop_assert_eq!(row, &without_opening(wanted));
            } else if row.judged.listed.is_some() {
                // The instant and the reason may not be known, but whether the store was listed is.
                prop_assert_eq!((row.judged.listed, row.judged.online), (wanted.judged.listed, wanted.judged.online));
                let seen = |at| views.0.iter().any(|(_, view)| view.as_ref().is_ok_and(|view| Some(view.at) == at));
                prop_assert!(seen(row.observed_at));
            } else {
                prop_assert_eq!(row.judged.status, Status::Unknown);
                prop_assert!(any_failed, "{} was observed", row.id);
            }
        }
    }

    #[test]
    fn the_rows_to_replace_are_those_of_the_stores_and_of_orphans_with_their_ids(
        (id_type, before, now, views) in worlds()
    ) {
        let (rules, parts) = (rules(id_type), views.cut(id_type, &before));
        let rows = views.judge(&rules, &parts);
        let looks = looks(id_type, &rows);
        for (row, is_of) in rows.iter().zip(looks.are_of(&now)) {
            let key = StoreKey::new(&row.id, id_type);
            let known = now.iter().any(|store| {
                store.id == row.id || (key.is_some() && StoreKey::new(&store.id, id_type) == key)
            });
            prop_assert_eq!(is_of, known);
        }
    }
}

fn stores(ids: &[&str]) -> Vec<Store> {
    ids.iter().map(|id| Store { id: (*id).to_owned(), ..Store::default() }).collect()
}

fn row(id: &str, look: Look) -> (String, Look) {
    (id.to_owned(), look)
}

#[test]
fn a_store_added_later_is_unlisted_between_observed_stores_and_unknown_next_to_a_failed_chunk() {
    let seen = || Look::Seen { at: slot().first_instant().plus_micros(5), store: Some(LiveStore::default()) };
    let late = || Look::Unseen(Some(ViewFailure::Late));
    let looks = Looks::new(
        IdType::Long,
        vec![row("10", seen()), row("20", seen()), row("30", late()), row("40", late())],
    );
    let new = stores(&["1", "15", "25", "35", "99"]);
    let rules = rules(IdType::Long);
    let again = judge_again(slot(), &rules, &new, &looks);
    let found: Vec<_> = again.iter().map(|row| (row.judged.status, row.judged.reason)).collect();
    let unlisted = (Status::Unlisted, None);
    let unknown = (Status::Unknown, Some("late"));
    assert_eq!(found, [unlisted, unlisted, unknown, unknown, unknown]);
}

#[test]
fn a_slot_without_rows_is_not_judged() {
    let looks = Looks::new(IdType::Long, Vec::new());
    assert_eq!(judge_again(slot(), &rules(IdType::Long), &stores(&["1", "x"]), &looks), []);
}

#[test]
fn an_orphan_becomes_the_store_that_was_added_later_and_keeps_its_observation() {
    let live = LiveStore { online: false, reason: Some("paused".to_owned()) };
    let looks = Looks::new(
        IdType::Long,
        vec![row("7", Look::Seen { at: slot().first_instant(), store: Some(live) })],
    );
    let new = stores(&["07"]);
    let rules = rules(IdType::Long);
    let again = judge_again(slot(), &rules, &new, &looks);
    assert_eq!((again[0].judged.status, again[0].judged.reason), (Status::Unavailable, Some("paused")));
    assert_eq!(looks.are_of(&new), [true]);
    assert_eq!(looks.are_of(&stores(&["8"])), [false]);
}
