//! Judges a day again.
//!
//! The current schedules are read. Every slot of the day is judged by them and by what its rows say about
//! the live view. `store_availability` and `availability_by_city` get a new version. `country_ticks` stays:
//! it says how the ticks went. The first judgement is kept.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use storewatch_domain::{Chunk, CountryCode, Day, Instant, Rules, Store, cut};
use storewatch_lake::compaction;
use storewatch_lake::objects::damaged;
use storewatch_lake::rejudged::{Changes, RejudgedDay, Rejudging};
use storewatch_lake::{Objects, Put, Table};
use storewatch_sources::{Read, ReadRequest, Schedules};

use crate::compact::{CompactRequest, Compacted, compact};
use crate::error::RequestError;
use crate::record::{Found, Record, Restatement, TRIES, Version, crossed};
use crate::rows::write_version;
use crate::{CountryDay, DaysError, Lake, readings};

/// The rules for judging a day again, and which stores to judge.
#[derive(Debug, Clone)]
pub struct RestateRequest {
    pub rules: Rules,
    /// The most stores in a chunk of the schedules that are read, as in a plan: 1 to 10,000.
    pub chunk_stores: usize,
    /// The ids of the stores to judge; `None` for all in the schedules.
    pub stores: Option<Vec<String>>,
}

/// A day that was judged again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restated {
    #[serde(flatten)]
    pub compacted: Compacted,
    pub restated: Restatement,
    /// The location of the first judgement, by table.
    pub first: BTreeMap<Table, String>,
}

/// The local dates whose exceptions are read, counted from the day: their hours can reach into it.
const DATES: (i32, i32) = (-3, 2);

/// Judges a day again. `now` returns the time; its last call is just before the schedules are read.
///
/// The day is compacted first, so that everything its ticks wrote is judged. The new version is then
/// published like any other: recorded if nothing else has changed the record, then registered in the
/// catalog. A later tick still brings its own slot with its own judgement.
///
/// # Errors
/// The day has no rows, or a store is not in the schedules; then nothing has changed. The schedules cannot
/// be read. Otherwise as [`compact`]; running it again finishes the work.
pub async fn restate(
    lake: Lake<'_>,
    id: CountryDay,
    schedules: &dyn Schedules,
    now: &(dyn Fn() -> Instant + Sync),
    request: &RestateRequest,
) -> Result<Restated, DaysError> {
    if request.stores.as_ref().is_some_and(Vec::is_empty) {
        return Err(RequestError::NoStores.into());
    }
    let missing_hours = Some(request.rules.missing_hours);
    let compacting = CompactRequest { missing_hours, today: Day::containing(now()) };
    if compact(lake, id, compacting).await?.stores.location.is_none() {
        return Err(RequestError::NoRows { country: id.country, day: id.day }.into());
    }
    let read_at = now();
    let chunks = read(schedules, id, request).await?;
    check_known(request, id.country, &chunks)?;
    let reading = readings::write_restated(lake.objects, id, read_at, &chunks).await?;
    let wanted = request.stores.as_ref().map(|stores| stores.iter().collect::<HashSet<_>>());
    let is_wanted = |store: &Store| wanted.as_ref().is_none_or(|wanted| wanted.contains(&store.id));
    let stores: Vec<Store> = chunks.into_iter().flat_map(|chunk| chunk.stores).filter(is_wanted).collect();
    let judging = Rejudging::new(&request.rules, stores, read_at);
    for _ in 0..TRIES {
        let Found { record: before, condition } = Record::find(lake.objects, id).await?;
        let (versions, changes) = versions(lake.objects, &before, &judging, &reading).await?;
        let restated = Restatement {
            schedule_as_of: read_at,
            tzdb: Some(request.rules.zones.release().to_owned()),
            stores: request.stores.clone(),
            changes,
        };
        let record = next_record(before, versions, restated.clone());
        if record.write(lake.objects, condition).await? == Put::Conflict {
            tracing::warn!(day = %id.day, "a compaction of the day came in between; judging it again");
            compact(lake, id, compacting).await?;
            continue;
        }
        let first = record.first.into_iter().map(|(table, version)| (table, version.location)).collect();
        let stores = judging.stores();
        // The outages need the memory.
        drop(judging);
        // Compacting publishes what is recorded.
        let compacted = compact(lake, id, compacting).await?;
        tracing::info!(day = %id.day, stores, changes = ?restated.changes, "judged again");
        return Ok(Restated { compacted, restated, first });
    }
    Err(crossed(lake.objects, id).into())
}

/// Reads the current schedules, with the exceptions of the day, in chunks like those of a plan.
async fn read(
    schedules: &dyn Schedules,
    id: CountryDay,
    request: &RestateRequest,
) -> Result<Vec<Chunk>, DaysError> {
    let date = id.day.date();
    let exceptions = (date.plus_days(DATES.0), date.plus_days(DATES.1));
    match schedules.read(&ReadRequest { exceptions, known_version: None }).await? {
        Read::Schedules { stores, .. } => cut(stores, request.rules.id_type, request.chunk_stores)
            .map_err(|source| DaysError::Ids { source }),
        Read::Unchanged => Err(DaysError::NotRead),
    }
}

/// Checks that the schedules have every requested store.
fn check_known(request: &RestateRequest, country: CountryCode, chunks: &[Chunk]) -> Result<(), RequestError> {
    let known: HashSet<&String> =
        chunks.iter().flat_map(|chunk| &chunk.stores).map(|store| &store.id).collect();
    let wanted = request.stores.iter().flatten();
    match wanted.filter(|id| !known.contains(id)).min() {
        Some(id) => Err(RequestError::UnknownStore { id: id.clone(), country }),
        None => Ok(()),
    }
}

/// The record after a restatement. Keeps the first judgement's versions; later ones are superseded.
fn next_record(mut record: Record, versions: Vec<(Table, Version)>, restated: Restatement) -> Record {
    for (table, version) in versions {
        if let Some(old) = record.tables.insert(table, version) {
            match record.first.entry(table) {
                Entry::Vacant(first) => drop(first.insert(old)),
                Entry::Occupied(_) => record.superseded.push(old.file),
            }
        }
    }
    record.restated.push(restated);
    record.settled = false;
    record
}

/// The next versions of the two tables, and how many rows changed their status. `reading` are the chunks of
/// the schedules.
async fn versions(
    objects: &dyn Objects,
    record: &Record,
    judging: &Rejudging<'_>,
    reading: &BTreeMap<String, String>,
) -> Result<(Vec<(Table, Version)>, Changes), DaysError> {
    let Some(old) = record.tables.get(&Table::StoreAvailability) else {
        return Ok((Vec::new(), Changes::default()));
    };
    let unreadable = |error| damaged(objects, &old.file, error);
    let RejudgedDay { rows, cities, changes } =
        judging.day(objects.get(&old.file).await?).map_err(unreadable)?;
    let cities = compaction::compact(Table::AvailabilityByCity, &cities).map_err(unreadable)?;
    let mut versions = Vec::new();
    for (table, made) in [(Table::StoreAvailability, rows), (Table::AvailabilityByCity, cities)] {
        let Some(old) = record.tables.get(&table) else { continue };
        let mut inputs = old.inputs.clone();
        inputs.extend(reading.clone());
        versions.push((table, write_version(objects, record.id(), table, made, inputs).await?));
    }
    Ok((versions, changes))
}
