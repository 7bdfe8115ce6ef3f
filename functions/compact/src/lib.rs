//! `compact`: compacts a day's files into one file per table, and finds the days that are due.

pub mod handler;

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use storewatch_runtime::events::{check_country, parse_unless_moved};
use storewatch_runtime::{FunctionError, SystemClock};

pub use handler::{Answer, Event, Ports, handle};

/// What lives as long as the process.
pub use storewatch_runtime::CountryContext as Context;

/// An event of an earlier release, `{"country", "day", "restate", "stores"?}`.
#[derive(Deserialize)]
struct OldRestate {
    #[serde(rename = "restate")]
    _restate: IgnoredAny,
}

/// Reads the event.
///
/// # Errors
/// `BadEvent`. An event that asks for a restatement gets an error that names `restate`.
pub fn parse(event: Value) -> Result<Event, FunctionError> {
    parse_unless_moved::<_, OldRestate>("compact", event, "restate")
}

/// Handles one invocation.
///
/// # Errors
/// As [`handle`]; `BadEvent` for another country, `BadConfig` for a wrong country file.
pub async fn invoke(context: Arc<Context>, event: Value) -> Result<Answer, FunctionError> {
    let event = parse(event)?;
    let lake = context.lake().await?;
    check_country("compact", event.country, lake.code)?;
    let catalog = context.aws().catalog()?;
    let ports = Ports { objects: &*lake.objects, catalog: &*catalog, clock: &SystemClock };
    let country = context.country().await;
    handle(&ports, country.map(|country| &country.file), &event).await
}
