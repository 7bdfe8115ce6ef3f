//! `observe`: reads one chunk's part of the live view, judges its stores and stages the rows.

pub mod handler;

use std::sync::Arc;

use serde_json::Value;
use storewatch_runtime::events::{ChunkItem, check_country, parse};
use storewatch_runtime::{FunctionError, SystemClock};

pub use handler::{Observed, Ports, observe};

/// What lives as long as the process.
pub use storewatch_runtime::CountryContext as Context;

/// One invocation.
///
/// # Errors
/// As [`observe`]; `BadEvent` for another country's event, `BadConfig` for a wrong country file.
pub async fn invoke(context: Arc<Context>, event: Value) -> Result<Observed, FunctionError> {
    let item: ChunkItem = parse("observe", event)?;
    let country = context.country().await?;
    check_country("observe", item.country, country.code)?;
    let ports = Ports { objects: &*country.objects, clock: &SystemClock };
    let observed = match country.live_view().await {
        Ok(view) => observe(&ports, &country.file, view, &item).await,
        Err(error) => Err(handler::noted(&ports, &item, error).await),
    };
    observed.map_err(|error| country.blame(error))
}
