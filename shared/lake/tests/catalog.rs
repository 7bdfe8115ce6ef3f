//! The contract that every catalog keeps: Glue and the one in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use aws_sdk_glue::types::StorageDescriptor;
use storewatch_domain::Day;
use storewatch_lake::catalog::{Catalog, CatalogError, Created, Registered, register};
use storewatch_lake::glue::GlueCatalog;
use storewatch_lake::memory::MemoryCatalog;
use storewatch_lake::{Partition, Table};
use storewatch_stack_client::aws;

fn november(day: u32) -> Day {
    format!("2026-11-{day:02}").parse().unwrap()
}

fn partition(table: Table, day: u32, place: &str) -> Partition {
    let day = november(day);
    Partition {
        table,
        country: "es".parse().unwrap(),
        location: format!("s3://lake/{place}/day={day}/"),
        day,
    }
}

/// The location of a day of es. `prefix` is empty for the files of ticks.
fn at(table: Table, prefix: &str, day: u32) -> String {
    format!("s3://lake/{prefix}{table}/country=es/day=2026-11-{day:02}/")
}

/// Registering keeps the location of a compacted partition, but not one of another day or bucket.
async fn compacted_partitions_stay(catalog: &dyn Catalog) {
    let table = Table::StoreAvailability;
    let raw = Partition { location: at(table, "", 4), ..partition(table, 4, "a") };
    for (place, stays) in [
        (at(table, "compacted/", 4) + "00ff/", true),
        (at(table, "compacted/", 4), false),
        (at(table, "compacted/", 5) + "00ff/", false),
        (at(Table::CountryTicks, "compacted/", 4) + "00ff/", false),
        ((at(table, "compacted/", 4) + "00ff/").replace("s3://lake/", "s3://lake2/"), false),
    ] {
        register(catalog, std::slice::from_ref(&raw)).await.unwrap();
        catalog.update(table, &[Partition { location: place.clone(), ..raw.clone() }]).await.unwrap();
        let done = register(catalog, std::slice::from_ref(&raw)).await.unwrap();
        assert_eq!((done.unchanged, done.updated), if stays { (1, 0) } else { (0, 1) }, "{place}");
        let held = catalog.get(table, std::slice::from_ref(&raw)).await.unwrap();
        let held = &held[0].as_ref().unwrap().location;
        assert_eq!(held, if stays { &place } else { &raw.location });
        catalog.update(table, std::slice::from_ref(&raw)).await.unwrap();
    }
}

async fn contract(catalog: &dyn Catalog) {
    let table = Table::StoreAvailability;
    let (one, two) = (partition(table, 1, "a"), partition(table, 2, "a"));
    assert_eq!(catalog.get(table, &[one.clone(), two.clone()]).await.unwrap(), [None, None]);

    // Creating says for each whether it existed, and never changes an existing one.
    assert_eq!(catalog.create(table, std::slice::from_ref(&two)).await.unwrap(), [Created::Done]);
    let moved = partition(table, 2, "b");
    let outcome = catalog.create(table, &[one.clone(), moved.clone()]).await.unwrap();
    assert_eq!(outcome, [Created::Done, Created::AlreadyExists]);
    let held = catalog.get(table, &[two.clone(), one.clone()]).await.unwrap();
    let locations: Vec<_> = held.iter().map(|held| held.as_ref().unwrap().location.as_str()).collect();
    assert_eq!(locations, [two.location.as_str(), one.location.as_str()], "in the order of the request");
    assert!(held.iter().flatten().all(|held| held.current));

    // Updating a missing partition is an error that names it.
    let error = catalog.update(table, &[partition(table, 9, "a")]).await.unwrap_err();
    assert!(matches!(error, CatalogError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("country=es/day=2026-11-09"), "{error}");

    // Registering creates what is missing, updates what differs, and leaves the rest alone.
    let ticks = partition(Table::CountryTicks, 2, "t");
    let wanted = [one.clone(), moved.clone(), partition(table, 3, "a"), ticks.clone()];
    let done = register(catalog, &wanted).await.unwrap();
    assert_eq!(done, Registered { created: 2, updated: 1, unchanged: 1 });
    let again = register(catalog, &wanted).await.unwrap();
    assert_eq!(again, Registered { created: 0, updated: 0, unchanged: 4 });
    let held = catalog.get(table, std::slice::from_ref(&moved)).await.unwrap();
    assert_eq!(held[0].as_ref().unwrap().location, moved.location);

    compacted_partitions_stay(catalog).await;

    // More partitions than one Glue batch takes.
    let many: Vec<Partition> = (0..130)
        .map(|n| Partition { day: november(1).plus_days(-100 - n).unwrap(), ..partition(table, 1, "m") })
        .collect();
    assert_eq!(register(catalog, &many).await.unwrap().created, 130);
    assert_eq!(register(catalog, &many).await.unwrap().unchanged, 130);

    // Deleting twice has the effect of deleting once, and deletes no other partition.
    for _ in 0..2 {
        catalog.delete(table, std::slice::from_ref(&one)).await.unwrap();
        let held = catalog.get(table, &[one.clone(), moved.clone()]).await.unwrap();
        assert_eq!(held.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true]);
    }
}

async fn glue() -> (aws_sdk_glue::Client, String) {
    aws::glue_database(&Table::ALL.map(Table::name)).await
}

#[tokio::test]
async fn a_catalog_in_memory_keeps_the_contract() {
    contract(&MemoryCatalog::default()).await;
}

#[tokio::test]
async fn the_glue_catalog_keeps_the_contract() {
    let (client, database) = glue().await;
    contract(&GlueCatalog::new(client, aws::ACCOUNT, database)).await;
}

#[tokio::test]
async fn a_glue_partition_without_serde_and_columns_is_repaired() {
    let (client, database) = glue().await;
    let wanted = partition(Table::CountryTicks, 1, "a");
    let bare = StorageDescriptor::builder().location(&wanted.location).build();
    let input = aws_sdk_glue::types::PartitionInput::builder()
        .values("es")
        .values("2026-11-01")
        .storage_descriptor(bare)
        .build();
    let request = client.batch_create_partition().database_name(&database).table_name("country_ticks");
    request.partition_input_list(input).send().await.unwrap();
    let catalog = GlueCatalog::new(client, aws::ACCOUNT, database);
    assert!(
        !catalog.get(Table::CountryTicks, std::slice::from_ref(&wanted)).await.unwrap()[0]
            .as_ref()
            .unwrap()
            .current
    );
    let done = register(&catalog, std::slice::from_ref(&wanted)).await.unwrap();
    assert_eq!(done, Registered { created: 0, updated: 1, unchanged: 0 });
    assert_eq!(register(&catalog, &[wanted]).await.unwrap().unchanged, 1);
}

/// The local Glue creates partitions in databases that do not exist. So this test uses a service that does
/// not answer.
#[tokio::test]
async fn a_catalog_that_does_not_answer_is_an_error_and_never_empty() {
    let sdk = aws::sdk().await;
    // Port 9, discard: nothing listens there.
    let config = aws_sdk_glue::config::Builder::from(&sdk).endpoint_url("http://127.0.0.1:9");
    let config = config.retry_config(aws_sdk_glue::config::retry::RetryConfig::disabled()).build();
    let catalog = GlueCatalog::new(aws_sdk_glue::Client::from_conf(config), aws::ACCOUNT, "away");
    let error = register(&catalog, &[partition(Table::CountryTicks, 1, "a")]).await.unwrap_err();
    assert!(matches!(error, CatalogError::Failed { operation: "BatchGetPartition", .. }), "{error}");
}
