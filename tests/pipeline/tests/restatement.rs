//! A day is judged again by the current schedules and by what was seen at the time. The first judgement is
//! kept, whatever comes in between.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use restate::{Event, Ports, restate};
use storewatch_days::record::Record;
use storewatch_days::{CountryDay, Lake, REPLACED, Restated, compact};
use storewatch_domain::{Day, Slot, Store, WallTime, WeeklyHours};
use storewatch_lake::availability::AvailabilityRows;
use storewatch_lake::{Catalog, Objects, Table, keys};
use storewatch_pipeline_tests::disturbed::{Disturbed, End};
use storewatch_pipeline_tests::{Away, World};
use storewatch_runtime::{ErrorName, FunctionError};
use storewatch_sources::Schedules;

const DAY: &str = "2026-11-23";

/// A store's status, by slot and id.
type Statuses = BTreeMap<(Slot, String), String>;

fn day_of(text: &str) -> Day {
    text.parse().unwrap()
}

fn slot(number: i64) -> Slot {
    Slot::containing(day_of(DAY).first_slot().start() + number * Slot::SECONDS)
}

async fn tick(world: &mut World, number: i64, failing: &[u32]) {
    world.slot = slot(number);
    world.now.store(world.slot.start_micros() + 1_000_000, Ordering::Relaxed);
    world.tick(failing).await;
}

/// A world after a day with two ticks. Store 2 was entered as closed on Mondays; 8 and 9 were not entered
/// at all.
async fn day() -> World {
    let mut world = World::default();
    let stores = &mut world.schedules.stores;
    stores[1].hours.weekly.retain(|hours| hours.weekday() != 1);
    stores.truncate(7);
    for number in [3, 4] {
        tick(&mut world, number, &[]).await;
    }
    world.now.store(slot(100).start_micros(), Ordering::Relaxed);
    world
}

/// Corrects the schedules: 2 is open; 8, 9 and 10 are stores; 6 is deleted.
fn mend(world: &mut World) {
    let stores = &mut world.schedules.stores;
    *stores = World::default().schedules.stores;
    let all_day = stores[0].hours.clone();
    stores.extend(["9", "10"].map(|id| Store {
        id: id.to_owned(),
        hours: all_day.clone(),
        ..Store::default()
    }));
    stores.retain(|store| store.id != "6");
}

fn event(stores: Option<&[&str]>) -> Event {
    let stores = stores.map(|stores| stores.iter().map(|id| (*id).to_owned()).collect());
    Event { country: "es".parse().unwrap(), day: day_of(DAY), stores }
}

async fn ask(
    world: &World,
    objects: &dyn Objects,
    catalog: &dyn Catalog,
    event: &Event,
) -> Result<Restated, FunctionError> {
    restate(&Ports { objects, catalog, clock: world }, &world.file, &world.schedules, event).await
}

fn id(world: &World) -> CountryDay {
    CountryDay { country: world.country, day: day_of(DAY) }
}

async fn compact_day(world: &World) {
    let lake = Lake { objects: &world.objects, catalog: &world.catalog };
    compact(lake, id(world), world.compacting()).await.unwrap();
}

async fn restate_all(world: &World) -> Restated {
    ask(world, &world.objects, &world.catalog, &event(None)).await.unwrap()
}

async fn statuses_at(world: &World, location: &str) -> Statuses {
    let mut statuses = Statuses::new();
    for object in world.objects.list(location.strip_prefix("s3://memory/").unwrap()).await.unwrap() {
        let body = world.objects.get(&object.key).await.unwrap();
        for (slot, rows) in AvailabilityRows::read(body).unwrap().by_slot().unwrap() {
            let found = rows.statuses().unwrap().into_iter().map(|status| status.to_string());
            for (id, status) in rows.store_ids().unwrap().into_iter().zip(found) {
                assert_eq!(statuses.insert((slot, id), status), None, "a store has one row per slot");
            }
        }
    }
    statuses
}

fn location(world: &World, table: Table) -> String {
    world.catalog.partitions().into_iter().find(|partition| partition.table == table).unwrap().location
}

/// What a query of the day sees.
async fn seen(world: &World) -> Statuses {
    statuses_at(world, &location(world, Table::StoreAvailability)).await
}

async fn record(world: &World) -> Record {
    Record::find(&world.objects, id(world)).await.unwrap().record
}

/// The statuses of one slot, by id.
fn of(statuses: &Statuses, slot: Slot) -> BTreeMap<&str, &str> {
    let own = statuses.iter().filter(|((of, _), _)| *of == slot);
    own.map(|((_, id), status)| (id.as_str(), status.as_str())).collect()
}

#[tokio::test]
async fn a_day_is_judged_by_the_current_schedules_and_the_first_judgement_stays() {
    let mut world = day().await;
    let before = seen(&world).await;
    assert_eq!(of(&before, slot(3))["2"], "unexpected");
    assert_eq!((of(&before, slot(3))["8"], of(&before, slot(3))["9"]), ("orphan", "orphan"));
    mend(&mut world);
    let done = restate_all(&world).await;
    let after = seen(&world).await;
    for slot in [slot(3), slot(4)] {
        let wanted = [
            ("1", "available"),
            ("2", "available"),
            ("3", "unavailable"),
            ("4", "available"),
            ("5", "available"),
            ("6", "unavailable"), // deleted since, but it existed then
            ("7", "available"),
            ("8", "available"),
            ("9", "unavailable"),
            ("10", "unlisted"), // it would have been found if it had been listed
        ];
        assert_eq!(of(&after, slot), wanted.into());
    }
    let changes: BTreeMap<String, u64> = [
        ("unexpected to available".to_owned(), 2),
        ("orphan to available".to_owned(), 2),
        ("orphan to unavailable".to_owned(), 2),
        ("nothing to unlisted".to_owned(), 2),
    ]
    .into();
    assert_eq!(done.restated.changes.0, changes);
    assert_eq!(record(&world).await.restated, std::slice::from_ref(&done.restated));
    // The first judgement is where the answer says, and is never deleted.
    assert_eq!(statuses_at(&world, &done.first[&Table::StoreAvailability]).await, before);
    let marked = world.objects.tagged(REPLACED);
    let kept = [Table::StoreAvailability, Table::AvailabilityByCity];
    let versions = kept.map(|table| keys::compacted_prefix(table, world.country, day_of(DAY)));
    assert!(!marked.iter().any(|key| versions.iter().any(|prefix| key.starts_with(prefix))), "{marked:?}");
    // How the ticks went has not changed.
    assert_eq!(
        done.first.keys().collect::<Vec<_>>(),
        [&Table::StoreAvailability, &Table::AvailabilityByCity]
    );
    let text = serde_json::to_value(&done).unwrap();
    assert_eq!((&text["rows"], &text["restated"]["changes"]["orphan to available"]), (&20.into(), &2.into()));
}

#[tokio::test]
async fn cities_sum_up_the_rows_that_were_judged_again() {
    let mut world = day().await;
    mend(&mut world);
    let done = restate_all(&world).await;
    assert_eq!(
        done.compacted.tables[&Table::AvailabilityByCity].rows,
        2,
        "one row per slot, as no store has a city"
    );
    // A day judged by these schedules from the start has exactly the same bytes for the cities.
    let mut other = day().await;
    compact_day(&other).await;
    mend(&mut other);
    let again = restate_all(&other).await;
    let bytes = async |world: &World, table: Table| {
        let prefix = location(world, table);
        let listed = world.objects.list(prefix.strip_prefix("s3://memory/").unwrap()).await.unwrap();
        world.objects.get(&listed[0].key).await.unwrap()
    };
    let table = Table::AvailabilityByCity;
    assert_eq!(bytes(&world, table).await, bytes(&other, table).await);
    assert_eq!(done.restated.changes, again.restated.changes);
}

#[tokio::test]
async fn only_the_named_stores_are_judged_again() {
    let mut world = day().await;
    let before = seen(&world).await;
    mend(&mut world);
    let done = ask(&world, &world.objects, &world.catalog, &event(Some(&["2"]))).await.unwrap();
    let after = seen(&world).await;
    let differing: Vec<&str> = after
        .iter()
        .filter(|(key, status)| before.get(key) != Some(status))
        .map(|((_, id), _)| id.as_str())
        .collect();
    assert_eq!(differing, ["2", "2"]);
    assert_eq!(before.len(), after.len());
    assert_eq!(done.restated.stores, Some(vec!["2".to_owned()]));
}

#[tokio::test]
async fn the_first_judgement_stays_and_each_later_one_replaces_the_one_before() {
    let mut world = day().await;
    let before = seen(&world).await;
    mend(&mut world);
    let first = restate_all(&world).await;
    let second_file = record(&world).await.tables[&Table::StoreAvailability].file.clone();
    world.schedules.stores.retain(|store| store.id != "10");
    let hours = &mut world.schedules.stores[0].hours;
    hours.weekly = vec![WeeklyHours::new(2, Some(WallTime::MIDNIGHT), Some(WallTime::END_OF_DAY)).unwrap()];
    let again = restate_all(&world).await;
    assert_eq!(again.first, first.first);
    assert_eq!(statuses_at(&world, &again.first[&Table::StoreAvailability]).await, before);
    let after = seen(&world).await;
    assert_eq!(of(&after, slot(4))["1"], "unexpected");
    assert_eq!(of(&after, slot(4))["10"], "unlisted", "the later judgement stays");
    assert!(world.objects.tagged(REPLACED).contains(&second_file));
    assert_eq!(record(&world).await.restated.len(), 2);
}

#[tokio::test]
async fn stores_of_an_unobserved_chunk_stay_unknown() {
    let mut world = World::default();
    world.schedules.stores.truncate(6);
    tick(&mut world, 3, &[1]).await; // 4 to 6, and all later ids
    world.now.store(slot(100).start_micros(), Ordering::Relaxed);
    mend(&mut world);
    restate_all(&world).await;
    let after = seen(&world).await;
    let unknown: Vec<&str> = of(&after, slot(3))
        .into_iter()
        .filter(|(_, status)| *status == "unknown")
        .map(|(id, _)| id)
        .collect();
    assert_eq!(unknown, ["10", "4", "5", "6", "7", "8", "9"]);
}

#[tokio::test]
async fn a_later_tick_adds_its_own_slot_and_keeps_the_others_as_judged_again() {
    let mut world = day().await;
    mend(&mut world);
    restate_all(&world).await;
    let restated = seen(&world).await;
    tick(&mut world, 9, &[]).await;
    world.now.store(slot(100).start_micros(), Ordering::Relaxed);
    compact_day(&world).await;
    let mut after = seen(&world).await;
    let late: Statuses = after.extract_if(.., |(of, _), _| *of == slot(9)).collect();
    assert_eq!(after, restated);
    assert_eq!(of(&late, slot(9))["6"], "orphan", "it was deleted, but is still listed");
}

#[tokio::test]
async fn an_impossible_restatement_names_the_problem_and_changes_nothing() {
    let world = day().await;
    compact_day(&world).await;
    let before = (world.objects.list("").await.unwrap(), world.catalog.partitions());
    for (event, says) in [
        (event(Some(&["1", "77"])), "store \"77\" is not in the schedules of es"),
        (event(Some(&[])), "\"stores\" is empty"),
    ] {
        let error = ask(&world, &world.objects, &world.catalog, &event).await.unwrap_err();
        assert_eq!(error.name(), ErrorName::BadEvent);
        assert!(error.to_string().contains(says), "{error}");
    }
    let ports = Ports { objects: &world.objects, catalog: &world.catalog, clock: &world };
    let away: &dyn Schedules = &Away;
    let error = restate(&ports, &world.file, away, &event(None)).await.unwrap_err();
    assert_eq!(error.name(), ErrorName::ScheduleUnavailable);
    let error =
        ask(&world, &world.objects, &world.catalog, &Event { day: day_of("2026-11-22"), ..event(None) })
            .await
            .unwrap_err();
    assert!(error.to_string().contains("es has no rows of stores on 2026-11-22"), "{error}");
    assert_eq!((world.objects.list("").await.unwrap(), world.catalog.partitions()), before);
}

#[tokio::test]
async fn after_a_crash_at_any_operation_queries_see_one_whole_judgement_and_the_next_run_finishes() {
    let mut undisturbed = day().await;
    let before = seen(&undisturbed).await;
    mend(&mut undisturbed);
    let wanted_changes = restate_all(&undisturbed).await.restated.changes;
    let wanted = seen(&undisturbed).await;
    for end in [End::Before, End::After] {
        let mut deaths = 0;
        loop {
            let mut world = day().await;
            mend(&mut world);
            let nothing = || async {}.boxed();
            let dying = Disturbed::new(&world, deaths, end, &nothing);
            let ended = ask(&world, &dying, &dying, &event(None)).await;
            let left = seen(&world).await;
            assert!(left == before || left == wanted, "after {deaths} operations: {left:?}");
            let finished = restate_all(&world).await;
            assert_eq!(seen(&world).await, wanted, "after {deaths} operations");
            let first = &finished.first[&Table::StoreAvailability];
            assert_eq!(statuses_at(&world, first).await, before, "after {deaths} operations");
            for key in world.objects.tagged(REPLACED) {
                assert!(!record(&world).await.tables.values().any(|version| version.file == key));
                assert!(!format!("s3://memory/{key}").starts_with(first.as_str()));
            }
            if let Ok(ended) = ended {
                assert_eq!(ended.restated.changes, wanted_changes);
                assert!(deaths > 30, "only {deaths} operations");
                break;
            }
            deaths += 1;
        }
    }
}

#[tokio::test]
async fn two_concurrent_restatements_end_like_consecutive_ones() {
    for after in (0..80).step_by(4) {
        let mut world = day().await;
        let before = seen(&world).await;
        mend(&mut world);
        let crossing = || restate_all(&world).map(drop).boxed();
        let crossed = Disturbed::new(&world, after, End::Crossed, &crossing);
        let ended = ask(&world, &crossed, &crossed, &event(None)).await.unwrap();
        assert_eq!(statuses_at(&world, &ended.first[&Table::StoreAvailability]).await, before, "{after}");
        assert_eq!(of(&seen(&world).await, slot(3))["10"], "unlisted");
        assert_eq!(record(&world).await.restated.len(), 1 + usize::from(crossed.came()), "{after}");
        assert!(
            world.objects.find(&keys::compaction_record(world.country, day_of(DAY))).await.unwrap().is_some()
        );
    }
}
