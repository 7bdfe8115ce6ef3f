//! A country in another account delivers to the lake. Whatever fails, the lake has in the end what the country has, and never
//! shows less than it did.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use storewatch_days::{CountryDay, Lake, REPLACED, compact, repair};
use storewatch_domain::{Day, Slot};
use storewatch_lake::delivery::Delivery;
use storewatch_lake::memory::MemoryObjects;
use storewatch_lake::{
    Catalog, CatalogError, Condition, LakeError, ListedObject, Objects, Partition, Put, Table, Tag, keys,
};
use storewatch_pipeline_tests::World;
use storewatch_pipeline_tests::disturbed::{Beside, Disturbed, End};
use storewatch_runtime::{ErrorName, FunctionError};

const DAY: &str = "2026-11-23";

fn the_day() -> Day {
    DAY.parse().unwrap()
}

/// A lake that cannot be reached while it is closed.
struct Away {
    lake: MemoryObjects,
    is_closed: AtomicBool,
}

impl Default for Away {
    fn default() -> Self {
        Self { lake: MemoryObjects::named("lake"), is_closed: AtomicBool::new(false) }
    }
}

impl Away {
    fn close(&self, is_closed: bool) {
        self.is_closed.store(is_closed, Ordering::Relaxed);
    }

    fn check(&self, operation: &'static str, key: &str) -> Result<(), LakeError> {
        let (bucket, key) = (self.bucket().to_owned(), key.to_owned());
        let source = "403 AccessDenied".into();
        let closed = self.is_closed.load(Ordering::Relaxed);
        if closed { Err(LakeError::Failed { operation, bucket, key, source }) } else { Ok(()) }
    }

    /// What a query sees: the files at the locations in the catalog, which all are in the lake.
    async fn seen(&self, world: &World) -> BTreeMap<String, Bytes> {
        let mut seen = BTreeMap::new();
        for partition in world.catalog.partitions() {
            let prefix = partition.location.strip_prefix("s3://lake/").unwrap();
            for object in self.lake.list(prefix).await.unwrap() {
                seen.insert(object.key.clone(), self.lake.get(&object.key).await.unwrap());
            }
        }
        seen
    }
}

#[async_trait]
impl Objects for Away {
    fn bucket(&self) -> &str {
        self.lake.bucket()
    }

    async fn get(&self, key: &str) -> Result<Bytes, LakeError> {
        self.check("get", key)?;
        self.lake.get(key).await
    }

    async fn put_if(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, LakeError> {
        self.check("put", key)?;
        self.lake.put_if(key, body, condition).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>, LakeError> {
        self.check("list", prefix)?;
        self.lake.list(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), LakeError> {
        self.check("delete", key)?;
        self.lake.delete(key).await
    }

    async fn tag(&self, key: &str, tag: Tag) -> Result<(), LakeError> {
        self.check("tag", key)?;
        self.lake.tag(key, tag).await
    }
}

/// Everything of a tick but its registration.
async fn merged(world: &mut World, number: i64) -> merge::Merged {
    world.slot = Slot::containing(the_day().first_slot().start() + number * Slot::SECONDS);
    world.now.store(world.slot.start_micros() + 1_000_000, Ordering::Relaxed);
    world.plan(&world.schedules).await.unwrap();
    for item in world.items().await {
        world.observe(&item, &world.view).await.unwrap();
    }
    world.merge_chunks().await
}

async fn register(
    world: &World,
    objects: &dyn Objects,
    catalog: &dyn Catalog,
    partitions: Vec<Partition>,
) -> Result<storewatch_lake::Registered, FunctionError> {
    let ports = register::Ports { objects, catalog, metrics: &world.metrics };
    register::register(&ports, world.country, partitions).await
}

/// A tick whose rows are delivered if the lake can be reached.
async fn tick(world: &mut World, away: &Away, number: i64) -> Result<(), FunctionError> {
    let partitions = merged(world, number).await.partitions;
    let catalog = Delivery::new(&world.objects, away, &world.catalog);
    register(world, &world.objects, &catalog, partitions).await.map(|_| ())
}

async fn compact_day(world: &World, away: &Away) -> Result<(), FunctionError> {
    let catalog = Delivery::new(&world.objects, away, &world.catalog);
    let (lake, id) = (Lake { objects: &world.objects, catalog: &catalog }, day_of(world));
    Ok(compact(lake, id, world.compacting()).await.map(|_| ())?)
}

fn day_of(world: &World) -> CountryDay {
    CountryDay { country: world.country, day: the_day() }
}

fn end_of_day(world: &World) {
    world.now.store((the_day().first_slot().start() + 90_000) * 1_000_000, Ordering::Relaxed);
}

/// The tables' files of the country's own account.
async fn at_home(world: &World) -> BTreeMap<String, Bytes> {
    let mut files = BTreeMap::new();
    for (key, _) in world.files().await {
        files.insert(key.clone(), world.objects.get(&key).await.unwrap());
    }
    files
}

#[tokio::test]
async fn what_a_closed_lake_could_not_take_is_delivered_by_a_later_tick_as_if_nothing_had_happened() {
    let (mut calm, never_closed) = (World::default(), Away::default());
    let (mut world, away) = (World::default(), Away::default());
    for number in 0..5 {
        tick(&mut calm, &never_closed, number).await.unwrap();
        // Closed for the ticks 1 to 3.
        away.close((1..4).contains(&number));
        let before = away.seen(&world).await;
        match tick(&mut world, &away, number).await {
            Ok(()) => assert!(!(1..4).contains(&number)),
            Err(error) => {
                assert_eq!(error.name(), ErrorName::CatalogUnavailable);
                assert!(storewatch_runtime::describe(&error).contains("403 AccessDenied"), "{error}");
                // The tick is whole at home, it counts as pending, and queries see what they saw.
                assert_eq!(world.record().await.stores, Some(8));
                assert_eq!(world.sent("TicksPending").last(), Some(&(number as f64)));
                assert_eq!(away.seen(&world).await, before);
            }
        }
    }
    assert_eq!(away.seen(&world).await, never_closed.seen(&calm).await);
    assert_eq!(away.seen(&world).await, at_home(&world).await);
    assert_eq!(world.catalog.partitions(), calm.catalog.partitions());
    assert_eq!(world.objects.list(&keys::pending_prefix(world.country)).await.unwrap(), []);
}

#[tokio::test]
async fn a_file_that_has_changed_at_home_replaces_its_copy() {
    let (world, away) = (World::default(), Away::default());
    world.plan(&world.schedules).await.unwrap();
    let items = world.items().await;
    world.observe(&items[0], &world.view).await.unwrap();
    let catalog = Delivery::new(&world.objects, &away, &world.catalog);
    let partial = world.merge_chunks().await;
    register(&world, &world.objects, &catalog, partial.partitions).await.unwrap();
    let before = away.seen(&world).await;
    for item in &items[1..] {
        world.observe(item, &world.view).await.unwrap();
    }
    let complete = world.merge_chunks().await;
    let done = register(&world, &world.objects, &catalog, complete.partitions).await.unwrap();
    assert_eq!(done.unchanged, 4, "the catalog already had the partitions");
    let after = away.seen(&world).await;
    assert_eq!(after, at_home(&world).await);
    assert!(after.keys().eq(before.keys()) && after != before);
}

#[tokio::test]
async fn nothing_is_copied_twice() {
    let (mut world, away) = (World::default(), Away::default());
    for number in 0..3 {
        tick(&mut world, &away, number).await.unwrap();
    }
    let before = away.lake.list("").await.unwrap();
    tick(&mut world, &away, 3).await.unwrap();
    let after = away.lake.list("").await.unwrap();
    assert_eq!(after.len(), before.len() + Table::TICKED.len());
    // An entity tag in memory counts puts.
    assert!(before.iter().all(|object| after.contains(object)));
}

#[tokio::test]
async fn a_day_is_compacted_in_both_accounts_and_what_it_replaced_is_marked_in_both() {
    let (mut world, away) = (World::default(), Away::default());
    for number in [3, 4] {
        tick(&mut world, &away, number).await.unwrap();
    }
    end_of_day(&world);
    away.close(true);
    let before = away.seen(&world).await;
    assert_eq!(compact_day(&world, &away).await.unwrap_err().name(), ErrorName::CatalogUnavailable);
    assert_eq!(away.seen(&world).await, before, "queries see the ticks' files meanwhile");
    assert_eq!(world.objects.tagged(REPLACED), Vec::<String>::new());
    away.close(false);
    compact_day(&world, &away).await.unwrap();
    let seen = away.seen(&world).await;
    assert!(seen.keys().all(|key| key.starts_with("compacted/")));
    for (key, body) in seen {
        assert_eq!(world.objects.get(&key).await.unwrap(), body);
    }
    assert_eq!(away.lake.tagged(REPLACED), world.objects.tagged(REPLACED));
    assert_eq!(away.lake.tagged(REPLACED).len(), 2 * Table::TICKED.len());
}

#[tokio::test]
async fn a_repair_delivers_what_the_lake_has_lost() {
    let (mut world, away) = (World::default(), Away::default());
    tick(&mut world, &away, 3).await.unwrap();
    let wanted = away.seen(&world).await;
    let lost = wanted.keys().next().unwrap();
    away.lake.delete(lost).await.unwrap();
    let catalog = Delivery::new(&world.objects, &away, &world.catalog);
    let lake = Lake { objects: &world.objects, catalog: &catalog };
    let done = repair(lake, world.country, (the_day(), the_day())).await.unwrap();
    assert_eq!(done.unchanged, 4);
    assert_eq!(away.seen(&world).await, wanted);
}

#[tokio::test]
async fn after_a_crash_at_any_operation_of_a_delivery_the_next_run_finishes_it() {
    for end in [End::Before, End::After] {
        for deaths in 0.. {
            let (mut world, away) = (World::default(), Away::default());
            tick(&mut world, &away, 0).await.unwrap();
            let shown = away.seen(&world).await;
            let partitions = merged(&mut world, 1).await.partitions;
            let still_shown = || {
                async {
                    let seen = away.seen(&world).await;
                    assert!(shown.iter().all(|(key, body)| seen.get(key) == Some(body)));
                }
                .boxed()
            };
            let dying = Disturbed::new(&world, deaths, end, &still_shown);
            let beside = Beside(&dying, &away.lake);
            let catalog = Delivery::new(&dying, &beside, &dying);
            let ended = register(&world, &dying, &catalog, partitions).await;
            let calm = Delivery::new(&world.objects, &away, &world.catalog);
            register(&world, &world.objects, &calm, Vec::new()).await.unwrap();
            assert_eq!(away.seen(&world).await, at_home(&world).await, "{end:?} {deaths} operations");
            if ended.is_ok() {
                assert!(deaths > 30, "only {deaths} operations");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_delivery_overtaken_by_a_newer_one_does_not_bring_the_old_file_back() {
    for after in 0.. {
        let (mut world, away) = (World::default(), Away::default());
        let partitions = merged(&mut world, 0).await.partitions;
        let key = keys::table_file(Table::StoreAvailability, world.country, world.slot);
        let newer = Bytes::from_static(b"a better tick's rows");
        let crossing = || {
            async {
                world.objects.put(&key, newer.clone()).await.unwrap();
                let calm = Delivery::new(&world.objects, &away, &world.catalog);
                register(&world, &world.objects, &calm, Vec::new()).await.unwrap();
                // Whoever was overtaken may also die right away.
                assert_eq!(away.lake.get(&key).await.unwrap(), newer);
            }
            .boxed()
        };
        let crossed = Disturbed::new(&world, after, End::Crossed, &crossing);
        let beside = Beside(&crossed, &away.lake);
        let catalog = Delivery::new(&crossed, &beside, &crossed);
        let ended = register(&world, &crossed, &catalog, partitions).await;
        if !crossed.came() {
            ended.unwrap();
            break;
        }
        assert_eq!(away.lake.get(&key).await.unwrap(), newer, "crossed after {after} operations: {ended:?}");
    }
}

#[tokio::test]
async fn a_lake_that_others_change_all_the_time_is_an_error_and_not_a_loop() {
    let mut world = World::default();
    let partitions = merged(&mut world, 0).await.partitions;
    /// A lake in which every put meets another one.
    struct Busy(MemoryObjects);
    #[async_trait]
    impl Objects for Busy {
        fn bucket(&self) -> &str {
            self.0.bucket()
        }
        async fn get(&self, key: &str) -> Result<Bytes, LakeError> {
            self.0.get(key).await
        }
        async fn put_if(&self, _: &str, _: Bytes, _: Condition) -> Result<Put, LakeError> {
            Ok(Put::Conflict)
        }
        async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>, LakeError> {
            self.0.list(prefix).await
        }
        async fn delete(&self, key: &str) -> Result<(), LakeError> {
            self.0.delete(key).await
        }
        async fn tag(&self, key: &str, tag: Tag) -> Result<(), LakeError> {
            self.0.tag(key, tag).await
        }
    }
    let busy = Busy(MemoryObjects::named("lake"));
    let catalog = Delivery::new(&world.objects, &busy, &world.catalog);
    let error = catalog.deliver(&partitions).await.unwrap_err();
    assert!(matches!(error, CatalogError::Undelivered { .. }), "{error}");
}
