//! A partial country tick looks again while its slot lasts, and counts once.

use std::sync::atomic::Ordering;

use merge::look::Look;
use serde_json::json;
use storewatch_domain::{IdRange, LiveStore, Slot, StoreKey};
use storewatch_lake::{Objects, Outcome, keys};
use storewatch_pipeline_tests::{Away, World};
use storewatch_runtime::events::ChunkItem;
use storewatch_sources::{LiveView, LiveViewError};

/// A live view that rejects the country file.
struct Refusing;

#[async_trait::async_trait]
impl LiveView for Refusing {
    async fn observe(&self, _: &IdRange) -> Result<Vec<(StoreKey, LiveStore)>, LiveViewError> {
        Err(LiveViewError::Config { field: "online", problem: "no field \"opne\" is mapped".to_owned() })
    }
}

fn world() -> World {
    World { look_again_seconds: 60, ..World::default() }
}

/// Merges after a look, `seconds` into the slot.
async fn merge(world: &World, look: u32, seconds: i64) -> merge::Merged {
    let start = world.slot.first_instant();
    world.now.store(start.micros() + seconds * 1_000_000, Ordering::Relaxed);
    let manifest = keys::manifest(world.country, world.slot);
    world
        .merge(json!({ "manifest": manifest, "started_at": start.plus_micros(1_000_000), "look": look }))
        .await
}

async fn items(world: &World, look: &Look) -> Vec<ChunkItem> {
    serde_json::from_slice(&world.objects.get(&look.items).await.unwrap()).unwrap()
}

async fn observe(world: &World, items: Vec<ChunkItem>, failing: &[u32], failure: &dyn LiveView) {
    for item in items {
        let view: &dyn LiveView = if failing.contains(&item.chunk) { failure } else { &world.view };
        assert_eq!(world.observe(&item, view).await.is_ok(), !failing.contains(&item.chunk));
    }
}

#[tokio::test]
async fn the_second_look_observes_what_is_missing_and_the_tick_counts_once() {
    let world = world();
    world.plan(&world.schedules).await.unwrap();
    observe(&world, world.items().await, &[0, 2], &Away).await;
    let first = merge(&world, 1, 40).await;
    assert_eq!((first.outcome, first.coverage), (Outcome::Partial, Some(3.0 / 8.0)));
    let look = first.again.unwrap();
    assert_eq!((look.number, look.wait_seconds), (2, 60));
    assert!(world.metrics.sent().is_empty(), "nothing is counted before the last look");
    let missing = items(&world, &look).await;
    assert_eq!(missing.iter().map(|item| item.chunk).collect::<Vec<_>>(), [0, 2]);
    world.now.store(world.slot.start_micros() + 100_000_000, Ordering::Relaxed);
    observe(&world, missing, &[], &Away).await;
    let second = merge(&world, 2, 101).await;
    assert_eq!((second.outcome, second.error, second.again), (Outcome::Complete, None, None));
    assert_eq!(world.metrics.sent(), [], "nothing is wrong");
    assert_eq!(world.statuses().await.iter().filter(|(_, status)| status == "unknown").count(), 0);
}

#[tokio::test]
async fn a_tick_that_stays_partial_is_counted_once_after_its_last_look() {
    let world = world();
    world.plan(&world.schedules).await.unwrap();
    observe(&world, world.items().await, &[1], &Away).await;
    let mut looks = Vec::new();
    for (n, seconds) in [(1, 30), (2, 120), (3, 270), (4, 445)] {
        let merged = merge(&world, n, seconds).await;
        assert_eq!(merged.outcome, Outcome::Partial);
        assert_eq!(world.sent("TicksPartial").len(), usize::from(n == 4));
        looks.extend(merged.again.map(|look| (look.number, look.wait_seconds)));
    }
    assert_eq!(looks, [(2, 60), (3, 120), (4, 170)]);
    assert_eq!(world.sent("TicksPartial"), [1.0]);
}

#[tokio::test]
async fn a_permanent_failure_is_not_looked_at_again_and_the_row_names_it() {
    let world = world();
    world.plan(&world.schedules).await.unwrap();
    observe(&world, world.items().await, &[0, 1, 2], &Refusing).await;
    let merged = merge(&world, 1, 5).await;
    let said = "3 of 3 chunks: BadConfig: [live_view].online: no field \"opne\" is mapped";
    assert_eq!((merged.error.as_deref(), merged.again), (Some(said), None));
    assert_eq!(world.record().await.error.as_deref(), Some(said));
    assert_eq!((world.sent("ConfigErrors"), world.sent("TicksPartial")), (vec![3.0], vec![1.0]));
}

#[tokio::test]
async fn a_slot_that_is_over_is_not_looked_at_again() {
    let world = world();
    world.now.store(world.slot.end() * 1_000_000, Ordering::Relaxed);
    world.plan(&world.schedules).await.unwrap();
    observe(&world, world.items().await, &[], &Away).await;
    let merged = merge(&world, 1, Slot::SECONDS + 1).await;
    assert_eq!(merged.again, None);
    assert!(merged.error.unwrap().starts_with("3 of 3 chunks: late: the slot was over"));
}

#[tokio::test]
async fn the_first_chunk_gives_the_cause_even_if_its_function_was_killed() {
    let world = world();
    world.plan(&world.schedules).await.unwrap();
    let items = world.items().await;
    observe(&world, items[1..].to_vec(), &[1], &Away).await;
    let error = merge(&world, 1, 5).await.error.unwrap();
    assert!(error.starts_with("2 of 3 chunks: observe ended without a word"), "{error}");
    observe(&world, items[..1].to_vec(), &[], &Away).await;
    let merged = merge(&world, 1, 6).await;
    let said = "1 of 3 chunks: LiveViewIncomplete: the live view \"stores-es\" at search.es.example:443";
    assert!(merged.error.as_ref().unwrap().starts_with(said), "{merged:?}");
}
