//! One table's day: what it is to be made of, and the file that is made and checked.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use storewatch_domain::{CountryCode, Day, Slot};
use storewatch_lake::compaction::{self, Content, Rows, Source};
use storewatch_lake::objects::damaged;
use storewatch_lake::{LakeError, ListedObject, Objects, Table, TickRecord, keys};
use storewatch_runtime::FunctionError;

use crate::record::{Version, version_of};

/// Objects that are read at once.
const PARALLEL: usize = 8;

/// A table's files of a day, as ticks have left them.
pub struct Ticks {
    pub table: Table,
    files: Vec<(Slot, ListedObject)>,
}

/// A day of a country.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountryDay {
    pub country: CountryCode,
    pub day: Day,
}

/// What a table's day is made of beside the ticks' files.
#[derive(Clone)]
pub struct Before<'a> {
    /// The version before, as the record has it.
    pub version: Option<&'a Version>,
    /// Its file.
    pub file: Option<String>,
}

impl<'a> Before<'a> {
    /// The version before: the record's, or where there is no record the one that queries see. With
    /// the record the ticks' files may be gone too, and no row may be lost.
    pub async fn find(
        objects: &dyn Objects,
        table: Table,
        day: CountryDay,
        version: Option<&'a Version>,
        held: &str,
    ) -> Result<Self, LakeError> {
        if let Some(version) = version {
            return Ok(Self { version: Some(version), file: Some(version.file.clone()) });
        }
        let bucket = format!("s3://{}/", objects.bucket());
        let prefix = held.strip_prefix(&bucket).unwrap_or_default();
        if !prefix.starts_with(&keys::compacted_prefix(table, day.country, day.day)) {
            return Ok(Self { version: None, file: None });
        }
        tracing::warn!(location = held, "the day is compacted and has no record; its rows are kept");
        let found = objects.list(prefix).await?.into_iter().next();
        let missing = || LakeError::Missing { bucket: objects.bucket().to_owned(), key: prefix.to_owned() };
        Ok(Self { version: None, file: Some(found.ok_or_else(missing)?.key) })
    }
}

/// The slots that are taken from the ticks' own files: those that have a new one, unless the version
/// before has something at least as good. A slot can be ticked again after its files are gone, and
/// such a tick, which does not know what has been there, is all `late`.
///
/// # Errors
/// A file of `country_ticks` cannot be read.
pub async fn taken(
    objects: &dyn Objects,
    fresh: BTreeSet<Slot>,
    ticks: &Ticks,
    before: &Before<'_>,
) -> Result<BTreeSet<Slot>, LakeError> {
    let Some(file) = &before.file else { return Ok(fresh) };
    let read = |file: String| async move {
        let rows = TickRecord::read_all(objects.get(&file).await?);
        rows.map_err(|error| damaged(objects, &file, error))
    };
    let held: BTreeMap<Slot, TickRecord> =
        read(file.clone()).await?.into_iter().map(|tick| (tick.slot, tick)).collect();
    let mut taken = BTreeSet::new();
    for slot in fresh {
        let Some(held) = held.get(&slot) else {
            taken.insert(slot);
            continue;
        };
        let Some((_, object)) = ticks.files.iter().find(|(own, _)| *own == slot) else { continue };
        if read(object.key.clone()).await?.iter().any(|tick| tick.worth() > held.worth()) {
            taken.insert(slot);
        } else {
            tracing::info!(slot = %slot, "what is compacted is no worse; it stays");
        }
    }
    Ok(taken)
}

impl Ticks {
    /// Looks at the ticks' files. What a tick does not write there is passed over.
    pub async fn look(
        objects: &dyn Objects,
        table: Table,
        country: CountryCode,
        day: Day,
    ) -> Result<Self, LakeError> {
        let listed = objects.list(&keys::partition_prefix(table, country, day)).await?;
        let of_slot = |object: ListedObject| Some((keys::slot_of_file(table, country, &object.key)?, object));
        Ok(Self { table, files: listed.into_iter().filter_map(of_slot).collect() })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// The files as they are now.
    pub fn iter(&self) -> impl Iterator<Item = &ListedObject> {
        self.files.iter().map(|(_, object)| object)
    }

    /// Whether one of these slots has a file.
    pub fn have(&self, slots: &BTreeSet<Slot>) -> bool {
        self.files.iter().any(|(slot, _)| slots.contains(slot))
    }

    /// The slots that have a file which the version was not made of.
    pub fn fresh(&self, version: Option<&Version>) -> impl Iterator<Item = Slot> {
        let known = move |object: &ListedObject| {
            version.is_some_and(|version| version.inputs.get(&object.key) == Some(&object.etag))
        };
        self.files.iter().filter(move |(_, object)| !known(object)).map(|(slot, _)| *slot)
    }

    /// Makes the day's next version, writes it aside, and checks what was written. Also says of how
    /// many files it was made.
    ///
    /// The slots that are taken come from the ticks' own files, all others from the version before.
    pub async fn make(
        &self,
        objects: &dyn Objects,
        day: CountryDay,
        before: Before<'_>,
        taken: &BTreeSet<Slot>,
    ) -> Result<(Version, usize), FunctionError> {
        let mut inputs: BTreeMap<String, String> =
            before.version.map(|version| version.inputs.clone()).unwrap_or_default();
        if before.version.is_none() {
            // Its rows are in no input that is known, so it is one itself.
            inputs.extend(before.file.iter().map(|file| (file.clone(), String::new())));
        }
        inputs.extend(self.iter().map(|object| (object.key.clone(), object.etag.clone())));
        let taken: Vec<&(Slot, ListedObject)> =
            self.files.iter().filter(|(slot, _)| taken.contains(slot)).collect();
        if let Some(version) = before.version.filter(|_| taken.is_empty()) {
            return Ok((Version { inputs, ..version.clone() }, 1));
        }
        let replaced = taken.iter().map(|(slot, _)| *slot).collect();
        let base = before.file.map(|file| (file, Rows::Without(replaced)));
        let wanted = taken.into_iter().map(|(slot, object)| (object.key.clone(), Rows::Of(*slot)));
        let wanted: Vec<(String, Rows)> = base.into_iter().chain(wanted).collect();
        let files = wanted.len();
        let sources: Vec<Source> = stream::iter(wanted)
            .map(|(key, rows)| async move { objects.get(&key).await.map(|body| Source { body, rows }) })
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        let version = write(objects, day, self.table, sources, inputs).await?;
        Ok((version, files))
    }
}

/// Writes a table's day aside, checks what was written, and says what it is. `inputs` are what its rows
/// come from.
pub async fn write(
    objects: &dyn Objects,
    day: CountryDay,
    table: Table,
    sources: Vec<Source>,
    inputs: BTreeMap<String, String>,
) -> Result<Version, FunctionError> {
    let unreadable = |source| damaged(objects, &keys::partition_prefix(table, day.country, day.day), source);
    let files = sources.len();
    let (body, wanted) = compaction::compact(table, &sources).map_err(unreadable)?;
    drop(sources);
    let (version, bytes) = (version_of(&inputs, &body), body.len());
    let file = keys::compacted_file(table, day.country, day.day, &version);
    // Whatever stands there has the same bytes; a put makes an end of any mark for removal.
    objects.put(&file, body).await?;
    check(objects, table, &file, &wanted).await?;
    tracing::info!(table = table.name(), files, rows = wanted.rows, bytes, key = file, "written aside");
    Ok(Version {
        location: keys::compacted_location(objects.bucket(), table, day.country, day.day, &version),
        file,
        rows: wanted.rows,
        slots: wanted.slots.into_iter().collect(),
        checksum: format!("{:016x}", wanted.checksum),
        inputs,
    })
}

/// Reads the file back and holds it against what it was made of.
async fn check(
    objects: &dyn Objects,
    table: Table,
    file: &str,
    wanted: &Content,
) -> Result<(), FunctionError> {
    let body = objects.get(file).await?;
    let found = compaction::content(table, body).map_err(|error| damaged(objects, file, error))?;
    if found == *wanted {
        return Ok(());
    }
    let what = format!(
        "it has {} rows, {} slots and the checksum {:016x}, and was made of {} rows, {} slots and {:016x}; \
         the day stays as it was",
        found.rows,
        found.slots.len(),
        found.checksum,
        wanted.rows,
        wanted.slots.len(),
        wanted.checksum
    );
    Err(damaged(objects, file, what).into())
}
