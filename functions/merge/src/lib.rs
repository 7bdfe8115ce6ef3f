//! `merge`: makes the staged chunks of a country tick into one file per table.

pub mod commit;
mod current;
pub mod gather;
pub mod handler;
pub mod levels;
pub mod look;
mod measure;
mod tick;
mod usual;

use std::sync::Arc;

use serde_json::Value;
use storewatch_runtime::context::number;
use storewatch_runtime::events::{check_country, parse};
use storewatch_runtime::{FunctionError, SystemClock};

pub use handler::{Event, Merged, Ports, merge};

/// What lives as long as the process.
pub use storewatch_runtime::CountryContext as Context;

/// One invocation.
///
/// # Errors
/// As [`merge`]; `BadEvent` for another country's event, `BadConfig` for a wrong country file.
pub async fn invoke(context: Arc<Context>, event: Value) -> Result<Merged, FunctionError> {
    let event: Event = parse("merge", event)?;
    let lake = context.lake().await?;
    check_country("merge", event.country, lake.code)?;
    let metrics = context.aws().metrics()?;
    let look_again_seconds = number("STOREWATCH_LOOK_AGAIN_SECONDS")?;
    let ports = Ports { objects: &*lake.objects, metrics, clock: &SystemClock, look_again_seconds };
    let country = context.country().await;
    merge(&ports, country.map(|country| &country.file), &event).await
}
