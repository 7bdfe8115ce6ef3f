//! What a country tick does when its time is up, and when its sources change completely between two ticks.

use std::sync::atomic::{AtomicU64, Ordering};

use storewatch_domain::{IdRange, LiveStore, Slot, StoreKey};
use storewatch_lake::Outcome;
use storewatch_pipeline_tests::World;
use storewatch_sources::{LiveView, LiveViewError};

/// A live view that counts requests, and takes its time to answer.
struct Slow<'a> {
    world: &'a World,
    seconds: i64,
    asked: AtomicU64,
}

#[async_trait::async_trait]
impl LiveView for Slow<'_> {
    async fn observe(&self, range: &IdRange) -> Result<Vec<(StoreKey, LiveStore)>, LiveViewError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.world.now.fetch_add(self.seconds * 1_000_000, Ordering::Relaxed);
        self.world.view.observe(range).await
    }
}

fn slow(world: &World, seconds: i64) -> Slow<'_> {
    Slow { world, seconds, asked: AtomicU64::new(0) }
}

#[tokio::test]
async fn chunks_that_start_after_the_time_to_observe_are_unknown_and_send_no_request() {
    let world = World::default();
    world.plan(&world.schedules).await.unwrap();
    let started_at = world.slot.first_instant();
    let view = slow(&world, 225);
    for mut item in world.items().await {
        item.started_at = Some(started_at);
        world.observe(&item, &view).await.unwrap();
    }
    assert_eq!(view.asked.load(Ordering::Relaxed), 2, "450 s have passed after two");
    let merged = world.merge_chunks().await;
    assert_eq!((merged.outcome, merged.coverage), (Outcome::Partial, Some(6.0 / 8.0)));
}

#[tokio::test]
async fn a_country_that_looks_late_still_observes_for_a_minute() {
    let mut world = World::default();
    world.file.run.look_after_seconds = 600;
    let planned = world.plan(&world.schedules).await.unwrap();
    assert_eq!(planned.look_at, world.slot.first_instant().plus_micros(600_000_000));
    world.now.store(planned.look_at.micros(), Ordering::Relaxed);
    let view = slow(&world, 30);
    for mut item in world.items().await {
        item.started_at = Some(world.slot.first_instant());
        world.observe(&item, &view).await.unwrap();
    }
    assert_eq!(view.asked.load(Ordering::Relaxed), 2, "the third would begin 60 s after the look");
    assert_eq!(world.merge_chunks().await.outcome, Outcome::Partial);
}

#[tokio::test]
async fn an_answer_after_the_slot_is_late() {
    let world = World::default();
    world.plan(&world.schedules).await.unwrap();
    for item in world.items().await {
        world.observe(&item, &slow(&world, 300)).await.unwrap();
    }
    let unknown = |statuses: Vec<(String, String)>| -> Vec<String> {
        statuses.into_iter().filter(|(_, status)| status == "unknown").map(|(id, _)| id).collect()
    };
    world.merge_chunks().await;
    assert_eq!(unknown(world.statuses().await), ["7", "8"], "the third answer came 900 s after the start");
}

/// Moves on to the next slot.
fn next(world: &mut World) {
    world.slot = Slot::containing(world.slot.end());
    world.now.store(world.slot.start_micros() + 1_000_000, Ordering::Relaxed);
}

#[tokio::test]
async fn schedules_that_become_empty_or_double_are_believed_and_flagged() {
    let mut world = World::default();
    let all = world.schedules.stores.clone();
    for (stores, change) in [(8, None), (8, None), (0, Some(1.0)), (4, Some(1.0)), (8, Some(0.5))] {
        world.schedules.stores = all[..stores].to_vec();
        let sent = world.sent("StoresChange").len();
        assert_eq!(world.tick(&[]).await.outcome, Outcome::Complete);
        assert_eq!(world.record().await.stores, Some(stores as u64));
        assert_eq!(world.sent("StoresChange").get(sent).copied(), change, "{stores} stores");
        next(&mut world);
    }
}

#[tokio::test]
async fn stores_without_documents_are_unlisted_and_the_lower_share_is_flagged() {
    let mut world = World::default();
    world.tick(&[]).await;
    assert!(world.sent("ListedShareFall").is_empty());
    next(&mut world);
    world.view.documents.retain(|document| document.id <= StoreKey::Long(2));
    world.tick(&[]).await;
    let unlisted = world.statuses().await.into_iter().filter(|(_, status)| status == "unlisted").count();
    assert_eq!((unlisted, world.sent("ListedShareFall")), (6, vec![0.75]));
    // A chunk that cannot be observed says nothing about what is listed.
    next(&mut world);
    world.tick(&[1, 2]).await;
    assert_eq!(world.sent("ListedShareFall").len(), 1);
}
