//! The day's schedules: by which readings its slots were judged, where these lie, and the version of
//! `store_schedules` that is made of them.
//!
//! They explain what the other tables say, so they hold none of those up. A reading that has expired or
//! cannot be understood is passed over; a failure of S3 is told once the others are compacted.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use storewatch_domain::{LocalDate, Store};
use storewatch_lake::objects::damaged;
use storewatch_lake::schedules::{self, Content, Schedules};
use storewatch_lake::{LakeError, ListedObject, Objects, Table, TickRecord, keys, snapshot};
use storewatch_runtime::zones::{self, ZoneData};
use storewatch_runtime::{FunctionError, describe};

use crate::day::{Before, Day};
use crate::record::{Record, Version, version_of};

const TABLE: Table = Table::StoreSchedules;
/// Chunks that are read at once.
const PARALLEL: usize = 8;
/// Rows that a day may have: a row takes about 300 bytes while the day is made. A usual day has little
/// more than stores; one that has more has a column that says something else at every reading.
pub const MOST_ROWS: usize = 2_000_000;
/// For slots of which days, counted from that of a reading, it may have been made: what `plan` takes for
/// its last good snapshot. It serves other slots too while PostgreSQL is away or has nothing new.
const READ_FOR: [i32; 9] = [0, -1, 1, -2, -3, -4, -5, -6, -7];
const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;

/// A reading of the schedules: its chunks by their numbers.
type Reading = BTreeMap<u32, ListedObject>;

/// Puts the day's next version of the table into the record, where readings have come to it. Also says of
/// how many files it was made; 1 where the version before has all.
///
/// # Errors
/// `LakeUnavailable`; the record is as it was.
pub async fn add(
    objects: &dyn Objects,
    day: &Day<'_>,
    record: &mut Record,
    held: Option<&String>,
) -> Result<usize, FunctionError> {
    let old = record.tables.get(&TABLE);
    let Some(ticks) = record.tables.get(&Table::CountryTicks) else { return Ok(1) };
    let Some((version, files)) = next(objects, day, old, &ticks.file, held).await? else { return Ok(1) };
    record.superseded.extend(old.map(|old| old.file.clone()));
    record.superseded.retain(|file| *file != version.file);
    record.tables.insert(TABLE, version);
    record.settled = false;
    Ok(files)
}

/// The version that follows the one before; nothing where there is no reading that it lacks.
async fn next(
    objects: &dyn Objects,
    day: &Day<'_>,
    old: Option<&Version>,
    ticks: &str,
    held: Option<&String>,
) -> Result<Option<(Version, usize)>, FunctionError> {
    let mut inputs = old.map(|old| old.inputs.clone()).unwrap_or_default();
    let known: BTreeSet<i64> =
        inputs.keys().filter_map(|key| keys::reading_of_chunk(key)).map(|(read_at, _)| read_at).collect();
    let mut readings = find(objects, day, ticks, &known).await?;
    readings.retain(|read_at, _| {
        let is_late = known.last().is_some_and(|last| last > read_at);
        if is_late {
            passed_over(day, *read_at, "a reading came to the day after later ones");
        }
        !is_late
    });
    if readings.is_empty() {
        return Ok(None);
    }
    let before = Before::find(objects, TABLE, day, old, held.map_or("", String::as_str)).await?;
    let ZoneData { zones, .. } = zones::current(objects, day.country).await?;
    let mut files = 0;
    let mut schedules = match &before.file {
        Some(file) => {
            files += 1;
            let body = objects.get(file).await?;
            Schedules::resume(day.date(), zones, body).map_err(|error| damaged(objects, file, error))?
        }
        None => Schedules::of(day.date(), zones),
    };
    if old.is_none() {
        // Its rows are in no input that is known, so it is one itself.
        inputs.extend(before.file.iter().map(|file| (file.clone(), String::new())));
        // Without a record the file itself tells how far it reaches.
        readings.retain(|read_at, _| schedules.last().is_none_or(|last| last < *read_at));
    }
    let (mut last, mut taken) = (Reading::new(), 0);
    for (read_at, reading) in readings {
        let is_same = |number: &u32| last.get(number).is_some_and(|last| last.etag == reading[number].etag);
        let same: BTreeSet<u32> = reading.keys().copied().filter(is_same).collect();
        let others = match fetch(objects, &reading, &same).await {
            Ok(others) => others,
            Err(error @ (LakeError::Missing { .. } | LakeError::Damaged { .. })) => {
                passed_over(day, read_at, &describe(&error));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        schedules.take(read_at, &same, &others);
        (files, taken) = (files + others.len(), taken + 1);
        if schedules.rows() > MOST_ROWS {
            // Whoever asks finds no schedules of the day, or those of the version before: not wrong ones.
            tracing::error!(
                day = day.day,
                rows = schedules.rows(),
                "the schedules change too often for a table"
            );
            return Ok(None);
        }
        inputs.extend(reading.values().map(|chunk| (chunk.key.clone(), chunk.etag.clone())));
        last = reading;
    }
    if taken == 0 {
        return Ok(None);
    }
    let version = write(objects, day, old, schedules, inputs).await?;
    tracing::info!(
        readings = taken,
        files,
        rows = version.rows,
        key = version.file,
        "schedules are taken up"
    );
    Ok(Some((version, files)))
}

/// Writes the version aside and checks what was written.
async fn write(
    objects: &dyn Objects,
    day: &Day<'_>,
    old: Option<&Version>,
    schedules: Schedules,
    inputs: BTreeMap<String, String>,
) -> Result<Version, FunctionError> {
    let file = |source| FunctionError::File { what: "the day's schedules", source };
    let (body, wanted) = schedules.write().map_err(file)?;
    let checksum = format!("{:016x}", wanted.checksum);
    if let Some(old) = old.filter(|old| (old.rows, &old.checksum) == (wanted.rows, &checksum)) {
        return Ok(Version { inputs, ..old.clone() });
    }
    let version = version_of(&inputs, &body);
    let file = keys::compacted_file(TABLE, day.country, day.day, &version);
    objects.put(&file, body).await?;
    let found =
        schedules::content(objects.get(&file).await?).map_err(|error| damaged(objects, &file, error))?;
    if found != wanted {
        let told =
            |content: Content| format!("{} rows and the checksum {:016x}", content.rows, content.checksum);
        let what = format!("it has {}, and was written with {}", told(found), told(wanted));
        return Err(damaged(objects, &file, what).into());
    }
    let location = keys::compacted_location(objects.bucket(), TABLE, day.country, day.day, &version);
    Ok(Version { location, file, rows: wanted.rows, slots: Vec::new(), checksum, inputs })
}

/// The day's readings but those that are known, in the order of time: those that its ticks name, and those
/// that were made to judge it again. One that is not whole any more is passed over.
async fn find(
    objects: &dyn Objects,
    day: &Day<'_>,
    ticks: &str,
    known: &BTreeSet<i64>,
) -> Result<BTreeMap<i64, Reading>, FunctionError> {
    let rows =
        TickRecord::read_all(objects.get(ticks).await?).map_err(|error| damaged(objects, ticks, error))?;
    let named = rows.iter().filter_map(|tick| Some((tick.schedule_as_of?, tick.chunks)));
    let mut named: BTreeMap<i64, Option<u32>> = named.collect();
    let mut found = readings(objects.list(&keys::restated_snapshot_prefix(day.country, day.day)).await?);
    found.retain(|read_at, _| !known.contains(read_at));
    named.retain(|read_at, _| !known.contains(read_at) && !found.contains_key(read_at));
    let mut looked = BTreeSet::new();
    for read_at in named.keys() {
        // Nearly always it was read for a slot of the day itself.
        let read_on = LocalDate::from_days(read_at.div_euclid(DAY_MICROS) as i32);
        let read_for = READ_FOR.iter().map(|after| read_on.plus_days(*after).to_string());
        for likely in std::iter::once(day.day.to_owned()).chain(read_for) {
            if !found.contains_key(read_at) && looked.insert(likely.clone()) {
                let listed = objects.list(&keys::snapshots_of_day(day.country, &likely)).await?;
                found.extend(readings(listed).into_iter().filter(|(read_at, _)| named.contains_key(read_at)));
            }
        }
        if !found.contains_key(read_at) {
            passed_over(day, *read_at, "a reading of the day is nowhere any more");
        }
    }
    found.retain(|read_at, reading| {
        let planned = named.get(read_at).copied().flatten();
        let is_whole = reading.keys().copied().eq(0..planned.unwrap_or(reading.len() as u32));
        if !is_whole {
            passed_over(day, *read_at, "a reading of the day is not whole any more");
        }
        is_whole
    });
    Ok(found)
}

fn passed_over(day: &Day<'_>, read_at: i64, why: &str) {
    tracing::warn!(day = day.day, read_at, "{why}; passed over");
}

/// The chunks of a listing by their readings. What is no chunk is passed over.
fn readings(listed: Vec<ListedObject>) -> BTreeMap<i64, Reading> {
    let mut readings: BTreeMap<i64, Reading> = BTreeMap::new();
    for object in listed {
        if let Some((read_at, number)) = keys::reading_of_chunk(&object.key) {
            readings.entry(read_at).or_default().insert(number, object);
        }
    }
    readings
}

/// The chunks of a reading but those that are as before.
async fn fetch(
    objects: &dyn Objects,
    reading: &Reading,
    same: &BTreeSet<u32>,
) -> Result<Vec<(u32, Vec<Store>)>, LakeError> {
    let changed = reading.iter().filter(|(number, _)| !same.contains(number));
    let changed: Vec<(u32, String)> = changed.map(|(number, chunk)| (*number, chunk.key.clone())).collect();
    let fetched = stream::iter(changed).map(|(number, key)| async move {
        let body = objects.get(&key).await?;
        Ok((number, snapshot::read(body).map_err(|error| damaged(objects, &key, error))?))
    });
    fetched.buffered(PARALLEL).try_collect().await
}
