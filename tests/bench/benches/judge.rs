//! Measures how fast one core judges a million stores, and compares it with the least possible: reading
//! once the bytes that must be read (the stores with their ids, zones and rows, and the observation).
//!
//! `make bench-judge`. The crate's README has the figures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use storewatch_bench::stores::{observation, rules, store};
use storewatch_domain::{Observation, Slot, Store, StoreKey, judge_chunk};

const STORES: usize = 1_000_000;
const CHUNK: usize = 10_000;
/// Reads once every byte that judging the chunk needs, and does nothing else.
fn read_once(stores: &[Store], view: &Observation) -> u64 {
    let bytes = |text: &str| text.bytes().fold(0_u64, |sum, byte| sum.wrapping_add(u64::from(byte)));
    let mut sum = 0_u64;
    for store in stores {
        sum = sum.wrapping_add(bytes(&store.id)).wrapping_add(bytes(store.timezone.as_deref().unwrap_or("")));
        sum = sum.wrapping_add(store.problem.is_some() as u64);
        for row in &store.hours.weekly {
            let hours = row.hours().map_or(0, |(opens, closes)| opens.seconds() ^ closes.seconds());
            sum = sum.wrapping_add(u64::from(u32::from(row.weekday()) ^ hours));
        }
        for row in &store.hours.exceptions {
            sum = sum.wrapping_add(row.date().days() as u64);
        }
    }
    for (key, live) in &view.stores {
        let StoreKey::Long(id) = key else { continue };
        sum = sum.wrapping_add(*id as u64 ^ u64::from(live.online));
        sum = sum.wrapping_add(live.reason.as_ref().map_or(0, |reason| reason.len() as u64));
    }
    sum
}

fn judge_a_million(c: &mut Criterion) {
    let slot: Slot = "2026-11-23T12:15:00Z".parse().unwrap();
    let (today, rules) = (slot.day().date(), rules());
    let mut chunks: Vec<(Vec<Store>, Observation)> = (0..STORES / CHUNK)
        .map(|chunk| {
            let stores: Vec<Store> = (chunk * CHUNK..(chunk + 1) * CHUNK).map(|n| store(n, today)).collect();
            let view = observation(&stores, slot.first_instant().plus_micros(61_000_000));
            (stores, view)
        })
        .collect();
    let mut group = c.benchmark_group("a million stores");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(10))
        .throughput(Throughput::Elements(STORES as u64));
    group.bench_function("floor: their bytes read once", |b| {
        b.iter(|| chunks.iter().map(|(stores, view)| read_once(stores, view)).fold(0, u64::wrapping_add));
    });
    group.bench_function("judged, a row each", |b| {
        b.iter(|| {
            for (stores, view) in &chunks {
                black_box(judge_chunk(slot, &rules, stores, Ok(view)));
            }
        });
    });
    // Two days after most of these zones change their clocks: wall times are looked up one by one.
    let slot: Slot = "2026-10-27T12:15:00Z".parse().unwrap();
    chunks.iter_mut().for_each(|(_, view)| view.at = slot.first_instant().plus_micros(61_000_000));
    group.bench_function("judged near a change of clocks", |b| {
        b.iter(|| {
            for (stores, view) in &chunks {
                black_box(judge_chunk(slot, &rules, stores, Ok(view)));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, judge_a_million);
criterion_main!(benches);
