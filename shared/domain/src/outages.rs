//! Outages: joins a store's looks into outages, and says within which bounds each began and ended.
//!
//! A look every 15 minutes never sees a change itself. So each end of an outage lies between two looks, and
//! the store's hours say how much open time lies between them.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::hours::Opening;
use crate::instant::Instant;
use crate::judgement::Status;
use crate::slot::Slot;

/// The most different reasons that are kept of an outage. A reason that names a time would otherwise be a
/// new one at each look.
pub const MOST_REASONS: usize = 20;

/// An opening is looked for in this many seconds before the first bad look. A store that has been open for
/// longer is taken to be open around the clock.
const LOOK_BACK: i64 = 86_400;

/// What a look says about a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Scheduled and online. It ends an outage.
    Good,
    /// Scheduled and not online.
    Bad {
        /// Whether the store was in the live view.
        listed: bool,
    },
    /// Not scheduled. It neither ends an outage nor counts.
    Off,
    /// It could not be judged.
    Unseen,
}

impl Sight {
    /// What a row's status says. `None` for an orphan, which is not a store of PostgreSQL.
    pub const fn of(status: Status) -> Option<Self> {
        match status {
            Status::Available => Some(Self::Good),
            Status::Unavailable => Some(Self::Bad { listed: true }),
            Status::Unlisted => Some(Self::Bad { listed: false }),
            Status::Closed | Status::Unexpected => Some(Self::Off),
            Status::Unknown => Some(Self::Unseen),
            Status::Orphan => None,
        }
    }
}

/// A store's row in one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look<'a> {
    /// The slot.
    pub slot: Slot,
    /// When the live view was asked, within the slot. The slot's start stands for it if it is missing.
    pub at: Option<Instant>,
    /// What was seen.
    pub sight: Sight,
    /// How much of the slot lies within the hours, 0 to 900 seconds.
    pub scheduled_seconds: u16,
    /// The reason that the live view gives.
    pub reason: Option<&'a str>,
}

/// When a store is open in a slot, by the schedule that counts for that slot. `None` if it is not known.
pub type Hours<'a> = dyn FnMut(Slot) -> Option<Opening> + 'a;

/// Where in its shifts an outage lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// From the opening of a shift.
    LateOpening,
    /// To the end of a shift.
    EarlyClosing,
    /// From the opening of a shift to the end of that or a later one.
    WholeShift,
    /// Neither.
    MidShift,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::LateOpening, Self::EarlyClosing, Self::WholeShift, Self::MidShift];

    /// The name used in the column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LateOpening => "late_opening",
            Self::EarlyClosing => "early_closing",
            Self::WholeShift => "whole_shift",
            Self::MidShift => "mid_shift",
        }
    }
}

/// An outage: the bad looks of a store with no good one between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// The slot of the first bad look.
    pub first_slot: Slot,
    /// The last good look before it, or when the hours of the first bad look opened, whichever is later.
    pub began_after: Option<Instant>,
    /// Whether `began_after` is the opening of a shift; `None` if the hours are not known.
    pub begins_at_opening: Option<bool>,
    /// The first bad look.
    pub began_by: Instant,
    /// The last bad look.
    pub ended_after: Instant,
    /// The first good look after it; `None` while it is open.
    pub ended_by: Option<Instant>,
    /// The number of bad looks.
    pub bad_looks: u64,
    /// How many of them did not find the store in the live view.
    pub unlisted_looks: u64,
    /// Missed and unknown slots between the first and the last bad look.
    pub unseen_looks: u64,
    /// The scheduled seconds of the bad looks' slots.
    pub lost_seconds: u64,
    /// Open time between the first and the last bad look, in seconds; `None` if the hours are not known.
    pub seconds_at_least: Option<u64>,
    /// The reasons and the looks of each, in the order in which they first appeared; at most
    /// [`MOST_REASONS`].
    pub reasons: Vec<(String, u64)>,
    /// How often in the hour before the first bad look a single good look lay between bad ones: 0 to 2.
    pub flaps: u8,
    /// What came after the last bad look.
    pub after: After,
}

/// The time after the last bad look of an outage, as far as it has been counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    /// Everything before this instant is counted.
    pub until: Instant,
    /// Open time from the last bad look until then, in seconds; `None` if the hours are not known.
    pub open_seconds: Option<u64>,
    /// Missed and unknown slots since the last bad look.
    pub unseen_looks: u64,
}

/// What is known of one store after a look: all that the looks to come need of those before.
///
/// ```
/// use storewatch_domain::outages::{Kind, Look, Sight, Track};
/// use storewatch_domain::{Opening, Slot};
/// let slot = |n| Slot::containing(1_795_392_000 + n * Slot::SECONDS);
/// let look = |n, sight| Look {
///     slot: slot(n),
///     at: Some(slot(n).first_instant()),
///     sight,
///     scheduled_seconds: 900,
///     reason: None,
/// };
/// let mut always = |_| Some(Opening::WHOLE_SLOT);
/// let mut track = Track::default();
/// assert_eq!(track.take(&look(0, Sight::Good), &mut always), None);
/// assert_eq!(track.take(&look(1, Sight::Bad { listed: true }), &mut always), None);
/// let outage = track.take(&look(4, Sight::Good), &mut always).unwrap();
/// assert_eq!((outage.seconds_at_least, outage.seconds_at_most()), (Some(0), Some(4 * 900)));
/// assert_eq!(outage.kind(), Some(Kind::MidShift));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Track {
    /// The slot of the last row.
    pub last: Option<Slot>,
    /// The last good look.
    pub last_good: Option<Instant>,
    /// Up to that row, the latest last.
    pub recent: Recent,
    /// The outage that no good look has ended yet.
    pub open: Option<Outage>,
}

/// The sights of the last four slots, for [`Outage::flaps`]. A slot takes two bits, the latest the lowest:
/// 1 for good, 2 for bad, 0 for all else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recent(pub u8);

impl Recent {
    fn push(&mut self, sight: Sight) {
        let bits = match sight {
            Sight::Good => 1,
            Sight::Bad { .. } => 2,
            Sight::Off | Sight::Unseen => 0,
        };
        self.0 = self.0 << 2 | bits;
    }

    fn skip(&mut self, slots: u64) {
        (0..slots.min(4)).for_each(|_| self.push(Sight::Unseen));
    }

    /// Single good looks between bad ones, if the next look is bad.
    fn flaps(self) -> u8 {
        match self.0 {
            0b10_01_10_01 => 2,
            bits => u8::from(bits & 0b1111 == 0b10_01),
        }
    }
}

impl Track {
    /// Takes the store's next row, and returns the outage that it ends. `hours` is asked for slots up to the
    /// row's. Slots since the last row count as missed. A row that is not later than the last is ignored.
    pub fn take(&mut self, look: &Look<'_>, hours: &mut Hours<'_>) -> Option<Outage> {
        let missed = match self.last {
            Some(last) if look.slot <= last => return None,
            Some(last) => ((look.slot.start() - last.start()) / Slot::SECONDS - 1) as u64,
            None => 0,
        };
        self.last = Some(look.slot);
        self.recent.skip(missed);
        if let Some(outage) = &mut self.open {
            outage.after.unseen_looks += missed + u64::from(look.sight == Sight::Unseen);
        }
        let at = look.at.unwrap_or_else(|| look.slot.first_instant());
        let mut ended = None;
        match look.sight {
            Sight::Bad { .. } => match &mut self.open {
                Some(outage) => outage.go_on(look, at, hours),
                open => *open = Some(Outage::begin(look, at, self.last_good, self.recent, hours)),
            },
            Sight::Good => {
                self.last_good = Some(at);
                ended = self.open.take().map(|mut outage| {
                    outage.count_to(at, hours);
                    outage.ended_by = Some(at);
                    outage
                });
            }
            Sight::Off | Sight::Unseen => {}
        }
        self.recent.push(look.sight);
        ended
    }

    /// Counts the open time of an open outage up to `end`, so that later looks need no hours from before.
    pub fn count_to(&mut self, end: Instant, hours: &mut Hours<'_>) {
        if let Some(outage) = &mut self.open {
            outage.count_to(end, hours);
        }
    }
}

impl Outage {
    fn begin(
        look: &Look<'_>,
        at: Instant,
        last_good: Option<Instant>,
        recent: Recent,
        hours: &mut Hours<'_>,
    ) -> Self {
        let opened_at = opened_since(last_good, at, hours);
        let by_hours = opened_at.flatten();
        let mut outage = Self {
            first_slot: look.slot,
            began_after: last_good.max(by_hours),
            begins_at_opening: opened_at.map(|opened| opened > last_good),
            began_by: at,
            ended_after: at,
            ended_by: None,
            bad_looks: 0,
            unlisted_looks: 0,
            unseen_looks: 0,
            lost_seconds: 0,
            seconds_at_least: Some(0),
            reasons: Vec::new(),
            flaps: recent.flaps(),
            after: After { until: at, open_seconds: Some(0), unseen_looks: 0 },
        };
        outage.add(look, at);
        outage
    }

    fn go_on(&mut self, look: &Look<'_>, at: Instant, hours: &mut Hours<'_>) {
        self.count_to(at, hours);
        self.seconds_at_least = sum(self.seconds_at_least, self.after.open_seconds);
        self.unseen_looks += self.after.unseen_looks;
        self.add(look, at);
    }

    /// Adds a bad look, which is the last one so far.
    fn add(&mut self, look: &Look<'_>, at: Instant) {
        self.ended_after = at;
        self.after = After { until: at, open_seconds: Some(0), unseen_looks: 0 };
        self.bad_looks += 1;
        self.unlisted_looks += u64::from(look.sight == Sight::Bad { listed: false });
        self.lost_seconds += u64::from(look.scheduled_seconds);
        let Some(reason) = look.reason else { return };
        if let Some((_, looks)) = self.reasons.iter_mut().find(|(known, _)| known == reason) {
            *looks += 1;
        } else if self.reasons.len() < MOST_REASONS {
            self.reasons.push((reason.to_owned(), 1));
        }
    }

    fn count_to(&mut self, end: Instant, hours: &mut Hours<'_>) {
        if end > self.after.until {
            let open = open_seconds(seconds(self.after.until)..seconds(end), hours);
            self.after.open_seconds = sum(self.after.open_seconds, open);
            self.after.until = end;
        }
    }

    /// Open time between the outer bounds, in seconds. `None` while it is open, or if a bound or the hours
    /// are not known.
    pub fn seconds_at_most(&self) -> Option<u64> {
        // The store has been open since `began_after`: it is a look within the hours, or their opening.
        let before = seconds(self.began_by) - seconds(self.began_after?);
        self.ended_by?;
        Some(before as u64 + self.seconds_at_least? + self.after.open_seconds?)
    }

    /// Whether the store has closed since the last bad look; `None` if the hours are not known.
    fn ends_at_closing(&self) -> Option<bool> {
        let passed = seconds(self.after.until) - seconds(self.ended_after);
        self.after.open_seconds.map(|open| open < passed as u64)
    }

    /// Where in its shifts it lies, as far as it is known; `None` if the hours are not known.
    pub fn kind(&self) -> Option<Kind> {
        Some(match (self.begins_at_opening?, self.ends_at_closing()?) {
            (true, false) => Kind::LateOpening,
            (false, true) => Kind::EarlyClosing,
            (true, true) => Kind::WholeShift,
            (false, false) => Kind::MidShift,
        })
    }

    /// The reasons and the looks of each, the most frequent first; equal ones in the order in which they
    /// first appeared.
    pub fn ranked_reasons(&self) -> Vec<(&str, u64)> {
        let mut ranked: Vec<_> = self.reasons.iter().map(|(reason, looks)| (&**reason, *looks)).collect();
        ranked.sort_by_key(|(_, looks)| std::cmp::Reverse(*looks));
        ranked
    }
}

/// When the hours that contain `at` opened. The inner `None`: the store is not open then, or opened more
/// than 24 hours before. The outer `None`: the hours of a slot are not known.
pub fn opened_at(at: Instant, hours: &mut Hours<'_>) -> Option<Option<Instant>> {
    opened_since(None, at, hours)
}

/// The same, but hours before the last good look are not asked for: the store was open then, so whatever
/// they are, nothing before it can be the opening that counts.
fn opened_since(good: Option<Instant>, at: Instant, hours: &mut Hours<'_>) -> Option<Option<Instant>> {
    let (at, good) = (seconds(at), good.map_or(-1, seconds));
    // The store is open from `opened` until `at`, as far as it is known.
    let mut opened = None;
    let mut second = at;
    while second > good && second >= at - LOOK_BACK - 1 {
        let slot = Slot::containing(second);
        let within = (second - slot.start()) as u16;
        let Some(start) = hours(slot)?.intervals().find(|shift| shift.contains(&within)).map(|one| one.start)
        else {
            return Some(opened.and_then(instant));
        };
        opened = Some(slot.start() + i64::from(start));
        if start > 0 {
            return Some(opened.filter(|opened| *opened >= at - LOOK_BACK).and_then(instant));
        }
        second = slot.start() - 1;
    }
    Some(None)
}

/// Open time in a range of Unix seconds; `None` if the hours of a slot are not known.
fn open_seconds(range: Range<i64>, hours: &mut Hours<'_>) -> Option<u64> {
    let mut total = 0;
    let mut at = range.start;
    while at < range.end {
        let slot = Slot::containing(at);
        let part = (at - slot.start()) as u16..(range.end.min(slot.end()) - slot.start()) as u16;
        for shift in hours(slot)?.intervals() {
            let overlap = shift.start.max(part.start)..shift.end.min(part.end);
            total += overlap.len() as u64;
        }
        at = slot.end();
    }
    Some(total)
}

fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    Some(a? + b?)
}

/// Whole Unix seconds: hours have no fractions.
fn seconds(instant: Instant) -> i64 {
    instant.micros().div_euclid(1_000_000)
}

fn instant(seconds: i64) -> Option<Instant> {
    Instant::from_micros(seconds * 1_000_000)
}
