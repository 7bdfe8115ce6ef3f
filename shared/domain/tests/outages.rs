//! Outages held against a naive second implementation, which sees all rows of a store at once and counts
//! open time second by second.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use proptest::prelude::*;
use storewatch_domain::outages::{Kind, Look, MOST_REASONS, Outage, Sight, Track, opened_at};
use storewatch_domain::{
    Instant, MissingHours, Opening, Slot, SlotClock, StoreHours, WallTime, WeeklyHours, Zones,
};

/// Madrid's clocks go back in the second night.
const FIRST: i64 = 1_792_713_600; // 2026-10-23T00:00:00Z
/// Slots before the first one, into which shifts reach.
const BEFORE: i64 = 2 * 96;
const SLOTS: i64 = 4 * 96;

#[derive(Debug, Clone)]
struct Row {
    slot: Slot,
    at: Option<Instant>,
    sight: Sight,
    scheduled_seconds: u16,
    reason: Option<String>,
}

impl Row {
    fn look(&self) -> Look<'_> {
        Look {
            slot: self.slot,
            at: self.at,
            sight: self.sight,
            scheduled_seconds: self.scheduled_seconds,
            reason: self.reason.as_deref(),
        }
    }
}

/// A store's rows, and its openings from [`BEFORE`] slots before the first on.
#[derive(Debug, Clone)]
struct History {
    rows: Vec<Row>,
    openings: Vec<Opening>,
}

impl History {
    fn opening(&self, slot: Slot) -> Option<Opening> {
        let n = (slot.start() - FIRST) / Slot::SECONDS + BEFORE;
        Some(usize::try_from(n).map_or_else(|_| Opening::default(), |n| self.openings[n].clone()))
    }

    fn is_open(&self, second: i64) -> bool {
        let slot = Slot::containing(second);
        self.opening(slot).is_some_and(|opening| opening.contains((second - slot.start()) as u16))
    }

    fn open_seconds(&self, from: Instant, to: Instant) -> u64 {
        (seconds(from)..seconds(to)).filter(|second| self.is_open(*second)).count() as u64
    }
}

fn seconds(instant: Instant) -> i64 {
    instant.micros() / 1_000_000
}

fn openings(hours: &StoreHours) -> Vec<Opening> {
    let zone = Zones::embedded().get("Europe/Madrid").unwrap();
    let slot = |n| Slot::containing(FIRST + n * Slot::SECONDS);
    let opening = |n| hours.opening(&SlotClock::new(&zone, slot(n)), MissingHours::AlwaysOpen);
    (-BEFORE..SLOTS).map(opening).collect()
}

fn hours() -> impl Strategy<Value = StoreHours> {
    let time = |minutes: std::ops::Range<u32>| minutes.prop_map(|minute| WallTime::from_seconds(minute * 60));
    let shift = (1..=7_i64, time(0..1440), time(0..1440))
        .prop_map(|(day, opens, closes)| WeeklyHours::new(day, opens, closes).unwrap());
    // None at all is open around the clock.
    prop::collection::vec(shift, 0..9).prop_map(|weekly| StoreHours { weekly, exceptions: Vec::new() })
}

fn history() -> impl Strategy<Value = History> {
    // Long runs of one sight, of which some slots are missed.
    let runs = prop::collection::vec((0..6_u8, 1..20_usize), 1..60);
    let noise = prop::collection::vec((0..12_u8, 0..900_000_000_i64, 0..8_u8), SLOTS as usize);
    (hours(), runs, noise).prop_map(|(hours, runs, noise)| {
        let openings = openings(&hours);
        let ups = runs.into_iter().flat_map(|(state, slots)| std::iter::repeat_n(state, slots));
        let mut rows = Vec::new();
        for (n, (state, (luck, micros, reason))) in ups.zip(noise).enumerate() {
            let slot = Slot::containing(FIRST + n as i64 * Slot::SECONDS);
            let opening = &openings[n + BEFORE as usize];
            let sight = match (luck, state) {
                (0, _) => continue,
                (1, _) | (_, 5) => Sight::Unseen,
                _ if !opening.contains((micros / 1_000_000) as u16) => Sight::Off,
                (2, _) | (_, 0 | 1) => Sight::Good,
                (_, state) => Sight::Bad { listed: state != 4 },
            };
            rows.push(Row {
                slot,
                at: (sight != Sight::Unseen).then(|| slot.first_instant().plus_micros(micros)),
                sight,
                scheduled_seconds: opening.seconds(),
                reason: (reason < 3).then(|| format!("reason {reason}")),
            });
        }
        History { rows, openings }
    })
}

/// All outages of the rows, by the definitions: the open one last.
fn tracked(history: &History) -> Vec<Outage> {
    let mut track = Track::default();
    let mut hours = |slot| history.opening(slot);
    let mut all: Vec<Outage> =
        history.rows.iter().filter_map(|row| track.take(&row.look(), &mut hours)).collect();
    all.extend(track.open);
    all
}

fn is_bad(row: &Row) -> bool {
    matches!(row.sight, Sight::Bad { .. })
}

/// The columns of an outage.
#[derive(Debug, PartialEq)]
struct Columns {
    first_slot: Slot,
    began: (Option<Instant>, Instant),
    ended: (Instant, Option<Instant>),
    looks: (u64, u64, u64),
    lost_seconds: u64,
    at_least: Option<u64>,
    at_most: Option<u64>,
    kind: Option<Kind>,
    reasons: Vec<(String, u64)>,
    flaps: u8,
}

fn columns(outage: &Outage) -> Columns {
    let reasons = outage.ranked_reasons().into_iter().map(|(reason, looks)| (reason.to_owned(), looks));
    Columns {
        first_slot: outage.first_slot,
        began: (outage.began_after, outage.began_by),
        ended: (outage.ended_after, outage.ended_by),
        looks: (outage.bad_looks, outage.unlisted_looks, outage.unseen_looks),
        lost_seconds: outage.lost_seconds,
        at_least: outage.seconds_at_least,
        at_most: outage.seconds_at_most(),
        kind: outage.ended_by.and(outage.kind()),
        reasons: reasons.collect(),
        flaps: outage.flaps,
    }
}

fn naive(history: &History) -> Vec<Columns> {
    let rows = &history.rows;
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut goes_on = false;
    for (n, row) in rows.iter().enumerate() {
        match row.sight {
            Sight::Good => goes_on = false,
            Sight::Bad { .. } if goes_on => groups.last_mut().unwrap().push(n),
            Sight::Bad { .. } => {
                groups.push(vec![n]);
                goes_on = true;
            }
            Sight::Off | Sight::Unseen => {}
        }
    }
    groups.iter().map(|bad| naive_columns(history, bad)).collect()
}

fn naive_columns(history: &History, bad: &[usize]) -> Columns {
    let rows = &history.rows;
    let (first, last) = (&rows[bad[0]], &rows[bad[bad.len() - 1]]);
    let good_before = rows[..bad[0]].iter().rfind(|row| row.sight == Sight::Good).and_then(|row| row.at);
    let ended_by =
        rows[bad[bad.len() - 1]..].iter().find(|row| row.sight == Sight::Good).and_then(|row| row.at);
    let (began_by, ended_after) = (first.at.unwrap(), last.at.unwrap());
    let began = seconds(began_by);
    let mut opened = began;
    while history.is_open(opened - 1) && opened > began - 100_000 {
        opened -= 1;
    }
    let opened = (opened >= began - 86_400).then(|| Instant::from_micros(opened * 1_000_000).unwrap());
    let began_after = good_before.max(opened);
    let between = first.slot.start()..last.slot.start();
    let seen = rows.iter().filter(|row| between.contains(&row.slot.start()) && row.sight != Sight::Unseen);
    let slots = (between.end - between.start) / Slot::SECONDS;
    let unseen = slots as u64 - seen.count() as u64;
    let mut reasons: Vec<(String, u64)> = Vec::new();
    for reason in bad.iter().filter_map(|n| rows[*n].reason.clone()) {
        match reasons.iter().position(|(known, _)| *known == reason) {
            Some(n) => reasons[n].1 += 1,
            None => reasons.push((reason, 1)),
        }
    }
    reasons.sort_by_key(|(_, looks)| std::cmp::Reverse(*looks));
    let sight = |back: i64| {
        let slot = first.slot.start() - back * Slot::SECONDS;
        rows.iter().find(|row| row.slot.start() == slot)
    };
    let was_bad = |back| sight(back).is_some_and(is_bad);
    let was_good = |back| sight(back).is_some_and(|row| row.sight == Sight::Good);
    let at_least = history.open_seconds(began_by, ended_after);
    let kind = ended_by.map(|ended_by| {
        let to_the_end = (seconds(ended_after)..seconds(ended_by)).any(|second| !history.is_open(second));
        match (opened.is_some() && opened > good_before, to_the_end) {
            (true, true) => Kind::WholeShift,
            (true, false) => Kind::LateOpening,
            (false, true) => Kind::EarlyClosing,
            (false, false) => Kind::MidShift,
        }
    });
    Columns {
        first_slot: first.slot,
        began: (began_after, began_by),
        ended: (ended_after, ended_by),
        looks: (
            bad.len() as u64,
            bad.iter().filter(|n| rows[**n].sight == Sight::Bad { listed: false }).count() as u64,
            unseen,
        ),
        lost_seconds: bad.iter().map(|n| u64::from(rows[*n].scheduled_seconds)).sum(),
        at_least: Some(at_least),
        at_most: began_after.zip(ended_by).map(|(after, by)| {
            let before = history.open_seconds(after, began_by);
            // A store that is open around the clock, with no look in its last day: as long as it can be.
            let before = if opened.is_none() { (began - seconds(after)) as u64 } else { before };
            before + at_least + history.open_seconds(ended_after, by)
        }),
        kind,
        reasons,
        flaps: u8::from(was_bad(2) && was_good(1))
            + u8::from(was_bad(4) && was_good(3) && was_bad(2) && was_good(1)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn outages_are_those_of_the_naive_implementation(history in history()) {
        let found: Vec<Columns> = tracked(&history).iter().map(columns).collect();
        prop_assert_eq!(found, naive(&history));
    }

    #[test]
    fn every_second_of_the_bad_looks_is_lost_once(history in history()) {
        let lost: u64 = tracked(&history).iter().map(|outage| outage.lost_seconds).sum();
        let bad = history.rows.iter().filter(|row| is_bad(row));
        prop_assert_eq!(lost, bad.map(|row| u64::from(row.scheduled_seconds)).sum::<u64>());
    }

    #[test]
    fn counting_in_parts_changes_nothing(history in history(), cuts in prop::collection::vec(0..SLOTS, 0..6)) {
        let (mut track, mut parts) = (Track::default(), Vec::new());
        let mut hours = |slot| history.opening(slot);
        for row in &history.rows {
            if cuts.contains(&((row.slot.start() - FIRST) / Slot::SECONDS)) {
                track.count_to(row.slot.first_instant(), &mut hours);
                track = track.clone();
            }
            parts.extend(track.take(&row.look(), &mut hours));
        }
        parts.extend(track.open);
        let found: Vec<Columns> = parts.iter().map(columns).collect();
        let whole: Vec<Columns> = tracked(&history).iter().map(columns).collect();
        prop_assert_eq!(found, whole);
    }

    #[test]
    fn the_bounds_enclose_each_other(history in history()) {
        for outage in tracked(&history) {
            prop_assert!(outage.began_after.is_none_or(|after| after <= outage.began_by));
            prop_assert!(outage.began_by <= outage.ended_after);
            prop_assert!(outage.ended_by.is_none_or(|by| outage.ended_after < by));
            prop_assert!(outage.seconds_at_most().is_none_or(|most| Some(most) >= outage.seconds_at_least));
            prop_assert!(outage.unlisted_looks <= outage.bad_looks);
        }
    }
}

fn slot(n: i64) -> Slot {
    Slot::containing(FIRST + n * Slot::SECONDS)
}

fn bad(n: i64, reason: &str) -> Row {
    let (slot, sight) = (slot(n), Sight::Bad { listed: true });
    let at = Some(slot.first_instant());
    Row { slot, at, sight, scheduled_seconds: 900, reason: Some(reason.to_owned()) }
}

#[test]
fn without_hours_the_looks_alone_give_the_bounds() {
    let mut track = Track::default();
    let (mut unknown, mut good) = (|_| None, bad(0, ""));
    good.sight = Sight::Good;
    assert_eq!(track.take(&good.look(), &mut unknown), None);
    assert_eq!(track.take(&bad(1, "rain").look(), &mut unknown), None);
    (good.slot, good.at) = (slot(3), Some(slot(3).first_instant()));
    let outage = track.take(&good.look(), &mut unknown).unwrap();
    assert_eq!(outage.began_after, Some(slot(0).first_instant()));
    assert_eq!((outage.kind(), outage.seconds_at_most(), outage.lost_seconds), (None, None, 900));
}

#[test]
fn hours_before_the_last_good_look_need_not_be_known() {
    let mut known_since = |n: Slot| (n >= slot(0)).then_some(Opening::WHOLE_SLOT);
    let mut track = Track::default();
    for n in 0..4 {
        let sight = if n % 3 == 0 { Sight::Good } else { Sight::Bad { listed: true } };
        let row = Row { sight, ..bad(n, "rain") };
        if let Some(outage) = track.take(&row.look(), &mut known_since) {
            assert_eq!((outage.kind(), outage.seconds_at_most()), (Some(Kind::MidShift), Some(2700)));
            return;
        }
    }
    panic!("the outage has not ended");
}

#[test]
fn a_row_that_is_not_later_is_ignored() {
    let mut track = Track::default();
    let mut always = |_| Some(Opening::WHOLE_SLOT);
    track.take(&bad(5, "rain").look(), &mut always);
    let before = track.clone();
    for n in [5, 4] {
        assert_eq!(track.take(&bad(n, "rain").look(), &mut always), None);
        assert_eq!(track, before);
    }
}

#[test]
fn only_the_first_reasons_are_kept() {
    let mut track = Track::default();
    let mut always = |_| Some(Opening::WHOLE_SLOT);
    for n in 0..60 {
        track.take(&bad(n, &format!("at {}", n.min(50))).look(), &mut always);
    }
    let outage = track.open.unwrap();
    assert_eq!((outage.reasons.len(), outage.bad_looks), (MOST_REASONS, 60));
    assert_eq!(outage.ranked_reasons()[0], ("at 0", 1));
}

#[test]
fn an_opening_is_found_up_to_a_day_before_and_no_further() {
    let open_from = |first: i64| {
        move |slot: Slot| Some(if slot.start() >= first { Opening::WHOLE_SLOT } else { Opening::default() })
    };
    let at = slot(0).first_instant();
    let opened = |seconds: i64| opened_at(at, &mut open_from(FIRST - seconds));
    assert_eq!(opened(86_400), Some(Some(at.plus_micros(-86_400_000_000))));
    assert_eq!(opened(86_400 + 900), Some(None));
    assert_eq!(opened(0), Some(Some(at)));
    assert_eq!(opened(-900), Some(None), "it is not open");
    assert_eq!(opened_at(at, &mut |_| None), None);
    assert_eq!(opened_at(Instant::FIRST, &mut |_| Some(Opening::WHOLE_SLOT)), Some(None));
}
