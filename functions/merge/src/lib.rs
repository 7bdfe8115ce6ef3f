//! `merge`: the staged chunks of a country tick become the tables' files, one each.

pub mod commit;
pub mod gather;
pub mod handler;
pub mod levels;

use std::sync::Arc;

use serde_json::Value;
use storewatch_runtime::events::{check_country, parse};
use storewatch_runtime::{CountryContext, FunctionError, SystemClock};

pub use handler::{Event, Merged, Ports, merge};

/// What lives as long as the process.
pub struct Context(CountryContext);

impl Context {
    pub async fn new() -> Self {
        Self(CountryContext::new().await)
    }
}

/// One invocation.
///
/// # Errors
/// As [`merge`]; `BadEvent` for another country's event, `BadConfig` for a wrong country file.
pub async fn invoke(context: Arc<Context>, event: Value) -> Result<Merged, FunctionError> {
    let event: Event = parse("merge", event)?;
    let country = context.0.country().await?;
    check_country("merge", event.country, country.code)?;
    let metrics = context.0.aws().metrics()?;
    let ports = Ports { objects: &*country.objects, metrics: &metrics, clock: &SystemClock };
    merge(&ports, &country.file, &event).await
}
