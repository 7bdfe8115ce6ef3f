//! Current outages against what all rows up to a slot say, counted store by store, and the openings that
//! judging finds against a search second by second.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod random;

use std::collections::BTreeMap;

use proptest::prelude::*;
use random::{id_type, random_stores};
use storewatch_domain::current::{Down, FORGOTTEN, HORIZON, LOOKS, Ongoing, Row, down_at, since_after};
use storewatch_domain::{
    Instant, LiveStore, MissingHours, Observation, Opening, Rules, Slot, SlotClock, Status, StoreKey, Zones,
    judge_chunk,
};

const IDS: [&str; 3] = ["1", "10", "2"];

fn slot(n: usize) -> Slot {
    Slot::containing(1_795_392_000 + n as i64 * Slot::SECONDS)
}

/// A store's row: its status, and how many slots before it opened if it is down.
type Cell = Option<(Status, Option<usize>)>;

/// The ticks that have rows, by the numbers of their slots.
type History = BTreeMap<usize, [Cell; 3]>;

fn look(n: usize, id: &'static str, (status, opened): (Status, Option<usize>)) -> Row<'static> {
    let is_down = matches!(status, Status::Unavailable | Status::Unlisted);
    Row {
        id,
        status,
        at: (status != Status::Unknown).then(|| slot(n).first_instant().plus_micros(7_000_001)),
        scheduled_seconds: (n % 900) as u16,
        opened_at: opened.filter(|_| is_down).map(|back| opening(n, back)),
    }
}

fn opening(n: usize, back: usize) -> Instant {
    slot(n).first_instant().plus_micros(-(back as i64) * Slot::SECONDS * 1_000_000 + 3_000_000)
}

fn rows(n: usize, cells: &[Cell; 3]) -> Vec<Row<'static>> {
    IDS.iter().zip(cells).filter_map(|(id, cell)| Some(look(n, id, (*cell)?))).collect()
}

/// The ticks before a slot that count for it, the latest first.
fn before(history: &History, n: usize) -> Vec<usize> {
    let near = |m: &usize| slot(n).start() - slot(*m).start() <= HORIZON;
    history.range(..n).rev().map(|(m, _)| *m).take_while(near).collect()
}

/// Tick after tick, as `merge` does.
fn told(history: &History) -> BTreeMap<usize, Vec<(&'static str, Ongoing)>> {
    let mut told: BTreeMap<usize, Vec<(&'static str, Ongoing)>> = BTreeMap::new();
    for (n, cells) in history {
        let earlier = before(history, *n);
        let last = earlier.first().map(|m| (slot(*m), told[m].as_slice()));
        let mut down = down_at(slot(*n), &rows(*n, cells), last);
        for Down { id, outage, .. } in down.iter_mut().filter(|one| one.outage.is_new) {
            let good = |m: usize| {
                rows(m, &history[&m])
                    .into_iter()
                    .find(|row| row.id == *id)
                    .filter(|row| row.status == Status::Available)
                    .and_then(|row| row.at)
            };
            let searched = earlier.iter().take(LOOKS);
            let found = searched.filter_map(|m| since_after(outage.opened_at, slot(*m), good(*m))).next();
            outage.since_after = found.or(outage.opened_at.filter(|_| earlier.len() <= LOOKS));
        }
        told.insert(*n, down.into_iter().map(|one| (one.id, one.outage)).collect());
    }
    told
}

/// What all rows up to the slot say of one store, counted instead of carried.
fn counted(history: &History, n: usize, store: usize) -> Option<Ongoing> {
    // Nothing counts from before a silence of more than a day.
    let mut ticks = vec![n];
    while let Some(earlier) = before(history, ticks[0]).first() {
        ticks.insert(0, *earlier);
    }
    let status = |m: &usize| {
        history
            .get(m)
            .and_then(|cells| cells[store])
            .map(|(status, _)| status)
            .filter(|status| *status != Status::Orphan)
    };
    let is_down = |m: &usize| matches!(status(m), Some(Status::Unavailable | Status::Unlisted));
    let unseen = |from: usize, to: usize| {
        (from..to).filter(|m| matches!(status(m), None | Some(Status::Unknown))).count() as u64
    };
    let bad_looks = |first: usize, last: usize| (first..=last).filter(is_down).collect::<Vec<_>>();
    // An outage lasts from its first bad look until a good one, or until it is forgotten.
    let (mut first, mut last) = (None, None);
    for m in ticks[0]..=n {
        if last.is_some_and(|last| unseen(last + 1, m + 1) >= FORGOTTEN)
            || status(&m) == Some(Status::Available)
        {
            (first, last) = (None, None);
        }
        if is_down(&m) {
            first = first.or(Some(m));
            last = Some(m);
        }
    }
    let (first, last) = (first?, last?);
    let own = |m: usize| look(m, IDS[store], history[&m][store].unwrap());
    let bad = bad_looks(first, last);
    Some(Ongoing {
        since_after: since(history, first, store),
        since_by: own(first).at.unwrap(),
        status: status(&n),
        bad_looks: bad.len() as u64,
        unseen_looks: unseen(first, last),
        lost_seconds: bad.iter().map(|m| u64::from(own(*m).scheduled_seconds)).sum(),
        is_new: first == n,
        opened_at: own(last).opened_at.filter(|_| last == n),
        unseen_since: unseen(last + 1, n + 1),
    })
}

/// The last good look in the last eight ticks before the slot, or the opening, whichever is later; not known if
/// neither is, or if ticks before those eight could tell of a later one than the opening.
fn since(history: &History, n: usize, store: usize) -> Option<Instant> {
    let earlier = before(history, n);
    let searched = &earlier[..earlier.len().min(LOOKS)];
    let opened_at = look(n, IDS[store], history[&n][store].unwrap()).opened_at;
    let good = searched.iter().find(|m| matches!(history[m][store], Some((Status::Available, _))));
    let good = good.map(|m| look(*m, IDS[store], (Status::Available, None)).at.unwrap());
    let is_decided = earlier.len() <= LOOKS
        || good.is_some()
        || opened_at.is_some_and(|opened| opened >= slot(*searched.last().unwrap()).first_instant());
    good.max(opened_at).filter(|_| is_decided)
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![
        6 => Just(Status::Unavailable),
        3 => Just(Status::Unlisted),
        4 => Just(Status::Available),
        3 => Just(Status::Closed),
        1 => Just(Status::Unexpected),
        1 => Just(Status::Orphan),
        6 => Just(Status::Unknown),
    ]
}

fn history() -> impl Strategy<Value = History> {
    let cell = || prop::option::weighted(0.8, (status(), prop::option::of(0..20_usize)));
    let gap = prop_oneof![12 => Just(1_usize), 4 => 2..5_usize, 2 => 30..60_usize, 1 => 95..99_usize];
    prop::collection::vec((gap, [cell(), cell(), cell()]), 1..40).prop_map(|ticks| {
        let mut n = 0;
        ticks
            .into_iter()
            .map(|(gap, cells)| {
                n += gap;
                (n, cells)
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn tick_after_tick_says_what_all_rows_up_to_the_slot_say(history in history()) {
        for (n, found) in told(&history) {
            let wanted = IDS.iter().enumerate().filter_map(|(store, id)| Some((*id, counted(&history, n, store)?)));
            prop_assert_eq!(found, wanted.collect::<Vec<_>>(), "slot {}", n);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn an_opening_is_the_first_open_second_of_the_last_day(
        (stores, id_type) in (random_stores(), id_type()),
        always in any::<bool>(),
        second in 0..900_i64,
    ) {
        let zones = Zones::embedded();
        let missing_hours = if always { MissingHours::AlwaysOpen } else { MissingHours::Closed };
        let default_timezone = zones.get("America/Sao_Paulo").unwrap();
        let rules = Rules { zones: zones.clone(), default_timezone, missing_hours, id_type };
        let slot: Slot = random::SLOT.parse().unwrap();
        let at = slot.start() + second;
        let shown: BTreeMap<StoreKey, LiveStore> = stores.iter().step_by(2)
            .filter_map(|store| Some((StoreKey::new(&store.id, id_type)?, LiveStore::default()))).collect();
        let view = Observation { at: slot.first_instant().plus_micros(second * 1_000_000 + 5), stores: shown.into_iter().collect() };
        for judged in judge_chunk(slot, &rules, &stores, Ok(&view)) {
            let is_down = matches!(judged.judged.status, Status::Unavailable | Status::Unlisted);
            let Some(store) = stores.iter().find(|store| store.id == judged.id).filter(|_| is_down) else {
                prop_assert_eq!(judged.opened_at, None);
                continue;
            };
            let zone = zones.get(judged.timezone).unwrap();
            let mut openings: BTreeMap<Slot, Opening> = BTreeMap::new();
            let mut is_open = |second: i64| {
                let slot = Slot::containing(second);
                let opening = openings.entry(slot).or_insert_with(|| store.hours.opening(&SlotClock::new(&zone, slot), missing_hours));
                opening.contains((second - slot.start()) as u16)
            };
            let closed = (at - 86_401..at).rev().find(|second| !is_open(*second));
            let wanted = closed.map(|second| Instant::from_micros((second + 1) * 1_000_000).unwrap());
            prop_assert_eq!(judged.opened_at, wanted, "{:?}", store);
        }
    }
}

#[test]
fn an_orphan_with_the_id_of_a_store_does_not_stand_for_it() {
    let down = look(0, "1", (Status::Unavailable, None));
    let orphan = look(0, "1", (Status::Orphan, None));
    for rows in [[down, orphan], [orphan, down]] {
        let found = down_at(slot(0), &rows, None);
        assert_eq!((found.len(), found[0].outage.status), (1, Some(Status::Unavailable)));
        assert_eq!(rows[found[0].row.unwrap()], down);
    }
}
