//! The readings of the schedules by which a day was judged, and the keys of their chunks.
//!
//! They only explain the other tables. So an expired or damaged reading is skipped.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use storewatch_domain::{Chunk, Day, Instant, Store};
use storewatch_lake::objects::damaged;
use storewatch_lake::{LakeError, ListedObject, Objects, keys, snapshot};

use crate::rows::tick_records;
use crate::{CountryDay, DaysError};

/// Chunks read or written at once.
const PARALLEL: usize = 8;

/// The days whose slots a reading may have been made for, counted from the day of the reading: the range in
/// which `plan` accepts a snapshot. A snapshot is used for other slots too while PostgreSQL is down or
/// unchanged.
const READ_FOR: [i32; 9] = [0, -1, 1, -2, -3, -4, -5, -6, -7];

/// A reading of the schedules: its chunks by number.
pub(crate) type Reading = BTreeMap<u32, ListedObject>;

/// Readings by the instant at which they were made.
pub(crate) type Readings = BTreeMap<Instant, Reading>;

/// The whole readings of the day that are not known yet: those that its ticks name, and those made to judge
/// the day again. `ticks` is the key of the day's file of `country_ticks`.
///
/// # Errors
/// S3 failed, or the file of `country_ticks` is damaged.
pub(crate) async fn find(
    objects: &dyn Objects,
    id: CountryDay,
    ticks: &str,
    known: &BTreeSet<Instant>,
) -> Result<Readings, LakeError> {
    let rows = tick_records(objects, ticks).await?;
    let named = rows.iter().filter_map(|tick| Some((tick.schedule_as_of?, tick.chunks)));
    let mut named: BTreeMap<Instant, Option<u32>> = named.collect();
    let restated = keys::restated_snapshot_prefix(id.country, id.day);
    let mut found = by_instant(objects.list(&restated).await?);
    found.retain(|read_at, _| !known.contains(read_at));
    named.retain(|read_at, _| !known.contains(read_at) && !found.contains_key(read_at));
    let mut listed_days = BTreeSet::new();
    for read_at in named.keys() {
        for day in likely_days(id.day, *read_at) {
            if !found.contains_key(read_at) && listed_days.insert(day) {
                let listed = objects.list(&keys::snapshots_of_day(id.country, day)).await?;
                let wanted = by_instant(listed).into_iter();
                found.extend(wanted.filter(|(read_at, _)| named.contains_key(read_at)));
            }
        }
        if !found.contains_key(read_at) {
            skipped(id, *read_at, "a reading of the day no longer exists");
        }
    }
    found.retain(|read_at, reading| {
        let planned = named.get(read_at).copied().flatten();
        let is_whole = reading.keys().copied().eq(0..planned.unwrap_or(reading.len() as u32));
        if !is_whole {
            skipped(id, *read_at, "a reading of the day has lost chunks");
        }
        is_whole
    });
    Ok(found)
}

/// The days whose slots the reading may have been made for, likeliest first: nearly always `day` itself.
fn likely_days(day: Day, read_at: Instant) -> impl Iterator<Item = Day> {
    let read_on = Day::containing(read_at);
    std::iter::once(day).chain(READ_FOR.iter().filter_map(move |after| read_on.plus_days(*after)))
}

/// Logs that a reading is left out of the day's schedules.
pub(crate) fn skipped(id: CountryDay, read_at: Instant, why: &str) {
    tracing::warn!(day = %id.day, %read_at, "{why}; skipping it");
}

/// Groups a listing's chunks by reading. Ignores objects that are not chunks.
fn by_instant(listed: Vec<ListedObject>) -> Readings {
    let mut readings = Readings::new();
    for object in listed {
        if let Some((read_at, number)) = keys::reading_of_chunk(&object.key) {
            readings.entry(read_at).or_default().insert(number, object);
        }
    }
    readings
}

/// A chunk of a reading that differs from the reading before.
pub(crate) struct ChangedChunk {
    pub(crate) number: u32,
    key: String,
    /// `None` if it is to be read again.
    body: Option<Bytes>,
    /// Its first and last id as texts; `None` if it has no stores.
    ids: Option<(String, String)>,
    /// How many stores it has, and a sample of their ids.
    pub(crate) stores: usize,
    pub(crate) sample: Vec<String>,
}

/// One in so many stores is in the sample.
const SAMPLED: usize = 100;

impl ChangedChunk {
    async fn read(objects: &dyn Objects, number: u32, key: String) -> Result<Self, LakeError> {
        let body = objects.get(&key).await?;
        let stores = snapshot::read(body.clone()).map_err(|error| damaged(objects, &key, error))?;
        let ids = || stores.iter().map(|store| &store.id);
        let sample = ids().step_by(SAMPLED).cloned().collect();
        let (ids, stores) = (ids().min().cloned().zip(ids().max().cloned()), stores.len());
        Ok(Self { number, key, body: Some(body), ids, stores, sample })
    }

    /// Its size, as far as it is held.
    pub(crate) fn held(&self) -> usize {
        self.body.as_ref().map_or(0, Bytes::len)
    }

    /// Lets go of its bytes.
    pub(crate) fn release(&mut self) {
        self.body = None;
    }

    /// Its stores from an id, included, to another, not included.
    ///
    /// # Errors
    /// S3 failed, or the chunk was changed or removed since it was first read.
    pub(crate) async fn stores(
        &self,
        objects: &dyn Objects,
        (from, to): (Option<&str>, Option<&str>),
    ) -> Result<Vec<Store>, LakeError> {
        let is_in = |id: &str| from.is_none_or(|from| from <= id) && to.is_none_or(|to| id < to);
        let Some((first, last)) = &self.ids else { return Ok(Vec::new()) };
        if from.is_some_and(|from| **last < *from) || to.is_some_and(|to| to <= &**first) {
            return Ok(Vec::new());
        }
        let body = match &self.body {
            Some(body) => body.clone(),
            None => objects.get(&self.key).await?,
        };
        let mut stores = snapshot::read(body).map_err(|error| damaged(objects, &self.key, error))?;
        stores.retain(|store| is_in(&store.id));
        Ok(stores)
    }
}

/// Reads a reading's chunks, except those in `same`.
///
/// # Errors
/// A chunk is missing or damaged, or S3 failed.
pub(crate) async fn fetch(
    objects: &dyn Objects,
    reading: &Reading,
    same: &BTreeSet<u32>,
) -> Result<Vec<ChangedChunk>, LakeError> {
    let changed = reading.iter().filter(|(number, _)| !same.contains(number));
    let changed: Vec<(u32, String)> = changed.map(|(number, chunk)| (*number, chunk.key.clone())).collect();
    let fetched = stream::iter(changed).map(|(number, key)| ChangedChunk::read(objects, number, key));
    fetched.buffered(PARALLEL).try_collect().await
}

/// Stores a reading that was made to judge the day again. Returns its objects with their entity tags.
///
/// # Errors
/// S3 failed.
pub(crate) async fn write_restated(
    objects: &dyn Objects,
    id: CountryDay,
    read_at: Instant,
    chunks: &[Chunk],
) -> Result<BTreeMap<String, String>, DaysError> {
    let put = |number: usize| async move {
        let key = keys::restated_snapshot_chunk(id.country, id.day, read_at, number as u32);
        Ok::<_, DaysError>(objects.put(&key, snapshot::write(&chunks[number].stores)?).await?)
    };
    stream::iter(1..chunks.len()).map(put).buffered(PARALLEL).try_collect::<()>().await?;
    // The first chunk is written last: a reading that has it is whole.
    put(0).await?;
    let listed = objects.list(&keys::restated_snapshot(id.country, id.day, read_at)).await?;
    Ok(listed.into_iter().map(|object| (object.key, object.etag)).collect())
}
