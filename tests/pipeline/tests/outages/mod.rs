//! The outages of days: however the days are compacted, corrected and interrupted, the tables tell what one
//! computation over all rows tells.

mod story;
mod told;

use std::collections::BTreeSet;

use compact::{Event, Ports};
use futures_util::FutureExt;
use storewatch_days::record::Record;
use storewatch_days::{CountryDay, Lake, REPLACED, RestateRequest, repair};
use storewatch_domain::{Day, Instant, MissingHours, Zones};
use storewatch_lake::{Catalog, Objects, Table, keys};
use storewatch_pipeline_tests::World;
use storewatch_pipeline_tests::disturbed::{Disturbed, End};
use storewatch_runtime::{ErrorName, FunctionError};
use storewatch_sources::memory::MemorySchedules;
use tokio::sync::OnceCell;

use story::{Story, day};
use told::{Told, expected, told};

/// Five days with a tick in nearly every slot.
async fn whole() -> &'static Story {
    static STORY: OnceCell<Story> = OnceCell::const_new();
    STORY.get_or_init(|| Story::tell(5, 1, 7)).await
}

/// Five days with a tick every three hours: fewer files, for what is tried many times.
async fn short() -> &'static Story {
    static STORY: OnceCell<Story> = OnceCell::const_new();
    STORY.get_or_init(|| Story::tell(5, 12, 3)).await
}

/// Three such days.
async fn shorter() -> &'static Story {
    static STORY: OnceCell<Story> = OnceCell::const_new();
    STORY.get_or_init(|| Story::tell(3, 12, 3)).await
}

async fn ask(
    world: &World,
    objects: &dyn Objects,
    catalog: &dyn Catalog,
    day: Option<Day>,
) -> Result<compact::Answer, FunctionError> {
    let event = Event { country: world.country, day };
    compact::handle(&Ports { objects, catalog, clock: world }, Ok(&world.file), &event).await
}

async fn compact_day(world: &World, n: i64) {
    ask(world, &world.objects, &world.catalog, Some(day(n))).await.unwrap();
}

async fn due(world: &World) -> Vec<Day> {
    ask(world, &world.objects, &world.catalog, None).await.unwrap().due.unwrap().days
}

/// The daily work, as long as there is any.
async fn daily(world: &World) {
    let mut days = due(world).await;
    let mut rounds = 0;
    while !days.is_empty() {
        assert!(rounds < 3, "still due: {days:?}");
        for day in days {
            ask(world, &world.objects, &world.catalog, Some(day)).await.unwrap();
        }
        (days, rounds) = (due(world).await, rounds + 1);
    }
}

async fn expire(world: &World) {
    for key in world.objects.tagged(REPLACED) {
        world.objects.delete(&key).await.unwrap();
    }
}

async fn wanted(world: &World, story: &Story) -> Told {
    let days: Vec<Day> = (0..story.days).map(day).collect();
    expected(world, &story.readings, &days).await
}

/// Compares day by day, so that a difference can be read.
fn same(found: &Told, wanted: &Told, when: &str) {
    for key in found.keys().chain(wanted.keys()).collect::<BTreeSet<_>>() {
        let rows = |told: &Told| told.get(key).cloned().unwrap_or_default();
        let (found, wanted) = (rows(found), rows(wanted));
        for (found, wanted) in found.iter().zip(&wanted) {
            assert_eq!(found, wanted, "{key:?} {when}");
        }
        assert_eq!(found.len(), wanted.len(), "{key:?} {when}");
    }
}

#[tokio::test]
async fn the_story_has_every_kind_of_outage_and_some_pass_midnight() {
    let story = whole().await;
    let told = wanted(&story.world(), story).await;
    let outages =
        || told.iter().filter(|((table, _), _)| *table == Table::Outages).flat_map(|(_, rows)| rows);
    for kind in ["late_opening", "early_closing", "whole_shift", "mid_shift"] {
        let kinds: Vec<&String> = outages().map(|row| &row[20]).collect();
        assert!(kinds.contains(&&format!("{kind:?}")), "{kind} is not in {kinds:?}");
    }
    let ids: Vec<&String> = outages().map(|row| &row[0]).collect();
    let once: BTreeSet<&String> = ids.iter().copied().collect();
    assert!(once.len() > 50 && ids.len() > once.len() + 5, "{} of {}", once.len(), ids.len());
    assert!(told[&(Table::MissedLooks, day(3))].len() > 300, "a day that was missed as a whole");
    assert!(outages().any(|row| row[23] == "2"), "a store that comes and goes");
}

#[tokio::test]
async fn days_compacted_in_any_order_tell_what_one_computation_over_all_rows_tells() {
    let story = whole().await;
    for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 4, 0, 3, 1]] {
        let world = story.world();
        let wanted = wanted(&world, story).await;
        for n in order {
            compact_day(&world, n).await;
        }
        // A day without ticks has nothing to tell before there is a day before it.
        assert!(due(&world).await.iter().all(|due| *due == day(3)));
        daily(&world).await;
        same(&told(&world).await, &wanted, &format!("in the order {order:?}"));
        expire(&world).await;
        same(&told(&world).await, &wanted, "after replaced files have expired");
    }
}

#[tokio::test]
async fn a_day_without_any_tick_is_due_and_tells_what_it_missed() {
    let story = short().await;
    let world = story.world();
    for n in [0, 1, 2, 4] {
        compact_day(&world, n).await;
    }
    assert_eq!(due(&world).await, [day(3)]);
    daily(&world).await;
    same(&told(&world).await, &wanted(&world, story).await, "");
    let catalog = world.catalog.partitions();
    assert!(catalog.iter().any(|one| (one.table, one.day) == (Table::MissedLooks, day(3))));
}

#[tokio::test]
async fn a_late_tick_and_a_restatement_change_the_days_after_too() {
    let story = whole().await;
    let world = story.world();
    daily(&world).await;
    let before = told(&world).await;
    story.come_late(&world).await;
    assert_eq!(due(&world).await, [day(1)]);
    daily(&world).await;
    let late = told(&world).await;
    same(&late, &wanted(&world, story).await, "after a late tick");
    for n in [1, 2] {
        let of = |told: &Told| told.get(&(Table::Outages, day(n))).cloned();
        assert_ne!(of(&late), of(&before), "the outage lasts until day {n}");
    }

    // The first day's schedules were wrong: a store was closed all day, and another opened later.
    let mut schedules: MemorySchedules = world.schedules.clone();
    schedules.stores[0].hours.weekly.retain(|row| row.weekday() != 1);
    schedules.stores[3].hours.weekly.drain(..1);
    let zones = Zones::embedded();
    let request = RestateRequest { rules: world.file.rules(&zones).unwrap(), chunk_stores: 3, stores: None };
    let now = || Instant::from_micros(day(7).first_slot().start_micros()).unwrap();
    let lake = Lake { objects: &world.objects, catalog: &world.catalog };
    let id = CountryDay { country: world.country, day: day(0) };
    storewatch_days::restate(lake, id, &schedules, &now, &request).await.unwrap();
    let mut readings = story.readings.clone();
    readings.insert(now(), schedules.stores);
    let days: Vec<Day> = (0..story.days).map(day).collect();
    let restated = told(&world).await;
    same(&restated, &expected(&world, &readings, &days).await, "after a restatement");
    let changed = |table, n| restated.get(&(table, day(n))) != late.get(&(table, day(n)));
    assert!(changed(Table::Outages, 0));
    assert_eq!(due(&world).await, Vec::<Day>::new());
}

/// A lake whose days are compacted, and a late tick of the second day.
async fn late_day(story: &Story) -> World {
    let world = story.world();
    daily(&world).await;
    story.come_late(&world).await;
    world
}

fn copy(world: &World) -> World {
    let copy = World { objects: world.objects.clone(), catalog: world.catalog.clone(), ..World::default() };
    copy.now
        .store(world.now.load(std::sync::atomic::Ordering::Relaxed), std::sync::atomic::Ordering::Relaxed);
    copy
}

#[tokio::test]
async fn after_a_crash_at_any_operation_the_daily_work_makes_all_days_right() {
    let story = shorter().await;
    let start = late_day(story).await;
    let wanted = {
        let world = copy(&start);
        daily(&world).await;
        let wanted = wanted(&world, story).await;
        same(&told(&world).await, &wanted, "undisturbed");
        wanted
    };
    for end in [End::Before, End::After] {
        let mut deaths = 0;
        loop {
            let world = copy(&start);
            let nothing = || async {}.boxed();
            let dying = Disturbed::new(&world, deaths, end, &nothing);
            let ended = ask(&world, &dying, &dying, Some(day(1))).await;
            if deaths % 2 == 0 {
                expire(&world).await;
            }
            daily(&world).await;
            same(&told(&world).await, &wanted, &format!("after {deaths} operations"));
            if ended.is_ok() {
                assert!(deaths > 60, "only {deaths} operations: no day followed");
                break;
            }
            deaths += 1;
        }
    }
}

#[tokio::test]
async fn compactions_of_two_days_that_cross_leave_both_right() {
    let story = shorter().await;
    let start = story.world();
    for n in [0, 2] {
        compact_day(&start, n).await;
    }
    story.come_late(&start).await;
    let mut after = 0;
    loop {
        let world = copy(&start);
        // The day before is made anew meanwhile, and so are the days that follow it.
        let crossing = || async { compact_day(&world, 1).await }.boxed();
        let crossed = Disturbed::new(&world, after, End::Crossed, &crossing);
        ask(&world, &crossed, &crossed, Some(day(2))).await.unwrap();
        if !crossed.came() {
            assert!(after > 20, "only {after} operations");
            break;
        }
        let wanted = wanted(&world, story).await;
        same(&told(&world).await, &wanted, &format!("crossed after {after} operations"));
        assert_eq!(due(&world).await, Vec::<Day>::new(), "crossed after {after} operations");
        after += 1;
    }
}

#[tokio::test]
async fn days_that_an_earlier_release_compacted_get_their_outages() {
    let story = short().await;
    let world = story.world();
    daily(&world).await;
    let right = told(&world).await;
    expire(&world).await;
    // An earlier release knew nothing of these.
    for n in [0, 1, 2, 4] {
        let key = keys::compaction_record(world.country, day(n));
        let mut record: Record = serde_json::from_slice(&world.objects.get(&key).await.unwrap()).unwrap();
        record.outages = None;
        record.tables.retain(|table, _| !matches!(table, Table::Outages | Table::MissedLooks));
        world.objects.put(&key, serde_json::to_vec(&record).unwrap().into()).await.unwrap();
    }
    world.objects.delete(&keys::compaction_record(world.country, day(3))).await.unwrap();
    for prefix in ["carried/", "compacted/outages/", "compacted/missed_looks/"] {
        for object in world.objects.list(prefix).await.unwrap() {
            world.objects.delete(&object.key).await.unwrap();
        }
    }
    for partition in world.catalog.partitions() {
        if matches!(partition.table, Table::Outages | Table::MissedLooks) {
            world.catalog.delete(partition.table, &[partition]).await.unwrap();
        }
    }
    assert_eq!(due(&world).await, (0..5).map(day).collect::<Vec<_>>());
    daily(&world).await;
    same(&told(&world).await, &right, "");
}

#[tokio::test]
async fn without_the_country_file_what_needs_its_hours_is_null_until_the_next_run() {
    let story = short().await;
    let mut world = story.world();
    world.file.missing_hours = MissingHours::Closed;
    let event = Event { country: world.country, day: Some(day(0)) };
    let broken = FunctionError::bad_part("[run]", "is not a table");
    let ports = Ports { objects: &world.objects, catalog: &world.catalog, clock: &world };
    let error = compact::handle(&ports, Err(broken), &event).await.unwrap_err();
    assert_eq!(error.name(), ErrorName::BadConfig);
    let partitions = world.catalog.partitions();
    let compacted = partitions.iter().filter(|one| one.location.contains("/compacted/") && one.day == day(0));
    assert!(compacted.count() >= 5, "the day is shown");
    assert!(due(&world).await.contains(&day(0)));
    daily(&world).await;
    same(&told(&world).await, &wanted(&world, story).await, "");
}

#[tokio::test]
async fn a_repaired_catalog_has_the_outages_at_their_versions() {
    let story = short().await;
    let world = story.world();
    daily(&world).await;
    let held = world.catalog.partitions();
    for partition in held.iter().filter(|one| matches!(one.table, Table::Outages | Table::MissedLooks)) {
        world.catalog.delete(partition.table, std::slice::from_ref(partition)).await.unwrap();
    }
    let lake = Lake { objects: &world.objects, catalog: &world.catalog };
    repair(lake, world.country, (day(0), day(4))).await.unwrap();
    assert_eq!(world.catalog.partitions(), held);
}
