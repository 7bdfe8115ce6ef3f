//! Compacting a day: written aside, checked, recorded, then shown to queries by one change of the
//! catalog a table.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use storewatch_domain::{CountryCode, Day};
use storewatch_lake::catalog::{self, Catalog, Created};
use storewatch_lake::{LakeError, Objects, Partition, Put, Table, Tag, keys};
use storewatch_runtime::{Clock, FunctionError};

use crate::day::{Before, CountryDay, Ticks, taken};
use crate::days::{Due, due};
use crate::record::{Found, Record, Version};
use crate::schedules;

/// What compacting needs of the world.
pub struct Ports<'a> {
    pub objects: &'a dyn Objects,
    pub catalog: &'a dyn Catalog,
    pub clock: &'a dyn Clock,
}

/// The event: a day of a country, or without a day the question which ones there are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    pub country: CountryCode,
    pub day: Option<Day>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    Due(Due),
    Compacted(Compacted),
}

/// A compacted day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compacted {
    /// Those of `store_availability`.
    #[serde(flatten)]
    pub stores: CompactedTable,
    /// Every table's.
    pub tables: BTreeMap<Table, CompactedTable>,
}

/// A table's compacted day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CompactedTable {
    pub rows: u64,
    /// Of how many files it was made; 1 where it was compacted already.
    pub files_before: usize,
    /// Null where the table has no file of that day.
    pub location: Option<String>,
}

/// The tag of what a compacted version has taken the place of: `lake.yaml` lets such objects expire.
pub const COMPACTED: Tag = Tag { name: "storewatch", value: "compacted" };

/// How often a compaction looks again after another one of the day came in between.
pub const TRIES: usize = 5;
/// Objects that are tagged at once.
const PARALLEL: usize = 16;

/// One invocation.
///
/// # Errors
/// As [`compact`] and [`due`].
pub async fn handle(ports: &Ports<'_>, event: &Event) -> Result<Answer, FunctionError> {
    let Some(day) = event.day else { return Ok(Answer::Due(due(ports, event.country).await?)) };
    Ok(Answer::Compacted(compact(ports, event.country, day).await?))
}

/// Makes one file a table of the day's, and lets the catalog hold it.
///
/// What holds whatever happens, and whoever else compacts the same day:
/// - The record is written only over the one that was read, so versions follow each other in one
///   order, each with all that the one before had.
/// - It is written before the catalog is changed. A crash in between leaves a record that the next
///   run finds and follows; the other way round, it would leave a version that nothing knows of.
/// - The record is read again after the catalog was changed. Glue changes a partition whatever stands
///   there, so a slow run could put back what a newer one has set; then it finds the newer record,
///   and follows it.
/// - Nothing is marked for removal before that. What a version was made of can so be read until
///   queries see that version, and for as long after that as their longest one runs.
///
/// Of the day that is not over, compacting hides the ticks to come until it is compacted again.
///
/// # Errors
/// `LakeUnavailable`, also where the file does not hold what it was made of; `CatalogUnavailable`.
/// Running it again takes it up where it was left.
pub async fn compact(ports: &Ports<'_>, country: CountryCode, day: Day) -> Result<Compacted, FunctionError> {
    for _ in 0..TRIES {
        if let Some(compacted) = once(ports, country, day).await? {
            return Ok(compacted);
        }
        tracing::warn!(%day, "another compaction of the day came in between; looking again");
    }
    Err(crossed(ports.objects, country, day))
}

/// That others have changed the day's record again and again.
pub fn crossed(objects: &dyn Objects, country: CountryCode, day: Day) -> FunctionError {
    LakeError::Failed {
        operation: "conditional put",
        bucket: objects.bucket().to_owned(),
        key: keys::compaction_record(country, day),
        source: format!("other compactions of the day came in between {TRIES} times").into(),
    }
    .into()
}

/// One try; nothing where another compaction came in between.
async fn once(ports: &Ports<'_>, country: CountryCode, day: Day) -> Result<Option<Compacted>, FunctionError> {
    let objects = ports.objects;
    let Found { record: before, condition } = Record::find(objects, country, day).await?;
    // The other way round than ticks write: whatever is told of in `country_ticks` is there then.
    let mut ticks = Vec::new();
    for table in Table::TICKED.into_iter().rev() {
        ticks.insert(0, Ticks::look(objects, table, country, day).await?);
    }
    ticks.retain(|ticks| ticks.count() > 0 || before.tables.contains_key(&ticks.table));
    let held = read_locations(ports, country, day, &ticks).await?;
    let id = CountryDay { country, day };
    let (mut fresh, mut bases) = (BTreeSet::new(), BTreeMap::new());
    for ticks in &ticks {
        let old = before.tables.get(&ticks.table);
        fresh.extend(ticks.fresh(old));
        bases.insert(ticks.table, Before::find(objects, ticks.table, id, old, &held[&ticks.table]).await?);
    }
    let own = ticks.iter().find(|ticks| ticks.table == Table::CountryTicks);
    let taken = match own.and_then(|own| Some((own, bases.get(&own.table)?))) {
        Some((own, base)) => taken(objects, fresh, own, base).await?,
        None => fresh,
    };
    let (mut record, mut tables) = (before.clone(), BTreeMap::new());
    for ticks in &ticks {
        let old = before.tables.get(&ticks.table);
        let mut files_before = 1;
        if ticks.fresh(old).next().is_some() || ticks.have(&taken) {
            let base = bases[&ticks.table].clone();
            let (version, files) = ticks.make(objects, id, base, &taken).await?;
            files_before = files;
            record.superseded.extend(old.map(|old| old.file.clone()));
            record.superseded.retain(|file| *file != version.file);
            record.tables.insert(ticks.table, version);
            record.settled = false;
        }
        let version = record.tables.get(&ticks.table);
        let (rows, location) = (version.map_or(0, |v| v.rows), version.map(|v| v.location.clone()));
        tables.insert(ticks.table, CompactedTable { rows, files_before, location });
    }
    let schedules = schedules::add(objects, id, &mut record, held.get(&Table::StoreSchedules)).await;
    if record != before && record.write(objects, condition).await? == Put::Conflict {
        return Ok(None);
    }
    if !swap(ports, &record, &held).await? {
        return Ok(None);
    }
    // Not before: what queries see of the day does not wait for what explains it.
    let files_before = schedules?;
    if let Some(Version { rows, location, .. }) = record.tables.get(&Table::StoreSchedules) {
        let (rows, location) = (*rows, Some(location.clone()));
        tables.insert(Table::StoreSchedules, CompactedTable { rows, files_before, location });
    }
    let found = Record::find(objects, country, day).await?;
    if found.record != record {
        return Ok(None);
    }
    if !record.settled {
        mark(objects, &record).await?;
        record.superseded.clear();
        record.settled = true;
        if record.write(objects, found.condition).await? == Put::Conflict {
            return Ok(None);
        }
    }
    let stores = tables.get(&Table::StoreAvailability).cloned().unwrap_or_default();
    tracing::info!(%day, rows = stores.rows, files_before = stores.files_before, "compacted");
    Ok(Some(Compacted { stores, tables }))
}

/// Where queries find each table's day now. A day that the catalog does not know yet is registered
/// as its ticks would have, for they may have failed to.
async fn read_locations(
    ports: &Ports<'_>,
    country: CountryCode,
    day: Day,
    ticks: &[Ticks],
) -> Result<BTreeMap<Table, String>, FunctionError> {
    let partition = |ticks: &Ticks| Partition {
        table: ticks.table,
        country,
        day,
        location: keys::partition_location(ports.objects.bucket(), ticks.table, country, day),
    };
    let partitions: Vec<Partition> = ticks.iter().map(partition).collect();
    catalog::register(ports.catalog, &partitions).await?;
    let mut locations = BTreeMap::new();
    for partition in partitions {
        let found = ports.catalog.get(partition.table, std::slice::from_ref(&partition)).await?;
        let found = found.into_iter().flatten().next();
        locations.insert(partition.table, found.map_or(partition.location, |found| found.location));
    }
    // Its ticks write no file of this one: it is registered by its first version.
    let (table, location) = (Table::StoreSchedules, String::new());
    let partition = Partition { table, country, day, location };
    let found = ports.catalog.get(table, &[partition]).await?.into_iter().flatten().next();
    locations.extend(found.map(|found| (table, found.location)));
    Ok(locations)
}

/// Lets the catalog hold the record's versions. False where a partition is at neither the location
/// that was read nor the new one: somebody else has moved it.
async fn swap(
    ports: &Ports<'_>,
    record: &Record,
    read: &BTreeMap<Table, String>,
) -> Result<bool, FunctionError> {
    for (table, version) in &record.tables {
        let partition = Partition {
            table: *table,
            country: record.country,
            day: record.day,
            location: version.location.clone(),
        };
        let partition = std::slice::from_ref(&partition);
        let held = ports.catalog.get(*table, partition).await?.into_iter().flatten().next();
        match held {
            Some(held) if held.location == version.location && held.current => {}
            Some(held) if held.location == version.location || Some(&held.location) == read.get(table) => {
                ports.catalog.update(*table, partition).await?;
                tracing::info!(table = table.name(), from = held.location, to = version.location, "swapped");
            }
            None if !read.contains_key(table) => {
                if ports.catalog.create(*table, partition).await? != [Created::Done] {
                    return Ok(false);
                }
                tracing::info!(table = table.name(), to = version.location, "registered");
            }
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Marks for removal what the record's versions have taken the place of. A tick's file that has been
/// written anew since is not part of them, and stays. Were it written between our look and the mark,
/// it would be in tomorrow's version, days before it expires.
async fn mark(objects: &dyn Objects, record: &Record) -> Result<(), FunctionError> {
    let mut replaced = record.superseded.clone();
    for table in record.tables.keys().filter(|table| Table::TICKED.contains(table)) {
        let ticks = Ticks::look(objects, *table, record.country, record.day).await?;
        let known = ticks.iter().filter(|object| record.has(*table, &object.key, &object.etag));
        replaced.extend(known.map(|object| object.key.clone()));
    }
    let tagged = stream::iter(replaced).map(|key| async move {
        match objects.tag(&key, COMPACTED).await {
            // It has expired, which is what the mark is for.
            Err(LakeError::Missing { .. }) => Ok(()),
            other => other,
        }
    });
    tagged.buffer_unordered(PARALLEL).try_collect::<()>().await?;
    Ok(())
}
