//! Gathers the chunks of a country tick: what was staged, and the stores of the other chunks as `unknown`.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::de::DeserializeOwned;
use storewatch_domain::{Instant, Rules, ViewFailure, judge_chunk};
use storewatch_lake::availability::AvailabilityRows;
use storewatch_lake::objects::damaged;
use storewatch_lake::{Objects, keys, snapshot};
use storewatch_runtime::events::{Cause, ChunkItem, StaleSchedules, Unobserved};
use storewatch_runtime::{ErrorName, FunctionError};

/// How many objects are read at once.
const PARALLEL: usize = 8;

/// All rows of a country tick.
pub struct Gathered {
    pub rows: AvailabilityRows,
    pub chunks: u32,
    /// The chunks that staged nothing, in their order.
    pub missing: Vec<Missing>,
    /// When the schedules were read.
    pub schedule_as_of: Instant,
    /// Why they could not be read for this tick; `None` if they were.
    pub stale: Option<StaleSchedules>,
}

/// A chunk that staged nothing.
pub struct Missing {
    pub item: ChunkItem,
    /// What `observe` noted; `None` if it ended before it could.
    pub note: Option<Unobserved>,
}

impl Missing {
    fn failure(&self) -> ViewFailure {
        self.note.as_ref().and_then(|note| note.reason.view_failure()).unwrap_or(ViewFailure::Unavailable)
    }

    /// Whether the country file is to blame.
    pub fn is_config(&self) -> bool {
        self.note.as_ref().is_some_and(|note| note.error == Some(Cause::Error(ErrorName::BadConfig)))
    }

    /// Whether another look may succeed.
    pub fn may_pass(&self) -> bool {
        !self.is_config() && self.failure() != ViewFailure::Late
    }

    /// The error's name and message, in one line.
    pub fn cause(&self) -> String {
        match &self.note {
            None => "observe ended without a word: it crashed, or ran out of memory or time; see its log"
                .to_owned(),
            Some(Unobserved { error: None, reason, .. }) => reason.as_str().to_owned(),
            Some(Unobserved { error: Some(cause), message, .. }) => format!("{cause}: {message}"),
        }
    }
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
    let schedule_as_of = first.schedule_as_of;
    let stale = keys::stale_schedules(first.country, first.slot, schedule_as_of);
    let stale = note(objects, &staged, &stale).await?;
    let parts = stream::iter(items).map(|item| {
        let staged = &staged;
        async move {
            let key = keys::staged_chunk(item.country, item.slot, item.chunk);
            if staged.contains(&key) {
                let body = objects.get(&key).await?;
                let rows = AvailabilityRows::read(body).map_err(|error| damaged(objects, &key, error))?;
                return Ok::<_, FunctionError>((rows, None));
            }
            let failure = keys::staged_failure(item.country, item.slot, item.chunk);
            let missing = Missing { item: item.clone(), note: note(objects, staged, &failure).await? };
            tracing::warn!(chunk = item.chunk, stores = item.stores, cause = missing.cause(), "unknown");
            Ok((unknown(objects, rules, item, schedule_as_of, missing.failure()).await?, Some(missing)))
        }
    });
    let parts: Vec<(AvailabilityRows, Option<Missing>)> = parts.buffered(PARALLEL).try_collect().await?;
    let (rows, missing): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    Ok(Gathered {
        rows: merged(rows)?,
        chunks: items.len() as u32,
        missing: missing.into_iter().flatten().collect(),
        schedule_as_of,
        stale,
    })
}

/// The rows of a country tick that can use no chunk's answer.
pub async fn all_unknown(
    objects: &dyn Objects,
    rules: &Rules,
    items: &[ChunkItem],
    schedule_as_of: Instant,
) -> Result<AvailabilityRows, FunctionError> {
    let parts = stream::iter(items)
        .map(|item| unknown(objects, rules, item, schedule_as_of, ViewFailure::Incomplete))
        .buffered(PARALLEL);
    merged(parts.try_collect().await?)
}

fn merged(parts: Vec<AvailabilityRows>) -> Result<AvailabilityRows, FunctionError> {
    AvailabilityRows::merge(parts)
        .map_err(|source| FunctionError::File { what: "the rows of the country", source })
}

/// The note under the key, if there is one.
async fn note<T: DeserializeOwned>(
    objects: &dyn Objects,
    staged: &BTreeSet<String>,
    key: &str,
) -> Result<Option<T>, FunctionError> {
    if !staged.contains(key) {
        return Ok(None);
    }
    let body = objects.get(key).await?;
    Ok(Some(serde_json::from_slice(&body).map_err(|error| damaged(objects, key, error))?))
}

async fn unknown(
    objects: &dyn Objects,
    rules: &Rules,
    item: &ChunkItem,
    schedule_as_of: Instant,
    failure: ViewFailure,
) -> Result<AvailabilityRows, FunctionError> {
    let body = objects.get(&item.key).await?;
    let stores = snapshot::read(body).map_err(|error| damaged(objects, &item.key, error))?;
    let judged = judge_chunk(item.slot, rules, &stores, Err(failure));
    AvailabilityRows::new(item.slot, schedule_as_of, &judged)
        .map_err(|source| FunctionError::File { what: "a chunk of unknown stores", source })
}
