//! `restate`: judges a day again by the current schedules.

pub mod handler;

use std::sync::Arc;

use serde_json::Value;
use storewatch_days::Restated;
use storewatch_runtime::events::{check_country, parse};
use storewatch_runtime::{FunctionError, SystemClock};

pub use handler::{Event, Ports, restate};

/// What lives as long as the process.
pub use storewatch_runtime::CountryContext as Context;

/// Handles one invocation.
///
/// # Errors
/// As [`restate`]. `BadEvent` for another country, `BadConfig` for a wrong country file.
pub async fn invoke(context: Arc<Context>, event: Value) -> Result<Restated, FunctionError> {
    let event: Event = parse("restate", event)?;
    let country = context.country().await?;
    check_country("restate", event.country, country.code)?;
    let catalog = context.aws().catalog()?;
    let ports = Ports { objects: &*country.objects, catalog: &*catalog, clock: &SystemClock };
    let restated = async { restate(&ports, &country.file, country.schedules().await?, &event).await };
    restated.await.map_err(|error| country.blame(error))
}
