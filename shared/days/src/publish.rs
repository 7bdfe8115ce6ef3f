//! Publishes a day's versions: points the catalog to them, and marks for removal the files that they
//! replaced.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use storewatch_lake::catalog::{self, Created};
use storewatch_lake::{LakeError, Partition, Table, Tag, keys};

use crate::record::Record;
use crate::tick_files::TickFiles;
use crate::{CountryDay, DaysError, Lake};

/// The tag of objects that a compacted version has replaced. `infra/lake.yaml` lets them expire.
pub const REPLACED: Tag = Tag { name: "storewatch", value: "compacted" };

/// Objects tagged at once.
const PARALLEL: usize = 16;

/// The location of each table's day in the catalog. Registers a day that the catalog lacks, in case its
/// ticks could not.
pub(crate) async fn locations(
    lake: Lake<'_>,
    id: CountryDay,
    ticks: &[TickFiles],
) -> Result<BTreeMap<Table, String>, DaysError> {
    let CountryDay { country, day } = id;
    let at_ticks = |table| keys::partition_location(lake.objects.bucket(), table, country, day);
    let partition = |table| Partition { table, country, day, location: at_ticks(table) };
    let mut partitions: Vec<Partition> = ticks.iter().map(|ticks| partition(ticks.table)).collect();
    catalog::register(lake.catalog, &partitions).await?;
    // Ticks write no files of these tables. A first version registers its day.
    partitions.extend(Table::MADE.map(partition));
    let mut locations = BTreeMap::new();
    for partition in partitions {
        let held = lake.catalog.get(partition.table, std::slice::from_ref(&partition)).await?;
        let held = held.into_iter().flatten().next().map(|held| held.location);
        let is_made = Table::MADE.contains(&partition.table);
        let expected = (!is_made).then_some(partition.location);
        locations.extend(held.or(expected).map(|location| (partition.table, location)));
    }
    Ok(locations)
}

/// Points the catalog to the record's versions. Returns `false` if a partition is at neither its old nor
/// its new location: someone else has moved it.
pub(crate) async fn swap(
    lake: Lake<'_>,
    record: &Record,
    read: &BTreeMap<Table, String>,
) -> Result<bool, DaysError> {
    for partition in record.partitions() {
        let (table, to) = (partition.table, partition.location.clone());
        let partition = std::slice::from_ref(&partition);
        let held = lake.catalog.get(table, partition).await?.into_iter().flatten().next();
        match held {
            Some(held) if held.location == to && held.current => {}
            Some(held) if held.location == to || Some(&held.location) == read.get(&table) => {
                lake.catalog.update(table, partition).await?;
                tracing::info!(table = table.name(), from = held.location, to, "moved the partition");
            }
            None if !read.contains_key(&table) => {
                if lake.catalog.create(table, partition).await? != [Created::Done] {
                    return Ok(false);
                }
                tracing::info!(table = table.name(), to, "registered the partition");
            }
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Marks for removal the files that the record's versions replaced. A tick's file that was written again
/// since is not part of them and stays. A file that is rewritten between this check and the mark gets into
/// tomorrow's version, days before it expires. A delivered copy is marked before the file itself, which is listed
/// again if this fails.
pub(crate) async fn mark_replaced(lake: Lake<'_>, record: &Record) -> Result<(), DaysError> {
    let objects = lake.objects;
    let mut replaced = record.superseded.clone();
    for (table, version) in record.tables.iter().filter(|(table, _)| Table::TICKED.contains(table)) {
        let ticks = TickFiles::list(objects, *table, record.id()).await?;
        let known = ticks.objects().filter(|object| version.has(object));
        replaced.extend(known.map(|object| object.key.clone()));
    }
    let tagged = stream::iter(replaced).map(|key| async move {
        lake.catalog.tag_delivered(&key, REPLACED).await?;
        match objects.tag(&key, REPLACED).await {
            // It has expired already.
            Err(LakeError::Missing { .. }) => Ok(()),
            other => Ok(other?),
        }
    });
    tagged.buffer_unordered(PARALLEL).try_collect().await
}
