//! Repairing the catalog: it is made equal to what lies on S3, whichever of the two has drifted.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use storewatch_domain::{CountryCode, LocalDate};

use crate::catalog::{Catalog, Created, Held, Partition};
use crate::keys;
use crate::objects::{Objects, damaged};
use crate::tables::Table;
use crate::{CatalogError, LakeError};

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
/// asked for the folders of a whole table, 1,000 in an answer; the catalog for the partitions of all days by
/// their exact values, in batches.
///
/// # Errors
/// S3 or the catalog refused or did not answer.
pub async fn repair(
    objects: &dyn Objects,
    catalog: &dyn Catalog,
    country: CountryCode,
    (from, to): (LocalDate, LocalDate),
) -> Result<Repaired, RepairError> {
    let days: Vec<String> = (from.days()..=to.days()).map(|n| LocalDate::from_days(n).to_string()).collect();
    let mut done = Repaired::default();
    for table in Table::ALL {
        let ticked = days_in(objects, &keys::table_prefix(table, country)).await?;
        let compacted =
            days_in(objects, &format!("compacted/{}", keys::table_prefix(table, country))).await?;
        let partition = |day: &String| Partition {
            table,
            country,
            location: keys::partition_location(objects.bucket(), table, country, day),
            day: day.clone(),
        };
        let all: Vec<Partition> = days.iter().map(partition).collect();
        let held = catalog.get(table, &all).await?;
        let (mut missing, mut wrong, mut empty) = (Vec::new(), Vec::new(), Vec::new());
        for (mut partition, held) in all.into_iter().zip(held) {
            let version = match compacted.contains(&partition.day) {
                true => compacted_location(objects, &partition, held.as_ref()).await?,
                false => None,
            };
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
async fn days_in(objects: &dyn Objects, prefix: &str) -> Result<BTreeSet<String>, LakeError> {
    let folders = objects.folders(prefix).await?;
    let day = |folder: &String| {
        Some(folder.strip_prefix(prefix)?.strip_prefix("day=")?.trim_end_matches('/').to_owned())
    };
    Ok(folders.iter().filter_map(day).collect())
}

/// Where the partition's compacted version lies, if its files are there: the one that the catalog holds, else
/// the one of the day's record.
async fn compacted_location(
    objects: &dyn Objects,
    partition: &Partition,
    held: Option<&Held>,
) -> Result<Option<String>, LakeError> {
    let bucket = format!("s3://{}/", objects.bucket());
    let has_files = async |location: &str| -> Result<bool, LakeError> {
        let key = location.strip_prefix(&bucket).filter(|_| partition.is_compacted_at(location));
        Ok(match key {
            Some(key) => !objects.list(key).await?.is_empty(),
            None => false,
        })
    };
    if let Some(held) = held
        && has_files(&held.location).await?
    {
        return Ok(Some(held.location.clone()));
    }
    let key = keys::compaction_record(partition.country, &partition.day);
    let Some((_, body)) = objects.find(&key).await? else { return Ok(None) };
    let record: Value = serde_json::from_slice(&body).map_err(|error| damaged(objects, &key, error))?;
    let pointer = format!("/tables/{}/location", partition.table.name());
    let Some(recorded) = record.pointer(&pointer).and_then(Value::as_str) else { return Ok(None) };
    Ok(has_files(recorded).await?.then(|| recorded.to_owned()))
}
