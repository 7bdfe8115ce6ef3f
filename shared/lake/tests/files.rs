//! Files return what was written to them, and have the columns of their tables.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use storewatch_domain::{
    ExceptionHours, Labels, LiveStore, LocalDate, MissingHours, Observation, Rules, Slot, Status, Store,
    StoreHours, StoreKey, Summary, WallTime, WeeklyHours, Zones, judge_chunk,
};
use storewatch_lake::availability::{AvailabilityRows, by_city};
use storewatch_lake::{Outcome, Table, TickRecord, snapshot};

fn time(hour: u32) -> Option<WallTime> {
    WallTime::from_seconds(hour * 3600)
}

fn store(id: &str, city: Option<&str>) -> Store {
    Store {
        id: id.to_owned(),
        name: Some(format!("Store \"{id}\"")),
        city: city.map(str::to_owned),
        timezone: Some("Europe/Madrid".to_owned()),
        labels: Labels {
            region: Some("ES-C".to_owned()),
            owner: Some("Ana".to_owned()),
            ..Labels::default()
        },
        hours: StoreHours {
            weekly: vec![
                WeeklyHours::new(1, time(9), time(24)).unwrap(),
                WeeklyHours::new(2, None, None).unwrap(),
                WeeklyHours::new(7, time(20), time(2)).unwrap(),
            ],
            exceptions: vec![
                ExceptionHours::new(LocalDate::from_days(20_000), None, None).unwrap(),
                ExceptionHours::new(LocalDate::from_days(-719_528), time(0), time(0)).unwrap(),
                ExceptionHours::new(LocalDate::from_days(2_932_896), time(1), time(24)).unwrap(),
            ],
        },
        problem: None,
    }
}

#[test]
fn a_snapshot_returns_every_store_unchanged() {
    let mut bad = store("x'; drop table stores; --", None);
    bad.spoil("weekday 8 is not 1 (Monday) to 7 (Sunday)");
    let bare = Store { id: "7".to_owned(), ..Store::default() };
    let stores = vec![store("1", Some("A Coruña")), bad, bare];
    assert_eq!(snapshot::read(snapshot::write(&stores).unwrap()).unwrap(), stores);
    assert_eq!(snapshot::read(snapshot::write(&[]).unwrap()).unwrap(), []);
}

#[test]
fn a_file_that_is_not_parquet_is_an_error() {
    assert!(AvailabilityRows::read("PAR1".into()).is_err());
    // A file of another table is rejected by its columns.
    let file = by_city(Slot::containing(0), &Summary::default()).unwrap();
    assert!(AvailabilityRows::read(file).is_err());
}

#[test]
fn merged_chunks_are_sorted_by_store_and_summed_up() {
    // A Monday, 10:00 in Madrid: the stores are open.
    let slot: Slot = "2026-11-23T09:00:00Z".parse().unwrap();
    let rules = Rules {
        zones: Zones::embedded(),
        default_timezone: Zones::embedded().get("Europe/Madrid").unwrap(),
        missing_hours: MissingHours::Closed,
        id_type: storewatch_domain::IdType::Long,
    };
    let seen = |ids: &[i64]| Observation {
        at: slot.first_instant().plus_micros(5),
        stores: ids
            .iter()
            .map(|id| (StoreKey::Long(*id), LiveStore { online: *id != 9, reason: None }))
            .collect(),
    };
    let rows = |stores: &[Store], seen: &Observation| {
        AvailabilityRows::new(slot, slot.first_instant(), &judge_chunk(slot, &rules, stores, Ok(seen)))
            .unwrap()
    };
    let first = [store("9", Some("B")), store("2", Some("A"))];
    let second = [store("10", Some("A")), store("11", None)];
    let (first, second) = (rows(&first, &seen(&[2, 9])), rows(&second, &seen(&[10, 12])));
    let merged = AvailabilityRows::merge(vec![first, second]).unwrap();
    let read = AvailabilityRows::read(merged.write().unwrap()).unwrap();
    assert_eq!(read.store_ids().unwrap(), ["10", "11", "12", "2", "9"]);
    assert_eq!(read.write().unwrap(), merged.write().unwrap(), "the same rows are the same bytes");

    let summary = read.summary().unwrap();
    assert_eq!(summary.counts.get(Status::Available), 2);
    assert_eq!(summary.counts.get(Status::Unavailable), 1);
    assert_eq!(summary.counts.get(Status::Unlisted), 1);
    assert_eq!(summary.counts.get(Status::Orphan), 1);
    assert_eq!(summary.counts.stores(), 4);
    let city = &summary.cities[&Some("A")];
    assert_eq!((city.scheduled_seconds, city.available_seconds, city.local_hour), (1800, 1800, Some(10)));
    assert_eq!(summary.cities[&None].counts.stores(), 1);
    assert!(by_city(slot, &summary).unwrap().starts_with(b"PAR1"));
}

#[test]
fn a_tick_record_returns_what_was_written() {
    let slot: Slot = "2026-11-23T09:00:00Z".parse().unwrap();
    let full = TickRecord {
        slot,
        started_at: slot.first_instant().plus_micros(1),
        finished_at: slot.first_instant().plus_micros(2),
        outcome: Outcome::Partial,
        stores: Some(10),
        chunks: Some(2),
        chunks_unknown: Some(1),
        coverage: Some(0.5),
        schedule_as_of: Some(slot.first_instant()),
        error: None,
        tzdb: Some("2026f".to_owned()),
    };
    assert_eq!(TickRecord::read(full.write().unwrap()).unwrap(), full);
    let failed = TickRecord {
        outcome: Outcome::Failed,
        stores: None,
        chunks: None,
        chunks_unknown: None,
        coverage: None,
        schedule_as_of: None,
        error: Some("ScheduleUnavailable: \0 \"quoted\"\nlines".to_owned()),
        tzdb: None,
        ..full
    };
    assert_eq!(TickRecord::read(failed.write().unwrap()).unwrap(), failed);
}

#[test]
fn the_template_has_the_columns_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/lake.yaml");
    let template = std::fs::read_to_string(path).unwrap();
    for table in Table::ALL {
        let at = template.find(&format!("Name: {}\n", table.name())).unwrap();
        let rest = &template[at..];
        let columns = &rest[rest.find("Columns:").unwrap()..];
        let mut position = 0;
        for (name, glue) in table.columns() {
            let entry = format!("{{Name: {name}, Type: {glue},");
            let found = columns[position..].find(&entry);
            let found = found.unwrap_or_else(|| panic!("{table}: no {entry} … after position {position}"));
            position += found + entry.len();
        }
        let count = columns.lines().skip(1).take_while(|line| line.trim().starts_with("- {Name: ")).count();
        assert_eq!(count, table.columns().len(), "{table}");
    }
}
