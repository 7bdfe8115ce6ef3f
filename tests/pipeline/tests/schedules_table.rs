//! The day's schedules as a table. Exactly one schedule explains each row of a store, whatever was changed,
//! lost or done twice, and the other tables never wait for it.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use compact::{Event, Ports};
use futures_util::FutureExt;
use storewatch_days::{Compacted, Lake, REPLACED, repair};
use storewatch_domain::{Day, Instant, Slot, Store, WallTime, WeeklyHours};
use storewatch_lake::store_schedules::{self, Row};
use storewatch_lake::{Objects, Partition, Table, TickRecord, keys, snapshot};
use storewatch_pipeline_tests::disturbed::{Disturbed, End};
use storewatch_pipeline_tests::noting::Noting;
use storewatch_pipeline_tests::{Away, World};
use storewatch_runtime::{ErrorName, FunctionError};

const DAY: &str = "2026-11-23";
const TABLE: Table = Table::StoreSchedules;

fn day() -> Day {
    DAY.parse().unwrap()
}

fn slot(number: i64) -> Slot {
    Slot::containing(day().first_slot().start() + number * Slot::SECONDS)
}

/// Runs the tick of a slot of the day, in time.
async fn tick(world: &mut World, number: i64) {
    world.slot = slot(number);
    world.now.store(world.slot.start_micros() + 1_000_000, Ordering::Relaxed);
    world.tick(&[]).await;
}

/// The same while PostgreSQL is down.
async fn tick_by_the_last_snapshot(world: &mut World, number: i64) {
    world.slot = slot(number);
    world.now.store(world.slot.start_micros() + 1_000_000, Ordering::Relaxed);
    assert!(world.plan(&Away).await.unwrap().stale);
    world.tick(&[]).await;
}

/// When a tick of the day read the schedules.
async fn read_at(world: &World, number: i64) -> Instant {
    let key = keys::table_file(Table::CountryTicks, world.country, slot(number));
    TickRecord::read(world.objects.get(&key).await.unwrap()).unwrap().schedule_as_of.unwrap()
}

async fn ask(world: &World, objects: &dyn Objects) -> Result<Compacted, FunctionError> {
    world.now.store((slot(96).start() + 3600) * 1_000_000, Ordering::Relaxed);
    let event = Event { country: world.country, day: Some(day()) };
    let ports = Ports { objects, catalog: &world.catalog, clock: world };
    Ok(compact::handle(&ports, Ok(&world.file), &event).await?.compacted.unwrap())
}

async fn compact(world: &World) -> Compacted {
    ask(world, &world.objects).await.unwrap()
}

async fn due(world: &World) -> Vec<Day> {
    let event = Event { country: world.country, day: None };
    let ports = Ports { objects: &world.objects, catalog: &world.catalog, clock: world };
    compact::handle(&ports, Ok(&world.file), &event).await.unwrap().due.unwrap().days
}

fn partition(world: &World) -> Option<Partition> {
    world.catalog.partitions().into_iter().find(|partition| partition.table == TABLE)
}

/// What a query of the day's schedules sees; `None` if there is no partition.
async fn seen(world: &World) -> Option<Vec<Row>> {
    let location = partition(world)?.location;
    let files = world.objects.list(location.strip_prefix("s3://memory/").unwrap()).await.unwrap();
    assert_eq!(files.len(), 1, "{location}");
    Some(store_schedules::read(world.objects.get(&files[0].key).await.unwrap()).unwrap())
}

/// The store, name, start and end of each row.
fn spans(rows: &[Row]) -> Vec<(&str, Option<&str>, Instant, Option<Instant>)> {
    rows.iter().map(|row| (&*row.store_id, row.schedule.name.as_deref(), row.from, row.until)).collect()
}

/// Removes what is marked for removal, as lifecycle rules do.
async fn expire(world: &World) -> Vec<String> {
    let marked = world.objects.tagged(REPLACED);
    for key in &marked {
        world.objects.delete(key).await.unwrap();
    }
    marked
}

async fn forget(world: &World, prefix: &str) {
    for object in world.objects.list(prefix).await.unwrap() {
        world.objects.delete(&object.key).await.unwrap();
    }
}

/// How many of the tables that ticks write, and of this one, have a compacted partition.
fn compacted_tables(world: &World) -> usize {
    let partitions = world.catalog.partitions();
    let counts = |one: &&Partition| one.table == TABLE || Table::TICKED.contains(&one.table);
    let compacted = partitions.iter().filter(counts);
    compacted.filter(|one| one.location.starts_with("s3://memory/compacted/")).count()
}

fn rename(world: &mut World, n: usize, name: &str) {
    world.schedules.stores[n].name = Some(name.to_owned());
}

/// Writes a reading that restates the day, in two chunks; the first chunk is written last.
async fn restate(world: &World, read_at: Instant) {
    for (chunk, stores) in world.schedules.stores.chunks(5).enumerate().rev() {
        let key = keys::restated_snapshot_chunk(world.country, day(), read_at, chunk as u32);
        world.objects.put(&key, snapshot::write(stores).unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn a_schedule_that_changes_between_two_ticks_has_two_rows_with_the_times_of_the_readings() {
    let mut world = World::default();
    tick(&mut world, 0).await;
    let hours = WeeklyHours::new(2, WallTime::from_seconds(9 * 3600), WallTime::from_seconds(17 * 3600));
    world.schedules.stores[3].hours.weekly = vec![hours.unwrap()];
    tick(&mut world, 1).await;
    tick(&mut world, 2).await;
    assert_eq!(seen(&world).await, None, "it exists only after the day is compacted");
    let done = compact(&world).await;
    let rows = seen(&world).await.unwrap();
    assert_eq!(rows.len(), 9);
    let (first, second) = (read_at(&world, 0).await, read_at(&world, 1).await);
    let changed: Vec<&Row> = rows.iter().filter(|row| &*row.store_id == "4").collect();
    let times: Vec<(Instant, Option<Instant>)> = changed.iter().map(|row| (row.from, row.until)).collect();
    assert_eq!(times, [(first, Some(second)), (second, None)]);
    assert!(changed[0].schedule.weekly.as_deref().unwrap().starts_with("Mon 00:00-24:00; Tue 00:00-24:00"));
    assert_eq!(changed[1].schedule.weekly.as_deref(), Some("Tue 09:00-17:00"));
    assert!(
        rows.iter().filter(|row| &*row.store_id != "4").all(|row| (row.from, row.until) == (first, None))
    );
    let table = &done.tables[&TABLE];
    assert_eq!((table.rows, table.location.as_ref()), (9, Some(&partition(&world).unwrap().location)));
    assert_eq!(table.files_before, 9, "no two chunks in memory have the same tag");
    let place = "s3://memory/compacted/store_schedules/country=es/day=2026-11-23/";
    assert!(partition(&world).unwrap().location.starts_with(place));
}

#[tokio::test]
async fn added_and_removed_stores_and_bad_rows_show_in_the_rows() {
    let mut world = World::default();
    tick(&mut world, 10).await;
    let gone = world.schedules.stores.remove(0);
    world.schedules.stores.push(Store { id: "90".to_owned(), ..Store::default() });
    world.schedules.stores[0].spoil("[schedule].weekly of weekday 8: weekday 8 is not 1 to 7");
    tick(&mut world, 11).await;
    compact(&world).await;
    let (first, second) = (read_at(&world, 10).await, read_at(&world, 11).await);
    let rows = seen(&world).await.unwrap();
    let of = |id: &str| -> Vec<(Instant, Option<Instant>)> {
        rows.iter().filter(|row| &*row.store_id == id).map(|row| (row.from, row.until)).collect()
    };
    assert_eq!(of(&gone.id), [(first, Some(second))]);
    assert_eq!(of("90"), [(second, None)]);
    assert_eq!(of("2"), [(first, Some(second)), (second, None)]);
    let bad = rows.iter().find(|row| &*row.store_id == "2" && row.until.is_none()).unwrap();
    assert!(bad.schedule.problem.as_deref().unwrap().contains("weekday 8"));
    assert_eq!(rows.iter().filter(|row| row.schedule.problem.is_some()).count(), 1);
}

#[tokio::test]
async fn a_snapshot_of_the_day_before_explains_the_slots_judged_by_it() {
    for before in [-1, -3 * 96] {
        let mut world = World::default();
        tick(&mut world, before).await;
        tick_by_the_last_snapshot(&mut world, 0).await;
        tick_by_the_last_snapshot(&mut world, 1).await;
        rename(&mut world, 0, "new");
        tick(&mut world, 2).await;
        let (first, second) = (read_at(&world, 0).await, read_at(&world, 2).await);
        assert_eq!(read_at(&world, 1).await, first);
        assert!(first < slot(0).first_instant());
        compact(&world).await;
        let rows = seen(&world).await.unwrap();
        assert_eq!(rows.iter().filter(|row| row.from == first).count(), 8);
        assert_eq!(spans(&rows)[..2], [("1", None, first, Some(second)), ("1", Some("new"), second, None)]);
    }
}

#[tokio::test]
async fn a_snapshot_that_was_read_late_for_a_slot_of_another_day_is_found() {
    // The last snapshot comes from a slot four days earlier that is ticked at the end of the day before.
    let mut world = World { slot: slot(-4 * 96), ..World::default() };
    world.now.store(slot(-1).start_micros(), Ordering::Relaxed);
    world.plan(&world.schedules).await.unwrap();
    tick_by_the_last_snapshot(&mut world, 0).await;
    compact(&world).await;
    let first = read_at(&world, 0).await;
    assert!(seen(&world).await.unwrap().iter().all(|row| (row.from, row.until) == (first, None)));
}

#[tokio::test]
async fn a_restating_reading_comes_after_the_ticks_readings_and_an_incomplete_one_is_skipped() {
    let mut world = World::default();
    tick(&mut world, 0).await;
    compact(&world).await;
    let before = partition(&world).unwrap().location;
    rename(&mut world, 7, "restated");
    let restated = slot(200).first_instant();
    restate(&world, restated).await;
    // The next reading died before it wrote its first chunk.
    rename(&mut world, 7, "never whole");
    restate(&world, restated.plus_micros(1)).await;
    let first_chunk = keys::restated_snapshot_chunk(world.country, day(), restated.plus_micros(1), 0);
    world.objects.delete(&first_chunk).await.unwrap();
    compact(&world).await;
    let rows = seen(&world).await.unwrap();
    let first = read_at(&world, 0).await;
    assert_eq!(
        spans(&rows)[7..],
        [("8", None, first, Some(restated)), ("8", Some("restated"), restated, None)]
    );
    let old = before.strip_prefix("s3://memory/").unwrap();
    let marked = world.objects.tagged(REPLACED);
    assert_eq!(marked.iter().filter(|key| key.starts_with(old)).count(), 1, "the previous version");
    expire(&world).await;
    assert_eq!(seen(&world).await.unwrap(), rows);
}

#[tokio::test]
async fn running_it_again_writes_nothing_and_rebuilding_it_writes_the_same_bytes() {
    let mut world = World::default();
    for (number, name) in [(0, "a"), (1, "b"), (2, "c")] {
        rename(&mut world, 2, name);
        tick(&mut world, number).await;
    }
    compact(&world).await;
    let files = world.objects.list("").await.unwrap();
    let again = compact(&world).await;
    assert_eq!(world.objects.list("").await.unwrap(), files, "nothing is even rewritten");
    assert_eq!((again.tables[&TABLE].rows, again.tables[&TABLE].files_before), (10, 1));
    let (place, rows) = (partition(&world).unwrap().location, seen(&world).await.unwrap());
    let key = format!("{}{DAY}.parquet", place.strip_prefix("s3://memory/").unwrap());
    let body = world.objects.get(&key).await.unwrap();
    forget(&world, "compacted/").await;
    for partition in world.catalog.partitions() {
        storewatch_lake::Catalog::delete(&world.catalog, partition.table, &[partition]).await.unwrap();
    }
    compact(&world).await;
    assert_eq!((partition(&world).unwrap().location, seen(&world).await.unwrap()), (place, rows));
    assert_eq!(world.objects.get(&key).await.unwrap(), body);
}

#[tokio::test]
async fn a_late_tick_with_the_same_schedules_keeps_the_file_and_an_older_reading_is_skipped() {
    let mut world = World::default();
    tick(&mut world, 4).await;
    compact(&world).await;
    let (place, rows) = (partition(&world), seen(&world).await);
    tick(&mut world, 5).await;
    compact(&world).await;
    assert_eq!((partition(&world), seen(&world).await), (place.clone(), rows.clone()));
    rename(&mut world, 0, "too late");
    tick(&mut world, 3).await;
    assert_eq!(compact(&world).await.stores.rows, 27);
    assert_eq!((partition(&world), seen(&world).await), (place, rows));
    assert_eq!(due(&world).await, Vec::<Day>::new());
}

#[tokio::test]
async fn a_missing_or_damaged_reading_is_skipped_and_the_other_tables_are_compacted() {
    for damage in ["all", "one chunk", "damaged"] {
        let mut world = World::default();
        tick(&mut world, 0).await;
        rename(&mut world, 0, "unknown to all");
        tick(&mut world, 1).await;
        let second = keys::snapshot_prefix(world.country, slot(1));
        let chunk = world.objects.list(&second).await.unwrap().pop().unwrap().key;
        match damage {
            "all" => forget(&world, &second).await,
            "one chunk" => world.objects.delete(&chunk).await.unwrap(),
            _ => world.objects.put(&chunk, Bytes::from_static(b"PAR1")).await.unwrap(),
        }
        rename(&mut world, 0, "new");
        tick(&mut world, 2).await;
        assert_eq!(compact(&world).await.stores.rows, 27, "{damage}");
        assert_eq!(compacted_tables(&world), 5);
        let (first, third) = (read_at(&world, 0).await, read_at(&world, 2).await);
        let rows = seen(&world).await.unwrap();
        assert_eq!(spans(&rows)[..2], [("1", None, first, Some(third)), ("1", Some("new"), third, None)]);
        let files = world.objects.list("").await.unwrap();
        compact(&world).await;
        assert_eq!(world.objects.list("").await.unwrap(), files, "{damage}");
        assert_eq!(due(&world).await, Vec::<Day>::new());
    }
}

#[tokio::test]
async fn a_day_without_readings_and_a_day_of_failed_ticks_have_no_partition() {
    let mut world = World::default();
    tick(&mut world, 0).await;
    forget(&world, "schedules/").await;
    assert_eq!(compact(&world).await.stores.rows, 9);
    assert_eq!((compacted_tables(&world), partition(&world)), (4, None));
    assert_eq!(due(&world).await, Vec::<Day>::new());

    let world = World { slot: slot(0), ..World::default() };
    let error = serde_json::json!({ "error": { "Error": "ScheduleUnavailable", "Cause": "{}" } });
    let merged = world.merge(error).await;
    world.register(&merged).await;
    let done = compact(&world).await;
    assert_eq!((compacted_tables(&world), partition(&world)), (1, None));
    assert!(!done.tables.contains_key(&TABLE));
}

#[tokio::test]
async fn a_day_without_its_record_and_snapshots_loses_no_schedule() {
    let mut world = World::default();
    tick(&mut world, 0).await;
    rename(&mut world, 0, "new");
    tick(&mut world, 1).await;
    compact(&world).await;
    let rows = seen(&world).await.unwrap();
    world.objects.delete(&keys::compaction_record(world.country, day())).await.unwrap();
    forget(&world, "schedules/").await;
    rename(&mut world, 0, "newer");
    tick(&mut world, 2).await;
    compact(&world).await;
    let third = read_at(&world, 2).await;
    let now = seen(&world).await.unwrap();
    assert_eq!(now.len(), rows.len() + 1);
    let until = |row: &Row| (row.clone(), row.until.is_none().then_some(third));
    let ended: Vec<(Row, Option<Instant>)> =
        rows.iter().filter(|row| !now.contains(row)).map(until).collect();
    assert_eq!(ended.len(), 1, "{now:?}");
    assert_eq!(spans(&now)[2], ("1", Some("newer"), third, None));
}

#[tokio::test]
async fn a_repaired_catalog_has_the_day_at_its_version_and_no_day_without_one() {
    let mut world = World::default();
    tick(&mut world, 0).await;
    compact(&world).await;
    let held = world.catalog.partitions();
    let own = partition(&world).unwrap();
    let next_day = Partition { day: day().plus_days(1).unwrap(), ..own.clone() };
    let catalog: &dyn storewatch_lake::Catalog = &world.catalog;
    catalog.delete(TABLE, &[own]).await.unwrap();
    catalog.create(TABLE, &[next_day]).await.unwrap();
    let done = repair(
        Lake { objects: &world.objects, catalog },
        world.country,
        (day(), day().plus_days(1).unwrap()),
    )
    .await
    .unwrap();
    assert_eq!((done.created, done.updated, done.deleted, done.unchanged), (1, 0, 1, 6));
    assert_eq!(world.catalog.partitions(), held);
}

#[tokio::test]
async fn the_next_run_restores_a_lost_partition() {
    let mut world = World::default();
    tick(&mut world, 0).await;
    compact(&world).await;
    let held = world.catalog.partitions();
    let own = partition(&world).unwrap();
    storewatch_lake::Catalog::delete(&world.catalog, TABLE, &[own]).await.unwrap();
    assert_eq!(due(&world).await, [day()]);
    compact(&world).await;
    assert_eq!(world.catalog.partitions(), held);
}

#[tokio::test]
async fn only_chunks_that_differ_from_the_reading_before_are_read() {
    let mut world = World::default();
    for number in 0..10 {
        if number == 5 {
            rename(&mut world, 4, "new");
        }
        tick(&mut world, number).await;
    }
    let noting = Noting::new(&world);
    let done = ask(&world, &noting).await.unwrap();
    assert_eq!(noting.gets("schedules/"), 3 + 1, "three chunks once, and the changed one again");
    let rows = seen(&world).await.unwrap();
    assert_eq!((rows.len(), done.tables[&TABLE].rows), (9, 9));
    let (first, sixth) = (read_at(&world, 0).await, read_at(&world, 5).await);
    assert_eq!(spans(&rows)[4..6], [("5", None, first, Some(sixth)), ("5", Some("new"), sixth, None)]);
}

#[tokio::test]
async fn if_s3_fails_on_snapshots_the_other_tables_are_shown_and_the_day_stays_due() {
    let mut world = World::default();
    tick(&mut world, 0).await;
    let failing = Noting::failing(&world, "schedules/");
    let error = ask(&world, &failing).await.unwrap_err();
    assert_eq!(error.name(), ErrorName::LakeUnavailable);
    assert_eq!((compacted_tables(&world), partition(&world)), (4, None));
    assert_eq!(expire(&world).await, Vec::<String>::new(), "nothing is marked until everything is done");
    assert_eq!(due(&world).await, [day()]);
    compact(&world).await;
    assert_eq!((compacted_tables(&world), seen(&world).await.unwrap().len()), (5, 8));
    assert_eq!(due(&world).await, Vec::<Day>::new());
}

/// A compacted day, and a reading that came later and changes it.
async fn restated_day() -> World {
    let mut world = World::default();
    tick(&mut world, 0).await;
    tick(&mut world, 1).await;
    compact(&world).await;
    rename(&mut world, 7, "restated");
    restate(&world, slot(200).first_instant()).await;
    world
}

#[tokio::test]
async fn after_a_crash_at_any_operation_queries_see_old_or_new_schedules_and_the_next_run_finishes() {
    let undisturbed = restated_day().await;
    let old = seen(&undisturbed).await.unwrap();
    compact(&undisturbed).await;
    let new = seen(&undisturbed).await.unwrap();
    assert_ne!(old, new);
    for end in [End::Before, End::After] {
        let mut deaths = 0;
        loop {
            let world = restated_day().await;
            let old_or_new = || {
                async {
                    let seen = seen(&world).await.unwrap();
                    assert!(seen == old || seen == new, "{seen:?}");
                }
                .boxed()
            };
            let dying = Disturbed::new(&world, deaths, end, &old_or_new);
            let event = Event { country: world.country, day: Some(day()) };
            let ports = Ports { objects: &dying, catalog: &dying, clock: &world };
            let ended = compact::handle(&ports, Ok(&world.file), &event).await;
            expire(&world).await;
            old_or_new().await;
            compact(&world).await;
            assert_eq!(seen(&world).await.unwrap(), new, "after {deaths} operations");
            expire(&world).await;
            assert_eq!(seen(&world).await.unwrap(), new, "after {deaths} operations");
            if ended.is_ok() {
                assert!(deaths > 20, "only {deaths} operations");
                break;
            }
            deaths += 1;
        }
    }
}

#[tokio::test]
async fn a_compaction_overtaken_by_another_reading_and_compaction_does_not_revert_the_day() {
    let mut after = 0;
    loop {
        let mut world = World::default();
        tick(&mut world, 0).await;
        // Change what will be read while nothing else uses the world.
        rename(&mut world, 7, "restated");
        let restated = slot(200).first_instant();
        let crossing = || {
            async {
                restate(&world, restated).await;
                compact(&world).await;
                expire(&world).await;
            }
            .boxed()
        };
        let crossed = Disturbed::new(&world, after, End::Crossed, &crossing);
        let event = Event { country: world.country, day: Some(day()) };
        let ports = Ports { objects: &crossed, catalog: &crossed, clock: &world };
        // If a file that it reads has expired meanwhile, which takes days on S3, it ends with an error.
        let ended = compact::handle(&ports, Ok(&world.file), &event).await;
        if !crossed.came() {
            ended.unwrap();
            assert!(after > 20, "only {after} operations");
            break;
        }
        let rows = seen(&world).await.unwrap();
        let last = spans(&rows)[rows.len() - 1];
        assert_eq!(
            last,
            ("8", Some("restated"), restated, None),
            "crossed after {after} operations: {ended:?}"
        );
        assert_eq!(compacted_tables(&world), 5);
        assert_eq!(due(&world).await, Vec::<Day>::new(), "crossed after {after} operations: {ended:?}");
        after += 1;
    }
}
