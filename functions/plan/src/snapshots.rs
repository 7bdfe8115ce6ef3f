//! Snapshots on S3: the chunks of a reading, and the pointer to the last good one.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use storewatch_domain::{Chunk, CountryCode, Instant, Slot, Store, StoreKey};
use storewatch_lake::objects::{damaged, json};
use storewatch_lake::{Objects, keys, snapshot};
use storewatch_runtime::FunctionError;

use crate::basis::Basis;

/// A snapshot of a country's schedules, as `last-good.json` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When the schedules were read.
    pub schedule_as_of: Instant,
    /// The answer of the country's `version` query; `None` without such a query.
    #[serde(default)]
    pub version: Option<String>,
    /// What it depends on.
    pub basis: Basis,
    pub chunks: Vec<SnapshotChunk>,
}

/// One chunk of a snapshot: its object and the ids it answers for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotChunk {
    pub key: String,
    pub first: Option<StoreKey>,
    pub last: Option<StoreKey>,
    pub stores: usize,
}

/// How many objects are written at once.
const PARALLEL: usize = 8;

/// Writes the chunks of a reading that was made at `read_at`.
pub async fn write(
    objects: &dyn Objects,
    country: CountryCode,
    slot: Slot,
    read_at: Instant,
    chunks: &[Chunk],
) -> Result<Vec<SnapshotChunk>, FunctionError> {
    let written = stream::iter(chunks.iter().zip(0..)).map(|(chunk, number)| async move {
        let key = keys::snapshot_chunk(country, slot, read_at, number);
        objects.put(&key, snapshot::write(&chunk.stores)?).await?;
        let (first, last) = (chunk.range.first.clone(), chunk.range.last.clone());
        Ok::<_, FunctionError>(SnapshotChunk { key, first, last, stores: chunk.stores.len() })
    });
    written.buffered(PARALLEL).try_collect().await
}

/// All stores of a snapshot.
pub async fn stores(objects: &dyn Objects, snapshot: &Snapshot) -> Result<Vec<Store>, FunctionError> {
    let chunks = stream::iter(&snapshot.chunks).map(|chunk| async move {
        let body = objects.get(&chunk.key).await?;
        let stores = snapshot::read(body).map_err(|error| damaged(objects, &chunk.key, error))?;
        Ok::<_, FunctionError>(stores)
    });
    let chunks: Vec<Vec<Store>> = chunks.buffered(PARALLEL).try_collect().await?;
    Ok(chunks.into_iter().flatten().collect())
}

/// The last good snapshot; `None` if there has never been one.
pub async fn last_good(
    objects: &dyn Objects,
    country: CountryCode,
) -> Result<Option<Snapshot>, FunctionError> {
    let key = keys::last_good_snapshot(country);
    let Some((_, body)) = objects.find(&key).await? else { return Ok(None) };
    let snapshot = serde_json::from_slice(&body).map_err(|error| damaged(objects, &key, error))?;
    Ok(Some(snapshot))
}

/// Makes this snapshot the last good one.
pub async fn set_last_good(
    objects: &dyn Objects,
    country: CountryCode,
    snapshot: &Snapshot,
) -> Result<(), FunctionError> {
    let key = keys::last_good_snapshot(country);
    Ok(objects.put(&key, json(objects, &key, snapshot)?).await?)
}
