//! Repairs the catalog: makes it match the files on S3, whichever of the two has changed.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use storewatch_domain::{CountryCode, Day};
use storewatch_lake::catalog::{Created, Held};
use storewatch_lake::objects::damaged;
use storewatch_lake::{LakeError, Objects, Partition, Table, keys};

use crate::error::RequestError;
use crate::record::Record;
use crate::{DaysError, Lake};

/// Records read at once.
const PARALLEL: usize = 16;

/// The most days that one call repairs, ten years. The catalog can answer for as many in one invocation.
const MOST_DAYS: i64 = 3_660;

/// What [`repair`] did, in partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// They had files and were not in the catalog.
    pub created: usize,
    /// Their location or columns were wrong.
    pub updated: usize,
    /// They were in the catalog and had no files.
    pub deleted: usize,
    /// They were right.
    pub unchanged: usize,
}

/// Makes the catalog hold exactly those of the country's partitions from `from` to `to`, both included,
/// that have files.
///
/// A partition's location is its compacted version, or the folder of its ticks if it has none. This lists
/// the folders and the compacted files of each table once, 1,000 per answer. It reads only the records of
/// days whose version the catalog does not know. It asks the catalog for all days by their exact values, in
/// batches.
///
/// # Errors
/// `from` to `to` is less than one day or more than 3,660 days. S3 or the catalog failed; running it again
/// does the rest.
pub async fn repair(
    lake: Lake<'_>,
    country: CountryCode,
    (from, to): (Day, Day),
) -> Result<Repaired, DaysError> {
    let days = i64::from(to.date().days()) - i64::from(from.date().days()) + 1;
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(RequestError::Days { from, to, days, most: MOST_DAYS }.into());
    }
    let (mut done, mut records) = (Repaired::default(), BTreeMap::new());
    for table in Table::ALL {
        let raw = |day| keys::partition_location(lake.objects.bucket(), table, country, day);
        let partition = |day| Partition { table, country, day, location: raw(day) };
        let all: Vec<Partition> = from.through(to).map(partition).collect();
        let held = lake.catalog.get(table, &all).await?;
        // List S3 after the catalog: a tick or a compaction that runs meanwhile writes its files before it
        // registers them, so the listing has everything that the catalog holds.
        let files = TableFiles::list(lake.objects, table, country).await?;
        let unknown = all.iter().zip(&held).filter(|(partition, held)| {
            let is_version = |held: &Held| files.is_version(partition, &held.location);
            files.have_version(partition) && !held.as_ref().is_some_and(is_version)
        });
        let unknown = unknown.map(|(partition, _)| partition.day);
        read_records(lake.objects, country, unknown, &mut records).await?;
        let plan = Plan::new(&files, all.into_iter().zip(held), &records);
        plan.carry_out(lake, table, &mut done).await?;
    }
    tracing::info!(?done, "repaired");
    Ok(done)
}

/// A country's files of one table on S3.
struct TableFiles {
    bucket: String,
    /// Days with files of ticks.
    ticked: BTreeSet<Day>,
    /// The locations of compacted versions.
    versions: BTreeSet<String>,
}

impl TableFiles {
    async fn list(objects: &dyn Objects, table: Table, country: CountryCode) -> Result<Self, LakeError> {
        let prefix = keys::table_prefix(table, country);
        let folders = objects.folders(&prefix).await?;
        let ticked = folders.iter().filter_map(|folder| keys::day_of_folder(folder, &prefix)).collect();
        let listed = objects.list(&keys::compacted_table_prefix(table, country)).await?;
        let bucket = objects.bucket().to_owned();
        let folders = listed.iter().filter_map(|object| object.key.rsplit_once('/'));
        let versions = folders.map(|(folder, _)| format!("s3://{bucket}/{folder}/")).collect();
        Ok(Self { bucket, ticked, versions })
    }

    /// Whether the partition has any compacted version.
    fn have_version(&self, partition: &Partition) -> bool {
        let prefix = keys::compacted_prefix(partition.table, partition.country, partition.day);
        let next = self.versions.range(format!("s3://{}/{prefix}", self.bucket)..).next();
        next.is_some_and(|location| partition.is_compacted_at(location))
    }

    /// Whether the location is one of the partition's versions.
    fn is_version(&self, partition: &Partition, location: &str) -> bool {
        self.versions.contains(location) && partition.is_compacted_at(location)
    }
}

/// What to do with a table's partitions.
#[derive(Default)]
struct Plan {
    missing: Vec<Partition>,
    wrong: Vec<Partition>,
    empty: Vec<Partition>,
    right: Vec<Partition>,
}

impl Plan {
    fn new(
        files: &TableFiles,
        partitions: impl Iterator<Item = (Partition, Option<Held>)>,
        records: &BTreeMap<Day, Option<Record>>,
    ) -> Self {
        let mut plan = Self::default();
        for (mut partition, held) in partitions {
            // The version that the catalog holds, or else the one in the day's record.
            let record = records.get(&partition.day).and_then(Option::as_ref);
            let recorded = record.and_then(|record| record.tables.get(&partition.table));
            let known = held.iter().map(|held| &held.location);
            let mut known = known.chain(recorded.map(|version| &version.location));
            let version = known.find(|location| files.is_version(&partition, location)).cloned();
            let has_files = version.is_some() || files.ticked.contains(&partition.day);
            partition.location = version.unwrap_or(partition.location);
            match held {
                Some(held) if has_files && held.current && held.location == partition.location => {
                    plan.right.push(partition);
                }
                Some(_) if has_files => plan.wrong.push(partition),
                Some(_) => plan.empty.push(partition),
                None if has_files => plan.missing.push(partition),
                None => {}
            }
        }
        plan
    }

    async fn carry_out(mut self, lake: Lake<'_>, table: Table, done: &mut Repaired) -> Result<(), DaysError> {
        lake.catalog.deliver(&self.right).await?;
        let created = lake.catalog.create(table, &self.missing).await?;
        for (partition, created) in self.missing.into_iter().zip(created) {
            match created {
                Created::Done => done.created += 1,
                Created::AlreadyExists => self.wrong.push(partition),
            }
        }
        lake.catalog.update(table, &self.wrong).await?;
        lake.catalog.delete(table, &self.empty).await?;
        done.updated += self.wrong.len();
        done.deleted += self.empty.len();
        done.unchanged += self.right.len();
        Ok(())
    }
}

/// Reads the records of the days that are not in `records` yet. `None` for a day without a record.
async fn read_records(
    objects: &dyn Objects,
    country: CountryCode,
    days: impl Iterator<Item = Day>,
    records: &mut BTreeMap<Day, Option<Record>>,
) -> Result<(), LakeError> {
    let unknown: Vec<Day> = days.filter(|day| !records.contains_key(day)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    // One listing instead of a request per day: without the right to list, S3 does not say that a key is
    // missing.
    let listed = objects.list(&keys::compaction_records(country)).await?;
    let there: BTreeSet<String> = listed.into_iter().map(|object| object.key).collect();
    let read = stream::iter(unknown).map(|day| {
        let key = Some(keys::compaction_record(country, day)).filter(|key| there.contains(key));
        async move {
            let Some(key) = key else { return Ok((day, None)) };
            let body = objects.get(&key).await?;
            let record = serde_json::from_slice(&body).map_err(|error| damaged(objects, &key, error))?;
            Ok::<_, LakeError>((day, Some(record)))
        }
    });
    let read: Vec<(Day, Option<Record>)> = read.buffered(PARALLEL).try_collect().await?;
    records.extend(read);
    Ok(())
}
