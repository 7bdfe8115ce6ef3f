//! Gathering the chunks of a country tick: what was staged, and for a chunk that staged nothing its
//! stores as `unknown`.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use storewatch_domain::{Reason, Rules, ViewFailure, judge_chunk};
use storewatch_lake::availability::AvailabilityRows;
use storewatch_lake::objects::damaged;
use storewatch_lake::{Objects, keys, snapshot};
use storewatch_runtime::FunctionError;
use storewatch_runtime::clock::from_rfc3339;
use storewatch_runtime::events::ChunkItem;

/// Objects that are read at once.
const PARALLEL: usize = 8;

/// All rows of a country tick.
pub struct Gathered {
    pub rows: AvailabilityRows,
    pub chunks: u32,
    pub chunks_unknown: u32,
    /// When the schedules were read, Unix microseconds.
    pub schedule_as_of: i64,
}

#[derive(Deserialize)]
struct Note {
    reason: String,
}

/// Reads the manifest's chunks.
pub async fn gather(
    objects: &dyn Objects,
    rules: &Rules,
    manifest: &str,
    items: &[ChunkItem],
) -> Result<Gathered, FunctionError> {
    let first = items.first().ok_or_else(|| damaged(objects, manifest, "it holds no chunk"))?;
    let staged = objects.list(&keys::staging_prefix(first.country, first.slot)).await?;
    let staged: BTreeSet<String> = staged.into_iter().map(|object| object.key).collect();
    let schedule_as_of = from_rfc3339(&first.schedule_as_of)
        .ok_or_else(|| damaged(objects, manifest, "schedule_as_of is not an RFC 3339 time"))?;
    let parts = stream::iter(items).map(|item| {
        let staged = &staged;
        async move {
            let key = keys::staged_chunk(item.country, item.slot, item.chunk);
            if staged.contains(&key) {
                let body = objects.get(&key).await?;
                let rows = AvailabilityRows::read(body).map_err(|error| damaged(objects, &key, error))?;
                return Ok::<_, FunctionError>((rows, false));
            }
            let failure = failure(objects, staged, item).await?;
            tracing::warn!(chunk = item.chunk, stores = item.stores, ?failure, "the chunk staged nothing");
            Ok((unknown(objects, rules, item, schedule_as_of, failure).await?, true))
        }
    });
    let parts: Vec<(AvailabilityRows, bool)> = parts.buffered(PARALLEL).try_collect().await?;
    let chunks_unknown = parts.iter().filter(|(_, unknown)| *unknown).count() as u32;
    let rows = AvailabilityRows::merge(parts.into_iter().map(|(rows, _)| rows).collect());
    let rows = rows.map_err(|source| FunctionError::File { what: "the rows of the country", source })?;
    Ok(Gathered { rows, chunks: items.len() as u32, chunks_unknown, schedule_as_of })
}

/// Why the chunk staged nothing. A function that was killed could not say; then the live view counts
/// as unavailable.
async fn failure(
    objects: &dyn Objects,
    staged: &BTreeSet<String>,
    item: &ChunkItem,
) -> Result<ViewFailure, FunctionError> {
    let key = keys::staged_failure(item.country, item.slot, item.chunk);
    if !staged.contains(&key) {
        return Ok(ViewFailure::Unavailable);
    }
    let body = objects.get(&key).await?;
    let note: Note = serde_json::from_slice(&body).map_err(|error| damaged(objects, &key, error))?;
    Ok(match note.reason.as_str() {
        reason if reason == Reason::Late.as_str() => ViewFailure::Late,
        reason if reason == Reason::LiveViewIncomplete.as_str() => ViewFailure::Incomplete,
        _ => ViewFailure::Unavailable,
    })
}

async fn unknown(
    objects: &dyn Objects,
    rules: &Rules,
    item: &ChunkItem,
    schedule_as_of: i64,
    failure: ViewFailure,
) -> Result<AvailabilityRows, FunctionError> {
    let body = objects.get(&item.key).await?;
    let stores = snapshot::read(body).map_err(|error| damaged(objects, &item.key, error))?;
    let judged = judge_chunk(item.slot, rules, &stores, Err(failure));
    AvailabilityRows::new(item.slot, schedule_as_of, &judged)
        .map_err(|source| FunctionError::File { what: "a chunk of unknown stores", source })
}
