//! Observes a chunk.

use std::collections::BTreeMap;

use serde::Serialize;
use storewatch_domain::{Counts, IdRange, IdType, Reason, Status, Store, StoreKey, ViewFailure, judge_chunk};
use storewatch_lake::availability::AvailabilityRows;
use storewatch_lake::objects::{damaged, json};
use storewatch_lake::{Condition, Objects, Put, keys, snapshot, zones};
use storewatch_runtime::events::{Cause, ChunkItem, Unobserved};
use storewatch_runtime::{Clock, CountryFile, ErrorName, FunctionError, describe, observe_in_turn};
use storewatch_sources::LiveView;

/// What observing needs from outside.
pub struct Ports<'a> {
    pub objects: &'a dyn Objects,
    pub clock: &'a dyn Clock,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Observed {
    pub chunk: u32,
    /// The key under which the chunk is staged.
    pub key: String,
    /// How many rows this observation made: the chunk's stores and its orphans.
    pub stores: usize,
    /// Rows by status, without zeros.
    pub counts: BTreeMap<&'static str, u64>,
}

/// Reads the chunk's part of the live view, judges each store and stages the rows.
///
/// Nothing is observed outside the slot, because the live view then shows something else than users saw.
/// Nothing is observed either once the country tick has used up its time to observe, as it can with many
/// chunks and a live view that hangs: their stores are unknown, and the tick still ends. Every such case
/// and every failure is noted beside the staged chunks, so that merge can give the stores their reason.
/// A note never replaces a staged chunk, nor does a second observation: what one merge has read must not
/// change, or two merges would write different files.
///
/// # Errors
/// `LiveViewUnavailable`, `LiveViewIncomplete`, `BadConfig` if the country's queries do not fit the index,
/// `LakeUnavailable`.
pub async fn observe(
    ports: &Ports<'_>,
    country: &CountryFile,
    view: &dyn LiveView,
    item: &ChunkItem,
) -> Result<Observed, FunctionError> {
    let observed_at = ports.clock.now();
    if !item.slot.contains(observed_at) {
        return late(ports, item).await;
    }
    let observing = country.run.observing_micros();
    if item.started_at.is_some_and(|started| observed_at.micros_since(started) >= observing) {
        let seconds = observing / 1_000_000;
        let message = format!("the country tick had used up its {seconds} s to observe before its turn came");
        tracing::warn!("{message}; the chunk's stores are unknown");
        let cause = Cause::Error(ErrorName::LiveViewUnavailable);
        let note = failure(item, Reason::LiveViewUnavailable, cause, message);
        return unobserved(ports, item, &note).await;
    }
    match in_time(ports, country, view, item).await {
        Ok(Some(observed)) => Ok(observed),
        Ok(None) => late(ports, item).await,
        Err(error) => Err(noted(ports, item, error).await),
    }
}

/// Notes for merge why the chunk could not be observed, and returns the error.
pub async fn noted(ports: &Ports<'_>, item: &ChunkItem, error: FunctionError) -> FunctionError {
    let reason = match error.name() {
        ErrorName::LiveViewIncomplete => Reason::LiveViewIncomplete,
        _ => Reason::LiveViewUnavailable,
    };
    let failure = failure(item, reason, Cause::Error(error.name()), describe(&error));
    if let Err(second) = note(ports, item, &failure).await {
        tracing::error!(error = describe(&second), "the failure could not be noted");
    }
    error
}

async fn late(ports: &Ports<'_>, item: &ChunkItem) -> Result<Observed, FunctionError> {
    let message = "the slot was over before the live view had answered, or had not begun".to_owned();
    tracing::warn!("{message}; the chunk's stores are unknown");
    unobserved(ports, item, &failure(item, Reason::Late, Cause::Reason(Reason::Late), message)).await
}

fn failure(item: &ChunkItem, reason: Reason, cause: Cause, message: String) -> Unobserved {
    Unobserved { chunk: item.chunk, reason, error: Some(cause), message }
}

async fn unobserved(
    ports: &Ports<'_>,
    item: &ChunkItem,
    failure: &Unobserved,
) -> Result<Observed, FunctionError> {
    note(ports, item, failure).await?;
    Ok(Observed {
        chunk: item.chunk,
        key: keys::staged_failure(item.country, item.slot, item.chunk),
        stores: item.stores,
        counts: BTreeMap::from([(Status::Unknown.as_str(), item.stores as u64)]),
    })
}

/// `None` if the live view answered after the end of the slot: the answer may describe a later state.
async fn in_time(
    ports: &Ports<'_>,
    country: &CountryFile,
    view: &dyn LiveView,
    item: &ChunkItem,
) -> Result<Option<Observed>, FunctionError> {
    check_cut(country.live_view.id_type, item)?;
    let range = IdRange { first: item.first.clone(), last: item.last.clone() };
    let seen =
        async { observe_in_turn(ports.clock, view, &range).await.map(|seen| (seen, ports.clock.now())) };
    let zones = zones::of(ports.objects, item.country, item.zones.clone());
    let (stores, zones, seen) = tokio::join!(stores(ports.objects, item), zones, seen);
    let (stores, rules, (seen, answered_at)) = (stores?, country.rules(&zones?.zones)?, seen?);
    if !item.slot.contains(answered_at) {
        return Ok(None);
    }
    let judged = judge_chunk(item.slot, &rules, &stores, Ok::<_, ViewFailure>(&seen));
    let mut counts = Counts::default();
    judged.iter().for_each(|store| counts.add(store.judged.status));
    let file = |source| FunctionError::File { what: "a chunk of judged stores", source };
    let mut rows = AvailabilityRows::new(item.slot, item.schedule_as_of, &judged).map_err(file)?;
    let key = keys::staged_chunk(item.country, item.slot, item.chunk);
    let body = rows.stage().map_err(file)?;
    if ports.objects.put_if(&key, body, Condition::Absent).await? == Put::Conflict {
        tracing::info!("the chunk was observed before; keeping the first observation");
    }
    Ok(Some(Observed {
        chunk: item.chunk,
        key,
        stores: judged.len(),
        counts: counts.iter().filter(|(_, n)| *n > 0).map(|(status, n)| (status.as_str(), n)).collect(),
    }))
}

/// Reads the chunk's stores. Their number must be the one in the event.
async fn stores(objects: &dyn Objects, item: &ChunkItem) -> Result<Vec<Store>, FunctionError> {
    let body = objects.get(&item.key).await?;
    let stores = snapshot::read(body).map_err(|error| damaged(objects, &item.key, error))?;
    if stores.len() != item.stores {
        let problem = format!("it holds {} stores, and the event says {}", stores.len(), item.stores);
        return Err(damaged(objects, &item.key, problem).into());
    }
    Ok(stores)
}

/// Checks that the chunk was cut for this id type: a country file can be deployed in the middle of a slot, and
/// a manifest is never cut again.
fn check_cut(id_type: IdType, item: &ChunkItem) -> Result<(), FunctionError> {
    let fits = |key: &StoreKey| match key {
        StoreKey::Long(_) => id_type == IdType::Long,
        StoreKey::Keyword(_) => id_type == IdType::Keyword,
    };
    if [&item.first, &item.last].into_iter().flatten().all(fits) {
        return Ok(());
    }
    let problem =
        format!("the slot {} was planned for ids of the other type; the next slot is not", item.slot);
    Err(FunctionError::bad_part("[live_view].id_type", problem))
}

async fn note(ports: &Ports<'_>, item: &ChunkItem, failure: &Unobserved) -> Result<(), FunctionError> {
    let key = keys::staged_failure(item.country, item.slot, item.chunk);
    Ok(ports.objects.put(&key, json(ports.objects, &key, failure)?).await?)
}
