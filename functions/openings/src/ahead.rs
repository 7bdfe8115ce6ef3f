//! When stores open next. Pure: hours are those of shared/domain, slot by slot.

use storewatch_domain::{Instant, Rules, Slot, Store, ZoneClocks};

/// The slots of the hour that is looked at.
const SLOTS: i64 = 4;

/// The hour after a slot.
pub(crate) struct Ahead<'a> {
    rules: &'a Rules,
    /// The clocks of the slot itself, and of the slots of the hour.
    clocks: Vec<ZoneClocks<'a>>,
}

impl<'a> Ahead<'a> {
    pub(crate) fn new(slot: Slot, rules: &'a Rules) -> Self {
        let after = |n| Slot::containing(slot.start() + n * Slot::SECONDS);
        let clocks = (0..=SLOTS).map(|n| ZoneClocks::new(rules.zones.clone(), after(n)));
        Self { rules, clocks: clocks.collect() }
    }

    /// When the store first opens in the hour. Hours that touch are one opening, as they are for users. `None` if it
    /// does not open, or its schedule is bad.
    pub(crate) fn opens_at(&mut self, store: &'a Store) -> Option<Instant> {
        if store.problem.is_some() {
            return None;
        }
        let zone = store.timezone.as_deref().unwrap_or(self.rules.default_timezone.name());
        // Whether the slot before ended open; nothing is known before the first.
        let mut was_open: Option<bool> = None;
        for clocks in &mut self.clocks {
            let clock = clocks.get(zone)?;
            let hours = store.hours.opening(clock, self.rules.missing_hours);
            if let Some(was_open) = was_open
                && let Some(part) = hours.intervals().find(|part| part.start > 0 || !was_open)
            {
                return Some(clock.slot().first_instant().plus_micros(i64::from(part.start) * 1_000_000));
            }
            was_open = Some(hours.contains(Slot::SECONDS as u16 - 1));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use storewatch_domain::{IdType, MissingHours, StoreHours, WallTime, WeeklyHours, Zones};

    use super::*;

    /// Monday, 23 November 2026, 9:45 UTC.
    const SLOT: &str = "2026-11-23T09:45:00Z";

    fn rules(missing_hours: MissingHours) -> Rules {
        let zones = Zones::embedded();
        Rules { default_timezone: zones.get("UTC").unwrap(), zones, missing_hours, id_type: IdType::Long }
    }

    fn opens_at(hours: &[(&str, &str)], missing: MissingHours) -> Option<String> {
        let rules = rules(missing);
        let at = |text: &str| {
            let (hour, minute) = text.split_once(':').unwrap();
            let minutes = hour.parse::<u32>().unwrap() * 60 + minute.parse::<u32>().unwrap();
            WallTime::from_seconds(minutes * 60)
        };
        let weekly = |(opens, closes): &(&str, &str)| WeeklyHours::new(1, at(opens), at(closes)).unwrap();
        let hours = StoreHours { weekly: hours.iter().map(weekly).collect(), exceptions: Vec::new() };
        let store = Store { hours, ..Store::default() };
        let found = Ahead::new(SLOT.parse().unwrap(), &rules).opens_at(&store);
        found.map(|instant| instant.to_string())
    }

    #[test]
    fn a_store_opens_in_the_hour_that_begins_with_the_end_of_the_slot() {
        let opens = |hours: &[(&str, &str)]| opens_at(hours, MissingHours::Closed);
        assert_eq!(opens(&[("9:59", "17:00")]), None);
        assert_eq!(opens(&[("10:00", "17:00")]).as_deref(), Some("2026-11-23T10:00:00.000000Z"));
        assert_eq!(opens(&[("10:59", "17:00")]).as_deref(), Some("2026-11-23T10:59:00.000000Z"));
        assert_eq!(opens(&[("11:00", "17:00")]), None);
    }

    #[test]
    fn hours_that_touch_or_overlap_are_one_opening() {
        let opens = |hours: &[(&str, &str)]| opens_at(hours, MissingHours::Closed);
        assert_eq!(opens(&[("8:00", "10:00"), ("10:00", "17:00")]), None);
        assert_eq!(opens(&[("8:00", "10:20"), ("10:10", "17:00")]), None);
        let shifts = [("8:00", "10:15"), ("10:30", "10:40"), ("10:45", "17:00")];
        assert_eq!(opens(&shifts).as_deref(), Some("2026-11-23T10:30:00.000000Z"));
    }

    #[test]
    fn a_store_that_is_always_open_never_opens() {
        assert_eq!(opens_at(&[], MissingHours::AlwaysOpen), None);
    }

    #[test]
    fn a_bad_schedule_opens_nothing() {
        let rules = rules(MissingHours::Closed);
        let at = |hour: u32| WallTime::from_seconds(hour * 3600);
        let weekly = vec![WeeklyHours::new(1, at(10), at(17)).unwrap()];
        let good = Store { hours: StoreHours { weekly, exceptions: Vec::new() }, ..Store::default() };
        let bad = Store { problem: Some("an invalid row".to_owned()), ..good.clone() };
        let nowhere = Store { timezone: Some("Europe/Nowhere".to_owned()), ..good.clone() };
        let mut ahead = Ahead::new(SLOT.parse().unwrap(), &rules);
        assert_eq!(
            [&good, &bad, &nowhere].map(|store| ahead.opens_at(store).is_some()),
            [true, false, false]
        );
    }
}
