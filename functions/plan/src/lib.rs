//! `plan`: reads a country's schedules once per tick, and writes them as chunks with a manifest.

mod basis;
pub mod handler;
pub mod last_good;
pub mod snapshots;

use std::sync::Arc;

use serde_json::Value;
use storewatch_runtime::events::{check_country, parse};
use storewatch_runtime::{FunctionError, SystemClock};

pub use handler::{Event, Planned, Ports, plan};

/// What lives as long as the process.
pub use storewatch_runtime::CountryContext as Context;

/// One invocation.
///
/// # Errors
/// As [`plan`]; `BadEvent` for another country's event, `BadConfig` for a wrong country file.
pub async fn invoke(context: Arc<Context>, event: Value) -> Result<Planned, FunctionError> {
    let event: Event = parse("plan", event)?;
    let country = context.country().await?;
    check_country("plan", event.country, country.code)?;
    let ports = Ports { objects: &*country.objects, clock: &SystemClock };
    let planned = async { plan(&ports, &country.file, country.schedules().await?, &event).await };
    planned.await.map_err(|error| country.blame(error))
}
