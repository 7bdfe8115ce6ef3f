//! The ETL `openings` through its handler, over the sources of the ticks.

use std::sync::atomic::Ordering;

use openings::table::OPENINGS;
use storewatch_domain::{Instant, StoreHours, WallTime, WeeklyHours};
use storewatch_lake::{Objects, Table, keys};
use storewatch_pipeline_tests::{Away, World};
use storewatch_runtime::{ErrorName, FunctionError};
use storewatch_sources::{LiveView, Schedules};

/// Monday, 23 November 2026. Stores 1 to 8 open at 4:31, store by store a quarter of an hour later; of 1 to 9, which have
/// documents, the live view loses 3 and 4.
fn world() -> World {
    let mut world = World::default();
    for (number, store) in (0_u32..).zip(&mut world.schedules.stores) {
        let opens = WallTime::from_seconds((4 * 60 + 31 + 15 * number) * 60);
        let weekly = vec![WeeklyHours::new(1, opens, Some(WallTime::END_OF_DAY)).unwrap()];
        store.hours = StoreHours { weekly, exceptions: Vec::new() };
    }
    world.view.documents.retain(|document| !["3", "4"].contains(&document.id.to_string().as_str()));
    world
}

async fn run(
    world: &World,
    schedules: &dyn Schedules,
    view: &dyn LiveView,
) -> Result<openings::Found, FunctionError> {
    let ports = openings::Ports { objects: &world.objects, catalog: &world.catalog, clock: world };
    let event = openings::Event { country: world.country, time: world.slot.first_instant() };
    openings::openings(&ports, &world.file, schedules, view, &event).await
}

#[tokio::test]
async fn the_stores_that_open_within_the_hour_are_written_and_their_day_is_registered() {
    let world = world();
    let found = run(&world, &world.schedules, &world.view).await.unwrap();
    assert_eq!((found.openings, found.unlisted), (4, 2));
    assert_eq!(found.key, keys::table_file(OPENINGS, world.country, world.slot));
    let partitions = world.catalog.partitions().into_iter().map(|held| (held.table, held.location));
    let partitions: Vec<(Table, String)> = partitions.collect();
    let location = "s3://memory/openings/country=es/day=2026-11-23/".to_owned();
    assert_eq!(partitions, [(OPENINGS, location)]);
}

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let world = world();
    run(&world, &world.schedules, &world.view).await.unwrap();
    let before = world.objects.list("").await.unwrap();
    run(&world, &world.schedules, &world.view).await.unwrap();
    assert_eq!(world.objects.list("").await.unwrap(), before);
    assert_eq!(before.len(), 1);
}

#[tokio::test]
async fn a_source_that_fails_writes_nothing() {
    let world = world();
    let error = run(&world, &Away, &world.view).await.unwrap_err();
    assert_eq!(error.name(), ErrorName::ScheduleUnavailable);
    let error = run(&world, &world.schedules, &Away).await.unwrap_err();
    assert_eq!(error.name(), ErrorName::LiveViewIncomplete);
    assert_eq!(world.objects.list("").await.unwrap(), []);
}

#[tokio::test]
async fn nothing_is_looked_at_outside_of_the_slot() {
    let world = world();
    for now in [world.slot.start_micros() - 1_000_000, world.slot.end() * 1_000_000] {
        world.now.store(now, Ordering::Relaxed);
        let error = run(&world, &world.schedules, &world.view).await.unwrap_err();
        assert_eq!(error.name(), ErrorName::BadEvent);
        assert!(error.to_string().contains("2026-11-23T04:15:00Z is over or has not begun"), "{error}");
    }
    // The live view answers after the end.
    let last: Instant = Instant::from_micros(world.slot.end() * 1_000_000 - 2).unwrap();
    world.now.store(last.micros(), Ordering::Relaxed);
    let error = run(&world, &world.schedules, &world.view).await.unwrap_err();
    assert_eq!(error.name(), ErrorName::BadEvent);
    assert_eq!(world.objects.list("").await.unwrap(), []);
}
