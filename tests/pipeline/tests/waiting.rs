//! A chunk whose live view has no room waits for its turn.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use storewatch_domain::{IdRange, Instant, LiveStore, StoreKey};
use storewatch_lake::availability::AvailabilityRows;
use storewatch_lake::{Objects, keys};
use storewatch_pipeline_tests::World;
use storewatch_runtime::{Clock, ErrorName};
use storewatch_sources::{LiveView, LiveViewError};

/// A live view that has no room for the first requests, and says when to come again.
struct Full<'a> {
    world: &'a World,
    times: u32,
    after: Option<Duration>,
    asked: AtomicU32,
    /// When it was last asked.
    at: AtomicI64,
}

impl<'a> Full<'a> {
    fn new(world: &'a World, times: u32, after: Option<Duration>) -> Self {
        Self { world, times, after, asked: AtomicU32::new(0), at: AtomicI64::new(0) }
    }
}

#[async_trait::async_trait]
impl LiveView for Full<'_> {
    async fn observe(&self, range: &IdRange) -> Result<Vec<(StoreKey, LiveStore)>, LiveViewError> {
        self.at.store(self.world.now().micros(), Ordering::Relaxed);
        if self.asked.fetch_add(1, Ordering::Relaxed) >= self.times {
            return self.world.view.observe(range).await;
        }
        let (host, index) = ("search.es.example:443".to_owned(), "stores-es".to_owned());
        let error =
            LiveViewError::Incomplete { host, index, what: "data too large".to_owned(), source: None };
        Err(LiveViewError::Busy { error: Box::new(error), after: self.after })
    }
}

#[tokio::test]
async fn a_chunk_waits_until_there_is_room_and_is_observed_at_the_time_of_the_answer() {
    let world = World::default();
    world.plan(&world.schedules).await.unwrap();
    let item = &world.items().await[0];
    let before = world.now();
    let full = Full::new(&world, 4, None);
    assert_eq!(world.observe(item, &full).await.unwrap().stores, item.stores);
    assert_eq!(full.asked.load(Ordering::Relaxed), 5);
    let asked = Instant::from_micros(full.at.load(Ordering::Relaxed)).unwrap();
    // At least half of 0.5 s, 1 s, 2 s and 4 s, at most the whole.
    let waited = asked.micros_since(before) / 1_000;
    assert!((3_750..=7_510).contains(&waited), "{waited} ms");
    let staged = world.objects.get(&keys::staged_chunk(world.country, world.slot, item.chunk)).await.unwrap();
    let rows = AvailabilityRows::read(staged).unwrap();
    let late = asked.micros_since(rows.looks().unwrap()[0].at.unwrap());
    assert!((0..1_000).contains(&late), "observed {late} µs before the answer");
}

#[tokio::test]
async fn a_chunk_waits_at_least_as_long_as_the_server_asks_for() {
    let world = World::default();
    world.plan(&world.schedules).await.unwrap();
    let item = &world.items().await[0];
    let before = world.now();
    let full = Full::new(&world, 2, Some(Duration::from_secs(7)));
    world.observe(item, &full).await.unwrap();
    let waited = full.at.load(Ordering::Relaxed) - before.micros();
    assert!((14_000_000..16_000_000).contains(&waited), "{waited} µs");
}

#[tokio::test]
async fn a_server_that_never_has_room_fails_the_chunk_with_its_answer_before_the_function_must_end() {
    let world = World::default();
    world.plan(&world.schedules).await.unwrap();
    let item = &world.items().await[0];
    for after in [None, Some(Duration::from_secs(600))] {
        let before = world.now();
        let full = Full::new(&world, u32::MAX, after);
        let error = world.observe(item, &full).await.unwrap_err();
        assert_eq!(error.name(), ErrorName::LiveViewIncomplete);
        assert!(error.to_string().contains("data too large"), "{error}");
        let waited = world.now().micros_since(before);
        assert!(waited < 25_001_000, "{waited} µs");
        assert_eq!(full.asked.load(Ordering::Relaxed) == 1, after.is_some());
    }
}
