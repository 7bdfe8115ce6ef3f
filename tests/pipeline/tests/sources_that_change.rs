//! Schedules that can no longer be read, country files that change after a snapshot, and ids that never
//! match.

use std::sync::atomic::Ordering;

use storewatch_domain::{Slot, StoreKey};
use storewatch_lake::{Objects, Outcome, keys};
use storewatch_pipeline_tests::{Away, FILE, World};
use storewatch_runtime::{CountryFile, ErrorName};
use storewatch_sources::{Read, ReadRequest, ScheduleError, Schedules};

/// A PostgreSQL that answers, but not with schedules: one row cannot be cast.
struct Refusing;

#[async_trait::async_trait]
impl Schedules for Refusing {
    async fn read(&self, _: &ReadRequest) -> Result<Read, ScheduleError> {
        let problem = "invalid input syntax for type time: \"26:00\"".to_owned();
        Err(ScheduleError::Config { field: "weekly", problem, source: None })
    }
}

fn file(changes: &[(&str, &str)]) -> CountryFile {
    let text = changes.iter().fold(FILE.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    CountryFile::parse(&text, "es.toml").unwrap()
}

const VERSION: (&str, &str) = ("[live_view]", "version = 'select 1'\n[live_view]");
const KEYWORD: (&str, &str) = ("\"long\"", "\"keyword\"");

fn next(world: &mut World) {
    world.slot = Slot::containing(world.slot.end());
    world.now.store(world.slot.start_micros() + 1_000_000, Ordering::Relaxed);
}

/// Observes and merges what was planned.
async fn finish(world: &World) -> merge::Merged {
    for item in world.items().await {
        world.observe(&item, &world.view).await.unwrap();
    }
    world.merge_chunks().await
}

/// The same documents with ids of the other type.
fn as_keywords(world: &mut World) {
    for document in &mut world.view.documents {
        document.id = StoreKey::Keyword(document.id.to_string());
    }
}

fn count(statuses: &[(String, String)], status: &str) -> usize {
    statuses.iter().filter(|(_, own)| own == status).count()
}

#[tokio::test]
async fn after_a_good_reading_the_snapshot_is_used_for_any_postgresql_error_and_the_row_says_why() {
    let mut world = World::default();
    let error = world.plan(&Refusing).await.unwrap_err();
    assert_eq!(error.name(), ErrorName::BadConfig, "a country file that never worked is rejected");
    let first = world.plan(&world.schedules).await.unwrap();
    finish(&world).await;
    assert!(world.sent("SchedulesStale").is_empty());
    next(&mut world);
    let stale = world.plan(&Refusing).await.unwrap();
    assert!(stale.stale);
    assert_eq!(world.plan(&world.schedules).await.unwrap(), stale, "a second plan of the slot says the same");
    let merged = finish(&world).await;
    assert_eq!(merged.outcome, Outcome::Complete);
    let said = format!(
        "stale schedules of {}: BadConfig: [schedule].weekly: invalid input syntax for type time: \"26:00\"",
        first.schedule_as_of
    );
    assert_eq!(world.record().await.error, Some(said));
    assert_eq!(world.sent("SchedulesStale"), [1.0]);
    next(&mut world);
    assert!(!world.plan(&world.schedules).await.unwrap().stale);
}

#[tokio::test]
async fn stores_without_any_valid_id_count_as_an_outage_after_a_good_reading() {
    let mut world = World::default();
    let good = world.schedules.stores.clone();
    world.schedules.stores.iter_mut().for_each(|store| store.id.insert(0, 'x'));
    assert_eq!(world.plan(&world.schedules).await.unwrap_err().name(), ErrorName::BadConfig);
    let bad = std::mem::replace(&mut world.schedules.stores, good);
    world.plan(&world.schedules).await.unwrap();
    next(&mut world);
    world.schedules.stores = bad;
    assert!(world.plan(&world.schedules).await.unwrap().stale);
}

#[tokio::test]
async fn an_unchanged_version_is_read_again_after_id_type_changed() {
    let mut world = World { file: file(&[VERSION]), ..World::default() };
    world.schedules.version = Some("(1)".to_owned());
    world.plan(&world.schedules).await.unwrap();
    let before = {
        finish(&world).await;
        world.statuses().await
    };
    next(&mut world);
    world.file = file(&[VERSION, KEYWORD]);
    as_keywords(&mut world);
    assert!(!world.plan(&world.schedules).await.unwrap().stale);
    assert_eq!(finish(&world).await.outcome, Outcome::Complete);
    assert_eq!(world.statuses().await, before);
}

#[tokio::test]
async fn a_snapshot_is_cut_again_while_postgresql_is_down_after_id_type_or_chunk_stores_changed() {
    for changes in [&[KEYWORD][..], &[KEYWORD, ("chunk_stores = 3", "chunk_stores = 2")]] {
        let mut world = World::default();
        // From 40 to 110, so that the order of texts differs from the order of numbers.
        for (store, n) in world.schedules.stores.iter_mut().zip(1..) {
            store.id = ((12 - n) * 10).to_string();
        }
        for document in &mut world.view.documents {
            let StoreKey::Long(id) = document.id else { panic!() };
            document.id = StoreKey::Long((12 - id) * 10);
        }
        let first = world.plan(&world.schedules).await.unwrap();
        let before = {
            finish(&world).await;
            world.statuses().await
        };
        assert_eq!((count(&before, "unlisted"), count(&before, "orphan")), (0, 1));
        let last_good = world.objects.get(&keys::last_good_snapshot(world.country)).await.unwrap();
        next(&mut world);
        world.file = file(changes);
        as_keywords(&mut world);
        let planned = world.plan(&Away).await.unwrap();
        assert_eq!((planned.stale, &planned.schedule_as_of), (true, &first.schedule_as_of));
        assert_eq!(finish(&world).await.outcome, Outcome::Complete);
        assert_eq!(world.statuses().await, before);
        assert_eq!(world.objects.get(&keys::last_good_snapshot(world.country)).await.unwrap(), last_good);
    }
}

#[tokio::test]
async fn a_snapshot_of_another_database_or_of_other_queries_is_not_used() {
    for change in [
        ("db.es.example/stores", "db.es.example/others"),
        ("[live_view]", "weekly = 'select 1'\n[live_view]"),
    ] {
        let mut world = World::default();
        world.plan(&world.schedules).await.unwrap();
        next(&mut world);
        world.file = file(&[("[live_view]", "timeout_seconds = 7\n[live_view]")]);
        assert!(world.plan(&Away).await.unwrap().stale, "a new time limit changes nothing");
        next(&mut world);
        world.file = file(&[change]);
        assert_eq!(world.plan(&Away).await.unwrap_err().name(), ErrorName::ScheduleUnavailable, "{change:?}");
    }
}

#[tokio::test]
async fn a_slot_planned_for_ids_of_the_other_type_is_not_observed() {
    let mut world = World::default();
    world.plan(&world.schedules).await.unwrap();
    world.file = file(&[KEYWORD]);
    let item = &world.items().await[1];
    let error = world.observe(item, &world.view).await.unwrap_err();
    assert_eq!(error.name(), ErrorName::BadConfig);
    assert!(error.to_string().contains("was planned for ids of the other type"), "{error}");
}

#[tokio::test]
async fn ids_that_never_matched_make_no_store_unlisted_and_the_first_tick_reports_them() {
    let mut world = World::default();
    let documents = world.view.documents.clone();
    let apart = |n: i64| StoreKey::Long(n + 1_000);
    for (document, n) in world.view.documents.iter_mut().zip(1..) {
        document.id = apart(n);
    }
    world.plan(&world.schedules).await.unwrap();
    let merged = finish(&world).await;
    assert_eq!((merged.outcome, merged.coverage, merged.again), (Outcome::Partial, Some(0.0), None));
    let error = merged.error.unwrap();
    assert!(
        error.starts_with("ids do not meet: none of 8 stores is in the live view, and none of its 9 ids"),
        "{error}"
    );
    assert!(error.contains("\"1\" in PostgreSQL and \"1001\" in the live view"), "{error}");
    let statuses = world.statuses().await;
    assert_eq!((statuses.len(), count(&statuses, "unknown")), (8, 8));
    assert_eq!((world.sent("IdsUnmet"), world.sent("TicksPartial")), (vec![1.0], vec![1.0]));
    // Once they have matched, the live view is believed, and the mismatch is still reported.
    for listed in [true, false] {
        next(&mut world);
        world.view.documents = documents.clone();
        if !listed {
            world.view.documents.iter_mut().zip(1..).for_each(|(document, n)| document.id = apart(n));
        }
        world.plan(&world.schedules).await.unwrap();
        let merged = finish(&world).await;
        assert_eq!((merged.outcome, merged.error.is_none()), (Outcome::Complete, listed));
    }
    assert_eq!(count(&world.statuses().await, "unlisted"), 8);
    assert_eq!((world.sent("IdsUnmet"), world.sent("ListedShareFall")), (vec![1.0, 1.0], vec![1.0]));
    // With a file that names another live view, they have not matched yet.
    next(&mut world);
    world.file = file(&[("index = \"stores-es\"", "index = \"stores-new\"")]);
    world.plan(&world.schedules).await.unwrap();
    assert_eq!(finish(&world).await.outcome, Outcome::Partial);
}

#[tokio::test]
async fn an_empty_live_view_is_believed_and_a_country_without_stores_has_no_coverage() {
    let mut world = World::default();
    let documents = std::mem::take(&mut world.view.documents);
    world.plan(&world.schedules).await.unwrap();
    let merged = finish(&world).await;
    assert_eq!((merged.outcome, merged.coverage, merged.error), (Outcome::Complete, Some(1.0), None));
    assert_eq!(count(&world.statuses().await, "unlisted"), 8);
    next(&mut world);
    world.view.documents = documents;
    world.schedules.stores.clear();
    world.plan(&world.schedules).await.unwrap();
    let merged = finish(&world).await;
    assert_eq!((merged.outcome, merged.coverage, merged.error), (Outcome::Complete, None, None));
    assert_eq!((world.record().await.coverage, world.sent("Coverage")), (None, vec![]));
}
