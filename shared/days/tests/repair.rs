//! A repaired catalog matches the files on S3, both in Glue and in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use storewatch_days::error::RequestError;
use storewatch_days::record::{Record, Version};
use storewatch_days::{CountryDay, DaysError, Lake, Repaired, repair};
use storewatch_domain::Day;
use storewatch_lake::catalog::{Catalog, register};
use storewatch_lake::glue::GlueCatalog;
use storewatch_lake::memory::{MemoryCatalog, MemoryObjects};
use storewatch_lake::{Condition, Objects, Partition, Table, keys};
use storewatch_stack_client::aws;

fn november(day: u32) -> Day {
    format!("2026-11-{day:02}").parse().unwrap()
}

fn partition(table: Table, day: u32, location: String) -> Partition {
    Partition { table, country: "es".parse().unwrap(), day: november(day), location }
}

/// Records that the table's version of the day lies at the location.
async fn write_record(objects: &dyn Objects, day: u32, table: Table, location: String) {
    let version = Version {
        file: format!("{}1.parquet", location.trim_start_matches("s3://memory/")),
        location,
        rows: 0,
        slots: Vec::new(),
        checksum: String::new(),
        inputs: BTreeMap::new(),
    };
    let id = CountryDay { country: "es".parse().unwrap(), day: november(day) };
    let mut record = Record::find(objects, id).await.unwrap().record;
    record.tables.insert(table, version);
    record.write(objects, Condition::Absent).await.unwrap();
}

/// Days that are missing from the catalog, at another location, without files, and right; compacted days
/// too.
async fn contract(catalog: &dyn Catalog) {
    let (objects, es) = (MemoryObjects::default(), "es".parse().unwrap());
    let table = Table::AvailabilityByCity;
    let at = |day: u32, location: String| partition(table, day, location);
    let raw = |day: u32| {
        let location = keys::partition_location("memory", table, es, november(day));
        at(day, location)
    };
    let folder = |day: u32| format!("{}v1/", keys::compacted_prefix(table, es, november(day)));
    let compacted = |day: u32| at(day, format!("s3://memory/{}", folder(day)));
    for day in [1, 2, 3, 6, 7, 10] {
        let key = format!("{}1.parquet", raw(day).location.trim_start_matches("s3://memory/"));
        objects.put(&key, "".into()).await.unwrap();
    }
    for day in [5, 6, 8, 9, 10] {
        objects.put(&format!("{}1.parquet", folder(day)), "".into()).await.unwrap();
    }
    for day in [8, 9] {
        let location = format!("s3://memory/{}", folder(day));
        write_record(&objects, day, table, location).await;
    }
    // 1 is missing, 2 is elsewhere, 3 is right, 4 has no files, 5 and 6 are compacted, the version of 7 is
    // gone, 8 is missing and compacted, 9 points to an older version, and the version of 10 is in no
    // record. 20 is outside the repaired days.
    let elsewhere = at(2, "s3://memory/elsewhere/".to_owned());
    let older = at(9, compacted(9).location.replace("v1", "v0"));
    let held = [elsewhere, raw(3), raw(4), compacted(5), compacted(6), compacted(7), older, raw(10), raw(20)];
    register(catalog, &held).await.unwrap();

    let days = (november(1), november(10));
    let lake = Lake { objects: &objects, catalog };
    let done = repair(lake, es, days).await.unwrap();
    assert_eq!(done, Repaired { created: 2, updated: 3, deleted: 1, unchanged: 4 });
    let wanted = [
        raw(1),
        raw(2),
        raw(3),
        compacted(5),
        compacted(6),
        raw(7),
        compacted(8),
        compacted(9),
        raw(10),
        raw(20),
    ];
    for partition in wanted {
        let held = catalog.get(table, std::slice::from_ref(&partition)).await.unwrap();
        assert_eq!(held[0].as_ref().map(|held| &held.location), Some(&partition.location));
    }
    assert_eq!(catalog.get(table, &[raw(4)]).await.unwrap(), [None]);
    let again = repair(lake, es, days).await.unwrap();
    assert_eq!(again, Repaired { unchanged: 9, ..Repaired::default() });
}

#[tokio::test]
async fn a_repaired_catalog_in_memory_matches_s3() {
    contract(&MemoryCatalog::default()).await;
}

#[tokio::test]
async fn a_repaired_glue_catalog_matches_s3() {
    let (client, database) = aws::glue_database(&Table::ALL.map(Table::name)).await;
    contract(&GlueCatalog::new(client, aws::ACCOUNT, database)).await;
}

#[tokio::test]
async fn no_days_and_more_than_ten_years_are_refused() {
    let (objects, catalog) = (MemoryObjects::default(), MemoryCatalog::default());
    let lake = Lake { objects: &objects, catalog: &catalog };
    for (first, last, days) in [("2026-11-02", "2026-11-01", 0), ("1970-01-01", "9999-12-31", 2_932_897)] {
        let range = (first.parse().unwrap(), last.parse().unwrap());
        let error = repair(lake, "es".parse().unwrap(), range).await.unwrap_err();
        let DaysError::Request(RequestError::Days { days: found, .. }) = error else { panic!("{error}") };
        assert_eq!(found, days);
    }
    assert_eq!(
        repair(lake, "es".parse().unwrap(), (november(1), november(1))).await.unwrap(),
        Repaired::default()
    );
}
