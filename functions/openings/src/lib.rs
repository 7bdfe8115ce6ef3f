//! `openings`: an ETL of its own over the sources of the ticks. Once an hour it says which stores open in the next
//! hour, and whether users will find them.

mod ahead;
pub mod handler;
pub mod table;

use std::sync::Arc;

use serde_json::Value;
use storewatch_runtime::events::{check_country, parse};
use storewatch_runtime::{FunctionError, SystemClock};

pub use handler::{Event, Found, Ports, openings};

/// What lives as long as the process.
pub use storewatch_runtime::CountryContext as Context;

/// One invocation.
///
/// # Errors
/// As [`openings`]; `BadEvent` for another country's event, `BadConfig` for a wrong country file.
pub async fn invoke(context: Arc<Context>, event: Value) -> Result<Found, FunctionError> {
    let event: Event = parse("openings", event)?;
    let country = context.country().await?;
    check_country("openings", event.country, country.code)?;
    let catalog = context.aws().catalog()?;
    let ports = Ports { objects: &*country.objects, catalog: &*catalog, clock: &SystemClock };
    let found = async {
        let (schedules, view) = (country.schedules().await?, country.live_view().await?);
        openings(&ports, &country.file, schedules, view, &event).await
    };
    found.await.map_err(|error| country.blame(error))
}
