//! Judging a day again: `{"country": …, "day": …, "restate": true}`.
//!
//! The schedules are read as they are now, and every slot of the day is judged by them and by what its
//! rows have kept of the live view. `store_availability` and `availability_by_city` get a new version;
//! `country_ticks` says how the ticks went, and that stays true. The first judgement stays where it lies.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use storewatch_domain::{Chunk, CountryCode, Rules, Slot, Store, cut};
use storewatch_lake::compaction::{self, RANGE_ROWS, Rows, Source};
use storewatch_lake::objects::damaged;
use storewatch_lake::restate::{Changes, judged_again};
use storewatch_lake::{Objects, Put, Table, availability, keys, snapshot};
use storewatch_runtime::clock::to_rfc3339;
use storewatch_runtime::{CountryFile, FunctionError, zones};
use storewatch_sources::{Read, ReadRequest, Schedules};

use crate::day::{Day, write};
use crate::handler::{Compacted, Ports, TRIES, check_day, compact, crossed};
use crate::record::{Found, Record, Restatement, Version};

/// The event that has a day judged again.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    pub country: CountryCode,
    /// The UTC day, `2026-11-23`.
    pub day: String,
    /// `true`: it says what the event is for.
    pub restate: bool,
    /// The ids of the stores to judge again; null or absent for all of the schedules.
    #[serde(default)]
    pub stores: Option<Vec<String>>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restated {
    #[serde(flatten)]
    pub compacted: Compacted,
    pub restated: Restatement,
    /// Where the first judgement lies, by table.
    pub first: BTreeMap<Table, String>,
}

/// Local dates whose exceptions are read, counted from the day: those whose hours can reach into it.
const DATES: (i32, i32) = (-3, 2);
/// Objects that are written at once.
const PARALLEL: usize = 8;

/// Judges a day again.
///
/// The day is compacted first, so that all that its ticks have written is judged. The new version then
/// takes the same way as any: recorded under the condition that nobody else has changed the record,
/// then shown by the catalog. A tick that comes later brings its own slot with its own judgement.
///
/// # Errors
/// `BadEvent` for a day that is none or has no rows and for stores that are not in the schedules;
/// `ScheduleUnavailable`, `BadConfig`; as [`compact`]. Nothing has changed then, or running it again
/// finishes it.
pub async fn restate(
    ports: &Ports<'_>,
    country: &CountryFile,
    schedules: &dyn Schedules,
    event: &Event,
) -> Result<Restated, FunctionError> {
    let bad = |problem: String| FunctionError::BadEvent { function: "compact", problem };
    check_day(&event.day)?;
    if !event.restate {
        return Err(bad("\"restate\" is false; leave it away to compact the day".to_owned()));
    }
    if event.stores.as_ref().is_some_and(Vec::is_empty) {
        return Err(bad("\"stores\" names none; leave it away to judge all again".to_owned()));
    }
    let id = Day { country: event.country, day: &event.day };
    if compact(ports, id.country, id.day).await?.stores.location.is_none() {
        return Err(bad(format!("there are no rows of stores of {} on {}", event.country, event.day)));
    }
    let rules = country.rules(&zones::current(ports.objects, id.country).await?.zones)?;
    let read_at = ports.clock.now();
    let chunks = read(schedules, country, &id).await?;
    let wanted: Option<HashSet<&str>> =
        event.stores.as_ref().map(|stores| stores.iter().map(String::as_str).collect());
    if let Some(wanted) = &wanted {
        let known = chunks.iter().flat_map(|chunk| &chunk.stores).map(|store| store.id.as_str()).collect();
        if let Some(unknown) = wanted.difference(&known).min() {
            return Err(bad(format!("store {unknown:?} is not in the schedules of {}", event.country)));
        }
    }
    let inputs = write_reading(ports.objects, &id, read_at, &chunks).await?;
    let is_wanted = |store: &Store| wanted.as_ref().is_none_or(|wanted| wanted.contains(store.id.as_str()));
    let stores: Vec<Store> = chunks.into_iter().flat_map(|chunk| chunk.stores).filter(is_wanted).collect();
    for _ in 0..TRIES {
        let Found { record: mut new, condition } = Record::find(ports.objects, id.country, id.day).await?;
        let judging = Judging { rules: &rules, stores: &stores, read_at };
        let (versions, changes) = judging.versions(ports.objects, &id, &new, &inputs).await?;
        for (table, version) in versions {
            if let Some(old) = new.tables.insert(table, version) {
                match new.first.entry(table) {
                    Entry::Vacant(first) => drop(first.insert(old)),
                    Entry::Occupied(_) => new.superseded.push(old.file),
                }
            }
        }
        let restated = Restatement {
            schedule_as_of: to_rfc3339(read_at),
            tzdb: Some(rules.zones.release().to_owned()),
            stores: event.stores.clone(),
            changes,
        };
        new.restated.push(restated.clone());
        new.settled = false;
        if new.write(ports.objects, condition).await? == Put::Conflict {
            tracing::warn!(day = id.day, "a compaction of the day came in between; judging it again");
            compact(ports, id.country, id.day).await?;
            continue;
        }
        let first = new.first.into_iter().map(|(table, version)| (table, version.location)).collect();
        // What is recorded is what compacting shows to queries.
        let compacted = compact(ports, id.country, id.day).await?;
        tracing::info!(day = id.day, stores = stores.len(), changes = ?restated.changes, "judged again");
        return Ok(Restated { compacted, restated, first });
    }
    Err(crossed(ports.objects, id.country, id.day))
}

/// Reads the schedules as they are now, with the exceptions of the day, and in chunks as plans have them.
async fn read(
    schedules: &dyn Schedules,
    country: &CountryFile,
    day: &Day<'_>,
) -> Result<Vec<Chunk>, FunctionError> {
    let exceptions = (day.date().plus_days(DATES.0), day.date().plus_days(DATES.1));
    let read = schedules.read(&ReadRequest { exceptions, known_version: None }).await?;
    let stores = match read {
        Read::Schedules { stores, .. } => stores,
        // No version was named that could be unchanged.
        Read::Unchanged => Vec::new(),
    };
    let (id_type, size) = (country.live_view.id_type, country.run.chunk_stores);
    cut(stores, id_type, size).map_err(|error| FunctionError::BadConfig {
        place: "[live_view].id_type".to_owned(),
        problem: error.to_string(),
    })
}

/// Keeps what was read, for `store_schedules`: its objects with their entity tags.
async fn write_reading(
    objects: &dyn Objects,
    day: &Day<'_>,
    read_at: i64,
    chunks: &[Chunk],
) -> Result<BTreeMap<String, String>, FunctionError> {
    let put = |number: usize| async move {
        let key = keys::restated_snapshot_chunk(day.country, day.day, read_at, number as u32);
        let body = snapshot::write(&chunks[number].stores);
        let body = body.map_err(|source| FunctionError::File { what: "a chunk of schedules", source })?;
        Ok::<_, FunctionError>(objects.put(&key, body).await?)
    };
    stream::iter(1..chunks.len()).map(put).buffered(PARALLEL).try_collect::<()>().await?;
    // The first is not even begun before the others are there: a reading that has it is whole.
    put(0).await?;
    let prefix = format!("{}{read_at}/", keys::restated_snapshot_prefix(day.country, day.day));
    let listed = objects.list(&prefix).await?;
    Ok(listed.into_iter().map(|object| (object.key, object.etag)).collect())
}

/// By what a day is judged again.
struct Judging<'a> {
    rules: &'a Rules,
    stores: &'a [Store],
    /// When the schedules were read, Unix microseconds.
    read_at: i64,
}

impl Judging<'_> {
    /// The next versions of the two tables, written aside and checked, and what is another status in them.
    async fn versions(
        &self,
        objects: &dyn Objects,
        day: &Day<'_>,
        record: &Record,
        reading: &BTreeMap<String, String>,
    ) -> Result<(Vec<(Table, Version)>, Changes), FunctionError> {
        let (mut rows, mut cities, mut changes) = (Vec::new(), Vec::new(), Changes::default());
        if let Some(old) = record.tables.get(&Table::StoreAvailability) {
            let unreadable = |error| damaged(objects, &old.file, error);
            let body = objects.get(&old.file).await?;
            for slots in batches(old) {
                for (slot, before) in compaction::rows_of(body.clone(), slots).map_err(unreadable)? {
                    let (one, by_city) = self.slot(slot, before, &mut changes).map_err(unreadable)?;
                    rows.push(one);
                    cities.push(by_city);
                }
            }
        }
        let mut versions = Vec::new();
        for (table, sources) in [(Table::StoreAvailability, rows), (Table::AvailabilityByCity, cities)] {
            let Some(old) = record.tables.get(&table) else { continue };
            let mut inputs = old.inputs.clone();
            inputs.extend(reading.clone());
            versions.push((table, write(objects, day, table, sources, inputs).await?));
        }
        Ok((versions, changes))
    }

    /// A slot's rows and those of its cities.
    fn slot(
        &self,
        slot: Slot,
        before: availability::AvailabilityRows,
        changes: &mut Changes,
    ) -> Result<(Source, Source), storewatch_lake::ParquetError> {
        let mut rows = judged_again(before, slot, self.rules, self.stores, self.read_at, changes)?;
        let by_city = availability::by_city(slot, &rows.summary()?)?;
        let source = |body| Source { body, rows: Rows::Of(slot) };
        Ok((source(rows.write()?), source(by_city)))
    }
}

/// The slots of a version in parts that are held in memory at once.
fn batches(version: &Version) -> Vec<BTreeSet<Slot>> {
    let each = (version.rows as usize / version.slots.len().max(1)).max(1);
    let slots = (RANGE_ROWS / each).max(1);
    version.slots.chunks(slots).map(|slots| slots.iter().copied().collect()).collect()
}
