//! A generated day: the files of its ticks, and the readings of the schedules by which they were judged.
//! Every run makes the same bytes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use storewatch_domain::current::down_at;
use storewatch_domain::{
    CountryCode, Day, IdType, Instant, Labels, LiveStore, Observation, Slot, Store, StoreHours, StoreKey,
    WallTime, WeeklyHours, Zones, judge_chunk,
};
use storewatch_lake::availability::{AvailabilityRows, by_city};
use storewatch_lake::current::CurrentRows;
use storewatch_lake::{Outcome, Table, TickRecord, keys, snapshot};

use crate::stores::rules;

/// The number of slots in the day.
pub const SLOTS: usize = 96;
/// The most stores in a chunk.
pub const CHUNK: usize = 10_000;

/// The country of the stores.
pub fn country() -> CountryCode {
    "es".parse().unwrap()
}

/// The day. Madrid is an hour ahead of UTC on it.
pub fn day() -> Day {
    "2026-11-22".parse().unwrap()
}

/// The day's slot number `n`, from 0.
pub fn slot(n: usize) -> Slot {
    Slot::containing(day().first_slot().start() + n as i64 * Slot::SECONDS)
}

/// Writes the files of a day's ticks. Cities have very different sizes. A few stores are offline for some
/// hours, or online outside their hours. `CHANGED` stores (default 20) change their name at each reading of
/// the schedules.
pub fn make(folder: &Path, count: usize) {
    let mut draw = generator();
    let (mut stores, opening): (Vec<Store>, Vec<usize>) =
        (0..count).map(|n| store(n, count, &mut draw)).unzip();
    let mut offline = vec![0_usize; count];
    let changed: usize = std::env::var("CHANGED").map_or(20, |changed| changed.parse().unwrap());
    let (mut snapshots, mut down) = (Vec::<PathBuf>::new(), None);
    for n in 0..SLOTS {
        let mut touched = BTreeSet::new();
        for k in 0..changed {
            let place = (n * changed + k) * 7 % count;
            stores[place].name = Some(format!("Bar {n} {k}"));
            touched.insert(place / CHUNK);
        }
        let as_of = slot(n).first_instant().plus_micros(1_000_000);
        snapshots = write_snapshot(folder, (slot(n), as_of), &stores, &snapshots, &touched);
        let parts = stores.chunks(CHUNK).enumerate().map(|(chunk, stores)| {
            let from = chunk * CHUNK;
            let at = slot(n).first_instant().plus_micros(3_000_000 + chunk as i64 * 137_911);
            let mut see = |k: usize| live_store(n, opening[from + k], &mut offline[from + k], &mut draw);
            let seen = stores
                .iter()
                .enumerate()
                .filter_map(|(k, store)| Some((StoreKey::new(&store.id, IdType::Long).unwrap(), see(k)?)));
            let view = Observation { at, stores: seen.collect() };
            AvailabilityRows::new(slot(n), as_of, &judge_chunk(slot(n), &rules(), stores, Ok(&view))).unwrap()
        });
        let rows = AvailabilityRows::merge(parts.collect()).unwrap();
        write_tables(folder, slot(n), as_of, &rows);
        let now = current(slot(n), &rows, down.as_ref());
        let key = keys::table_file(Table::CurrentOutages, country(), slot(n));
        write(&folder.join(key), &now.clone().write().unwrap());
        down = Some((slot(n), now));
    }
}

/// Returns pseudorandom numbers below `n`, the same in every run (xorshift64).
fn generator() -> impl FnMut(usize) -> usize {
    let mut random = 7_u64;
    move |n| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % n as u64) as usize
    }
}

/// A store, and the slot in which it opens.
fn store(n: usize, count: usize, draw: &mut impl FnMut(usize) -> usize) -> (Store, usize) {
    // Of 52 cities, the largest has a quarter of the stores, and the smallest has a few dozen.
    let city = (draw(1000) * draw(1000) * draw(1000) / 1_000_000) / 19;
    let shift = draw(8) as u32 * 1800;
    let hours = |day| {
        let opens = WallTime::from_seconds(8 * 3600 + shift);
        WeeklyHours::new(day, opens, WallTime::from_seconds(18 * 3600 + shift)).unwrap()
    };
    let store = Store {
        id: (1_000_000 + n * 3).to_string(),
        name: Some(format!("{} {}", ["Bar", "Casa", "Farmacia", "Tienda"][draw(4)], draw(count))),
        city: (draw(500) > 0).then(|| format!("Ciudad {city}")),
        timezone: Some("Europe/Madrid".to_owned()),
        labels: labels(n, city),
        hours: StoreHours { weekly: (1..=7).map(hours).collect(), exceptions: Vec::new() },
        problem: None,
    };
    (store, 7 * 4 + shift as usize / 900)
}

/// A third of the stores has no chain, the largest chain has about 15 %, and there is a long tail.
fn labels(n: usize, city: usize) -> Labels {
    let part = n * 7919 % 1000;
    let chain = match part {
        0..330 => None,
        330..480 => Some("Grupo 0".to_owned()),
        _ => Some(format!("Grupo {}", 1 + part * part % 173)),
    };
    Labels {
        region: Some(format!("ES-{}", city % 19)),
        chain,
        segment: Some(["restaurant", "grocery", "pharmacy", "convenience"][n * 31 % 4].to_owned()),
        owner: Some(format!("Equipo {}", city % 5)),
    }
}

/// What the live view says of a store in a slot; `None` if it does not list the store. `until` is the slot
/// in which the store is back online.
fn live_store(
    slot: usize,
    opens: usize,
    until: &mut usize,
    draw: &mut impl FnMut(usize) -> usize,
) -> Option<LiveStore> {
    if *until <= slot && draw(300) == 0 {
        *until = slot + draw(20);
    }
    let reason = (*until > slot).then(|| ["paused", "no courier", "technical"][draw(3)].to_owned());
    let open = (opens..opens + 10 * 4).contains(&slot) || draw(100) == 0;
    let live = LiveStore { online: reason.is_none() && open, reason };
    (draw(200) > 0).then_some(live)
}

/// The current outages of a slot, after those of the slot before.
fn current(slot: Slot, rows: &AvailabilityRows, before: Option<&(Slot, CurrentRows)>) -> CurrentRows {
    let looks = rows.looks().unwrap();
    let ongoing = before.map(|(slot, rows)| (*slot, rows.outages().unwrap()));
    let down = down_at(slot, &looks, ongoing.as_ref().map(|(slot, ongoing)| (*slot, &ongoing[..])));
    CurrentRows::new(slot, &down, rows, before.map(|(_, rows)| rows)).unwrap()
}

/// Writes the slot's files of the other tables.
fn write_tables(folder: &Path, slot: Slot, as_of: Instant, rows: &AvailabilityRows) {
    let record = TickRecord {
        slot,
        started_at: slot.first_instant().plus_micros(500_000),
        finished_at: slot.first_instant().plus_micros(9_000_000),
        outcome: Outcome::Complete,
        stores: Some(rows.len() as u64),
        chunks: Some(rows.len().div_ceil(CHUNK) as u32),
        chunks_unknown: Some(0),
        coverage: Some(1.0),
        schedule_as_of: Some(as_of),
        error: None,
        tzdb: Some(Zones::embedded().release().to_owned()),
    };
    let cities = by_city(slot, &rows.summary().unwrap()).unwrap();
    for (table, body) in [
        (Table::StoreAvailability, rows.write().unwrap()),
        (Table::AvailabilityByCity, cities),
        (Table::CountryTicks, record.write().unwrap()),
    ] {
        write(&folder.join(keys::table_file(table, country(), slot)), &body);
    }
}

/// Writes a reading, chunk by chunk. A chunk that was not touched since the reading before is a link to its
/// file, so that both have the same entity tag.
fn write_snapshot(
    folder: &Path,
    (slot, read_at): (Slot, Instant),
    stores: &[Store],
    before: &[PathBuf],
    touched: &BTreeSet<usize>,
) -> Vec<PathBuf> {
    let chunks = stores.chunks(CHUNK).enumerate();
    let written = chunks.map(|(chunk, stores)| {
        let path = folder.join(keys::snapshot_chunk(country(), slot, read_at, chunk as u32));
        match before.get(chunk) {
            Some(same) if !touched.contains(&chunk) => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::hard_link(same, &path).unwrap();
            }
            _ => write(&path, &snapshot::write(stores).unwrap()),
        }
        path
    });
    written.collect()
}

/// Writes a file and its folders.
pub(crate) fn write(path: &Path, body: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, body).unwrap();
}
