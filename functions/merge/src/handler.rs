//! Merges a country tick.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use storewatch_domain::{CountryCode, Instant, Slot};
use storewatch_lake::{LakeError, Objects, Outcome, Partition, Put, Table, TickRecord, keys};
use storewatch_runtime::{Clock, CountryFile, FunctionError, Metrics};

use crate::commit::{Standing, commit, note_pending, partitions};
use crate::current::follow;
use crate::look::Look;
use crate::measure::outcome_metric;
use crate::tick::once;

/// What merging needs from outside.
pub struct Ports<'a> {
    pub objects: &'a dyn Objects,
    pub metrics: &'a dyn Metrics,
    pub clock: &'a dyn Clock,
    /// Seconds before a partial tick first looks again; 0 for never.
    pub look_again_seconds: u64,
}

/// The event: `manifest` for a tick that has observed, `error` for one that has failed.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    pub country: CountryCode,
    pub slot: Slot,
    pub manifest: Option<String>,
    /// Text, or the output of a state machine's Catch: an object with `Error` and `Cause`.
    pub error: Option<Value>,
    /// When the country tick started; if absent, its time counts from the merge.
    pub started_at: Option<Instant>,
    /// The number of the look before this merge, from 1.
    #[serde(default = "first_look")]
    pub look: u32,
}

fn first_look() -> u32 {
    1
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Merged {
    pub partitions: Vec<Partition>,
    pub outcome: Outcome,
    /// 0 to 1; null if there are no stores, or no rows.
    pub coverage: Option<f64>,
    /// What `country_ticks.error` says.
    pub error: Option<String>,
    /// The next look; null if this was the last.
    pub again: Option<Look>,
}

impl Merged {
    /// The answer for a row that is kept.
    pub(crate) fn standing(partitions: Vec<Partition>, record: &TickRecord) -> Self {
        let (outcome, coverage, error) = (record.outcome, record.coverage, record.error.clone());
        Self { partitions, outcome, coverage, error, again: None }
    }
}

/// How often a merge starts over because another merge of the slot was faster.
const TRIES: usize = 5;

/// Merges the staged chunks into one file per table, and sends the metrics.
///
/// A complete slot is left as it is; a partial or failed one is replaced by a better one. A partial one asks
/// for another look while there is time; its metrics are sent once, after its last look. `country` is the
/// country file, or why there is none: a failure is recorded without it.
///
/// # Errors
/// `BadEvent` unless exactly one of manifest and error is given, `BadConfig` for a wrong country file,
/// `LakeUnavailable`.
pub async fn merge(
    ports: &Ports<'_>,
    country: Result<&CountryFile, FunctionError>,
    event: &Event,
) -> Result<Merged, FunctionError> {
    let bad = |problem: &str| FunctionError::BadEvent { function: "merge", problem: problem.to_owned() };
    let started_at = event.started_at.unwrap_or_else(|| ports.clock.now());
    let (tick, error) = match (&event.manifest, &event.error) {
        (Some(manifest), None) => (Some((manifest, country?)), String::new()),
        (None, Some(error)) => (None, said(error)),
        _ => return Err(bad("either \"manifest\" or \"error\" is wanted")),
    };
    let in_time = event.slot.contains(ports.clock.now());
    for number in 0..TRIES {
        let is_first = number == 0 && event.look == 1 && in_time;
        let merged = match &tick {
            Some((manifest, country)) => once(ports, country, event, manifest, started_at, is_first).await?,
            None => failed(ports, event, &error, started_at).await?,
        };
        if let Some(merged) = merged {
            return Ok(merged);
        }
        tracing::info!("another merge of the slot was faster, or came before; starting again");
    }
    Err(LakeError::Failed {
        operation: "conditional put",
        bucket: ports.objects.bucket().to_owned(),
        key: keys::table_file(Table::CountryTicks, event.country, event.slot),
        source: format!("other merges of the slot were faster {TRIES} times").into(),
    }
    .into())
}

/// Writes the row of a failed country tick, unless the slot has something better. If a merge died after it
/// had written the rows of stores, the current outages that it owed are made from them.
async fn failed(
    ports: &Ports<'_>,
    event: &Event,
    error: &str,
    started_at: Instant,
) -> Result<Option<Merged>, FunctionError> {
    let (objects, slot) = (ports.objects, event.slot);
    let standing = Standing::look(objects, event.country, slot).await?;
    let partitions = partitions(objects, event.country, slot, &[Table::CountryTicks]);
    if let Some(held) = &standing.record {
        if held.outcome == Outcome::Failed && standing.has_rows() {
            follow(objects, event.country, slot, ports.clock.now(), None).await?;
        }
        return Ok(Some(Merged::standing(partitions, held)));
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
    ports.metrics.put(event.country, outcome_metric(Outcome::Failed).as_slice()).await;
    if standing.has_rows() {
        follow(objects, event.country, slot, ports.clock.now(), None).await?;
    }
    Ok(Some(Merged::standing(partitions, &record)))
}

/// The output of a Catch in one line: the error's name, and the message from its cause.
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
