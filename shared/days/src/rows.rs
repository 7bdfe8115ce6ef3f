//! The rows of a table's next version: finds the files that they come from, writes the version and reads it
//! back.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use storewatch_domain::Slot;
use storewatch_lake::compaction::{self, Rows, RowsDigest, Source};
use storewatch_lake::objects::damaged;
use storewatch_lake::{LakeError, ListedObject, Objects, Table, TickRecord, keys};

use crate::record::{Version, version_name};
use crate::tick_files::TickFiles;
use crate::{CountryDay, DaysError};

/// Objects read at once.
const PARALLEL: usize = 8;

/// The version that a table's next version builds on.
#[derive(Clone)]
pub(crate) struct Base<'a> {
    /// The record's entry.
    pub(crate) version: Option<&'a Version>,
    /// The key of its file.
    pub(crate) file: Option<String>,
}

impl<'a> Base<'a> {
    /// The record's version; without a record, the version at `held`, the location in the catalog. The
    /// ticks' own files may have expired, so its rows must not be lost.
    pub(crate) async fn find(
        objects: &dyn Objects,
        table: Table,
        id: CountryDay,
        version: Option<&'a Version>,
        held: Option<&str>,
    ) -> Result<Self, LakeError> {
        if let Some(version) = version {
            return Ok(Self { version: Some(version), file: Some(version.file.clone()) });
        }
        let bucket = format!("s3://{}/", objects.bucket());
        let compacted = keys::compacted_prefix(table, id.country, id.day);
        let prefix = held.and_then(|held| held.strip_prefix(&bucket));
        let Some(prefix) = prefix.filter(|prefix| prefix.starts_with(&compacted)) else {
            return Ok(Self { version: None, file: None });
        };
        tracing::warn!(location = held, "the day is compacted but has no record; keeping its rows");
        let found = objects.list(prefix).await?.into_iter().next();
        let missing = || LakeError::Missing { bucket: objects.bucket().to_owned(), key: prefix.to_owned() };
        Ok(Self { version: None, file: Some(found.ok_or_else(missing)?.key) })
    }

    /// The files of ticks that the base's rows come from, with their entity tags. Without a record these
    /// are unknown, and the base's own file stands for them.
    pub(crate) fn inputs(&self) -> BTreeMap<String, String> {
        match self.version {
            Some(version) => version.inputs.clone(),
            None => self.file.iter().map(|file| (file.clone(), String::new())).collect(),
        }
    }
}

/// The slots with a fresh file whose rows should come from the ticks' own files. The base keeps a slot if
/// its tick was at least as good. A slot can be ticked again after its files have expired, and such a tick
/// finds that everything is late.
///
/// # Errors
/// A file of `country_ticks` cannot be read.
pub(crate) async fn slots_to_take(
    objects: &dyn Objects,
    fresh: BTreeSet<Slot>,
    ticks: &TickFiles,
    base: &Base<'_>,
) -> Result<BTreeSet<Slot>, LakeError> {
    let Some(file) = &base.file else { return Ok(fresh) };
    let held: BTreeMap<Slot, TickRecord> =
        tick_records(objects, file).await?.into_iter().map(|tick| (tick.slot, tick)).collect();
    let mut taken = BTreeSet::new();
    for slot in fresh {
        let Some(held) = held.get(&slot) else {
            taken.insert(slot);
            continue;
        };
        let Some(object) = ticks.of(slot) else { continue };
        if tick_records(objects, &object.key).await?.iter().any(|tick| tick.worth() > held.worth()) {
            taken.insert(slot);
        } else {
            tracing::info!(slot = %slot, "the compacted rows of the slot are no worse; keeping them");
        }
    }
    Ok(taken)
}

/// The rows of a file of `country_ticks`.
pub(crate) async fn tick_records(objects: &dyn Objects, key: &str) -> Result<Vec<TickRecord>, LakeError> {
    TickRecord::read_all(objects.get(key).await?).map_err(|error| damaged(objects, key, error))
}

/// Writes a table's next version: the taken slots from the ticks' own files, all others from the base. Also
/// returns how many files it was made from.
///
/// # Errors
/// A file cannot be read or is damaged, or the version cannot be written.
pub(crate) async fn next_version(
    objects: &dyn Objects,
    id: CountryDay,
    ticks: &TickFiles,
    base: Base<'_>,
    taken: &BTreeSet<Slot>,
) -> Result<(Version, usize), DaysError> {
    let mut inputs = base.inputs();
    inputs.extend(ticks.objects().map(|object| (object.key.clone(), object.etag.clone())));
    let taken: Vec<&(Slot, ListedObject)> = ticks.iter().filter(|(slot, _)| taken.contains(slot)).collect();
    if let Some(version) = base.version.filter(|_| taken.is_empty()) {
        return Ok((Version { inputs, ..version.clone() }, 1));
    }
    let replaced = taken.iter().map(|(slot, _)| *slot).collect();
    let kept = base.file.map(|file| (file, Rows::Without(replaced)));
    let wanted = taken.into_iter().map(|(slot, object)| (object.key.clone(), Rows::Of(*slot)));
    let wanted: Vec<(String, Rows)> = kept.into_iter().chain(wanted).collect();
    let files = wanted.len();
    let sources: Vec<Source> = stream::iter(wanted)
        .map(|(key, rows)| async move { objects.get(&key).await.map(|body| Source { body, rows }) })
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    let made = compaction::compact(ticks.table, &sources).map_err(|source| {
        damaged(objects, &keys::partition_prefix(ticks.table, id.country, id.day), source)
    })?;
    drop(sources);
    Ok((write_version(objects, id, ticks.table, made, inputs).await?, files))
}

/// Writes a version of a table beside the others and reads it back. `made` is its file and the digest of the
/// rows that it was made from; `inputs` are the files that these come from, with their entity tags.
///
/// # Errors
/// The version cannot be written or does not hold these rows.
pub(crate) async fn write_version(
    objects: &dyn Objects,
    id: CountryDay,
    table: Table,
    (body, wanted): (Bytes, RowsDigest),
    inputs: BTreeMap<String, String>,
) -> Result<Version, DaysError> {
    let (name, bytes) = (version_name(&inputs, &body), body.len());
    let file = keys::compacted_file(table, id.country, id.day, &name);
    // An existing object with this key has the same bytes. Putting it again removes a mark for removal.
    objects.put(&file, body).await?;
    check(objects, table, &file, &wanted).await?;
    tracing::info!(table = table.name(), rows = wanted.rows, bytes, key = file, "wrote a version");
    Ok(Version {
        location: keys::compacted_location(objects.bucket(), table, id.country, id.day, &name),
        file,
        rows: wanted.rows,
        slots: wanted.slots.into_iter().collect(),
        checksum: format!("{:016x}", wanted.checksum),
        inputs,
    })
}

/// Reads the file back and compares it with its sources.
async fn check(
    objects: &dyn Objects,
    table: Table,
    file: &str,
    wanted: &RowsDigest,
) -> Result<(), LakeError> {
    let body = objects.get(file).await?;
    let found = compaction::digest(table, body).map_err(|error| damaged(objects, file, error))?;
    if found == *wanted {
        return Ok(());
    }
    let what = format!(
        "it has {} rows, {} slots and the checksum {:016x}, but was made from {} rows, {} slots and {:016x}; \
         the day stays as it was",
        found.rows,
        found.slots.len(),
        found.checksum,
        wanted.rows,
        wanted.slots.len(),
        wanted.checksum
    );
    Err(damaged(objects, file, what))
}
