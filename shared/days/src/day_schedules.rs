//! The day's version of `store_schedules`, made from the readings by which its slots were judged.
//!
//! The table explains the others and must not hold them up. So a failure here is returned only after they
//! are compacted.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use storewatch_domain::Instant;
use storewatch_lake::objects::damaged;
use storewatch_lake::store_schedules::{self, ScheduleIntervals, SchedulesDigest};
use storewatch_lake::{LakeError, Objects, Table, keys, zones};

use crate::readings::{self, Reading, Readings, skipped};
use crate::record::{Record, Version, version_name};
use crate::rows::Base;
use crate::{CountryDay, DaysError};

const TABLE: Table = Table::StoreSchedules;

/// The most rows in a day. Each takes about 300 bytes while the day is built. A usual day has only slightly
/// more rows than stores; a day with more than this has a column that changes at every reading.
const MOST_ROWS: usize = 2_000_000;

/// Adds the table's next version to the record if there are new readings. Returns the number of files that
/// it was made from, 1 if nothing is new. `held` is the location of the table's day in the catalog.
///
/// # Errors
/// S3 failed, or the country's zone data cannot be used. Then the record is unchanged.
pub(crate) async fn add(
    objects: &dyn Objects,
    id: CountryDay,
    record: &mut Record,
    held: Option<&str>,
) -> Result<usize, DaysError> {
    let old = record.tables.get(&TABLE);
    let Some(ticks) = record.tables.get(&Table::CountryTicks) else { return Ok(1) };
    let Some((version, files)) = next(objects, id, old, &ticks.file, held).await? else { return Ok(1) };
    record.replace(TABLE, version);
    Ok(files)
}

/// The version after `old`. `None` if no reading is new.
async fn next(
    objects: &dyn Objects,
    id: CountryDay,
    old: Option<&Version>,
    ticks: &str,
    held: Option<&str>,
) -> Result<Option<(Version, usize)>, DaysError> {
    let taken_up = old.into_iter().flat_map(|old| old.inputs.keys());
    let known: BTreeSet<Instant> = taken_up.filter_map(|key| Some(keys::reading_of_chunk(key)?.0)).collect();
    let mut readings = readings::find(objects, id, ticks, &known).await?;
    readings.retain(|read_at, _| {
        let is_late = known.last().is_some_and(|last| last > read_at);
        if is_late {
            skipped(id, *read_at, "a reading is older than the last one in the table");
        }
        !is_late
    });
    if readings.is_empty() {
        return Ok(None);
    }
    let base = Base::find(objects, TABLE, id, old, held).await?;
    let zones = zones::current(objects, id.country).await?.zones;
    let mut intervals = match &base.file {
        Some(file) => ScheduleIntervals::resume(id.day.date(), zones, objects.get(file).await?)
            .map_err(|error| damaged(objects, file, error))?,
        None => ScheduleIntervals::of(id.day.date(), zones),
    };
    if old.is_none() {
        // Without a record, the file itself says which reading was its last.
        readings.retain(|read_at, _| intervals.last().is_none_or(|last| last < *read_at));
    }
    let mut inputs = base.inputs();
    let Some((taken, chunks)) = take_all(objects, id, readings, &mut intervals, &mut inputs).await? else {
        return Ok(None);
    };
    let files = chunks + usize::from(base.file.is_some());
    let version = write(objects, id, old, intervals, inputs).await?;
    let (rows, key) = (version.rows, &version.file);
    tracing::info!(readings = taken, files, rows, key, "wrote the day's schedules");
    Ok(Some((version, files)))
}

/// Takes the readings in order, and adds their chunks to the inputs. Returns how many readings and chunks
/// were read. `None` if no reading could be taken, or the day would have too many rows.
async fn take_all(
    objects: &dyn Objects,
    id: CountryDay,
    readings: Readings,
    intervals: &mut ScheduleIntervals,
    inputs: &mut BTreeMap<String, String>,
) -> Result<Option<(usize, usize)>, DaysError> {
    let (mut last, mut taken, mut chunks) = (Reading::new(), 0, 0);
    for (read_at, reading) in readings {
        let is_same = |number: &u32| last.get(number).is_some_and(|last| last.etag == reading[number].etag);
        let same: BTreeSet<u32> = reading.keys().copied().filter(is_same).collect();
        let others = match readings::fetch(objects, &reading, &same).await {
            Ok(others) => others,
            Err(error @ (LakeError::Missing { .. } | LakeError::Damaged { .. })) => {
                skipped(id, read_at, &with_source(&error));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        intervals.take(read_at, &same, &others);
        (taken, chunks) = (taken + 1, chunks + others.len());
        let rows = intervals.rows();
        if rows > MOST_ROWS {
            // Queries find the version before, or no schedules of the day, but no wrong ones.
            tracing::error!(day = %id.day, rows, "the schedules change too often for a table");
            return Ok(None);
        }
        inputs.extend(reading.values().map(|chunk| (chunk.key.clone(), chunk.etag.clone())));
        last = reading;
    }
    Ok((taken > 0).then_some((taken, chunks)))
}

/// The error and its cause.
fn with_source(error: &LakeError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Writes the version beside the others and reads it back. Keeps the old file if it has the same rows.
async fn write(
    objects: &dyn Objects,
    id: CountryDay,
    old: Option<&Version>,
    intervals: ScheduleIntervals,
    inputs: BTreeMap<String, String>,
) -> Result<Version, DaysError> {
    let file = |source| DaysError::File { what: "the day's schedules", source };
    let (body, wanted) = intervals.write().map_err(file)?;
    let checksum = format!("{:016x}", wanted.checksum);
    if let Some(old) = old.filter(|old| (old.rows, &old.checksum) == (wanted.rows, &checksum)) {
        return Ok(Version { inputs, ..old.clone() });
    }
    let name = version_name(&inputs, &body);
    let file = keys::compacted_file(TABLE, id.country, id.day, &name);
    objects.put(&file, body).await?;
    let found =
        store_schedules::digest(objects.get(&file).await?).map_err(|error| damaged(objects, &file, error))?;
    if found != wanted {
        let text = |digest: SchedulesDigest| {
            format!("{} rows and the checksum {:016x}", digest.rows, digest.checksum)
        };
        let what = format!("it has {}, but was written with {}", text(found), text(wanted));
        return Err(damaged(objects, &file, what).into());
    }
    let location = keys::compacted_location(objects.bucket(), TABLE, id.country, id.day, &name);
    Ok(Version { location, file, rows: wanted.rows, slots: Vec::new(), checksum, inputs })
}
