//! Merging a country tick.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use storewatch_domain::{CountryCode, Slot, Status};
use storewatch_lake::objects::damaged;
use storewatch_lake::{LakeError, Objects, Outcome, Partition, Put, Table, TickRecord, availability, keys};
use storewatch_runtime::clock::from_rfc3339;
use storewatch_runtime::events::ChunkItem;
use storewatch_runtime::{Clock, CountryFile, FunctionError, Metric, Metrics, zones};

use crate::commit::{Standing, commit, note_pending, partitions};
use crate::gather::gather;
use crate::levels::{Levels, compare};

/// What merging needs of the world.
pub struct Ports<'a> {
    pub objects: &'a dyn Objects,
    pub metrics: &'a dyn Metrics,
    pub clock: &'a dyn Clock,
}

/// The event: with `manifest` the way of every tick, with `error` the way out of a failed one.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    pub country: CountryCode,
    pub slot: Slot,
    pub manifest: Option<String>,
    /// Text, or what a state machine's Catch yields: an object with `Error` and `Cause`.
    pub error: Option<Value>,
    /// When the country tick started, RFC 3339; else it counts from the merge.
    pub started_at: Option<String>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Merged {
    pub partitions: Vec<Partition>,
    pub outcome: Outcome,
    /// 0 to 1; null where there are no rows.
    pub coverage: Option<f64>,
}

/// How often a merge looks again after another merge of the slot came in between.
const TRIES: usize = 5;

/// Merges what the chunks have staged into one file a table and sends the metrics.
///
/// A slot that is complete is left as it is; a partial or failed one is replaced by a better one.
/// `country` is the country file, or why there is none: a failure is written down without it.
///
/// # Errors
/// `BadEvent` where neither or both of manifest and error are there, `BadConfig` for a wrong country
/// file, `LakeUnavailable`.
pub async fn merge(
    ports: &Ports<'_>,
    country: Result<&CountryFile, FunctionError>,
    event: &Event,
) -> Result<Merged, FunctionError> {
    let bad = |problem: &str| FunctionError::BadEvent { function: "merge", problem: problem.to_owned() };
    let started_at = match &event.started_at {
        None => ports.clock.now(),
        Some(text) => from_rfc3339(text).ok_or_else(|| bad("started_at is not an RFC 3339 time"))?,
    };
    let (tick, error) = match (&event.manifest, &event.error) {
        (Some(manifest), None) => (Some((manifest, country?)), String::new()),
        (None, Some(error)) => (None, said(error)),
        _ => return Err(bad("either \"manifest\" or \"error\" is wanted")),
    };
    for _ in 0..TRIES {
        let merged = match &tick {
            Some((manifest, country)) => once(ports, country, event, manifest, started_at).await?,
            None => failed(ports, event, &error, started_at).await?,
        };
        if let Some(merged) = merged {
            return Ok(merged);
        }
        tracing::warn!("another merge of the slot came in between; looking again");
    }
    Err(LakeError::Failed {
        operation: "conditional put",
        bucket: ports.objects.bucket().to_owned(),
        key: keys::table_file(Table::CountryTicks, event.country, event.slot),
        source: format!("other merges of the slot came in between {TRIES} times").into(),
    }
    .into())
}

/// One try; nothing where another merge came in between.
async fn once(
    ports: &Ports<'_>,
    country: &CountryFile,
    event: &Event,
    manifest: &str,
    started_at: i64,
) -> Result<Option<Merged>, FunctionError> {
    let (objects, slot) = (ports.objects, event.slot);
    let standing = Standing::look(objects, event.country, slot).await?;
    let partitions = partitions(objects, event.country, slot, &Table::TICKED);
    if let Some(record) = standing.record.as_ref().filter(|record| record.outcome == Outcome::Complete) {
        tracing::info!("the slot is complete; it stands");
        return Ok(Some(Merged { partitions, outcome: record.outcome, coverage: record.coverage }));
    }
    let body = objects.get(manifest).await?;
    let items: Vec<ChunkItem> =
        serde_json::from_slice(&body).map_err(|error| damaged(objects, manifest, error))?;
    check_items(event, manifest, &items)?;
    // Every item has the zones that the tick was planned with.
    let key = items.first().and_then(|item| item.zones.clone());
    let rules = country.rules(&zones::of(objects, event.country, key).await?.zones)?;
    let mut gathered = gather(objects, &rules, manifest, &items).await?;
    let file = |source| FunctionError::File { what: "the files of the country tick", source };
    let summary = gathered.rows.summary().map_err(file)?;
    let (counts, coverage) = (summary.counts, summary.counts.coverage());
    let listed_share = gathered.rows.listed_share().map_err(file)?;
    let outcome = if gathered.chunks_unknown == 0 { Outcome::Complete } else { Outcome::Partial };
    if standing.is_as_good_as(outcome, Some(coverage)) {
        tracing::info!(outcome = outcome.as_str(), coverage, "what stands is no worse; it stays");
        let held = standing.record.map_or((outcome, Some(coverage)), |held| (held.outcome, held.coverage));
        return Ok(Some(Merged { partitions, outcome: held.0, coverage: held.1 }));
    }
    let by_city = availability::by_city(slot, &summary).map_err(file)?;
    let record = TickRecord {
        slot,
        started_at,
        finished_at: ports.clock.now(),
        outcome,
        stores: Some(counts.stores()),
        chunks: Some(gathered.chunks),
        chunks_unknown: Some(gathered.chunks_unknown),
        coverage: Some(coverage),
        schedule_as_of: Some(gathered.schedule_as_of),
        error: None,
        tzdb: Some(rules.zones.release().to_owned()),
    };
    let files = vec![
        (Table::StoreAvailability, gathered.rows.write().map_err(file)?),
        (Table::AvailabilityByCity, by_city),
        (Table::CountryTicks, record.write().map_err(file)?),
    ];
    note_pending(objects, &keys::pending(event.country, slot), &partitions).await?;
    if commit(objects, &standing, event.country, slot, files).await? == Put::Conflict {
        return Ok(None);
    }
    let mut metrics = outcome_metrics(outcome);
    let levels = Levels { slot, stores: counts.stores(), listed_share };
    metrics.extend(compare(objects, event.country, levels).await);
    metrics.push(Metric::count("Stores", counts.stores()));
    metrics.extend(counts.iter().map(|(status, n)| Metric::count(metric_name(status), n)));
    metrics.push(Metric::ratio("Coverage", coverage));
    metrics.extend(counts.availability().map(|value| Metric::ratio("Availability", value)));
    ports.metrics.put(event.country, &metrics).await;
    tracing::info!(outcome = outcome.as_str(), stores = counts.stores(), coverage, "merged");
    Ok(Some(Merged { partitions, outcome, coverage: Some(coverage) }))
}

/// The row of a failed country tick, unless something better stands.
async fn failed(
    ports: &Ports<'_>,
    event: &Event,
    error: &str,
    started_at: i64,
) -> Result<Option<Merged>, FunctionError> {
    let (objects, slot) = (ports.objects, event.slot);
    let standing = Standing::look(objects, event.country, slot).await?;
    let partitions = partitions(objects, event.country, slot, &[Table::CountryTicks]);
    if let Some(held) = &standing.record {
        return Ok(Some(Merged { partitions, outcome: held.outcome, coverage: held.coverage }));
    }
    let record = TickRecord {
        slot,
        started_at,
        finished_at: ports.clock.now(),
        outcome: Outcome::Failed,
        stores: None,
        chunks: None,
        chunks_unknown: None,
        coverage: None,
        schedule_as_of: None,
        error: Some(error.to_owned()),
        tzdb: None,
    };
    let body =
        record.write().map_err(|source| FunctionError::File { what: "the row of a failed tick", source })?;
    note_pending(objects, &keys::pending_failure(event.country, slot), &partitions).await?;
    let files = vec![(Table::CountryTicks, body)];
    if commit(objects, &standing, event.country, slot, files).await? == Put::Conflict {
        return Ok(None);
    }
    ports.metrics.put(event.country, &outcome_metrics(Outcome::Failed)).await;
    Ok(Some(Merged { partitions, outcome: Outcome::Failed, coverage: None }))
}

/// A manifest of another country or slot must not become this one's rows.
fn check_items(event: &Event, manifest: &str, items: &[ChunkItem]) -> Result<(), FunctionError> {
    match items.iter().find(|item| item.country != event.country || item.slot != event.slot) {
        None => Ok(()),
        Some(item) => Err(FunctionError::BadEvent {
            function: "merge",
            problem: format!(
                "manifest {manifest:?} is of {} {}, and the event of {} {}",
                item.country, item.slot, event.country, event.slot
            ),
        }),
    }
}

/// What a Catch yields, in one line: the error's name, and the message out of its cause.
fn said(error: &Value) -> String {
    let text = |value: Option<&Value>| value.and_then(|value| value.as_str()).map(str::to_owned);
    let Some(name) = text(error.get("Error")) else {
        return error.as_str().map_or_else(|| error.to_string(), str::to_owned);
    };
    let cause = text(error.get("Cause")).unwrap_or_default();
    let message =
        serde_json::from_str::<Value>(&cause).ok().and_then(|cause| text(cause.get("errorMessage")));
    format!("{name}: {}", message.unwrap_or(cause))
}

fn outcome_metrics(outcome: Outcome) -> Vec<Metric> {
    let each = [
        ("TicksComplete", Outcome::Complete),
        ("TicksPartial", Outcome::Partial),
        ("TicksFailed", Outcome::Failed),
    ];
    each.map(|(name, of)| Metric::count(name, u64::from(of == outcome))).into()
}

fn metric_name(status: Status) -> &'static str {
    match status {
        Status::Available => "Available",
        Status::Unavailable => "Unavailable",
        Status::Unlisted => "Unlisted",
        Status::Unexpected => "Unexpected",
        Status::Closed => "Closed",
        Status::Orphan => "Orphan",
        Status::Unknown => "Unknown",
    }
}
