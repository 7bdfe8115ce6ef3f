//! Repairing the catalog: it is made equal to what lies on S3, whichever of the two has drifted.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use storewatch_domain::{CountryCode, Day};

use crate::catalog::{Catalog, Created, Partition};
use crate::keys;
use crate::objects::{Objects, damaged};
use crate::tables::Table;
use crate::{CatalogError, LakeError};

/// Records that are read at once.
const PARALLEL: usize = 16;

/// What [`repair`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Partitions that had files and were not in the catalog.
    pub created: usize,
    /// Partitions whose location or columns were wrong.
    pub updated: usize,
    /// Partitions in the catalog without any file.
    pub deleted: usize,
    /// Partitions that were right.
    pub unchanged: usize,
}

/// What is read of a compacted day's record: where each table's version lies.
#[derive(Debug, Default, Deserialize)]
struct Recorded {
    tables: BTreeMap<String, Version>,
}

#[derive(Debug, Deserialize)]
struct Version {
    location: String,
}

/// Why a repair came to an end before its time. Running it again finishes the rest.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Makes the country's partitions of the days `from` to `to`, both included, those that have files.
///
/// A partition belongs where its compacted version lies, if there is one, else where its ticks write. S3 is
/// asked for the folders and the compacted files of a whole table, 1,000 in an answer, and for the records of
/// those days only whose version the catalog does not tell; the catalog for the partitions of all days by their
/// exact values, in batches.
///
/// # Errors
/// S3 or the catalog refused or did not answer.
pub async fn repair(
    objects: &dyn Objects,
    catalog: &dyn Catalog,
    country: CountryCode,
    (from, to): (Day, Day),
) -> Result<Repaired, RepairError> {
    let (mut done, mut records) = (Repaired::default(), BTreeMap::new());
    for table in Table::ALL {
        let partition = |day| Partition {
            table,
            country,
            location: keys::partition_location(objects.bucket(), table, country, day),
            day,
        };
        let all: Vec<Partition> = from.through(to).map(partition).collect();
        let held = catalog.get(table, &all).await?;
        // After the catalog: a tick or a compaction that comes in between has written its files before it is
        // registered, and what the catalog told of is among what is listed.
        let ticked = days_in(objects, &keys::table_prefix(table, country)).await?;
        let versions = versions_of(objects, table, country).await?;
        let is_version =
            |partition: &Partition, at: &str| versions.contains(at) && partition.is_compacted_at(at);
        let untold = all.iter().zip(&held).filter(|(partition, held)| {
            has_version(&versions, objects.bucket(), partition)
                && !held.as_ref().is_some_and(|held| is_version(partition, &held.location))
        });
        read_records(objects, country, untold.map(|(partition, _)| partition.day), &mut records).await?;
        let (mut missing, mut wrong, mut empty) = (Vec::new(), Vec::new(), Vec::new());
        for (mut partition, held) in all.into_iter().zip(held) {
            // The one that the catalog holds, else the one of the day's record.
            let held_at = held.as_ref().map(|held| &held.location);
            let recorded = records.get(&partition.day).and_then(|day| day.tables.get(table.name()));
            let known = held_at.into_iter().chain(recorded.map(|version| &version.location));
            let version = known.into_iter().find(|at| is_version(&partition, at)).cloned();
            let has_files = version.is_some() || ticked.contains(&partition.day);
            partition.location = version.unwrap_or(partition.location);
            match held {
                Some(held) if has_files && held.current && held.location == partition.location => {
                    done.unchanged += 1;
                }
                Some(_) if has_files => wrong.push(partition),
                Some(_) => empty.push(partition),
                None if has_files => missing.push(partition),
                None => {}
            }
        }
        let created = catalog.create(table, &missing).await?;
        for (partition, created) in missing.into_iter().zip(created) {
            match created {
                Created::Done => done.created += 1,
                Created::AlreadyExists => wrong.push(partition),
            }
        }
        catalog.update(table, &wrong).await?;
        catalog.delete(table, &empty).await?;
        done.updated += wrong.len();
        done.deleted += empty.len();
    }
    Ok(done)
}

/// The days that have a folder in the prefix.
async fn days_in(objects: &dyn Objects, prefix: &str) -> Result<BTreeSet<Day>, LakeError> {
    let folders = objects.folders(prefix).await?;
    Ok(folders.iter().filter_map(|folder| keys::day_of_folder(folder, prefix)).collect())
}

/// Where there are files of compacted versions of a table's days.
async fn versions_of(
    objects: &dyn Objects,
    table: Table,
    country: CountryCode,
) -> Result<BTreeSet<String>, LakeError> {
    let listed = objects.list(&keys::compacted_table_prefix(table, country)).await?;
    let folders = listed.iter().filter_map(|object| object.key.rsplit_once('/'));
    Ok(folders.map(|(folder, _)| format!("s3://{}/{folder}/", objects.bucket())).collect())
}

/// Whether the partition has a compacted version, whichever.
fn has_version(versions: &BTreeSet<String>, bucket: &str, partition: &Partition) -> bool {
    let prefix = keys::compacted_prefix(partition.table, partition.country, partition.day);
    let next = versions.range(format!("s3://{bucket}/{prefix}")..).next();
    next.is_some_and(|at| partition.is_compacted_at(at))
}

/// Reads the records of days that are not known yet; one that is not there names no version.
async fn read_records(
    objects: &dyn Objects,
    country: CountryCode,
    days: impl Iterator<Item = Day>,
    records: &mut BTreeMap<Day, Recorded>,
) -> Result<(), LakeError> {
    let unknown: Vec<Day> = days.filter(|day| !records.contains_key(day)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    // One listing in place of one for each: where a role may not list, S3 says of no key that it is missing.
    let listed = objects.list(&keys::compaction_records(country)).await?;
    let there: BTreeSet<String> = listed.into_iter().map(|object| object.key).collect();
    let read = stream::iter(unknown).map(|day| {
        let key = Some(keys::compaction_record(country, day)).filter(|key| there.contains(key));
        async move {
            let Some(key) = key else { return Ok((day, Recorded::default())) };
            let body = objects.get(&key).await?;
            let recorded = serde_json::from_slice(&body).map_err(|error| damaged(objects, &key, error))?;
            Ok::<_, LakeError>((day, recorded))
        }
    });
    let read: Vec<(Day, Recorded)> = read.buffered(PARALLEL).try_collect().await?;
    records.extend(read);
    Ok(())
}
