//! A day's outages from rows and carried stores that are written out here.

use std::collections::BTreeSet;

use polars_core::prelude::*;
use storewatch_domain::outages::Track;
use storewatch_domain::{
    IdType, Instant, LiveStore, Observation, Rules, Store, StoreHours, StoreKey, WallTime, WeeklyHours,
    judge_chunk,
};

use super::*;
use crate::availability::AvailabilityRows;
use crate::compaction::{self, Source};
use crate::parquet;
use crate::store_schedules::ScheduleIntervals;
use crate::tables::Table;

/// A Monday.
fn day() -> Day {
    "2026-11-23".parse().unwrap()
}

fn slot(n: i64) -> Slot {
    Slot::containing(day().first_slot().start() + n * Slot::SECONDS)
}

fn rules() -> Rules {
    let zones = Zones::embedded();
    Rules {
        default_timezone: zones.get("UTC").unwrap(),
        zones,
        missing_hours: MissingHours::Closed,
        id_type: IdType::Long,
    }
}

/// A store that is open from one hour to another, every day.
fn store(id: &str, hours: Option<(u32, u32)>) -> Store {
    let at = |hour: u32| WallTime::from_seconds(hour * 3600);
    let row = |(opens, closes)| (1..=7).map(move |n| WeeklyHours::new(n, at(opens), at(closes)).unwrap());
    let weekly = hours.map(row).into_iter().flatten().collect();
    let hours = StoreHours { weekly, exceptions: Vec::new() };
    Store { id: id.to_owned(), name: Some(format!("Bar {id}")), hours, ..Store::default() }
}

/// Inputs with rows in these slots. A store is online if `online` says so of its slot, and else paused.
fn inputs(stores: &[Store], slots: &[i64], online: impl Fn(&str, i64) -> bool) -> Inputs {
    let rules = rules();
    let read_at = slot(0).first_instant();
    let sources = slots.iter().map(|n| {
        let live = |store: &Store| {
            let key = StoreKey::new(&store.id, IdType::Long).unwrap();
            let online = online(&store.id, *n);
            (key, LiveStore { online, reason: (!online).then(|| "paused".to_owned()) })
        };
        let at = slot(*n).first_instant().plus_micros(3_500_000);
        let view = Observation { at, stores: stores.iter().map(live).collect() };
        let judged = judge_chunk(slot(*n), &rules, stores, Ok(&view));
        let rows = AvailabilityRows::new(slot(*n), read_at, &judged).unwrap();
        let body = AvailabilityRows::merge(vec![rows]).unwrap().write().unwrap();
        Source { body, rows: compaction::Rows::Of(slot(*n)) }
    });
    let sources: Vec<Source> = sources.collect();
    let (body, _) = compaction::compact(Table::StoreAvailability, &sources).unwrap();
    let mut schedules = ScheduleIntervals::of(day().date(), rules.zones.clone());
    schedules.take(read_at, &BTreeSet::new(), &[(0, stores.to_vec())]);
    let slots: BTreeSet<Slot> = slots.iter().map(|n| slot(*n)).collect();
    Inputs {
        day: day(),
        first_tick: slots.first().copied(),
        rows: Some((body, slots)),
        schedules: Some(schedules.write().unwrap().0),
        carried: None,
        zones: Some(rules.zones),
        missing_hours: Some(rules.missing_hours),
    }
}

/// A column of a file, as texts.
fn column(file: &File, name: &str) -> Vec<Option<String>> {
    let frame = parquet::read(file.body.clone()).unwrap();
    assert_eq!(frame.height() as u64, file.rows);
    let column = frame.column(name).unwrap().cast(&DataType::String).unwrap();
    column.str().unwrap().iter().map(|text| text.map(str::to_owned)).collect()
}

fn one(file: &File, name: &str) -> Option<String> {
    let mut values = column(file, name);
    assert_eq!(values.len(), 1);
    values.remove(0)
}

/// The stores that are carried over.
fn carried_over(made: &DayOutages) -> Vec<Carried> {
    let mut stores = InOrder::new(&made.carried, carry::read).unwrap();
    std::iter::from_fn(|| stores.next_if(|_| true).unwrap()).collect()
}

#[test]
fn a_day_without_outages_and_missed_slots_has_files_without_rows() {
    let slots: Vec<i64> = (0..96).collect();
    let made = of_day(inputs(&[store("1", Some((9, 17)))], &slots, |_, _| true)).unwrap();
    assert_eq!((made.outages.rows, made.missed_looks.rows), (0, 0));
    assert_eq!(carried_over(&made).len(), 1);
}

#[test]
fn an_outage_says_which_looks_bound_it_and_what_it_cost() {
    let slots: Vec<i64> = (0..96).collect();
    // Online at 09:00, offline at 09:15 to 10:00, online again at 10:15.
    let online = |_: &str, n: i64| !(37..=40).contains(&n);
    let made = of_day(inputs(&[store("1", Some((9, 17)))], &slots, online)).unwrap();
    let told = |name| one(&made.outages, name).unwrap_or_default();
    assert_eq!(told("outage_id"), "1/20261123T0915Z");
    assert_eq!((told("bad_looks"), told("lost_seconds")), ("4".to_owned(), "3600".to_owned()));
    assert_eq!((told("seconds_at_least"), told("seconds_at_most")), ("2700".to_owned(), "4500".to_owned()));
    assert_eq!((told("kind"), told("is_open")), ("mid_shift".to_owned(), "false".to_owned()));
    assert_eq!((told("first_reason"), told("reasons")), ("paused".to_owned(), r#"{"paused":4}"#.to_owned()));
}

#[test]
fn a_missed_slot_has_a_row_for_each_store_that_was_open_in_it() {
    let stores = [store("1", Some((9, 17))), store("2", Some((0, 24))), store("3", None)];
    let slots: Vec<i64> = (4..96).filter(|n| *n != 40).collect();
    let mut inputs = inputs(&stores, &slots, |_, _| true);
    inputs.first_tick = Some(slot(2));
    let made = of_day(inputs).unwrap();
    assert_eq!(column(&made.missed_looks, "store_id"), ["1", "2", "2", "2"].map(|id| Some(id.to_owned())));
    let seconds = column(&made.missed_looks, "scheduled_seconds");
    assert_eq!(seconds, ["900"; 4].map(|text| Some(text.to_owned())));
    let hours = column(&made.missed_looks, "local_hour");
    assert_eq!(hours, ["10", "0", "0", "10"].map(|text| Some(text.to_owned())));
}

#[test]
fn without_schedules_or_zones_only_the_looks_bound_an_outage() {
    let slots: Vec<i64> = (0..96).filter(|n| *n != 20).collect();
    let online = |_: &str, n: i64| n != 40;
    let whole = inputs(&[store("1", Some((9, 17)))], &slots, online);
    for inputs in [Inputs { schedules: None, ..whole.clone() }, Inputs { zones: None, ..whole.clone() }] {
        let made = of_day(inputs).unwrap();
        let told = |name| one(&made.outages, name);
        assert_eq!(
            (told("kind"), told("seconds_at_least"), told("seconds_at_most")),
            (None, Some("0".into()), None)
        );
        assert!(told("began_after").is_some());
        assert_eq!(made.missed_looks.rows, 0);
    }
    // Stores with weekly hours do not need the country file.
    let made = of_day(Inputs { missing_hours: None, ..whole }).unwrap();
    assert_eq!(one(&made.outages, "kind").as_deref(), Some("mid_shift"));
}

#[test]
fn a_store_without_a_row_for_30_days_is_carried_no_further() {
    let made = of_day(inputs(&[store("1", Some((0, 24)))], &[90], |_, _| false)).unwrap();
    let mut carried = made.carried;
    let mut told = Vec::new();
    for n in 1..=31 {
        let day = day().plus_days(n).unwrap();
        let zones = Some(Zones::embedded());
        let inputs = Inputs {
            day,
            rows: None,
            schedules: None,
            carried: Some(carried),
            first_tick: None,
            zones,
            missing_hours: Some(MissingHours::Closed),
        };
        let made = of_day(inputs).unwrap();
        assert_eq!(made.outages.rows, 0, "it had no bad look on {day}");
        told.push((carried_over(&made).len(), made.missed_looks.rows));
        carried = made.carried;
    }
    assert_eq!(told.iter().filter(|(stores, _)| *stores == 1).count(), 29);
    assert!(told[..30].iter().all(|(_, missed)| *missed == 96), "it was open and nobody looked: {told:?}");
    assert_eq!(told[30], (0, 0));
}

#[test]
fn what_is_carried_is_read_back() {
    let slots: Vec<i64> = (0..90).collect();
    let stores = [store("1", Some((9, 23))), store("2", Some((0, 24))), store("3", None)];
    let made = of_day(inputs(&stores, &slots, |id, n| id == "1" || n < 80)).unwrap();
    let carried = carried_over(&made);
    let mut written = Rows::new().unwrap();
    carried.iter().for_each(|store| written.push(store.clone()).unwrap());
    assert_eq!(written.finish().unwrap().body, made.carried);
    let Track { last, last_good, open, .. } = &carried[1].track;
    assert_eq!(*last, Some(slot(89)));
    assert_eq!(last_good.map(Instant::micros), Some(slot(79).start_micros() + 3_500_000));
    let open = open.as_ref().unwrap();
    assert_eq!((open.bad_looks, open.after.until), (10, slot(96).first_instant()));
    assert_eq!(carried[1].labels[0].as_deref(), Some("Bar 2"));
}

#[test]
fn a_text_that_is_no_schedule_is_an_error() {
    let mut inputs = inputs(&[store("1", Some((9, 17)))], &[40], |_, _| false);
    let mut frame = parquet::read(inputs.schedules.unwrap()).unwrap();
    frame.replace("weekly", Series::new("weekly".into(), ["Mon whenever"]).into_column()).unwrap();
    inputs.schedules = Some(parquet::write(&mut frame).unwrap());
    let error = of_day(inputs).unwrap_err();
    assert!(error.to_string().contains("Mon whenever"), "{error}");
}
