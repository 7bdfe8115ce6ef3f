//! The day's version of `store_schedules`, made from the readings by which its slots were judged.
//!
//! The table explains the others and must not hold them up. So a failure here is returned only after they
//! are compacted.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use bytes::Bytes;
use storewatch_domain::{Instant, Zones};
use storewatch_lake::objects::damaged;
use storewatch_lake::store_schedules::{self, ScheduleIntervals, SchedulesDigest, SchedulesWriter, Told};
use storewatch_lake::{LakeError, Objects, Table, keys, zones};

use crate::readings::{self, ChangedChunk, Reading, Readings, skipped};
use crate::record::{Record, Version, version_name};
use crate::rows::Base;
use crate::{CountryDay, DaysError};

const TABLE: Table = Table::StoreSchedules;

/// The most stores of readings that are taken at once. Each takes about 300 bytes, if all of them differ. A day
/// with more is made in parts, by ranges of ids.
const PART: usize = 2_000_000;

/// The bytes of chunks that are held until the day is made. Chunks beyond are read again.
const HELD: usize = 512 << 20;

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
    let body = match &base.file {
        Some(file) => Some((file, objects.get(file).await?)),
        None => None,
    };
    if let (None, Some((file, body))) = (old, &body) {
        // Without a record, the file itself says which reading was its last.
        let last = store_schedules::last_reading(body.clone());
        let last = last.map_err(|error| damaged(objects, file, error))?;
        readings.retain(|read_at, _| last.is_none_or(|last| last < *read_at));
    }
    let mut inputs = base.inputs();
    let steps = steps(objects, id, readings, &mut inputs).await?;
    if steps.is_empty() {
        return Ok(None);
    }
    let chunks: usize = steps.iter().map(|step| step.changed.len()).sum();
    let files = chunks + usize::from(base.file.is_some());
    let day = Schedules { objects, id, zones, steps };
    let made = day.make(body, PART).await?;
    let version = write(objects, id, old, made, inputs).await?;
    let (rows, key) = (version.rows, &version.file);
    tracing::info!(readings = day.steps.len(), files, rows, key, "wrote the day's schedules");
    Ok(Some((version, files)))
}

/// A reading, and what of it differs from the one before.
struct Step {
    read_at: Instant,
    same: BTreeSet<u32>,
    changed: Vec<ChangedChunk>,
}

/// The readings in order, without those that cannot be read. Adds their chunks to the inputs.
async fn steps(
    objects: &dyn Objects,
    id: CountryDay,
    readings: Readings,
    inputs: &mut BTreeMap<String, String>,
) -> Result<Vec<Step>, DaysError> {
    let (mut last, mut steps, mut held) = (Reading::new(), Vec::new(), 0);
    for (read_at, reading) in readings {
        let is_same = |number: &u32| last.get(number).is_some_and(|last| last.etag == reading[number].etag);
        let same: BTreeSet<u32> = reading.keys().copied().filter(is_same).collect();
        let mut changed = match readings::fetch(objects, &reading, &same).await {
            Ok(changed) => changed,
            Err(error @ (LakeError::Missing { .. } | LakeError::Damaged { .. })) => {
                skipped(id, read_at, &with_source(&error));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        for chunk in &mut changed {
            held += chunk.held();
            if held > HELD {
                held -= chunk.held();
                chunk.release();
            }
        }
        steps.push(Step { read_at, same, changed });
        inputs.extend(reading.values().map(|chunk| (chunk.key.clone(), chunk.etag.clone())));
        last = reading;
    }
    Ok(steps)
}

/// The readings of a day, to be made into its schedules.
struct Schedules<'a> {
    objects: &'a dyn Objects,
    id: CountryDay,
    zones: Zones,
    steps: Vec<Step>,
}

impl Schedules<'_> {
    /// Makes the day's file, continued from the file in `before`, in parts of about so many stores.
    async fn make(
        &self,
        before: Option<(&String, Bytes)>,
        part: usize,
    ) -> Result<(Bytes, SchedulesDigest), DaysError> {
        let failed = |source| DaysError::File { what: "the day's schedules", source };
        let (mut told, mut file) = (None, SchedulesWriter::new().map_err(failed)?);
        if let Some((key, body)) = before {
            told = Some((key, Told::new(body).map_err(|error| damaged(self.objects, key, error))?));
        }
        let cuts = self.cuts(part);
        let mut from = None;
        for to in cuts.iter().map(|cut| Some(cut.as_str())).chain([None]) {
            let mut intervals = ScheduleIntervals::of(self.id.day.date(), self.zones.clone());
            if let Some((key, told)) = &mut told {
                intervals.resume(told, to).map_err(|error| damaged(self.objects, key, error))?;
            }
            for step in &self.steps {
                for chunk in &step.changed {
                    let stores = chunk.stores(self.objects, (from, to)).await?;
                    intervals.take_chunk(step.read_at, chunk.number, &stores);
                }
                intervals.end_reading(step.read_at, &step.same);
            }
            file.write(intervals).map_err(failed)?;
            from = to;
        }
        file.finish().map_err(failed)
    }

    /// The ids at which to cut the day into its parts.
    fn cuts(&self, part: usize) -> Vec<String> {
        let chunks = || self.steps.iter().flat_map(|step| &step.changed);
        let parts = chunks().map(|chunk| chunk.stores).sum::<usize>().div_ceil(part);
        let mut sample: Vec<&String> = chunks().flat_map(|chunk| &chunk.sample).collect();
        sample.sort_unstable();
        let cut = |n: usize| sample.get(n * sample.len() / parts).map(|id| (*id).clone());
        let mut cuts: Vec<String> = (1..parts).filter_map(cut).collect();
        cuts.dedup();
        cuts
    }
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
    (body, wanted): (Bytes, SchedulesDigest),
    inputs: BTreeMap<String, String>,
) -> Result<Version, DaysError> {
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
