//! Judgement and chunks: every combination has its status, and every id its chunk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use storewatch_domain::{
    Counts, IdRange, IdType, LiveStore, MissingHours, Observation, Opening, Rules, Slot, Status, Store,
    StoreHours, StoreKey, ViewFailure, WallTime, WeeklyHours, cut, judge, judge_chunk,
};

fn live(online: bool, reason: Option<&str>) -> LiveStore {
    LiveStore { online, reason: reason.map(str::to_owned) }
}

#[test]
fn every_combination_of_schedule_and_view_has_its_status() {
    let (on, off) = (live(true, None), live(false, Some("maintenance")));
    let open = Some(Opening { at: Some(true), seconds: 900 });
    let shut = Some(Opening { at: Some(false), seconds: 60 });
    let unasked = Some(Opening { at: None, seconds: 60 });
    let late = Err(ViewFailure::Late);
    let cases = [
        (open, Ok(Some(&on)), Status::Available, None),
        (open, Ok(Some(&off)), Status::Unavailable, Some("maintenance")),
        (open, Ok(None), Status::Unlisted, None),
        (shut, Ok(Some(&on)), Status::Unexpected, None),
        (shut, Ok(Some(&off)), Status::Closed, Some("maintenance")),
        (shut, Ok(None), Status::Closed, None),
        (unasked, Err(ViewFailure::Unavailable), Status::Unknown, Some("live_view_unavailable")),
        (unasked, Err(ViewFailure::Incomplete), Status::Unknown, Some("live_view_incomplete")),
        (unasked, late, Status::Unknown, Some("late")),
        (None, Ok(Some(&on)), Status::Unknown, Some("bad_schedule")),
        (None, Ok(Some(&off)), Status::Unknown, Some("bad_schedule")),
        (None, Ok(None), Status::Unknown, Some("bad_schedule")),
        (None, late, Status::Unknown, Some("bad_schedule")),
    ];
    for (opening, view, status, reason) in cases {
        let judged = judge(opening, view);
        assert_eq!((judged.status, judged.reason), (status, reason), "{opening:?} {view:?}");
        assert_eq!(judged.scheduled_seconds, opening.map(|opening| opening.seconds));
        assert_eq!(judged.listed, view.ok().map(|store| store.is_some()), "{view:?}");
        assert_eq!(judged.online, view.ok().map(|store| store.is_some_and(|store| store.online)));
        assert_eq!(judged.scheduled, opening.and_then(|opening| opening.at).filter(|_| view.is_ok()));
    }
}

#[test]
fn of_several_documents_any_that_is_online_decides_in_any_order() {
    let documents = [(false, Some("b")), (true, None), (false, Some("a")), (true, Some("promoted"))];
    for rotation in 0..documents.len() {
        let mut turned = documents;
        turned.rotate_left(rotation);
        let mut store = live(turned[0].0, turned[0].1);
        turned[1..].iter().for_each(|(online, reason)| store.add(*online, reason.map(str::to_owned)));
        assert_eq!(store, live(true, Some("promoted")));
    }
    let mut offline = live(false, Some("b"));
    offline.add(false, Some("a".to_owned()));
    offline.add(false, None);
    assert_eq!(offline, live(false, Some("a")));
}

#[test]
fn availability_leaves_out_what_is_unknown_and_coverage_says_how_much_that_is() {
    let mut counts = Counts::default();
    assert_eq!((counts.availability(), counts.coverage()), (None, 1.0));
    for (status, n) in [
        (Status::Available, 6),
        (Status::Unavailable, 1),
        (Status::Unlisted, 1),
        (Status::Unknown, 2),
        (Status::Orphan, 5),
    ] {
        (0..n).for_each(|_| counts.add(status));
    }
    assert_eq!((counts.stores(), counts.availability(), counts.coverage()), (10, Some(0.75), 0.8));
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
fn chunks_are_ranges_in_the_order_of_the_live_view_that_leave_no_id_out() {
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
fn a_country_without_stores_has_one_chunk_over_all_ids_because_of_its_orphans() {
    let chunks = cut(Vec::new(), IdType::Long, 10).unwrap();
    assert_eq!(chunks.len(), 1);
    assert_eq!(chunks[0].range, IdRange::default());
}

#[test]
fn ids_that_the_live_view_cannot_have_spoil_their_own_store_only() {
    let chunks = cut(stores(&["5", "x", "05", "6", "y"]), IdType::Long, 2).unwrap();
    let spoiled = |store: &&Store| store.problem.is_some();
    let mut bad: Vec<&str> =
        chunks.iter().flat_map(|chunk| &chunk.stores).filter(spoiled).map(|s| s.id.as_str()).collect();
    bad.sort_unstable();
    assert_eq!(bad, ["5", "x", "y"], "of \"05\" and \"5\" the first in the order of text is judged");
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
fn a_chunk_is_judged_store_by_store_with_its_orphans_and_never_by_a_late_view() {
    let slot: Slot = "2026-11-23T09:00:00Z".parse().unwrap();
    let rules = Rules {
        default_timezone: chrono_tz::Tz::UTC,
        missing_hours: MissingHours::Closed,
        id_type: IdType::Long,
    };
    let mut chunk = stores(&["1", "3", "4", "7"]);
    chunk[2].timezone = Some("Mars/Olympus".to_owned());
    let seen = [(1, true), (2, true), (4, true), (7, false), (9, false)];
    let mut view = Observation {
        at: slot.start_micros(),
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
    for at in [slot.start_micros() - 1, slot.end() * 1_000_000] {
        view.at = at;
        let rows = judge_chunk(slot, &rules, &chunk, Ok(&view));
        assert_eq!(rows.len(), 4, "orphans of a late view are not known");
        let reasons: Vec<_> = rows.iter().map(|row| row.judged.reason.unwrap()).collect();
        assert_eq!(reasons, ["late", "late", "bad_schedule", "late"]);
        assert!(rows.iter().all(|row| row.observed_at.is_none() && row.judged.online.is_none()));
    }
}
