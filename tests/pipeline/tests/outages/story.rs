//! Some days of a country, written by the functions of its ticks: stores with all sorts of hours, outages of
//! all lengths, missed slots, a missed day, and schedules that change.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use storewatch_domain::{Day, ExceptionHours, Instant, Slot, Store, StoreKey, WallTime, WeeklyHours};
use storewatch_lake::{Objects, Table, keys};
use storewatch_pipeline_tests::World;
use storewatch_sources::memory::{Document, MemoryLiveView};

/// The day on which no tick runs, from 0.
const MISSED: i64 = 3;
/// The slot whose files come late. Its schedules are those of the slot before and after.
const LATE: i64 = 96 + 36;

/// What the ticks have left.
pub(crate) struct Story {
    world: World,
    pub(crate) days: i64,
    /// The stores of each reading.
    pub(crate) readings: BTreeMap<Instant, Vec<Store>>,
    late: Vec<(String, Bytes)>,
}

pub(crate) fn first_day() -> Day {
    "2026-11-23".parse().unwrap()
}

pub(crate) fn day(n: i64) -> Day {
    first_day().plus_days(n as i32).unwrap()
}

fn slot(n: i64) -> Slot {
    Slot::containing(first_day().first_slot().start() + n * Slot::SECONDS)
}

fn row(weekday: i64, opens: u32, closes: u32) -> WeeklyHours {
    let at = |minutes: u32| WallTime::from_seconds(minutes * 60);
    WeeklyHours::new(weekday, at(opens), at(closes)).unwrap()
}

/// Nine stores; the first is open around the clock.
fn stores() -> Vec<Store> {
    let mut stores = World::default().schedules.stores;
    stores.push(Store { id: "9".to_owned(), ..stores[0].clone() });
    let week = |opens, closes| (1..=7).map(|weekday| row(weekday, opens, closes)).collect::<Vec<_>>();
    stores[1].hours.weekly = week(9 * 60, 23 * 60 + 31);
    stores[2].hours.weekly = week(20 * 60 + 7, 3 * 60);
    stores[2].timezone = Some("America/Mexico_City".to_owned());
    stores[3].hours.weekly = [week(8 * 60, 12 * 60), week(13 * 60 + 40, 24 * 60)].concat();
    stores[3].hours.exceptions = vec![ExceptionHours::new(day(2).date(), None, None).unwrap()];
    stores[4].hours.weekly = Vec::new();
    stores[6].timezone = Some("Mars/Olympus".to_owned());
    for (n, store) in stores.iter_mut().enumerate() {
        store.name = Some(format!("Bar {n}"));
        store.city = Some(["Lugo", "León"][n % 2].to_owned());
    }
    stores
}

/// Pseudorandom numbers below `n` (xorshift64).
fn generator(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |n| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % n
    }
}

/// What happens to a store whatever is drawn: one opens late on the first day, one misses a whole shift, and
/// one comes and goes, and then has an outage that begins before the late tick and ends on the next day.
fn told(n: i64, store: usize) -> Option<u64> {
    match (store, n) {
        (1, 36 | 37) | (2, 96..140) | (0, 20 | 22 | 24 | 128..200) => Some(3),
        (1, 38..44) | (2, 192..240) | (0, 21 | 23) => Some(0),
        _ => None,
    }
}

/// The live view: each store keeps its state for some slots.
fn look(slot: i64, states: &mut [(u64, u64)], draw: &mut impl FnMut(u64) -> u64) -> MemoryLiveView {
    let mut documents = Vec::new();
    for (n, (state, left)) in states.iter_mut().enumerate() {
        if *left == 0 {
            (*state, *left) = (draw(5), 1 + draw(9) * draw(4));
        }
        *left -= 1;
        let mut reason = || Some(["paused", "no \"courier\"", "late"][draw(3) as usize].to_owned());
        let id = StoreKey::Long(n as i64 + 1);
        match told(slot, n).unwrap_or(*state) {
            0..=2 => documents.push(Document { id, online: true, reason: None }),
            3 => documents.push(Document { id, online: false, reason: reason() }),
            _ => {}
        }
    }
    documents.push(Document { id: StoreKey::Long(77), online: true, reason: None });
    MemoryLiveView { documents }
}

impl Story {
    /// A tick in every slot of these, `every` slots apart, but for a few.
    pub(crate) async fn tell(days: i64, every: usize, seed: u64) -> Self {
        let mut world = World::default();
        world.schedules.stores = stores();
        let (mut draw, mut states) = (generator(seed), vec![(0, 0); 9]);
        let mut readings = BTreeMap::new();
        for n in (0..days * 96).step_by(every) {
            world.view = look(n, &mut states, &mut draw);
            let (missed, failing) = (draw(15) == 0, draw(15) == 0);
            change(&mut world, n);
            if (missed && n != LATE && n > 40) || n / 96 == MISSED {
                continue;
            }
            world.slot = slot(n);
            world.now.store(world.slot.start_micros() + (n * 37 % 600) * 1_000_000, Ordering::Relaxed);
            world.tick(if failing { &[1] } else { &[] }).await;
            let read_at = world.record().await.schedule_as_of.unwrap();
            readings.insert(read_at, world.schedules.stores.clone());
        }
        let mut late = Vec::new();
        for table in Table::TICKED {
            let key = keys::table_file(table, world.country, slot(LATE));
            late.push((key.clone(), world.objects.get(&key).await.unwrap()));
            world.objects.delete(&key).await.unwrap();
        }
        Self { world, days, readings, late }
    }

    /// A world after these days, without the late tick.
    pub(crate) fn world(&self) -> World {
        let world = World { objects: self.world.objects.clone(), ..World::default() };
        world.now.store(slot(self.days * 96 + 9).start_micros(), Ordering::Relaxed);
        World { catalog: self.world.catalog.clone(), schedules: self.world.schedules.clone(), ..world }
    }

    /// The late tick's files come.
    pub(crate) async fn come_late(&self, world: &World) {
        for (key, body) in &self.late {
            world.objects.put(key, body.clone()).await.unwrap();
        }
    }
}

/// Changes the schedules on the second day.
fn change(world: &mut World, n: i64) {
    let stores = &mut world.schedules.stores;
    let gone = |stores: &Vec<Store>| stores.iter().all(|store| store.id != "8");
    match n {
        134 => stores[1].hours.weekly = (1..=7).map(|weekday| row(weekday, 10 * 60, 22 * 60)).collect(),
        140 => stores.retain(|store| store.id != "8"),
        160 => stores[0].name = Some("Renamed".to_owned()),
        400 if gone(stores) => {
            let back = Store { id: "8".to_owned(), ..stores[0].clone() };
            stores.insert(7, back);
        }
        _ => {}
    }
}
