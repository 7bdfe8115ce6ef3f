//! A country tick through its functions, with sources and a lake in memory: running it twice, a chunk that
//! fails, a source that is down, and a late tick.

use std::sync::atomic::Ordering;

use serde_json::json;
use storewatch_domain::Slot;
use storewatch_lake::memory::MemoryObjects;
use storewatch_lake::{Objects, Outcome};
use storewatch_pipeline_tests::{Away, FILE, World};
use storewatch_runtime::{CountryFile, ErrorName};

fn status(world: &[(String, String)], id: &str) -> String {
    world.iter().find(|(known, _)| known == id).unwrap().1.clone()
}

#[tokio::test]
async fn a_tick_leaves_one_file_and_one_partition_per_table() {
    let world = World::default();
    let merged = world.tick(&[]).await;
    assert_eq!((merged.outcome, merged.coverage), (Outcome::Complete, Some(1.0)));
    assert_eq!(world.files().await.len(), 4);
    let mut partitions = merged.partitions;
    partitions.sort();
    assert_eq!(world.catalog.partitions(), partitions);
    let statuses = world.statuses().await;
    assert_eq!(statuses.len(), 9);
    for (id, wanted) in [("1", "available"), ("3", "unavailable"), ("9", "orphan")] {
        assert_eq!(status(&statuses, id), wanted, "{id}");
    }
    let record = world.record().await;
    assert_eq!((record.stores, record.chunks, record.chunks_unknown), (Some(8), Some(3), Some(0)));
    assert_eq!(world.metrics.sent(), [], "nothing is wrong");
    assert!(world.objects.list("pending/").await.unwrap().is_empty());
}

#[tokio::test]
async fn repeating_a_tick_changes_nothing_even_if_the_sources_changed() {
    let mut world = World::default();
    let first = world.tick(&[]).await;
    let files = world.files().await;
    world.view.documents.clear();
    world.schedules.stores.clear();
    assert_eq!(world.tick(&[]).await, first);
    assert_eq!(world.files().await, files);
}

#[tokio::test]
async fn a_failed_chunk_makes_only_its_stores_unknown_and_the_tick_partial() {
    let world = World::default();
    let merged = world.tick(&[1]).await;
    assert_eq!((merged.outcome, merged.coverage), (Outcome::Partial, Some(5.0 / 8.0)));
    let statuses = world.statuses().await;
    let unknown: Vec<&str> =
        statuses.iter().filter(|(_, s)| s == "unknown").map(|(id, _)| id.as_str()).collect();
    assert_eq!(unknown, ["4", "5", "6"]);
    assert_eq!((world.sent("TicksPartial"), world.sent("Coverage")), (vec![1.0], vec![5.0 / 8.0]));
    assert_eq!(world.record().await.chunks_unknown, Some(1));
}

#[tokio::test]
async fn a_partial_slot_is_replaced_by_a_better_one_but_never_by_a_worse_one() {
    let world = World::default();
    world.tick(&[1, 2]).await;
    let worse = world.files().await;
    // A staged chunk stays staged, so the second run can only know more.
    let better = world.tick(&[2]).await;
    assert_eq!(better.coverage, Some(6.0 / 8.0));
    assert_ne!(world.files().await, worse);
    let files = world.files().await;
    world.merge(json!({ "error": "LiveViewUnavailable" })).await;
    assert_eq!(world.files().await, files, "an error does not replace rows");
    assert_eq!(world.tick(&[]).await.outcome, Outcome::Complete);
    assert_eq!(world.files().await.len(), 4);
}

#[tokio::test]
async fn a_tick_after_its_slot_is_late_and_keeps_what_was_observed_in_time() {
    let world = World::default();
    world.now.store(world.slot.end() * 1_000_000, Ordering::Relaxed);
    let late = world.tick(&[]).await;
    assert_eq!((late.outcome, late.coverage), (Outcome::Partial, Some(0.0)));
    assert!(world.statuses().await.iter().all(|(_, status)| status == "unknown"));

    let world = World::default();
    world.tick(&[1]).await;
    let before = world.statuses().await;
    world.now.store(world.slot.end() * 1_000_000, Ordering::Relaxed);
    world.tick(&[]).await;
    assert_eq!(world.statuses().await, before);
}

#[tokio::test]
async fn while_postgresql_is_down_the_last_good_snapshot_is_used_and_the_answer_says_so() {
    let mut world = World::default();
    let error = world.plan(&Away).await.unwrap_err();
    assert_eq!(error.name(), ErrorName::ScheduleUnavailable);
    let first = world.plan(&world.schedules).await.unwrap();
    assert!(!first.stale);
    world.slot = Slot::containing(world.slot.end());
    world.now.store(world.slot.start_micros(), Ordering::Relaxed);
    let stale = world.plan(&Away).await.unwrap();
    assert!(stale.stale);
    assert_eq!((stale.stores, &stale.schedule_as_of), (8, &first.schedule_as_of));
    for item in world.items().await {
        world.observe(&item, &world.view).await.unwrap();
    }
    assert_eq!(world.merge_chunks().await.outcome, Outcome::Complete);
}

#[tokio::test]
async fn while_the_version_is_unchanged_the_snapshot_is_reused() {
    let text = FILE.replace("[live_view]", "version = 'select 1'\n[live_view]");
    let file = CountryFile::parse(&text, "es.toml").unwrap();
    let mut world = World { file, ..World::default() };
    world.schedules.version = Some("(1)".to_owned());
    let first = world.plan(&world.schedules).await.unwrap();
    world.slot = Slot::containing(world.slot.end());
    world.schedules.stores.truncate(2);
    let reused = world.plan(&world.schedules).await.unwrap();
    assert_eq!((reused.stores, reused.stale, &reused.schedule_as_of), (8, false, &first.schedule_as_of));
    world.slot = Slot::containing(world.slot.end());
    // A snapshot holds only the exceptions of its own dates.
    let next = std::mem::replace(&mut world.slot, "2026-11-02T04:15:00Z".parse().unwrap());
    assert_eq!(world.plan(&world.schedules).await.unwrap().stores, 2, "an old slot needs a new reading");
    world.slot = Slot::containing(next.end());
    assert_eq!(world.plan(&world.schedules).await.unwrap().stores, 8, "today's slot does not use it");
    world.slot = Slot::containing(world.slot.end());
    world.schedules.version = Some("(2)".to_owned());
    assert_eq!(world.plan(&world.schedules).await.unwrap().stores, 2);
}

#[tokio::test]
async fn the_row_of_a_failed_country_tick_says_what_failed() {
    let world = World::default();
    let cause =
        json!({ "errorType": "ScheduleUnavailable", "errorMessage": "PostgreSQL is down" }).to_string();
    let merged = world.merge(json!({ "error": { "Error": "ScheduleUnavailable", "Cause": cause } })).await;
    assert_eq!((merged.outcome, merged.coverage), (Outcome::Failed, None));
    assert_eq!(world.register(&merged).await.created, 1);
    let record = world.record().await;
    assert_eq!(record.error.as_deref(), Some("ScheduleUnavailable: PostgreSQL is down"));
    assert_eq!(world.sent("TicksFailed"), [1.0]);
    // The slot can still become complete.
    assert_eq!(world.tick(&[]).await.outcome, Outcome::Complete);
    assert_eq!(world.catalog.partitions().len(), 4);
}

#[tokio::test]
async fn partitions_that_a_tick_could_not_register_are_registered_by_the_next() {
    let mut world = World::default();
    world.plan(&world.schedules).await.unwrap();
    for item in world.items().await {
        world.observe(&item, &world.view).await.unwrap();
    }
    // The catalog was down after this one: nothing was registered.
    world.merge_chunks().await;
    let next_day = world.slot.end() + 86_400;
    world.slot = Slot::containing(next_day);
    world.now.store(next_day * 1_000_000, Ordering::Relaxed);
    world.tick(&[]).await;
    assert_eq!(world.catalog.partitions().len(), 8);
    assert!(world.objects.list("pending/").await.unwrap().is_empty());
}

#[tokio::test]
async fn two_concurrent_merges_end_like_one() {
    let world = World::default();
    world.plan(&world.schedules).await.unwrap();
    for item in world.items().await {
        world.observe(&item, &world.view).await.unwrap();
    }
    let (one, two) = tokio::join!(world.merge_chunks(), world.merge_chunks());
    assert_eq!((one.outcome, two.outcome), (Outcome::Complete, Outcome::Complete));
    assert_eq!(world.files().await.len(), 4);
}

#[tokio::test]
async fn a_country_whose_registry_entry_is_damaged_does_not_stop_the_others() {
    let objects = MemoryObjects::default();
    objects
        .put(
            "registry/es.json",
            r#"{"country":"es","state_machine":"arn:es","daily_state_machine":"arn:es-daily"}"#.into(),
        )
        .await
        .unwrap();
    objects.put("registry/mx.json", "not json".into()).await.unwrap();
    let starts = dispatch::dispatch(&objects, &json!({ "time": "2026-11-23T04:16:07Z" })).await.unwrap();
    let found: Vec<_> =
        starts.iter().map(|s| (s.execution_name.as_str(), s.state_machine.as_str())).collect();
    assert_eq!(found, [("es-20261123T0415Z", "arn:es"), ("mx-20261123T0415Z", "")]);
    let only = json!({ "slot": "2026-11-23T04:15:00Z", "countries": ["es"] });
    assert_eq!(dispatch::dispatch(&objects, &only).await.unwrap().len(), 1);
    let daily = json!({ "run": "daily", "event": { "time": "2026-11-23T02:20:00Z" } });
    let starts = dispatch::dispatch(&objects, &daily).await.unwrap();
    let found: Vec<_> =
        starts.iter().map(|s| (s.execution_name.as_str(), s.state_machine.as_str())).collect();
    assert_eq!(found, [("es-20261123T0215Z", "arn:es-daily"), ("mx-20261123T0215Z", "")]);
    for (event, said) in [
        (json!({ "run": "weekly", "event": {} }), "\"run\" is \"weekly\""),
        (json!({ "run": "daily" }), "\"event\" is missing"),
        (json!({ "run": "daily", "event": {} }), "neither \"slot\" nor the \"time\""),
        (json!({}), "neither \"slot\" nor the \"time\""),
        (json!({ "slot": "soon" }), "\"slot\": slot \"soon\" is not an RFC 3339 time"),
        (json!({ "slot": 7 }), "\"slot\" is 7"),
        (
            json!({ "slot": "2026-11-23T04:15:00Z", "countries": ["fr"] }),
            "country \"fr\" is not in the registry",
        ),
        (json!({ "slot": "2026-11-23T04:15:00Z", "countries": ["ES"] }), "\"ES\""),
    ] {
        let error = dispatch::dispatch(&objects, &event).await.unwrap_err();
        assert_eq!(error.name(), ErrorName::BadEvent);
        assert!(error.to_string().contains(said), "{error}");
    }
}
