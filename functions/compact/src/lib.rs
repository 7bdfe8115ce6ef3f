//! `compact`: makes the files of a day one, and says which days wait for that.

pub mod day;
pub mod days;
pub mod handler;
pub mod record;
pub mod schedules;

use std::sync::Arc;

use serde_json::Value;
use storewatch_runtime::clock::SystemClock;
use storewatch_runtime::events::{check_country, parse};
use storewatch_runtime::{CountryContext, FunctionError};

pub use days::{Due, due};
pub use handler::{Answer, Compacted, Event, Ports, compact, handle};

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
/// As [`handle`]; `BadEvent` for another country.
pub async fn invoke(context: Arc<Context>, event: Value) -> Result<Answer, FunctionError> {
    let event: Event = parse("compact", event)?;
    let lake = context.0.lake().await?;
    check_country("compact", event.country, lake.code)?;
    let catalog = context.0.aws().catalog()?;
    handle(&Ports { objects: &*lake.objects, catalog: &catalog, clock: &SystemClock }, &event).await
}
