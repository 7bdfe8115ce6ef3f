//! Compacts a day. New versions are written beside the ticks' files, checked and recorded, and then shown
//! to queries by one catalog change per table.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use storewatch_domain::{Day, MissingHours, Slot};
use storewatch_lake::{Objects, Put, Table};

use crate::day_outages::{self, Recorded};
use crate::record::{Found, Record, TRIES, Version, crossed};
use crate::rows::{Base, next_version, slots_to_take};
use crate::tick_files::TickFiles;
use crate::{CountryDay, DaysError, Lake, day_schedules, publish};

/// The most days whose outages are made again after those of one day have changed. The rest are due on the
/// next day.
const MOST_FOLLOWING: usize = 40;

/// What compacting must know besides the lake.
#[derive(Debug, Clone, Copy)]
pub struct CompactRequest {
    /// The country file's; `None` if it cannot be read. Then the columns of outages that need hours are null
    /// until the day is compacted again.
    pub missing_hours: Option<MissingHours>,
    pub today: Day,
}

/// A compacted day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compacted {
    /// `store_availability`.
    #[serde(flatten)]
    pub stores: CompactedTable,
    /// Every table, `store_availability` too.
    pub tables: BTreeMap<Table, CompactedTable>,
}

/// A table's compacted day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CompactedTable {
    pub rows: u64,
    /// How many files it was made from; 1 if it was compacted before.
    pub files_before: usize,
    /// Null if the table has no file of that day.
    pub location: Option<String>,
}

/// How many files each table's version was made from.
type FilesBefore = BTreeMap<Table, usize>;

/// Compacts the day's files into one file per table, and points the catalog to it.
///
/// This holds even if another run compacts the same day:
/// - The record replaces only the one that was read. So versions follow each other in one order, and each
///   has all rows of the one before.
/// - The record is written before the catalog is changed. After a crash in between, the next run finds the
///   record and follows it. In the other order, a crash would leave a version that no record knows.
/// - The record is read again after the catalog was changed. Glue updates a partition whatever it holds, so
///   a slow run can undo what a newer one did. It then finds the newer record and follows it.
/// - Nothing is marked for removal before that. So the files that a version was made from stay readable
///   until queries see the version, and then for as long as the longest query runs.
///
/// Compacting a day that is not over hides its later ticks until it is compacted again.
///
/// Outages pass midnight. So if the day now carries over something else, the outages of the days after it
/// are made again, until one carries over what it did before.
///
/// # Errors
/// A file is damaged, a written version does not hold the rows that it was made from, or S3 or the catalog
/// failed. The next run continues from there.
pub async fn compact(
    lake: Lake<'_>,
    id: CountryDay,
    request: CompactRequest,
) -> Result<Compacted, DaysError> {
    let compacted = compact_alone(lake, id, request).await?;
    let mut day = id.day;
    for _ in 0..MOST_FOLLOWING {
        let Some(next) = Recorded::list(lake.objects, id.country).await?.after(day) else { break };
        let id = CountryDay { day: next, ..id };
        let record = Record::find(lake.objects, id).await?.record;
        if day_outages::are_current(lake.objects, &record).await? {
            break;
        }
        tracing::info!(day = %next, "a day before carries over something else; making the outages again");
        compact_alone(lake, id, request).await?;
        day = next;
    }
    Ok(compacted)
}

async fn compact_alone(
    lake: Lake<'_>,
    id: CountryDay,
    request: CompactRequest,
) -> Result<Compacted, DaysError> {
    for _ in 0..TRIES {
        if let Some(compacted) = once(lake, id, request).await? {
            return Ok(compacted);
        }
        tracing::warn!(day = %id.day, "another compaction came in between; starting again");
    }
    Err(crossed(lake.objects, id).into())
}

/// One try. `None` if another compaction came in between.
async fn once(
    lake: Lake<'_>,
    id: CountryDay,
    request: CompactRequest,
) -> Result<Option<Compacted>, DaysError> {
    let objects = lake.objects;
    let Found { record: before, condition } = Record::find(objects, id).await?;
    let ticks = TickFiles::list_all(objects, id, &before).await?;
    let held = publish::locations(lake, id, &ticks).await?;
    let (mut record, mut files) = next_record(objects, id, &before, &ticks, &held).await?;
    let held_schedules = held.get(&Table::StoreSchedules).map(String::as_str);
    let schedules = day_schedules::add(objects, id, &mut record, held_schedules).await;
    let outages = day_outages::add(objects, id, &mut record, request).await;
    if record != before && record.write(objects, condition).await? == Put::Conflict {
        return Ok(None);
    }
    if !publish::swap(lake, &record, &held).await? {
        return Ok(None);
    }
    // Return the errors only now: the tables are shown even if what is made from them failed.
    files.insert(Table::StoreSchedules, schedules?);
    let (made_from, no_hours) = outages?;
    files.extend([Table::Outages, Table::MissedLooks].map(|table| (table, made_from)));
    if let Some(error) = no_hours {
        return Err(error);
    }
    if !day_outages::are_current(objects, &record).await? {
        return Ok(None);
    }
    if !settle(lake, &mut record).await? {
        return Ok(None);
    }
    let compacted = answer(&record, &ticks, &files);
    let CompactedTable { rows, files_before, .. } = compacted.stores;
    tracing::info!(day = %id.day, rows, files_before, "compacted");
    Ok(Some(compacted))
}

/// The record with the next version of each table that has fresh files or slots to take.
async fn next_record(
    objects: &dyn Objects,
    id: CountryDay,
    before: &Record,
    ticks: &[TickFiles],
    held: &BTreeMap<Table, String>,
) -> Result<(Record, FilesBefore), DaysError> {
    let (mut fresh, mut bases) = (BTreeSet::new(), BTreeMap::new());
    for ticks in ticks {
        let (old, held) = (before.tables.get(&ticks.table), held.get(&ticks.table).map(String::as_str));
        if ticks.table != Table::CurrentOutages {
            fresh.extend(ticks.fresh(old));
        }
        bases.insert(ticks.table, Base::find(objects, ticks.table, id, old, held).await?);
    }
    let made_again = made_again(before, ticks, &fresh);
    let own = ticks.iter().find(|ticks| ticks.table == Table::CountryTicks);
    let taken = match own.and_then(|own| Some((own, bases.get(&own.table)?))) {
        Some((own, base)) => slots_to_take(objects, fresh, own, base).await?,
        None => fresh,
    };
    let (mut record, mut files) = (before.clone(), FilesBefore::new());
    for ticks in ticks {
        let is_fresh = ticks.fresh(before.tables.get(&ticks.table)).next().is_some();
        let more = if ticks.table == Table::CurrentOutages { &made_again } else { &BTreeSet::new() };
        let taken = &taken | more;
        let Some(base) = bases.remove(&ticks.table).filter(|_| is_fresh || ticks.have(&taken)) else {
            continue;
        };
        let (version, made_from) = next_version(objects, id, ticks, base, &taken).await?;
        files.insert(ticks.table, made_from);
        record.replace(ticks.table, version);
    }
    Ok((record, files))
}

/// The slots whose current outages were made again because of an earlier tick, while their own ticks stayed
/// as they were.
fn made_again(before: &Record, ticks: &[TickFiles], fresh: &BTreeSet<Slot>) -> BTreeSet<Slot> {
    let current = ticks.iter().filter(|ticks| ticks.table == Table::CurrentOutages);
    let slots = current.flat_map(|ticks| ticks.fresh(before.tables.get(&ticks.table)));
    slots.filter(|slot| !fresh.contains(slot)).collect()
}

/// Marks replaced files for removal if the record is still the one that was written. Returns `false` if
/// another compaction has changed it.
async fn settle(lake: Lake<'_>, record: &mut Record) -> Result<bool, DaysError> {
    let objects = lake.objects;
    let found = Record::find(objects, record.id()).await?;
    if found.record != *record {
        return Ok(false);
    }
    if record.settled {
        return Ok(true);
    }
    publish::mark_replaced(lake, record).await?;
    record.superseded.clear();
    record.settled = true;
    Ok(record.write(objects, found.condition).await? == Put::Done)
}

fn answer(record: &Record, ticks: &[TickFiles], files: &FilesBefore) -> Compacted {
    let listed = ticks.iter().map(|ticks| ticks.table);
    let with_version = record.tables.keys().copied();
    let table = |table: Table| {
        let files_before = files.get(&table).copied().unwrap_or(1);
        let version = record.tables.get(&table);
        let (rows, location) =
            version.map_or((0, None), |Version { rows, location, .. }| (*rows, Some(location.clone())));
        (table, CompactedTable { rows, files_before, location })
    };
    let tables: BTreeMap<Table, CompactedTable> = listed.chain(with_version).map(table).collect();
    Compacted { stores: tables.get(&Table::StoreAvailability).cloned().unwrap_or_default(), tables }
}
