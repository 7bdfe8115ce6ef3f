//! The day's versions of `outages` and `missed_looks`, and what the day carries over to the next.
//!
//! They follow from the other tables and must not hold them up. So a failure here is returned only after
//! those are compacted.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use storewatch_domain::{CountryCode, Day, MissingHours, Zones};
use storewatch_lake::objects::damaged;
use storewatch_lake::outages::{DayOutages, File, Inputs, of_day};
use storewatch_lake::{LakeError, Objects, Table, ZonesError, keys, zones};

use crate::record::{OutagesMade, Record, Version};
use crate::{CompactRequest, CountryDay, DaysError};

/// The tables that this makes.
const TABLES: [Table; 2] = [Table::Outages, Table::MissedLooks];

/// The days of a country that have a record, in order.
pub(crate) struct Recorded(pub(crate) BTreeSet<Day>);

impl Recorded {
    pub(crate) async fn list(objects: &dyn Objects, country: CountryCode) -> Result<Self, LakeError> {
        let listed = objects.list(&keys::compaction_records(country)).await?;
        Ok(Self(listed.iter().filter_map(|object| keys::day_of_record(&object.key)).collect()))
    }

    pub(crate) fn before(&self, day: Day) -> Option<Day> {
        self.0.range(..day).next_back().copied()
    }

    pub(crate) fn after(&self, day: Day) -> Option<Day> {
        self.0.range(day..).find(|other| **other != day).copied()
    }
}

/// What the last day before with a record carries over, by its key. `None` if there is no such day, or its
/// outages were never made: then those of this day begin anew, and are made again once they are.
///
/// # Errors
/// S3 failed, or a record is damaged.
pub(crate) async fn carried_into(objects: &dyn Objects, id: CountryDay) -> Result<Option<String>, LakeError> {
    let Some(day) = Recorded::list(objects, id.country).await?.before(id.day) else { return Ok(None) };
    let record = Record::find(objects, CountryDay { day, ..id }).await?.record;
    Ok(record.outages.map(|outages| outages.carried))
}

/// The files that a day's outages are made from: those of the record, and what is carried into the day.
pub(crate) fn inputs(record: &Record, carried: Option<&str>) -> BTreeSet<String> {
    let tables = [Table::StoreAvailability, Table::CountryTicks, Table::StoreSchedules];
    let files = tables.iter().filter_map(|table| Some(record.tables.get(table)?.file.as_str()));
    files.chain(carried).map(str::to_owned).collect()
}

/// Whether the outages of the record are those of its other tables and of what is carried into the day. True
/// if they were never made.
///
/// # Errors
/// S3 failed, or a record is damaged.
pub(crate) async fn are_current(objects: &dyn Objects, record: &Record) -> Result<bool, LakeError> {
    let Some(made) = &record.outages else { return Ok(true) };
    let carried = carried_into(objects, record.id()).await?;
    Ok(made.inputs == inputs(record, carried.as_deref()))
}

/// Makes the day's outages if their inputs have changed, and adds them to the record. Returns from how many
/// files they were made, 1 if nothing has changed. The second is why the zone data cannot be used, if they
/// cannot.
///
/// A day that is not over has no outages yet: its next slots are not missed.
///
/// # Errors
/// S3 failed, or an input is damaged. Then the record is unchanged.
pub(crate) async fn add(
    objects: &dyn Objects,
    id: CountryDay,
    record: &mut Record,
    request: CompactRequest,
) -> Result<(usize, Option<DaysError>), DaysError> {
    if id.day >= request.today && record.outages.is_none() {
        return Ok((1, None));
    }
    let missing_hours = request.missing_hours;
    let carried = carried_into(objects, id).await?;
    let inputs = inputs(record, carried.as_deref());
    if inputs.is_empty() || record.outages.as_ref().is_some_and(|old| old.hours_known && old.inputs == inputs)
    {
        return Ok((1, None));
    }
    let (zones, why) = match zones::current(objects, id.country).await {
        Ok(found) => (Some(found.zones), None),
        Err(error @ ZonesError::Unusable { .. }) => (None, Some(error.into())),
        Err(error) => return Err(error.into()),
    };
    let hours_known = zones.is_some() && missing_hours.is_some();
    let made = make(objects, id, record, carried.as_deref(), zones, missing_hours).await?;
    let before = carried.as_deref().and_then(keys::carried_by).map(|(.., version)| version);
    let key = keys::carried(id.country, id.day, before, &name_of(&made.carried));
    put(objects, &key, made.carried).await?;
    for (table, file) in TABLES.into_iter().zip([made.outages, made.missed_looks]) {
        // A day that has nothing to tell has no file, unless it had one before.
        if file.rows > 0 || record.tables.contains_key(&table) {
            record.replace(table, write(objects, id, table, file, &inputs).await?);
        }
    }
    let files = inputs.len();
    let old = record.outages.replace(OutagesMade { carried: key.clone(), inputs, hours_known });
    record.superseded.extend(old.map(|old| old.carried));
    record.superseded.retain(|old| *old != key);
    record.settled = false;
    Ok((files, why))
}

async fn make(
    objects: &dyn Objects,
    id: CountryDay,
    record: &Record,
    carried: Option<&str>,
    zones: Option<Zones>,
    missing_hours: Option<MissingHours>,
) -> Result<DayOutages, DaysError> {
    let version = |table| record.tables.get(&table);
    let file = |table| version(table).map(|version| version.file.as_str());
    let get = |key: Option<String>| async move {
        match key {
            Some(key) => objects.get(&key).await.map(Some),
            None => Ok(None),
        }
    };
    let rows = get(file(Table::StoreAvailability).map(str::to_owned)).await?;
    let slots = version(Table::StoreAvailability).map(|version| version.slots.iter().copied().collect());
    let ticks = version(Table::CountryTicks).and_then(|version| version.slots.iter().min().copied());
    let inputs = Inputs {
        day: id.day,
        rows: rows.zip(slots),
        schedules: get(file(Table::StoreSchedules).map(str::to_owned)).await?,
        carried: get(carried.map(str::to_owned)).await?,
        first_tick: ticks,
        zones,
        missing_hours,
    };
    of_day(inputs).map_err(|source| DaysError::File { what: "the day's outages", source })
}

/// Writes a version beside the others. The file is named by its content alone: made again from other inputs,
/// an outage that is the same is in the same file.
async fn write(
    objects: &dyn Objects,
    id: CountryDay,
    table: Table,
    file: File,
    inputs: &BTreeSet<String>,
) -> Result<Version, DaysError> {
    let (name, bytes, rows) = (name_of(&file.body), file.body.len(), file.rows);
    let key = keys::compacted_file(table, id.country, id.day, &name);
    put(objects, &key, file.body).await?;
    tracing::info!(table = table.name(), rows, bytes, key, "wrote a version");
    Ok(Version {
        location: keys::compacted_location(objects.bucket(), table, id.country, id.day, &name),
        file: key,
        rows,
        slots: Vec::new(),
        checksum: name,
        inputs: inputs.iter().map(|key| (key.clone(), String::new())).collect::<BTreeMap<_, _>>(),
    })
}

/// Writes a file and reads it back.
async fn put(objects: &dyn Objects, key: &str, body: Bytes) -> Result<(), LakeError> {
    objects.put(key, body.clone()).await?;
    match objects.get(key).await? == body {
        true => Ok(()),
        false => Err(damaged(objects, key, "it does not hold what was written")),
    }
}

/// Sixteen hexadecimal digits of a hash of the bytes.
fn name_of(body: &Bytes) -> String {
    Sha256::digest(body).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
