//! What the tables tell of outages, and what they should: computed from all rows at once, without days.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use polars_core::prelude::*;
use polars_io::prelude::*;
use storewatch_domain::outages::{Look, Outage, Sight, Track};
use storewatch_domain::{Day, Instant, MissingHours, Opening, Slot, SlotClock, Store, Zones};
use storewatch_lake::{Objects, Table};
use storewatch_pipeline_tests::World;

/// The rows of each table and day, as texts in the order of the columns.
pub(crate) type Told = BTreeMap<(Table, Day), Vec<Vec<String>>>;

/// The stores of each reading.
pub(crate) type Readings = BTreeMap<Instant, Vec<Store>>;

/// A row of `store_availability`.
#[derive(Debug, Clone)]
struct Seen {
    slot: Slot,
    at: Option<Instant>,
    status: String,
    scheduled_seconds: u16,
    reason: Option<String>,
    read_at: Instant,
    /// Name, city and zone, and what only some countries have.
    labels: Vec<String>,
}

fn text(text: Option<&str>) -> String {
    text.map_or_else(|| "null".to_owned(), |text| format!("{text:?}"))
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}

/// A file at the location that the catalog has of the table's day.
async fn frames(world: &World, table: Table) -> Vec<(Day, DataFrame)> {
    let mut frames = Vec::new();
    for partition in world.catalog.partitions().into_iter().filter(|one| one.table == table) {
        for object in
            world.objects.list(partition.location.strip_prefix("s3://memory/").unwrap()).await.unwrap()
        {
            let body = world.objects.get(&object.key).await.unwrap();
            frames.push((partition.day, ParquetReader::new(Cursor::new(body)).finish().unwrap()));
        }
    }
    frames
}

/// What the catalog's files tell. Days without rows are left out.
pub(crate) async fn told(world: &World) -> Told {
    let mut told = Told::new();
    for table in [Table::Outages, Table::MissedLooks] {
        for (day, frame) in frames(world, table).await {
            let names: Vec<&str> = frame.columns().iter().map(|column| column.name().as_str()).collect();
            assert_eq!(names, table.columns().iter().map(|(name, _)| *name).collect::<Vec<_>>());
            let cell = |column: &Column, n: usize| match column.dtype() {
                DataType::String => text(column.str().unwrap().get(n)),
                DataType::Boolean => shown(column.bool().unwrap().get(n)),
                _ => shown(column.cast(&DataType::Int64).unwrap().i64().unwrap().get(n)),
            };
            let row = |n| frame.columns().iter().map(|column| cell(column, n)).collect();
            let rows: Vec<Vec<String>> = (0..frame.height()).map(row).collect();
            assert!(told.insert((table, day), rows).is_none(), "{table} of {day} is in two files");
        }
    }
    told.retain(|_, rows| !rows.is_empty());
    told
}

/// Every row of a store that queries see, by store.
async fn seen(world: &World) -> BTreeMap<String, Vec<Seen>> {
    let mut stores: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    for (_, frame) in frames(world, Table::StoreAvailability).await {
        let texts = |name: &str| frame.column(name).ok().map(|column| column.str().unwrap().clone());
        let own = |name: &str, n: usize| texts(name).and_then(|texts| texts.get(n).map(str::to_owned));
        let time = |name: &str, n: usize| {
            let times = frame.column(name).unwrap().datetime().unwrap().physical().clone();
            times.get(n).map(|micros| Instant::from_micros(micros).unwrap())
        };
        for n in 0..frame.height() {
            let labels = ["name", "city", "timezone", "region", "chain", "segment", "owner"];
            let seen = Seen {
                slot: Slot::of(time("slot", n).unwrap()),
                at: time("observed_at", n),
                status: own("status", n).unwrap(),
                scheduled_seconds: frame
                    .column("scheduled_seconds")
                    .unwrap()
                    .i16()
                    .unwrap()
                    .get(n)
                    .unwrap_or(0) as u16,
                reason: own("reason", n),
                read_at: time("schedule_as_of", n).unwrap(),
                labels: labels.map(|label| text(own(label, n).as_deref())).to_vec(),
            };
            if seen.status != "orphan" {
                stores.entry(own("store_id", n).unwrap()).or_default().push(seen);
            }
        }
    }
    stores.values_mut().for_each(|rows| rows.sort_by_key(|row| row.slot));
    stores
}

/// When a store is open in a slot, by the schedule of the nearest row.
fn opening(id: &str, rows: &[Seen], slot: Slot, readings: &Readings) -> Option<Opening> {
    let row = rows.iter().rfind(|row| row.slot <= slot).or(rows.first())?;
    let store = readings[&row.read_at].iter().find(|store| store.id == id)?;
    let zone = Zones::embedded().get(store.timezone.as_deref().unwrap_or("UTC")).ok()?;
    Some(store.hours.opening(&SlotClock::new(&zone, slot), MissingHours::Closed))
}

/// What the tables should tell of these days.
pub(crate) async fn expected(world: &World, readings: &Readings, days: &[Day]) -> Told {
    let stores = seen(world).await;
    let mut expected = Told::new();
    for day in days {
        let end = Slot::containing(day.first_slot().start() + 86_400);
        let mut outages = Vec::new();
        for (id, rows) in &stores {
            let rows: Vec<Seen> = rows.iter().filter(|row| row.slot < end).cloned().collect();
            outages.extend(outages_of(id, &rows, *day, end, readings));
        }
        expected.insert((Table::Outages, *day), outages);
        expected.insert((Table::MissedLooks, *day), missed(&stores, *day, readings));
    }
    expected.retain(|_, rows| !rows.is_empty());
    expected
}

fn outages_of(id: &str, rows: &[Seen], day: Day, end: Slot, readings: &Readings) -> Vec<Vec<String>> {
    let (mut track, mut all) = (Track::default(), Vec::new());
    let mut hours = |slot| opening(id, rows, slot, readings);
    let mut last_bad = None;
    for row in rows {
        let sight = Sight::of(row.status.parse().unwrap()).unwrap();
        let (at, reason) = (row.at, row.reason.as_deref());
        let scheduled_seconds = row.scheduled_seconds;
        let look = Look { slot: row.slot, at, sight, scheduled_seconds, reason };
        if let Some(ended) = track.take(&look, &mut hours) {
            all.push((ended, last_bad.unwrap()));
        }
        if matches!(sight, Sight::Bad { .. }) {
            last_bad = Some(row);
        }
    }
    track.count_to(end.first_instant(), &mut hours);
    all.extend(track.open.map(|open| (open, last_bad.unwrap())));
    let is_of_day = |at: Instant| Day::containing(at) == day;
    let told = all.into_iter().filter(|(outage, _): &(Outage, &Seen)| {
        let bad = rows.iter().filter(|row| matches!(row.status.as_str(), "unavailable" | "unlisted"));
        let mut bad = bad.filter(|row| (outage.began_by..=outage.ended_after).contains(&row.at.unwrap()));
        bad.any(|row| is_of_day(row.at.unwrap())) || outage.ended_by.is_some_and(is_of_day)
    });
    told.map(|(outage, last)| cells(id, last, &outage)).collect()
}

fn cells(id: &str, last: &Seen, outage: &Outage) -> Vec<String> {
    let time = |at: Option<Instant>| shown(at.map(Instant::micros));
    let reasons = outage.ranked_reasons();
    let json: Vec<String> =
        reasons.iter().map(|(reason, looks)| format!("{}:{looks}", serde_json::json!(reason))).collect();
    let json = format!("{{{}}}", json.join(","));
    let mut cells = vec![text(Some(&format!("{id}/{}", outage.first_slot.key()))), text(Some(id))];
    cells.extend(last.labels.clone());
    cells.extend([
        time(outage.began_after),
        time(Some(outage.began_by)),
        time(Some(outage.ended_after)),
        time(outage.ended_by),
        shown(Some(outage.ended_by.is_none())),
        shown(Some(outage.bad_looks)),
        shown(Some(outage.unlisted_looks)),
        shown(Some(outage.unseen_looks)),
        shown(Some(outage.lost_seconds)),
        shown(outage.seconds_at_least),
        shown(outage.seconds_at_most()),
        text(outage.kind().map(|kind| kind.as_str())),
        text(outage.reasons.first().map(|(reason, _)| reason.as_str())),
        text((!reasons.is_empty()).then_some(json.as_str())),
        shown(Some(outage.flaps)),
    ]);
    cells
}

/// The stores of the nearest tick before each missed slot that were scheduled in it.
fn missed(stores: &BTreeMap<String, Vec<Seen>>, day: Day, readings: &Readings) -> Vec<Vec<String>> {
    let slots: BTreeSet<Slot> = stores.values().flatten().map(|row| row.slot).collect();
    let mut missed = Vec::new();
    for (id, rows) in stores {
        for n in 0..96 {
            let slot = Slot::containing(day.first_slot().start() + n * Slot::SECONDS);
            let Some(before) = slots.range(..slot).next_back().filter(|_| !slots.contains(&slot)) else {
                continue;
            };
            let Some(row) = rows.iter().find(|row| row.slot == *before) else { continue };
            let seconds = opening(id, rows, slot, readings).map_or(0, |opening| opening.seconds());
            if seconds == 0 {
                continue;
            }
            let zone: String = row.labels[2].trim_matches('"').to_owned();
            let clock = SlotClock::new(&Zones::embedded().get(&zone).unwrap(), slot);
            let mut cells = vec![shown(Some(slot.start_micros())), text(Some(id))];
            cells.extend(row.labels.clone());
            cells.extend([
                shown(Some(clock.local_date().days())),
                shown(Some(clock.local_hour())),
                shown(Some(seconds)),
            ]);
            missed.push(cells);
        }
    }
    missed
}
