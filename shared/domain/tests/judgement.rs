//! Judgement: the status of every combination of schedule and view.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use storewatch_domain::{
    Counts, LiveStore, MissingHours, Opening, Seen, Slot, SlotClock, Status, StoreHours, ViewFailure,
    WallTime, WeeklyHours, Zones, judge, orphan,
};

fn live(online: bool, reason: Option<&str>) -> LiveStore {
    LiveStore { online, reason: reason.map(str::to_owned) }
}

/// The result for each schedule and view, as `status reason`. Rows are schedules. Columns are views, in the
/// order in which [`every_combination_of_schedule_and_view_has_its_status`] makes them.
const TABLE: [(&str, [&str; 8]); 4] = [
    (
        "open for the whole slot",
        [
            "available -",
            "available promoted",
            "unavailable -",
            "unavailable maintenance",
            "unlisted -",
            "unknown live_view_unavailable",
            "unknown live_view_incomplete",
            "unknown late",
        ],
    ),
    (
        "open, but not when it is observed",
        [
            "unexpected -",
            "unexpected promoted",
            "closed -",
            "closed maintenance",
            "closed -",
            "unknown live_view_unavailable",
            "unknown live_view_incomplete",
            "unknown late",
        ],
    ),
    (
        "closed for the whole slot",
        [
            "unexpected -",
            "unexpected promoted",
            "closed -",
            "closed maintenance",
            "closed -",
            "unknown live_view_unavailable",
            "unknown live_view_incomplete",
            "unknown late",
        ],
    ),
    ("bad rows", ["unknown bad_schedule"; 8]),
];

#[test]
fn every_combination_of_schedule_and_view_has_its_status() {
    let slot: Slot = "2026-11-23T09:00:00Z".parse().unwrap();
    let clock = SlotClock::new(&Zones::embedded().get("UTC").unwrap(), slot);
    let monday = |opens, closes| {
        let time = WallTime::from_seconds;
        let weekly = vec![WeeklyHours::new(1, time(opens), time(closes)).unwrap()];
        StoreHours { weekly, exceptions: Vec::new() }.opening(&clock, MissingHours::Closed)
    };
    // The slot is 09:00 to 09:15. The second schedule covers its first minute. Stores are observed at 09:01:40.
    let schedules = [Some(monday(0, 86_400)), Some(monday(0, 9 * 3600 + 60)), Some(monday(0, 3600)), None];
    let documents =
        [live(true, None), live(true, Some("promoted")), live(false, None), live(false, Some("maintenance"))];
    let listed = documents.iter().map(|document| Ok(Some(document)));
    let failures = [ViewFailure::Unavailable, ViewFailure::Incomplete, ViewFailure::Late].map(Err);
    let views: Vec<_> = listed.chain([Ok(None)]).chain(failures).collect();
    assert_eq!(views.len(), TABLE[0].1.len());
    for ((name, expected), opening) in TABLE.iter().zip(&schedules) {
        for (view, expected) in views.iter().zip(expected) {
            let judged = judge(opening.as_ref(), view.map(|store| Seen { second: 100, store }));
            let found = format!("{} {}", judged.status, judged.reason.unwrap_or("-"));
            assert_eq!(&found, expected, "{name}, {view:?}");
            // The other columns say what the status is based on, whatever it is.
            let open = opening.as_ref().map(|opening| opening.seconds() == 900);
            assert_eq!(judged.scheduled, open.filter(|_| view.is_ok()), "{name}, {view:?}");
            assert_eq!(judged.scheduled_seconds, opening.as_ref().map(Opening::seconds));
            assert_eq!(judged.listed, view.ok().map(|store| store.is_some()), "{name}, {view:?}");
            assert_eq!(judged.online, view.ok().map(|store| store.is_some_and(|store| store.online)));
        }
    }
    let seconds = schedules.map(|opening| opening.map(|opening| opening.seconds()));
    assert_eq!(seconds, [Some(900), Some(60), Some(0), None]);
}

#[test]
fn an_orphan_has_the_reason_of_its_documents() {
    for (online, reason) in
        [(true, None), (true, Some("promoted")), (false, None), (false, Some("maintenance"))]
    {
        let store = live(online, reason);
        let judged = orphan(&store);
        assert_eq!((judged.status, judged.reason), (Status::Orphan, reason));
        assert_eq!((judged.listed, judged.online), (Some(true), Some(online)));
        assert_eq!((judged.scheduled, judged.scheduled_seconds), (None, None));
    }
}

#[test]
fn a_store_is_online_if_any_document_is_in_whatever_order_they_come() {
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
fn availability_leaves_out_unknown_stores_and_coverage_counts_them() {
    let mut counts = Counts::default();
    assert_eq!((counts.availability(), counts.coverage()), (None, None));
    for (status, n) in [
        (Status::Available, 6),
        (Status::Unavailable, 1),
        (Status::Unlisted, 1),
        (Status::Unknown, 2),
        (Status::Orphan, 5),
    ] {
        (0..n).for_each(|_| counts.add(status));
    }
    assert_eq!((counts.stores(), counts.availability(), counts.coverage()), (10, Some(0.75), Some(0.8)));
}
