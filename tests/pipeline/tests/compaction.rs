//! A day is compacted. Whatever comes in between, queries see each of its rows exactly once.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use compact::{Answer, Event, Ports};
use futures_util::FutureExt;
use serde_json::json;
use storewatch_days::record::Record;
use storewatch_days::{Compacted, REPLACED};
use storewatch_domain::{Day, Slot};
use storewatch_lake::compaction::{self, RowsDigest};
use storewatch_lake::{Catalog, Objects, Outcome, Partition, Table, keys};
use storewatch_pipeline_tests::World;
use storewatch_pipeline_tests::disturbed::{Disturbed, End};
use storewatch_runtime::{ErrorName, FunctionError};

const DAY: &str = "2026-11-23";

/// Runs the tick of a slot of the day.
async fn tick(world: &mut World, number: i64) {
    world.slot = Slot::containing(day_start() + number * Slot::SECONDS);
    world.now.store(world.slot.start_micros() + 1_000_000, Ordering::Relaxed);
    world.tick(&[]).await;
}

fn the_day() -> Day {
    DAY.parse().unwrap()
}

fn day_start() -> i64 {
    the_day().first_slot().start()
}

/// A day with these ticks, after its end.
async fn day_of(ticks: &[i64]) -> World {
    let mut world = World::default();
    for number in ticks {
        tick(&mut world, *number).await;
    }
    world.now.store((day_start() + 90_000) * 1_000_000, Ordering::Relaxed);
    world
}

async fn ask(
    world: &World,
    objects: &dyn Objects,
    catalog: &dyn Catalog,
    day: Option<Day>,
) -> Result<Answer, FunctionError> {
    let event = Event { country: world.country, day };
    compact::handle(&Ports { objects, catalog, clock: world }, Ok(&world.file), &event).await
}

async fn compact(world: &World) -> Compacted {
    let answer = ask(world, &world.objects, &world.catalog, Some(the_day())).await.unwrap();
    assert_eq!(answer.due, None);
    answer.compacted.unwrap()
}

async fn due(world: &World) -> Vec<Day> {
    let answer = ask(world, &world.objects, &world.catalog, None).await.unwrap();
    assert_eq!(answer.compacted, None);
    let days = answer.due.clone().unwrap().days;
    assert_eq!(serde_json::to_value(answer).unwrap(), json!({ "country": "es", "days": days }));
    days
}

/// What a query of the day sees of each table that ticks write, at the catalog's location, and in how many
/// files.
async fn seen(world: &World) -> BTreeMap<Table, (RowsDigest, usize)> {
    let mut seen: BTreeMap<Table, (RowsDigest, usize)> = BTreeMap::new();
    let ticked = |partition: &Partition| Table::TICKED.contains(&partition.table);
    for partition in world.catalog.partitions().into_iter().filter(ticked) {
        let prefix = partition.location.strip_prefix("s3://memory/").unwrap();
        let entry = seen.entry(partition.table).or_default();
        for object in world.objects.list(prefix).await.unwrap() {
            let body = world.objects.get(&object.key).await.unwrap();
            let content = compaction::digest(partition.table, body).unwrap();
            assert!(entry.0.slots.is_disjoint(&content.slots), "a slot is seen twice");
            entry.0.rows += content.rows;
            entry.0.slots.extend(content.slots);
            entry.0.checksum = entry.0.checksum.wrapping_add(content.checksum);
            entry.1 += 1;
        }
    }
    seen
}

/// The rows alone, without the number of files.
async fn rows(world: &World) -> BTreeMap<Table, RowsDigest> {
    seen(world).await.into_iter().map(|(table, (content, _))| (table, content)).collect()
}

/// Everything in the lake and the catalog, without entity tags, which count puts.
async fn everything(world: &World) -> (Vec<(String, Bytes)>, Vec<String>, Vec<Partition>) {
    let mut objects = Vec::new();
    for object in world.objects.list("").await.unwrap() {
        let mut body = world.objects.get(&object.key).await.unwrap();
        if object.key == keys::compaction_record(world.country, the_day()) {
            let mut record: Record = serde_json::from_slice(&body).unwrap();
            record.tables.values_mut().for_each(|version| version.inputs.clear());
            body = serde_json::to_vec(&record).unwrap().into();
        }
        objects.push((object.key, body));
    }
    (objects, world.objects.tagged(REPLACED), world.catalog.partitions())
}

/// Removes what is marked for removal, as lifecycle rules do.
async fn expire(world: &World) -> usize {
    let marked = world.objects.tagged(REPLACED);
    for key in &marked {
        world.objects.delete(key).await.unwrap();
    }
    marked.len()
}

#[tokio::test]
async fn a_compacted_day_has_one_file_per_table_with_the_same_rows() {
    let world = day_of(&[0, 1, 2, 95]).await;
    let before = seen(&world).await;
    assert_eq!(before[&Table::StoreAvailability].0.rows, 4 * 9);
    let done = compact(&world).await;
    let after = seen(&world).await;
    for table in Table::TICKED {
        assert_eq!((before[&table].1, after[&table].1), (4, 1), "{table}");
        assert_eq!(before[&table].0, after[&table].0, "{table}");
    }
    assert_eq!((done.stores.rows, done.stores.files_before), (36, 4));
    let held = world.catalog.partitions();
    let held = held.iter().find(|partition| partition.table == Table::StoreAvailability).unwrap();
    assert_eq!(done.stores.location.as_ref(), Some(&held.location));
    assert!(
        held.location.starts_with("s3://memory/compacted/store_availability/country=es/day=2026-11-23/"),
        "{}",
        held.location
    );
    assert!(held.location.ends_with('/'));
    assert_eq!(serde_json::to_value(&done).unwrap()["rows"], 36);
    assert_eq!(expire(&world).await, 4 * 4, "the ticks' files are marked for removal, and nothing else");
    assert_eq!(seen(&world).await, after);
}

#[tokio::test]
async fn compacting_twice_changes_nothing() {
    let world = day_of(&[0, 1]).await;
    let first = compact(&world).await;
    let files = world.objects.list("").await.unwrap();
    let again = compact(&world).await;
    assert_eq!(world.objects.list("").await.unwrap(), files, "nothing is even rewritten");
    assert_eq!((again.stores.rows, again.stores.files_before), (first.stores.rows, 1));
    assert_eq!(again.stores.location, first.stores.location);
    assert_eq!(due(&world).await, Vec::<Day>::new());
}

#[tokio::test]
async fn a_late_tick_is_hidden_until_the_day_is_compacted_again() {
    for expired in [false, true] {
        let mut world = day_of(&[0, 1]).await;
        let first = compact(&world).await;
        if expired {
            assert_eq!(expire(&world).await, 8);
        }
        let now = world.now.load(Ordering::Relaxed);
        tick(&mut world, 7).await;
        world.now.store(now, Ordering::Relaxed);
        let held = world.catalog.partitions();
        assert!(held.iter().all(|one| one.location.starts_with("s3://memory/compacted/")), "{held:?}");
        assert_eq!(rows(&world).await[&Table::StoreAvailability].rows, 18);
        assert_eq!(due(&world).await, [the_day()]);

        let second = compact(&world).await;
        assert_eq!(second.stores.rows, 27);
        assert_ne!(second.stores.location, first.stores.location);
        assert_eq!(rows(&world).await, rows(&day_of(&[0, 1, 7]).await).await);
        assert!(seen(&world).await.values().all(|(_, files)| *files == 1));
        let marked = world.objects.tagged(REPLACED);
        let is_version =
            |key: &&String| Table::TICKED.iter().any(|table| key.starts_with(&format!("compacted/{table}/")));
        let old = marked.iter().filter(is_version).count();
        assert_eq!(old, 4, "the previous versions: {marked:?}");
        expire(&world).await;
        assert_eq!(rows(&world).await[&Table::StoreAvailability].rows, 27);
        assert_eq!(due(&world).await, Vec::<Day>::new());
    }
}

/// Deletes everything but the tables: plans and staged rows expire after some days.
async fn forget(world: &World) {
    for prefix in ["staging/", "schedules/"] {
        for object in world.objects.list(prefix).await.unwrap() {
            world.objects.delete(&object.key).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_slot_whose_files_expired_is_replaced_only_by_a_better_tick() {
    let mut world = day_of(&[0]).await;
    world.slot = Slot::containing(world.slot.end());
    world.now.store(world.slot.start_micros() + 1_000_000, Ordering::Relaxed);
    let partial = world.tick(&[1]).await;
    assert_eq!(partial.outcome, Outcome::Partial);
    compact(&world).await;
    expire(&world).await;
    forget(&world).await;
    // A better tick replaces it in every table.
    world.schedules.stores.truncate(4);
    world.view.documents.truncate(4);
    world.now.store(world.slot.start_micros() + 9_000_000, Ordering::Relaxed);
    assert_eq!(world.tick(&[]).await.outcome, Outcome::Complete);
    assert_eq!(compact(&world).await.stores.rows, 9 + 4);
    let good = rows(&world).await;
    expire(&world).await;
    forget(&world).await;
    // A tick of a past slot finds that everything is late. What was seen stays.
    let (late, files) = (world.slot.end() * 1_000_000 + 1_000_000, seen(&world).await);
    world.now.store(late, Ordering::Relaxed);
    let failing: Vec<u32> = vec![];
    assert_eq!(world.tick(&failing).await.outcome, Outcome::Partial);
    world.now.store((day_start() + 90_000) * 1_000_000, Ordering::Relaxed);
    assert_eq!(due(&world).await, [the_day()]);
    assert_eq!(compact(&world).await.stores.rows, 9 + 4);
    assert_eq!((rows(&world).await, seen(&world).await), (good, files));
    assert_eq!(due(&world).await, Vec::<Day>::new());
    assert_eq!(expire(&world).await, 4);
}

#[tokio::test]
async fn a_compacted_day_without_its_record_loses_no_row() {
    let mut world = day_of(&[0, 1]).await;
    compact(&world).await;
    expire(&world).await;
    world.objects.delete(&keys::compaction_record(world.country, the_day())).await.unwrap();
    for (slot, wanted) in [(7, 27), (8, 36)] {
        tick(&mut world, slot).await;
        assert_eq!(compact(&world).await.stores.rows, wanted);
    }
    assert_eq!(rows(&world).await, rows(&day_of(&[0, 1, 7, 8]).await).await);
}

#[tokio::test]
async fn past_days_with_files_that_are_not_compacted_are_due() {
    let mut world = day_of(&[0, 95]).await;
    assert_eq!(due(&world).await, [the_day()]);
    world.now.store((day_start() + 86_399) * 1_000_000, Ordering::Relaxed);
    assert_eq!(due(&world).await, Vec::<Day>::new(), "its last slot is not over");
    tick(&mut world, 96).await;
    let next = (day_start() + 2 * 86_400) * 1_000_000;
    world.now.store(next, Ordering::Relaxed);
    assert_eq!(due(&world).await, [the_day(), the_day().plus_days(1).unwrap()]);
    compact(&world).await;
    assert_eq!(due(&world).await, [the_day().plus_days(1).unwrap()]);
    // A partition that someone has moved back is corrected.
    let raw = keys::partition_location("memory", Table::CountryTicks, world.country, the_day());
    let table = Table::CountryTicks;
    let partition = Partition { table, country: world.country, day: the_day(), location: raw };
    world.catalog.update(table, &[partition]).await.unwrap();
    world.now.store(next, Ordering::Relaxed);
    assert_eq!(due(&world).await, [the_day(), the_day().plus_days(1).unwrap()]);
    compact(&world).await;
    assert_eq!(due(&world).await, [the_day().plus_days(1).unwrap()]);
}

#[tokio::test]
async fn a_day_without_files_has_nothing_to_compact_and_an_invalid_day_is_a_bad_event() {
    let world = World::default();
    let done = compact(&world).await;
    assert_eq!((done.stores.rows, done.stores.location), (0, None));
    assert_eq!(world.objects.list("").await.unwrap(), []);
    for day in ["2026-13-01", "2026-11-3", "yesterday", "", "2026-11-23T00:00:00Z"] {
        let error = compact::parse(json!({ "country": "es", "day": day })).unwrap_err();
        assert_eq!(error.name(), ErrorName::BadEvent, "{day}");
    }
}

#[test]
fn the_error_for_an_event_of_an_earlier_release_names_the_function_to_call() {
    let restate = json!({ "country": "es", "day": DAY, "restate": true, "stores": ["1"] });
    let repair = json!({ "repair": true, "country": "es", "from": DAY, "to": DAY });
    for (error, wanted) in
        [(compact::parse(restate).unwrap_err(), "restate"), (register::parse(repair).unwrap_err(), "repair")]
    {
        assert_eq!(error.name(), ErrorName::BadEvent);
        assert!(error.to_string().contains(&format!("call the function {wanted} ")), "{error}");
    }
}

#[test]
fn a_field_of_a_newer_release_is_ignored() {
    let newer = compact::parse(json!({ "country": "es", "day": DAY, "newer": 1 })).unwrap();
    assert_eq!(newer.day.map(|day| day.to_string()), Some(DAY.to_owned()));
}

#[tokio::test]
async fn a_damaged_file_or_one_of_another_slot_is_named_and_the_day_is_unchanged() {
    let world = day_of(&[0, 1, 2]).await;
    let key = |slot: i64| {
        let slot = Slot::containing(day_start() + slot * Slot::SECONDS);
        keys::table_file(Table::StoreAvailability, world.country, slot)
    };
    let held = world.catalog.partitions();
    for body in [world.objects.get(&key(1)).await.unwrap(), Bytes::from_static(b"PAR1")] {
        world.objects.put(&key(2), body).await.unwrap();
        let error = ask(&world, &world.objects, &world.catalog, Some(the_day())).await.unwrap_err();
        assert_eq!(error.name(), ErrorName::LakeUnavailable);
        assert_eq!(world.catalog.partitions(), held);
        assert_eq!(expire(&world).await, 0);
    }
}

#[tokio::test]
async fn after_a_crash_at_any_operation_queries_see_the_whole_day_and_the_next_run_finishes() {
    let undisturbed = day_of(&[3, 4]).await;
    compact(&undisturbed).await;
    let wanted = everything(&undisturbed).await;
    for done_first in [false, true] {
        let mut deaths = 0;
        loop {
            let world = day_of(&[3, 4]).await;
            let whole = rows(&world).await;
            let all_seen = || async { assert_eq!(rows(&world).await, whole) }.boxed();
            let end = if done_first { End::After } else { End::Before };
            let dying = Disturbed::new(&world, deaths, end, &all_seen);
            let ended = ask(&world, &dying, &dying, Some(the_day())).await;
            // Marked files may expire before the next run; queries must not miss them.
            let forgotten = deaths % 2 == 1 && ended.is_err() && expire(&world).await > 0;
            all_seen().await;
            compact(&world).await;
            all_seen().await;
            if !forgotten {
                assert_eq!(everything(&world).await, wanted, "after {deaths} operations");
            }
            if ended.is_ok() {
                assert!(deaths > 20, "only {deaths} operations");
                break;
            }
            deaths += 1;
        }
    }
}

#[tokio::test]
async fn alternating_crashes_and_late_ticks_lose_and_double_nothing() {
    let (old, whole) = (rows(&day_of(&[3, 4]).await).await, rows(&day_of(&[3, 4, 9]).await).await);
    for deaths in 0..60 {
        let mut world = day_of(&[3, 4]).await;
        compact(&world).await;
        expire(&world).await;
        tick(&mut world, 9).await;
        // Queries see the day before or after the late tick, table by table.
        let old_or_new = || {
            async {
                for (table, content) in rows(&world).await {
                    assert!(content == old[&table] || content == whole[&table], "{table}: {content:?}");
                }
            }
            .boxed()
        };
        let dying = Disturbed::new(&world, deaths, End::Before, &old_or_new);
        let _ = ask(&world, &dying, &dying, Some(the_day())).await;
        expire(&world).await;
        old_or_new().await;
        compact(&world).await;
        expire(&world).await;
        assert_eq!(rows(&world).await, whole, "after {deaths} operations");
    }
}

#[tokio::test]
async fn a_compaction_overtaken_by_a_late_tick_and_another_compaction_does_not_revert_the_day() {
    let whole = rows(&day_of(&[3, 4, 9]).await).await;
    let late = day_of(&[9]).await;
    for after in 0..60 {
        let world = day_of(&[3, 4]).await;
        let crossing = || {
            async {
                // The late tick's files, as its own functions wrote them.
                for table in Table::TICKED {
                    let slot = Slot::containing(day_start() + 9 * Slot::SECONDS);
                    let key = keys::table_file(table, world.country, slot);
                    world.objects.put(&key, late.objects.get(&key).await.unwrap()).await.unwrap();
                }
                compact(&world).await;
                expire(&world).await;
            }
            .boxed()
        };
        let crossed = Disturbed::new(&world, after, End::Crossed, &crossing);
        // If a file that it reads has expired meanwhile, which takes days on S3, it ends with an error.
        let ended = ask(&world, &crossed, &crossed, Some(the_day())).await;
        if crossed.came() {
            assert_eq!(rows(&world).await, whole, "crossed after {after} operations: {ended:?}");
            assert_eq!(due(&world).await, Vec::<Day>::new(), "crossed after {after} operations: {ended:?}");
            assert!(expire(&world).await == 0 || rows(&world).await == whole);
        } else {
            ended.unwrap();
        }
    }
}
