//! Compares opening hours with a second, deliberately naive implementation (`naive/mod.rs`), and checks
//! properties that hold for any rows.
//!
//! `HOURS_CASES` is the number of stores to compare, by default 100,000. A failure is shrunk, and its seed is
//! kept in `against_naive.proptest-regressions`. Also add a test to `hours.rs` for the mistake, with a name
//! that says what went wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod naive;

use naive::{HOUR, Shown, agree};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use storewatch_domain::{Slot, SlotClock};

/// The number of stores that are judged around one instant, like those of a chunk.
const STORES: usize = 10;

/// Runs one in `one_of` of the requested cases.
fn config(one_of: u32) -> ProptestConfig {
    let stores =
        std::env::var("HOURS_CASES").map_or(100_000, |text| text.parse().expect("a number of cases"));
    let file = FileFailurePersistence::Direct("tests/against_naive.proptest-regressions");
    ProptestConfig {
        cases: (stores / STORES as u32 / one_of).max(1),
        failure_persistence: Some(Box::new(file)),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(2))]

    #[test]
    fn both_implementations_agree_on_every_second_of_a_slot_at_any_time(case in naive::any_time(STORES)) {
        agree(&case, &Shown::around(case.zone, case.centre, 8))?;
    }

    #[test]
    fn both_implementations_agree_on_every_second_of_a_slot_near_a_clock_change(
        case in naive::at_a_change_of_clocks(STORES)
    ) {
        agree(&case, &Shown::around(case.zone, case.centre, 8))?;
    }
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn the_open_seconds_of_slots_add_up_to_the_open_time_of_their_period(case in naive::at_a_change_of_clocks(1), slots in 1..200_i64) {
        let (store, shown) = (&case.stores[0], Shown::around(case.zone, case.centre, 9));
        let zone = naive::zone(case.zone);
        let (hours, missing) = shown.real(store);
        let from = Slot::containing(case.centre + store.at).start();
        let found: i64 = (0..slots)
            .map(|n| SlotClock::new(&zone, Slot::containing(from + n * Slot::SECONDS)))
            .map(|clock| i64::from(hours.opening(&clock, missing).seconds()))
            .sum();
        let mut open = vec![false; (slots * Slot::SECONDS) as usize];
        for (_, interval) in shown.intervals(store, -6..=6) {
            let inside = |at: i64| (at - from).clamp(0, slots * Slot::SECONDS) as usize;
            let (start, end) = (inside(interval.start), inside(interval.end));
            if start < end {
                open[start..end].fill(true);
            }
        }
        prop_assert_eq!(found, open.iter().filter(|open| **open).count() as i64);
    }

    #[test]
    fn an_exception_changes_only_the_intervals_that_open_on_its_date(case in naive::at_a_change_of_clocks(1), date in -3..=3_i64) {
        let (after, shown) = (&case.stores[0], Shown::around(case.zone, case.centre, 8));
        let zone = naive::zone(case.zone);
        let mut before = after.clone();
        before.exceptions.retain(|(day, _)| *day != date);
        let mut touched = shown.intervals(&before, date..=date);
        touched.extend(shown.intervals(after, date..=date));
        for n in -140..140 {
            let slot = Slot::containing(case.centre + after.at + n * HOUR / 4);
            let clock = SlotClock::new(&zone, slot);
            let opening = |store| { let (hours, missing) = shown.real(store); hours.opening(&clock, missing) };
            let (before, after) = (opening(&before), opening(after));
            if before == after {
                continue;
            }
            for second in 0..900 {
                let at = slot.start() + i64::from(second);
                let may_differ = touched.iter().any(|(_, interval)| interval.contains(&at));
                prop_assert!(may_differ || before.contains(second) == after.contains(second), "{} {}", slot, second);
            }
        }
    }
}
