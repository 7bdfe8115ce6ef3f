//! Which countries run in which slot.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use storewatch_domain::{CountryCode, Slot};
use storewatch_lake::{Objects, keys};
use storewatch_runtime::FunctionError;

/// One country's part of a tick, as the state machine starts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    pub country: CountryCode,
    pub slot: Slot,
    /// The ARN of the country's state machine.
    pub state_machine: String,
    /// `<country>-<slot>`: a tick delivered twice starts each country once.
    pub execution_name: String,
}

/// A country's entry in the registry.
#[derive(Debug, Deserialize)]
struct Entry {
    country: CountryCode,
    state_machine: String,
    /// Missing if the country was deployed before daily work existed.
    #[serde(default)]
    daily_state_machine: String,
}

/// What to dispatch: a tick, or the daily work for `{"run": "daily", "event": …}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Tick,
    Daily,
}

/// Takes an EventBridge event, whose `time` is rounded down to its slot, or `{"slot", "countries"}`.
/// Without `countries`, every country in the registry takes part. The daily work takes the same as its
/// `event`; there the slot only names executions.
///
/// A registry entry that cannot be read must not stop the other countries. It is returned without a state
/// machine, so that starting it fails and counts as that country's failure.
///
/// # Errors
/// `BadEvent` for a wrong time or a country that is not in the registry. `LakeUnavailable` if the registry
/// cannot be read.
pub async fn dispatch(objects: &dyn Objects, event: &Value) -> Result<Vec<Start>, FunctionError> {
    let (run, event) = run_of(event)?;
    let slot = slot_of(event)?;
    let asked = countries_of(event)?;
    let mut registered = Vec::new();
    for object in objects.list(keys::REGISTRY_PREFIX).await? {
        let name = object.key.strip_prefix(keys::REGISTRY_PREFIX).and_then(|name| name.strip_suffix(".json"));
        match name.and_then(|name| name.parse::<CountryCode>().ok()) {
            Some(country) => registered.push((country, object.key)),
            None => tracing::warn!(key = object.key, "not a registry entry; ignoring it"),
        }
    }
    if let Some(stranger) =
        asked.iter().flatten().find(|country| !registered.iter().any(|(known, _)| known == *country))
    {
        let known: Vec<&str> = registered.iter().map(|(country, _)| country.as_str()).collect();
        return Err(bad_event(format!("country {stranger:?} is not in the registry, which has {known:?}")));
    }
    let mut starts = Vec::new();
    for (country, key) in registered {
        if asked.as_ref().is_some_and(|asked| !asked.contains(&country)) {
            continue;
        }
        let body = objects.get(&key).await?;
        let entry = serde_json::from_slice::<Entry>(&body);
        let state_machine = match entry {
            Ok(entry) if entry.country == country => match run {
                Run::Tick => entry.state_machine,
                Run::Daily => entry.daily_state_machine,
            },
            Ok(entry) => {
                tracing::error!(
                    key,
                    found = entry.country.as_str(),
                    "the registry entry is another country's"
                );
                String::new()
            }
            Err(error) => {
                tracing::error!(key, %error, "the registry entry cannot be read; deploy the country again");
                String::new()
            }
        };
        starts.push(Start {
            country,
            slot,
            state_machine,
            execution_name: format!("{country}-{}", slot.key()),
        });
    }
    tracing::info!(slot = %slot, countries = starts.len(), "dispatched");
    Ok(starts)
}

fn run_of(event: &Value) -> Result<(Run, &Value), FunctionError> {
    match (event.get("run").map(Value::as_str), event.get("event")) {
        (None, _) => Ok((Run::Tick, event)),
        (Some(Some("daily")), Some(event)) => Ok((Run::Daily, event)),
        (Some(Some("daily")), None) => Err(bad_event("\"event\" is missing".to_owned())),
        (Some(_), _) => Err(bad_event(format!("\"run\" is {}; only \"daily\" is allowed", event["run"]))),
    }
}

fn slot_of(event: &Value) -> Result<Slot, FunctionError> {
    let (field, value) = match (event.get("slot"), event.get("time")) {
        (Some(slot), _) => ("slot", slot),
        (None, Some(time)) => ("time", time),
        (None, None) => {
            return Err(bad_event(
                "the event has neither \"slot\" nor the \"time\" of an EventBridge event".to_owned(),
            ));
        }
    };
    let text =
        value.as_str().ok_or_else(|| bad_event(format!("{field:?} is {value}, which is not a string")))?;
    Slot::containing_time(text).map_err(|error| bad_event(format!("{field:?}: {error}")))
}

fn countries_of(event: &Value) -> Result<Option<Vec<CountryCode>>, FunctionError> {
    let Some(countries) = event.get("countries") else { return Ok(None) };
    serde_json::from_value(countries.clone())
        .map(Some)
        .map_err(|error| bad_event(format!("\"countries\" is {countries}: {error}")))
}

fn bad_event(problem: String) -> FunctionError {
    FunctionError::BadEvent { function: "dispatch", problem }
}
