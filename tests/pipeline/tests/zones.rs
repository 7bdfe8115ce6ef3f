//! A country's own zone data. One release judges a tick from its plan to its row. A restatement corrects a
//! day that an old release judged. Data that cannot be used stop the tick.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use restate::{Event, Ports, restate};
use serde_json::json;
use sha2::{Digest, Sha256};
use storewatch_days::{Compacted, CountryDay, DaysError, Lake, compact, due};
use storewatch_domain::{Day, Store, StoreHours, WallTime, WeeklyHours};
use storewatch_lake::{Objects, Outcome, Table, keys, zones};
use storewatch_pipeline_tests::World;
use storewatch_runtime::{ErrorName, FunctionError, describe};

/// Eleven zones of release 2025b, in which Casablanca is at +01 on the day.
const OLD: &[u8] = include_bytes!("../../../shared/domain/tests/zones/2025b.tzdata");
const DAY: &str = "2026-11-25";

/// Stores in Casablanca that are open from 9 to 18, at 08:15Z of the day: open by 2025b, in truth not yet.
fn world() -> World {
    let mut world = World { slot: format!("{DAY}T08:15:00Z").parse().unwrap(), ..World::default() };
    world.now.store(world.slot.start_micros() + 1_000_000, Ordering::Relaxed);
    let time = |hour: u32| WallTime::from_seconds(hour * 3600);
    let weekly = (1..=7).map(|day| WeeklyHours::new(day, time(9), time(18)).unwrap()).collect();
    let hours = StoreHours { weekly, exceptions: Vec::new() };
    let timezone = Some("Africa/Casablanca".to_owned());
    world.schedules.stores = ["1", "3"]
        .map(|id| Store {
            id: id.to_owned(),
            timezone: timezone.clone(),
            hours: hours.clone(),
            ..Store::default()
        })
        .into();
    world.view.documents.truncate(3);
    world.view.documents.remove(1);
    world
}

fn bundle_key(bundle: &[u8]) -> String {
    let digest: String = Sha256::digest(bundle).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{}2025b-{digest}", keys::zone_bundles("es".parse().unwrap()))
}

async fn choose(world: &World, choice: &str) {
    world.objects.put(&keys::zones_choice(world.country), Bytes::from(choice.to_owned())).await.unwrap();
}

async fn give(world: &World, bundle: &'static [u8]) {
    let key = bundle_key(bundle);
    world.objects.put(&key, Bytes::from_static(bundle)).await.unwrap();
    choose(world, &json!({ "bundle": key }).to_string()).await;
}

fn statuses(statuses: &[(String, String)]) -> Vec<&str> {
    statuses.iter().map(|(_, status)| status.as_str()).collect()
}

fn day() -> Day {
    DAY.parse().unwrap()
}

fn lake(world: &World) -> Lake<'_> {
    Lake { objects: &world.objects, catalog: &world.catalog }
}

async fn compact_day(world: &World) -> Result<Compacted, DaysError> {
    let id = CountryDay { country: world.country, day: day() };
    compact(lake(world), id, world.compacting()).await
}

#[tokio::test]
async fn a_tick_is_judged_by_its_countrys_bundle_and_says_so() {
    let embedded = world();
    embedded.tick(&[]).await;
    assert_eq!(statuses(&embedded.statuses().await), ["unexpected", "closed"]);
    assert_eq!(embedded.record().await.tzdb.as_deref(), Some("2026f"));
    let old = world();
    give(&old, OLD).await;
    old.tick(&[]).await;
    assert_eq!(statuses(&old.statuses().await), ["available", "unavailable"]);
    assert_eq!(old.record().await.tzdb.as_deref(), Some("2025b"));
}

#[tokio::test]
async fn a_bundle_added_or_removed_during_a_tick_applies_to_the_next_one() {
    let world = world();
    give(&world, OLD).await;
    world.plan(&world.schedules).await.unwrap();
    world.objects.delete(&keys::zones_choice(world.country)).await.unwrap();
    for item in world.items().await {
        world.observe(&item, &world.view).await.unwrap();
    }
    let merged = world.merge_chunks().await;
    assert_eq!(merged.outcome, Outcome::Complete);
    assert_eq!(statuses(&world.statuses().await), ["available", "unavailable"]);
    assert_eq!(world.record().await.tzdb.as_deref(), Some("2025b"));
}

#[tokio::test]
async fn judging_again_corrects_a_day_that_was_judged_by_old_zones() {
    let world = world();
    give(&world, OLD).await;
    world.tick(&[]).await;
    compact_day(&world).await.unwrap();
    world.now.store(world.slot.start_micros() + 86_400_000_000, Ordering::Relaxed);
    world.objects.delete(&keys::zones_choice(world.country)).await.unwrap();
    let ports = Ports { objects: &world.objects, catalog: &world.catalog, clock: &world };
    let event = Event { country: world.country, day: day(), stores: None };
    let restated = restate(&ports, &world.file, &world.schedules, &event).await.unwrap().restated;
    assert_eq!(restated.tzdb.as_deref(), Some("2026f"));
    let changes: Vec<(&str, u64)> =
        restated.changes.0.iter().map(|(change, rows)| (change.as_str(), *rows)).collect();
    assert_eq!(changes, [("available to unexpected", 1), ("unavailable to closed", 1)]);
}

#[tokio::test]
async fn unusable_zone_data_hold_up_only_the_schedules_table() {
    let world = world();
    world.tick(&[]).await;
    world.now.store(world.slot.start_micros() + 86_400_000_000, Ordering::Relaxed);
    choose(&world, "{").await;
    let error = FunctionError::from(compact_day(&world).await.unwrap_err());
    assert_eq!(error.name(), ErrorName::BadConfig);
    assert!(describe(&error).starts_with("time zone data (s3://memory/config/country=es/tzdb.json): EOF"));
    let partitions = world.catalog.partitions();
    let location = |table| {
        let of_table = partitions.iter().find(|partition| partition.table == table);
        of_table.map(|partition| partition.location.contains("/compacted/"))
    };
    for table in Table::TICKED {
        assert_eq!(location(table), Some(true), "{table:?}");
    }
    assert_eq!(location(Table::StoreSchedules), None);
    let (lake, tomorrow) = (lake(&world), "2026-11-26".parse().unwrap());
    assert_eq!(due(lake, world.country, tomorrow).await.unwrap().days, [day()]);
    world.objects.delete(&keys::zones_choice(world.country)).await.unwrap();
    let compacted = compact_day(&world).await.unwrap();
    assert_eq!(compacted.tables[&Table::StoreSchedules].rows, 2);
    assert_eq!(due(lake, world.country, tomorrow).await.unwrap().days, []);
}

#[tokio::test]
async fn unusable_zone_data_are_named_and_stop_the_tick_before_any_write() {
    let key = bundle_key(OLD);
    let of_mexico = key.replace("=es", "=mx");
    let (short, renamed) = (&OLD[..OLD.len() - 1], key.replace("2025b", "2026z"));
    let (gone, damaged) = (bundle_key(b""), bundle_key(short));
    for (choice, body, wanted) in [
        ("{".to_owned(), None, "EOF while parsing"),
        (json!({ "bundle": gone }).to_string(), None, "it does not exist"),
        (json!({ "bundle": damaged }).to_string(), Some((&damaged, short)), "it is damaged or cut off"),
        (json!({ "bundle": renamed }).to_string(), Some((&renamed, OLD)), "its content is that of 2025b-"),
        (json!({ "bundle": of_mexico }).to_string(), Some((&of_mexico, OLD)), "is not a bundle of es"),
    ] {
        let world = world();
        choose(&world, &choice).await;
        if let Some((key, body)) = body {
            world.objects.put(key, Bytes::from_static(body)).await.unwrap();
        }
        let before = world.objects.list("").await.unwrap();
        let error: FunctionError = world.plan(&world.schedules).await.unwrap_err();
        let said = describe(&error);
        assert_eq!(error.name(), ErrorName::BadConfig, "{said}");
        assert!(said.starts_with("time zone data (s3://") && said.contains("country=es/tzdb"), "{said}");
        assert!(said.contains(wanted) && said.contains("make zones"), "{said}");
        assert_eq!(world.objects.list("").await.unwrap(), before);
    }
}

#[tokio::test]
async fn the_error_names_the_default_zone_that_the_bundle_lacks_and_the_release() {
    let mut world = world();
    world.file.default_timezone = "Africa/Cairo".to_owned();
    world.plan(&world.schedules).await.unwrap();
    give(&world, OLD).await;
    world.slot = format!("{DAY}T08:30:00Z").parse().unwrap();
    let error = world.plan(&world.schedules).await.unwrap_err();
    assert_eq!(
        describe(&error),
        "default_timezone, with the zones of IANA 2025b: unknown time zone \"Africa/Cairo\": an IANA name such as \"Europe/Madrid\" is wanted"
    );
    assert_eq!(zones::current(&world.objects, "pt".parse().unwrap()).await.unwrap().key, None);
}
