//! Properties that hold for any bytes, one function per fuzz target. `any_bytes.rs` calls them with random
//! bytes in every `cargo test`, and `fuzz/` with bytes that a fuzzer chooses (`make fuzz`).
//!
//! Bytes are mapped into a range and never refused, so that each of them has an effect.

#[allow(dead_code, reason = "only against_naive.rs uses the random cases")]
#[path = "../naive/mod.rs"]
mod naive;

use std::cell::RefCell;
use std::collections::HashMap;

use naive::{Case, DAY, HOUR, MINUTE, NAMES, NaiveStore, Range, Shown, agree, next_transition};
use storewatch_domain::{
    CountryCode, ExceptionHours, IdType, Instant, LiveStore, LocalDate, MissingHours, Observation, Rules,
    Slot, SlotClock, Store, StoreHours, StoreKey, WallTime, WeeklyHours, Zones, judge_chunk,
};

thread_local! {
    /// A cache of up to 200 MB. Listing what clocks show takes most of the time, and a fuzzer's mutations mostly
    /// need the same lists.
    static SHOWN: RefCell<HashMap<(&'static str, i64), Shown>> = RefCell::default();
}

/// The remaining bytes, followed by endless zeros.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn number(&mut self, bytes: usize) -> i64 {
        (0..bytes).fold(0, |number, _| number << 8 | i64::from(self.byte()))
    }

    /// 0 to `end - 1`.
    fn below(&mut self, end: i64) -> i64 {
        let bytes = (end as u64).ilog2() / 8 + 1;
        self.number(bytes as usize) % end
    }

    fn zone(&mut self) -> &'static str {
        NAMES[self.below(NAMES.len() as i64) as usize]
    }

    fn repeated<T>(&mut self, end: i64, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(end)).map(|_| one(self)).collect()
    }

    /// Any number, often one near a limit or an overflow.
    fn extreme(&mut self) -> i64 {
        const EDGES: [i64; 12] = [
            0,
            8,
            DAY,
            DAY * 1_000_000,
            -719_528,
            2_932_896,
            253_402_300_800,
            i32::MIN as i64,
            i32::MAX as i64,
            u32::MAX as i64,
            i64::MIN,
            i64::MAX,
        ];
        match self.below(16) as usize {
            n if n < EDGES.len() => EDGES[n].saturating_add(self.below(256) - 128),
            12 => self.number(4) as i32 as i64,
            // Ordinary times, 1970 to 2106.
            13 => self.number(4),
            _ => self.number(8),
        }
    }
}

/// Both implementations agree on the hours of any store in any slot.
pub(crate) fn hours(bytes: &[u8]) {
    const FIRST: i64 = 157_766_400;
    const LAST: i64 = 2_114_380_800;
    let mut bytes = Bytes(bytes);
    let zone = bytes.zone();
    let any = FIRST + bytes.below((LAST - FIRST) / MINUTE) * MINUTE;
    let kind = bytes.byte();
    let change = (kind & 1 == 1).then(|| next_transition(zone, any)).flatten();
    let (centre, always_open) = (change.unwrap_or(any), kind & 2 == 2);
    let at = (bytes.below(2 * 36 * 60) - 36 * 60) * MINUTE;
    // When the slot starts on the wall clock, for rows that end in or near it.
    let clock = SlotClock::new(&naive::zone(zone), Slot::containing(centre + at));
    let near = i64::from(clock.local_hour()) * HOUR;
    let store = NaiveStore {
        weekly: bytes.repeated(10, |bytes| {
            let weekday = bytes.below(7) + 1;
            (weekday, (bytes.byte() & 7 > 0).then(|| range(bytes, near)))
        }),
        exceptions: bytes.repeated(5, |bytes| {
            let date = bytes.below(7) - 3;
            (date, (bytes.byte() & 3 > 0).then(|| range(bytes, near)))
        }),
        always_open,
        at,
    };
    SHOWN.with_borrow_mut(|known| {
        if known.len() >= 1000 {
            known.clear();
        }
        let shown = known.entry((zone, centre)).or_insert_with(|| Shown::around(zone, centre, 8));
        let agreed = agree(&Case { zone, centre, stores: vec![store] }, shown);
        agreed.unwrap_or_else(|error| panic!("in {zone}: {error}"));
    });
}

fn range(bytes: &mut Bytes<'_>, near: i64) -> Range {
    let kind = bytes.byte();
    let mut time = |kind: u8, end: i64| match kind & 3 {
        0 => bytes.below(end / MINUTE + 1) * MINUTE % end,
        1 => bytes.below(end),
        _ => (near + bytes.below(5400) - 900).rem_euclid(end),
    };
    let opens = time(kind, DAY);
    let closes = match kind >> 2 & 3 {
        0 => opens,
        _ => time(kind >> 4, DAY + 1),
    };
    (opens, closes)
}

/// Parsing any text never panics, and what was parsed prints as a text with the same meaning.
pub(crate) fn texts(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    // A valid text that the remaining bytes change, or the bytes themselves.
    let mut text = match bytes.below(6) {
        0 => bytes.zone().to_owned().into_bytes(),
        1 => Slot::containing(bytes.extreme()).to_string().into_bytes(),
        2 => bytes.extreme().to_string().into_bytes(),
        _ => std::mem::take(&mut bytes.0).to_owned(),
    };
    while !bytes.0.is_empty() {
        let (at, byte) = (usize::from(bytes.byte()) % (text.len() + 1), bytes.byte());
        match bytes.below(3) {
            0 => text.insert(at, byte),
            1 if at < text.len() => text[at] = byte,
            _ => text.truncate(at),
        }
    }
    let text = String::from_utf8_lossy(&text);

    let zones = Zones::embedded();
    match zones.get(&text) {
        Ok(zone) => assert_eq!(zones.get(zone.name()), Ok(zone)),
        Err(error) => assert!(error.to_string().len() < 2000),
    }
    match text.parse::<CountryCode>() {
        Ok(country) => assert_eq!(country.to_string(), text),
        Err(error) => assert!(error.to_string().len() < 2000),
    }
    // The bytes as a bundle, and the bytes after a valid header.
    let bundle = [b"tzdata2026f\0\0\0\0\x18\0\0\0\x4c\0\0\0\x5a".as_slice(), text.as_bytes()].concat();
    for bundle in [text.as_bytes(), &bundle] {
        if let Ok(zones) = Zones::from_bundle(bundle) {
            assert!(zones.names().iter().all(|name| zones.get(name).is_ok()));
        }
    }
    match Slot::containing_time(&text) {
        Ok(slot) => {
            assert_eq!(slot.to_string().parse(), Ok(slot));
            assert_eq!((slot.key().len(), slot.day().to_string().len(), slot.start() % 900), (14, 10, 0));
        }
        Err(error) => assert_eq!(text.parse::<Slot>(), Err(error)),
    }
    if let Ok(slot) = text.parse::<Slot>() {
        assert_eq!(Slot::containing_time(&text), Ok(slot));
        assert_eq!(slot.to_string().parse(), Ok(slot));
    }
    for id_type in [IdType::Long, IdType::Keyword] {
        if let Some(key) = StoreKey::new(&text, id_type) {
            assert_eq!(StoreKey::new(&key.to_string(), id_type), Some(key));
        }
    }
}

/// Rows with any values never panic, and a store with all the accepted rows can be judged in any slot.
pub(crate) fn rows(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let slot = Slot::containing(bytes.extreme());
    let default_timezone = naive::zone(bytes.zone());
    let kind = bytes.byte();
    let missing_hours = if kind & 1 == 0 { MissingHours::Closed } else { MissingHours::AlwaysOpen };
    let time = |bytes: &mut Bytes<'_>| {
        let time = if bytes.byte() & 1 == 0 {
            WallTime::from_micros(bytes.extreme())
        } else {
            WallTime::from_seconds(bytes.extreme() as u32)
        };
        time.inspect(|time| assert_eq!(time.to_string().len(), 8))
    };
    let weekly = bytes.repeated(10, |bytes| {
        let weekday = if bytes.byte() & 3 == 0 { bytes.extreme() } else { bytes.below(8) };
        WeeklyHours::new(weekday, time(bytes), time(bytes)).inspect_err(|error| drop(error.to_string()))
    });
    let today = SlotClock::new(&default_timezone, slot).local_date();
    let exceptions = bytes.repeated(10, |bytes| {
        let date = match bytes.byte() & 3 {
            0 => LocalDate::from_days(bytes.extreme() as i32),
            _ => today.plus_days(bytes.below(256) as i32 - 128),
        };
        assert!((1..=7).contains(&date.weekday()) && !date.to_string().is_empty());
        assert!(date.to_naive().is_none_or(|naive| LocalDate::from(naive) == date));
        ExceptionHours::new(date, time(bytes), time(bytes)).inspect_err(|error| drop(error.to_string()))
    });
    let store = Store {
        hours: StoreHours {
            weekly: weekly.into_iter().flatten().collect(),
            exceptions: exceptions.into_iter().flatten().collect(),
        },
        ..Store::default()
    };
    let (from, micros) = match kind & 2 {
        0 => (Instant::FIRST, bytes.extreme()),
        _ => (slot.first_instant(), bytes.below(900_000_000)),
    };
    let at = from.plus_micros(micros);
    let view = Observation { at, stores: vec![(StoreKey::Keyword(String::new()), LiveStore::default())] };
    let rules = Rules {
        zones: Zones::embedded(),
        default_timezone: default_timezone.clone(),
        missing_hours,
        id_type: IdType::Keyword,
    };
    let judged = judge_chunk(slot, &rules, std::slice::from_ref(&store), Ok(&view));
    assert_eq!(judged.len(), 1);
    let opening = store.hours.opening(&SlotClock::new(&default_timezone, slot), missing_hours);
    assert_eq!(judged[0].judged.scheduled_seconds, Some(opening.seconds()));
    let open = (0..900).filter(|&second| opening.contains(second)).count();
    assert_eq!(open, usize::from(opening.seconds()));
    assert!(judged[0].local.is_some_and(|(_, hour)| hour < 24));
}
