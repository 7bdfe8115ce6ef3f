//! A country's usual availability in each hour of the week, and how far a tick is under it.
//!
//! CloudWatch could learn this too, but bills a metric and an alarm of three for every country.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use storewatch_domain::{Counts, Slot};

/// Two weeks of looks in the same hour: until then nothing is usual.
const KNOWN_LOOKS: u32 = 8;
/// The weight of a new look once many are known, so that what is usual follows the last two months.
const LEAST_WEIGHT: f64 = 1.0 / 32.0;
/// What a look may teach at most, in standard deviations: a bad day does not become usual.
const MOST_TAUGHT: f64 = 3.0;
/// Hours that are very much alike still differ by this much.
const LEAST_DEVIATION: f64 = 0.01;
const MICROS_OF_AN_HOUR: i64 = 3_600_000_000;
const HOURS_OF_A_WEEK: i64 = 168;

/// A tick's availability, and of how many stores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// 0 to 1.
    pub availability: f64,
    /// The stores that should have been available.
    pub rated: u64,
}

impl Seen {
    /// `None` if no store should have been available.
    pub fn of(counts: Counts) -> Option<Self> {
        let rated = counts.iter().filter(|(status, _)| status.is_rated()).map(|(_, n)| n).sum();
        counts.availability().map(|availability| Self { availability, rated })
    }
}

/// What is usual in one hour of the week.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Hour {
    looks: u32,
    mean: f64,
    variance: f64,
}

impl Hour {
    /// The standard deviation, at least that of chance among so many stores.
    fn deviation(&self, rated: u64) -> f64 {
        let chance = self.mean * (1.0 - self.mean) / rated.max(1) as f64;
        self.variance.max(chance).sqrt().max(LEAST_DEVIATION)
    }

    fn learn(&mut self, seen: Seen) {
        let mut error = seen.availability - self.mean;
        if self.looks >= KNOWN_LOOKS {
            let most = MOST_TAUGHT * self.deviation(seen.rated);
            error = error.clamp(-most, most);
        }
        let weight = (1.0 / f64::from(self.looks.saturating_add(1))).max(LEAST_WEIGHT);
        self.looks = self.looks.saturating_add(1);
        self.mean += weight * error;
        self.variance = (1.0 - weight) * (self.variance + weight * error * error);
    }
}

/// What is usual, by the hour of the week in UTC, from 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Usual(BTreeMap<i64, Hour>);

impl Usual {
    /// How many standard deviations a tick is under what is usual in its hour; `None` while that is not known.
    pub fn fall(&self, slot: Slot, seen: Seen) -> Option<f64> {
        let hour = self.0.get(&hour_of_week(slot)).filter(|hour| hour.looks >= KNOWN_LOOKS)?;
        Some((hour.mean - seen.availability) / hour.deviation(seen.rated))
    }

    /// Learns from a tick.
    pub fn learn(&mut self, slot: Slot, seen: Seen) {
        self.0.entry(hour_of_week(slot)).or_default().learn(seen);
    }
}

fn hour_of_week(slot: Slot) -> i64 {
    slot.start_micros().div_euclid(MICROS_OF_AN_HOUR).rem_euclid(HOURS_OF_A_WEEK)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENING: &str = "2026-11-23T20:00:00Z";

    fn slot(text: &str) -> Slot {
        text.parse().unwrap()
    }

    fn of(availability: f64) -> Seen {
        Seen { availability, rated: 4_000 }
    }

    fn learnt(from: &[f64]) -> Usual {
        let mut usual = Usual::default();
        from.iter().for_each(|availability| usual.learn(slot(EVENING), of(*availability)));
        usual
    }

    #[test]
    fn nothing_is_usual_before_two_weeks() {
        let week = [0.95, 0.96, 0.94, 0.95];
        assert_eq!(learnt(&week).fall(slot(EVENING), of(0.2)), None);
        assert!(learnt(&week.repeat(2)).fall(slot(EVENING), of(0.2)).unwrap() > 50.0);
    }

    #[test]
    fn what_is_as_usual_or_better_is_no_fall() {
        let usual = learnt(&[0.95, 0.96, 0.94, 0.95].repeat(2));
        assert!(usual.fall(slot(EVENING), of(0.94)).unwrap() < 1.5);
        assert!(usual.fall(slot(EVENING), of(0.99)).unwrap() < 0.0);
    }

    #[test]
    fn each_hour_of_the_week_has_its_own_usual() {
        let usual = learnt(&[0.95; 8]);
        assert!(usual.fall(slot("2026-11-30T20:45:00Z"), of(0.5)).is_some(), "the same hour a week later");
        assert_eq!(usual.fall(slot("2026-11-23T21:00:00Z"), of(0.5)), None);
        assert_eq!(usual.fall(slot("2026-11-24T20:00:00Z"), of(0.5)), None);
    }

    #[test]
    fn an_hour_that_varies_falls_further_before_it_counts() {
        let (steady, varying) = (learnt(&[0.9; 8]), learnt(&[0.8, 1.0].repeat(4)));
        let fall = |usual: &Usual| usual.fall(slot(EVENING), of(0.7)).unwrap();
        assert!(fall(&steady) > 15.0 && (1.9..2.1).contains(&fall(&varying)), "{}", fall(&varying));
    }

    #[test]
    fn few_stores_vary_by_chance() {
        let usual = learnt(&[0.9; 8]);
        let fall = |rated| usual.fall(slot(EVENING), Seen { availability: 0.6, rated }).unwrap();
        assert!(fall(4_000) > 25.0 && fall(10) < 3.5, "{} {}", fall(4_000), fall(10));
    }

    #[test]
    fn a_bad_evening_does_not_become_usual_but_a_lasting_change_does() {
        let mut usual = learnt(&[0.95; 32]);
        let fall = |usual: &Usual| usual.fall(slot(EVENING), of(0.7)).unwrap();
        (0..4).for_each(|_| usual.learn(slot(EVENING), of(0.7)));
        assert!(fall(&usual) > 10.0, "{}", fall(&usual));
        (0..200).for_each(|_| usual.learn(slot(EVENING), of(0.7)));
        assert!(fall(&usual) < 1.0, "{}", fall(&usual));
    }
}
