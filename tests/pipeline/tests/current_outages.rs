//! Who is down and since when, after ticks that come late, in any order or at once, and after slots that were
//! missed or failed.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use serde_json::json;
use storewatch_domain::current::Ongoing;
use storewatch_domain::{Instant, Slot, Status};
use storewatch_lake::current::CurrentRows;
use storewatch_lake::{Objects, Outcome, Table, keys};
use storewatch_pipeline_tests::World;
use storewatch_pipeline_tests::disturbed::{Disturbed, End};
use storewatch_runtime::FunctionError;

/// The slots of the tests, around midnight: from 22:00 on.
fn slot(n: i64) -> Slot {
    let start: Slot = "2026-11-23T22:00:00Z".parse().unwrap();
    Slot::containing(start.start() + n * Slot::SECONDS)
}

/// The instant at which the store's chunk is observed in the tests: the clock advances with each question.
fn is_in(at: Option<Instant>, n: i64) -> bool {
    at.is_some_and(|at| slot(n).contains(at))
}

fn go_to(world: &mut World, n: i64) {
    world.slot = slot(n);
    world.now.store(world.slot.start_micros() + 1_000_000, Ordering::Relaxed);
}

/// Store 1 is online unless it is `down`; all others are online.
fn show(world: &mut World, down: bool) {
    for document in &mut world.view.documents {
        document.online = !down || document.id.to_string() != "1";
        document.reason = (!document.online).then(|| "paused".to_owned());
    }
}

/// Plans and observes a slot, and merges nothing.
async fn stage(world: &mut World, n: i64, down: bool) {
    go_to(world, n);
    show(world, down);
    world.plan(&world.schedules).await.unwrap();
    for item in world.items().await {
        world.observe(&item, &world.view).await.unwrap();
    }
}

async fn tick(world: &mut World, n: i64, down: bool) {
    stage(world, n, down).await;
    assert_eq!(world.merge_chunks().await.outcome, Outcome::Complete);
}

/// A world with the same lake.
async fn copy_of(world: &World) -> World {
    let copy = World { slot: world.slot, ..World::default() };
    copy.now.store(world.now.load(Ordering::Relaxed), Ordering::Relaxed);
    for object in world.objects.list("").await.unwrap() {
        copy.objects.put(&object.key, world.objects.get(&object.key).await.unwrap()).await.unwrap();
    }
    copy
}

/// The current outages of a slot, by store.
async fn current(world: &World, n: i64) -> BTreeMap<String, Ongoing> {
    let key = keys::table_file(Table::CurrentOutages, world.country, slot(n));
    let rows = CurrentRows::read(world.objects.get(&key).await.unwrap()).unwrap();
    rows.outages().unwrap().into_iter().map(|(id, outage)| (id.to_owned(), outage)).collect()
}

/// The outage of store 1 at a slot.
async fn of_one(world: &World, n: i64) -> Ongoing {
    current(world, n).await.remove("1").unwrap()
}

/// The bodies of all files of current outages.
async fn all(world: &World) -> Vec<(String, bytes::Bytes)> {
    let mut all = Vec::new();
    for object in world.objects.list("current_outages/").await.unwrap() {
        all.push((object.key.clone(), world.objects.get(&object.key).await.unwrap()));
    }
    all
}

#[tokio::test]
async fn an_outage_is_told_from_its_first_bad_look_to_its_last() {
    let mut world = World::default();
    tick(&mut world, 0, false).await;
    assert_eq!(current(&world, 0).await, BTreeMap::new());
    for n in 1..4 {
        tick(&mut world, n, true).await;
        let outage = of_one(&world, n).await;
        assert!(is_in(outage.since_after, 0) && is_in(Some(outage.since_by), 1), "{outage:?}");
        assert_eq!((outage.bad_looks, outage.lost_seconds), (n as u64, 900 * n as u64));
        assert_eq!((outage.status, outage.is_new), (Some(Status::Unavailable), n == 1));
        assert_eq!((outage.unseen_looks, outage.unseen_since), (0, 0));
    }
    tick(&mut world, 4, false).await;
    assert_eq!(current(&world, 4).await, BTreeMap::new());
}

#[tokio::test]
async fn missed_failed_and_unknown_slots_neither_end_an_outage_nor_count_as_bad() {
    let mut world = World::default();
    tick(&mut world, 0, false).await;
    tick(&mut world, 6, true).await;
    // 7 is missed, 8 fails, and in 9 nothing is observed.
    go_to(&mut world, 8);
    world.merge(json!({ "error": "PostgreSQL is down" })).await;
    go_to(&mut world, 9);
    world.tick(&[0, 1, 2]).await;
    let outage = of_one(&world, 9).await;
    assert_eq!((outage.status, outage.bad_looks, outage.unseen_since), (Some(Status::Unknown), 1, 3));
    tick(&mut world, 10, true).await;
    let outage = of_one(&world, 10).await;
    assert_eq!((outage.bad_looks, outage.unseen_looks, outage.unseen_since), (2, 3, 0));
    assert!(is_in(outage.since_after, 0) && is_in(Some(outage.since_by), 6), "{outage:?}");
}

#[tokio::test]
async fn a_store_that_nobody_saw_before_is_down_since_its_last_good_look_or_it_is_not_known_since_when() {
    for (unknown, known) in [(7, true), (8, false)] {
        let mut world = World::default();
        tick(&mut world, 0, false).await;
        for n in 1..=unknown {
            go_to(&mut world, n);
            world.tick(&[0]).await;
        }
        tick(&mut world, unknown + 1, true).await;
        let outage = of_one(&world, unknown + 1).await;
        assert!(outage.is_new);
        assert_eq!(is_in(outage.since_after, 0), known, "{outage:?}");
        assert_eq!(outage.since_after.is_none(), !known, "{outage:?}");
    }
}

#[tokio::test]
async fn a_slot_that_is_merged_late_corrects_the_slots_after_it() {
    // Whether store 1 is down in the late slot, by which slot its outage has then begun.
    for (late_down, began) in [(true, 1), (false, 2)] {
        for after in [2, 9] {
            let mut in_order = World::default();
            let mut late = World::default();
            for world in [&mut in_order, &mut late] {
                tick(world, 0, true).await;
                stage(world, 1, late_down).await;
            }
            in_order.merge_chunks().await;
            for world in [&mut in_order, &mut late] {
                for n in 2..=after {
                    tick(world, n, true).await;
                }
            }
            assert_eq!(of_one(&late, after).await.unseen_looks, 1, "the slot is missing");
            late.slot = slot(1);
            assert_eq!(late.merge_chunks().await.outcome, Outcome::Complete);
            let outage = of_one(&late, after).await;
            let began = if late_down { 0 } else { began };
            assert!(is_in(Some(outage.since_by), began), "{outage:?}");
            assert_eq!(outage.unseen_looks, 0);
            assert_eq!(outage, of_one(&in_order, after).await);
        }
    }
}

#[tokio::test]
async fn slots_that_are_merged_in_any_order_end_as_in_order() {
    let down = [false, true, true, false, true];
    let mut wanted = None;
    for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3], [1, 4, 0, 3, 2]] {
        let mut world = World::default();
        for n in 0..5 {
            stage(&mut world, n + 6, down[n as usize]).await;
        }
        for n in order {
            world.slot = slot(n + 6);
            assert_eq!(world.merge_chunks().await.outcome, Outcome::Complete);
        }
        let found: Vec<_> = [6, 7, 8, 9, 10].map(|n| current(&world, n)).into_iter().collect();
        let found = futures_util::future::join_all(found).await;
        assert!(is_in(found[1]["1"].since_after, 6) && is_in(found[4]["1"].since_after, 9), "{found:?}");
        assert_eq!(*wanted.get_or_insert(found.clone()), found, "{order:?}");
    }
}

#[tokio::test]
async fn a_correction_after_the_day_was_compacted_is_in_its_next_version() {
    let mut world = World::default();
    for n in [0, 2] {
        tick(&mut world, n, n > 0).await;
    }
    stage(&mut world, 1, true).await;
    world.now.store(slot(9).start_micros(), Ordering::Relaxed);
    assert_eq!(compacted(&world).await.len(), 1);
    world.merge_chunks().await;
    let corrected = compacted(&world).await;
    let looks: Vec<u64> = corrected.iter().map(|outage| outage.bad_looks).collect();
    assert_eq!(looks, [1, 2], "{corrected:?}");
    assert!(is_in(Some(corrected[1].since_by), 1), "{corrected:?}");
}

/// The outages of all slots of the tests' first day, from its compacted file.
async fn compacted(world: &World) -> Vec<Ongoing> {
    let (country, day) = (world.country, slot(0).day());
    let ports = compact::Ports { objects: &world.objects, catalog: &world.catalog, clock: world };
    compact::handle(&ports, Ok(&world.file), &compact::Event { country, day: Some(day) }).await.unwrap();
    let partitions = world.catalog.partitions();
    let own = partitions.iter().find(|one| one.table == Table::CurrentOutages && one.day == day).unwrap();
    let files = world.objects.list(own.location.strip_prefix("s3://memory/").unwrap()).await.unwrap();
    assert_eq!(files.len(), 1);
    let rows = CurrentRows::read(world.objects.get(&files[0].key).await.unwrap()).unwrap();
    rows.outages().unwrap().into_iter().map(|(_, outage)| outage).collect()
}

#[tokio::test]
async fn repeating_the_merges_of_all_slots_changes_nothing() {
    let mut world = World::default();
    for n in 6..10 {
        tick(&mut world, n, n != 8).await;
    }
    let files = all(&world).await;
    for n in [9, 6, 8, 7] {
        world.slot = slot(n);
        world.merge_chunks().await;
    }
    assert_eq!(all(&world).await, files);
}

#[tokio::test]
async fn two_merges_that_cross_at_any_operation_end_as_one_after_the_other() {
    let mut before = World::default();
    tick(&mut before, 6, false).await;
    stage(&mut before, 7, true).await;
    stage(&mut before, 8, true).await;
    let mut operations = 0;
    loop {
        let world = copy_of(&before).await;
        // The merge of the earlier slot runs whole in the middle of the later one's.
        let other = || {
            // In memory, everything is done at once.
            drop(merge(&world, &world.objects, 7).now_or_never().unwrap());
            async {}.boxed()
        };
        let disturbed = Disturbed::new(&world, operations, End::Crossed, &other);
        merge(&world, &disturbed, 8).await;
        if !disturbed.came() {
            break;
        }
        let outage = of_one(&world, 8).await;
        assert!(is_in(outage.since_after, 6) && is_in(Some(outage.since_by), 7), "{operations}: {outage:?}");
        assert_eq!((outage.bad_looks, outage.unseen_looks, outage.is_new), (2, 0, false), "{operations}");
        operations += 1;
    }
    assert!(operations > 20, "{operations}");
}

/// Merges a slot through this lake.
async fn merge(world: &World, objects: &dyn Objects, n: i64) -> merge::Merged {
    let ports = merge::Ports { objects, metrics: &world.metrics, clock: world, look_again_seconds: 0 };
    let manifest = keys::manifest(world.country, slot(n));
    let event = json!({ "country": "es", "slot": slot(n), "manifest": manifest });
    merge::merge(&ports, Ok(&world.file), &serde_json::from_value(event).unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_merge_that_died_anywhere_is_completed_by_repeating_it() {
    let mut before = World::default();
    tick(&mut before, 6, false).await;
    stage(&mut before, 7, true).await;
    for n in 8..11 {
        tick(&mut before, n, true).await;
    }
    let mut operations = 0;
    loop {
        let world = copy_of(&before).await;
        let nothing = || async {}.boxed();
        let dying = Disturbed::new(&world, operations, End::Before, &nothing);
        let ports =
            merge::Ports { objects: &dying, metrics: &world.metrics, clock: &world, look_again_seconds: 0 };
        let event =
            json!({ "country": "es", "slot": slot(7), "manifest": keys::manifest(world.country, slot(7)) });
        let died =
            merge::merge(&ports, Ok(&world.file), &serde_json::from_value(event).unwrap()).await.is_err();
        merge(&world, &world.objects, 7).await;
        let outage = of_one(&world, 10).await;
        assert!(is_in(Some(outage.since_by), 7), "{operations}: {outage:?}");
        assert_eq!((outage.bad_looks, outage.unseen_looks), (4, 0), "{operations}");
        if !died {
            break;
        }
        operations += 1;
    }
    assert!(operations > 30, "{operations}");
}

/// Records that the slot's tick has failed, through this lake.
async fn give_up(world: &World, objects: &dyn Objects, n: i64) -> Result<merge::Merged, FunctionError> {
    let ports = merge::Ports { objects, metrics: &world.metrics, clock: world, look_again_seconds: 0 };
    let event = json!({ "country": "es", "slot": slot(n), "error": "LakeUnavailable" });
    merge::merge(&ports, Ok(&world.file), &serde_json::from_value(event).unwrap()).await
}

#[tokio::test]
async fn rows_of_a_tick_that_died_and_was_given_up_have_their_outages() {
    let mut world = World::default();
    tick(&mut world, 6, false).await;
    tick(&mut world, 7, true).await;
    tick(&mut world, 8, true).await;
    // What a merge leaves that dies after the rows of stores.
    for table in [Table::CurrentOutages, Table::CountryTicks] {
        world.objects.delete(&keys::table_file(table, world.country, slot(8))).await.unwrap();
    }
    let mut operations = 0;
    loop {
        let world = copy_of(&world).await;
        let nothing = || async {}.boxed();
        let dying = Disturbed::new(&world, operations, End::Before, &nothing);
        let died = give_up(&world, &dying, 8).await.is_err();
        let given_up = give_up(&world, &world.objects, 8).await.unwrap();
        assert_eq!(given_up.outcome, Outcome::Failed);
        assert_eq!(of_one(&world, 8).await.bad_looks, 2, "{operations}");
        if !died {
            break;
        }
        operations += 1;
    }
    assert!(operations > 10, "{operations}");
}

#[tokio::test]
async fn a_tick_that_wrote_rows_and_never_came_back_gets_its_outages_from_the_next() {
    let mut world = World::default();
    tick(&mut world, 0, false).await;
    tick(&mut world, 1, true).await;
    tick(&mut world, 2, true).await;
    let key = keys::table_file(Table::CurrentOutages, world.country, slot(2));
    world.objects.delete(&key).await.unwrap();
    tick(&mut world, 3, true).await;
    let outage = of_one(&world, 3).await;
    assert!(is_in(Some(outage.since_by), 1), "{outage:?}");
    assert_eq!((of_one(&world, 2).await.bad_looks, outage.bad_looks), (2, 3));
}

#[tokio::test]
async fn after_a_day_without_a_tick_nothing_is_known_from_before() {
    for (gap, known) in [(96, true), (97, false)] {
        let mut world = World::default();
        tick(&mut world, 0, true).await;
        tick(&mut world, gap, true).await;
        let outage = of_one(&world, gap).await;
        assert_eq!((outage.is_new, outage.bad_looks), (!known, 1 + u64::from(known)), "{gap}: {outage:?}");
    }
}

#[tokio::test]
async fn a_damaged_file_of_the_tick_before_stops_no_tick() {
    let mut world = World::default();
    tick(&mut world, 0, false).await;
    tick(&mut world, 1, true).await;
    let key = keys::table_file(Table::CurrentOutages, world.country, slot(1));
    world.objects.put(&key, "PAR1".into()).await.unwrap();
    tick(&mut world, 2, true).await;
    let outage = of_one(&world, 2).await;
    assert!(outage.is_new && is_in(outage.since_after, 0), "{outage:?}");
    // Repeating the slot's merge repairs it, and the one after it.
    world.slot = slot(1);
    world.merge_chunks().await;
    let outage = of_one(&world, 2).await;
    assert!(!outage.is_new && is_in(Some(outage.since_by), 1), "{outage:?}");
}
