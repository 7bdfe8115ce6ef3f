//! Repairing the catalog: it is made equal to what lies on S3, whichever of the two has drifted.

use std::collections::BTreeSet;

use serde::Serialize;
use storewatch_domain::{CountryCode, LocalDate};

use crate::catalog::{Catalog, Held, Partition, register_table};
use crate::keys;
use crate::objects::Objects;
use crate::tables::Table;
use crate::{CatalogError, LakeError, Registered};

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
/// A partition belongs where its ticks write, or where a compacted day lies if the catalog says so and
/// there are files. S3 is asked for the folders of a whole table, 1,000 in an answer; the catalog for the
/// partitions of all days by their exact values, in batches.
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
    let (mut done, mut registered) = (Repaired::default(), Registered::default());
    for table in Table::ALL {
        let filled = filled(objects, table, country).await?;
        let partition = |day: &String| Partition {
            table,
            country,
            location: keys::partition_location(objects.bucket(), table, country, day),
            day: day.clone(),
        };
        let all: Vec<Partition> = days.iter().map(partition).collect();
        let held = catalog.get(table, &all).await?;
        let (mut wanted, mut empty) = (Vec::new(), Vec::new());
        for (mut partition, held) in all.into_iter().zip(held) {
            let compacted = match &held {
                Some(held) if held.location != partition.location => {
                    compacted(objects, table, country, held).await?
                }
                _ => None,
            };
            match (compacted, filled.contains(&partition.day), held) {
                (Some(location), ..) => {
                    partition.location = location;
                    wanted.push(partition);
                }
                (None, true, _) => wanted.push(partition),
                (None, false, Some(_)) => empty.push(partition),
                (None, false, None) => {}
            }
        }
        register_table(catalog, table, wanted, &mut registered).await?;
        catalog.delete(table, &empty).await?;
        done.deleted += empty.len();
    }
    let Registered { created, updated, unchanged } = registered;
    Ok(Repaired { created, updated, unchanged, ..done })
}

/// The days of which ticks have written files.
async fn filled(
    objects: &dyn Objects,
    table: Table,
    country: CountryCode,
) -> Result<BTreeSet<String>, LakeError> {
    let prefix = keys::table_prefix(table, country);
    let folders = objects.folders(&prefix).await?;
    let day = |folder: &String| {
        Some(folder.strip_prefix(&prefix)?.strip_prefix("day=")?.trim_end_matches('/').to_owned())
    };
    Ok(folders.iter().filter_map(day).collect())
}

/// The location that the catalog holds, where it is a compacted one of the table and country that has files.
async fn compacted(
    objects: &dyn Objects,
    table: Table,
    country: CountryCode,
    held: &Held,
) -> Result<Option<String>, LakeError> {
    let bucket = format!("s3://{}/", objects.bucket());
    let key = held
        .location
        .strip_prefix(&bucket)
        .filter(|key| key.starts_with(&keys::compacted_prefix(table, country)));
    let Some(key) = key else { return Ok(None) };
    Ok((!objects.list(key).await?.is_empty()).then(|| held.location.clone()))
}
