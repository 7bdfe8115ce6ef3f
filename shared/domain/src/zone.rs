//! A zone's wall clock around one slot.
//!
//! A zone's transitions are looked up once per slot ([`SlotClock`]), not once per store, because
//! thousands of stores share a zone.

use std::collections::HashMap;

use crate::hours::{LocalDate, WallTime};
use crate::slot::Slot;
use crate::tzdb::{Zone, Zones};

const DAY: i64 = 86_400;
/// Stands for "no day" where the number of a day is expected.
const NO_DAY: u8 = u8::MAX;

/// A stretch of time with one UTC offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    /// The first instant with this offset, Unix seconds. The earliest piece has no lower limit.
    from: i64,
    /// Seconds to add to an instant to get the wall time.
    offset: i64,
}

/// A local date whose intervals can overlap the slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Day {
    date: LocalDate,
    /// When the slot starts on the date's wall clock, in seconds after its midnight. `None` if a clock
    /// change is near.
    slot_at: Option<i64>,
}

/// One zone's wall clock around one slot: which local dates matter, and which instant a wall time is.
///
/// Wall times become instants as RFC 5545, section 3.3.5, says (Temporal calls it "compatible"): a wall
/// time that occurs twice means its first occurrence, and one that is skipped uses the offset before
/// the gap.
///
/// ```
/// use storewatch_domain::{Slot, SlotClock, Zones};
/// let slot: Slot = "2026-11-23T04:15:00Z".parse()?;
/// let clock = SlotClock::new(&Zones::embedded().get("America/Tijuana")?, slot);
/// assert_eq!((clock.local_date().to_string(), clock.local_hour()), ("2026-11-22".to_owned(), 20));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct SlotClock {
    slot: Slot,
    pieces: Vec<Piece>,
    /// At most seven consecutive days, so each weekday occurs at most once.
    days: Vec<Day>,
    /// The index in `days` for each ISO 8601 weekday; [`NO_DAY`] if there is none.
    by_weekday: [u8; 8],
    local_date: LocalDate,
    local_hour: u8,
}

impl SlotClock {
    /// Looks up the zone's transitions around the slot.
    pub fn new(zone: &Zone, slot: Slot) -> Self {
        // No zone has ever moved by more than a day at once, and an interval ends no later than the date
        // after it opens. So an interval that opens more than three dates away cannot reach the slot.
        let pieces = pieces(zone, slot.start() - 5 * DAY, slot.end() + 5 * DAY);
        let current = pieces.iter().rfind(|piece| piece.from <= slot.start()).map_or(0, |piece| piece.offset);
        let local = slot.start() + current;
        let local_date = LocalDate::from_days(local.div_euclid(DAY) as i32);
        let mut clock = Self {
            slot,
            pieces,
            days: Vec::new(),
            by_weekday: [NO_DAY; 8],
            local_date,
            local_hour: (local.rem_euclid(DAY) / 3600) as u8,
        };
        let one_offset = match clock.pieces[..] {
            [only] => Some(only.offset),
            _ => None,
        };
        clock.days = (-3..=3)
            .map(|n| local_date.plus_days(n))
            .map(|date| Day {
                date,
                slot_at: one_offset.map(|offset| slot.start() + offset - midnight(date)),
            })
            // An interval lies on the date on which it opens and the next one.
            .filter(|day| day.slot_at.is_none_or(|at| at + Slot::SECONDS > 0 && at < 2 * DAY))
            .collect();
        for (n, day) in clock.days.iter().enumerate() {
            clock.by_weekday[usize::from(day.date.weekday())] = n as u8;
        }
        clock
    }

    /// The slot of this clock.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The local date on which the slot starts.
    pub fn local_date(&self) -> LocalDate {
        self.local_date
    }

    /// The local hour in which the slot starts, 0 to 23.
    pub fn local_hour(&self) -> u8 {
        self.local_hour
    }

    pub(crate) fn days(&self) -> &[Day] {
        &self.days
    }

    /// The day with the date, and its index in `days`.
    pub(crate) fn day_of_date(&self, date: LocalDate) -> Option<(usize, &Day)> {
        self.days.iter().enumerate().find(|(_, day)| day.date == date)
    }

    /// The day with the weekday, 1 to 7, and its index in `days`.
    #[inline]
    pub(crate) fn day_of_weekday(&self, weekday: u8) -> Option<(usize, &Day)> {
        let n = usize::from(self.by_weekday[usize::from(weekday & 7)]);
        self.days.get(n).map(|day| (n, day))
    }

    /// The part of the slot that the day's hours cover, in seconds since the start of the slot; `None` if
    /// it is empty. If `closes` is not after `opens`, it is on the next date.
    #[inline]
    pub(crate) fn part(&self, day: &Day, opens: WallTime, closes: WallTime) -> Option<(u16, u16)> {
        let next_date = if closes <= opens { DAY } else { 0 };
        let (opens, closes) = (i64::from(opens.seconds()), i64::from(closes.seconds()) + next_date);
        let (start, end) = match day.slot_at {
            Some(slot_at) => (opens - slot_at, closes - slot_at),
            None => {
                let since_start = |wall| self.resolve(midnight(day.date) + wall) - self.slot.start();
                (since_start(opens), since_start(closes))
            }
        };
        let (start, end) = (start.max(0), end.min(Slot::SECONDS));
        (start < end).then_some((start as u16, end as u16))
    }

    /// The instant of a wall time, which is given as Unix seconds as if it were UTC.
    fn resolve(&self, wall: i64) -> i64 {
        // At a change, the clock shows one time just before it and another just after. Wall times earlier
        // than the later of the two use the offset before the change: either the clock showed them before
        // the change (and perhaps again after it), or the change skips them.
        let changes = self.pieces.iter().zip(&self.pieces[1..]);
        let mut of_before = changes
            .filter(|(before, after)| wall < after.from + before.offset.max(after.offset))
            .map(|(before, _)| before.offset);
        wall - of_before.next().unwrap_or(self.pieces[self.pieces.len() - 1].offset)
    }
}

/// The clocks of zones for one slot, each made when it is first needed.
#[derive(Debug)]
pub struct ZoneClocks<'a> {
    zones: Zones,
    slot: Slot,
    clocks: HashMap<&'a str, Option<SlotClock>>,
}

impl<'a> ZoneClocks<'a> {
    /// Makes no clocks yet.
    pub fn new(zones: Zones, slot: Slot) -> Self {
        Self { zones, slot, clocks: HashMap::new() }
    }

    /// The clock of the zone with this name (see [`Zones::get`]); `None` if there is no such zone.
    pub fn get(&mut self, name: &'a str) -> Option<&SlotClock> {
        let clock = || self.zones.get(name).ok().map(|zone| SlotClock::new(&zone, self.slot));
        self.clocks.entry(name).or_insert_with(clock).as_ref()
    }
}

/// The start of the date, as Unix seconds as if it were UTC.
fn midnight(date: LocalDate) -> i64 {
    i64::from(date.days()) * DAY
}

/// The zone's offsets from one instant to another. A change that keeps the offset, such as one of the
/// abbreviation only, starts no new piece.
fn pieces(zone: &Zone, from: i64, to: i64) -> Vec<Piece> {
    let mut pieces = vec![Piece { from, offset: zone.offset_at(from) }];
    for (at, offset) in zone.changes_after(from).take_while(|(at, _)| *at < to) {
        if pieces.last().is_some_and(|last| last.offset != offset) {
            pieces.push(Piece { from: at, offset });
        }
    }
    pieces
}
