//! Times the merge of a country tick of 10,000 stores, one in fifty of them down, with everything in memory, so
//! that what a change costs the tick can be told: run it on both versions, in turn.
//!
//! `cargo run -p storewatch-pipeline-tests --example time_merge`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a measurement ends by panicking")]

use std::sync::atomic::Ordering;
use std::time::Instant;

use storewatch_domain::{Slot, StoreKey};
use storewatch_lake::{Objects, Table, keys};
use storewatch_pipeline_tests::{FILE, World};
use storewatch_runtime::CountryFile;
use storewatch_sources::memory::Document;

const STORES: i64 = 10_000;
const TIMES: usize = 41;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let file = FILE.replace("chunk_stores = 3", "chunk_stores = 10000");
    let mut world = World { file: CountryFile::parse(&file, "es.toml").unwrap(), ..World::default() };
    let one = world.schedules.stores[0].clone();
    world.schedules.stores =
        (1..=STORES).map(|id| storewatch_domain::Store { id: id.to_string(), ..one.clone() }).collect();
    for tick in 0..2 {
        world.slot = Slot::containing(world.slot.start() + tick * Slot::SECONDS);
        world.now.store(world.slot.start_micros() + 1_000_000, Ordering::Relaxed);
        // Half of those that are down now were down before.
        let online = |id: i64| (id + tick * 25) % 50 != 0 || id % 100 == 0;
        let document = |id: i64| Document { id: StoreKey::Long(id), online: online(id), reason: None };
        world.view.documents = (1..=STORES).map(document).collect();
        world.tick(&[]).await;
    }
    let mut took = Vec::new();
    for _ in 0..TIMES {
        for table in Table::TICKED {
            world.objects.delete(&keys::table_file(table, world.country, world.slot)).await.unwrap();
        }
        let started = Instant::now();
        world.merge_chunks().await;
        took.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    took.sort_by(f64::total_cmp);
    println!("merge of {STORES} stores: {:.1} ms at best, {:.1} ms in the middle", took[0], took[TIMES / 2]);
}
