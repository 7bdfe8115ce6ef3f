//! `compact`: makes the files of a day one, says which days wait for that, and judges a day again.

pub mod day;
pub mod days;
pub mod handler;
pub mod record;
pub mod restate;
pub mod schedules;

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use storewatch_runtime::FunctionError;
use storewatch_runtime::clock::SystemClock;
use storewatch_runtime::events::{check_country, parse};

pub use days::{Due, due};
pub use handler::{Answer, Compacted, Event, Ports, compact, handle};
pub use restate::Restated;

/// What lives as long as the process.
pub use storewatch_runtime::CountryContext as Context;

/// One invocation.
///
/// # Errors
/// As [`handle`] or [`restate::restate`]; `BadEvent` for another country.
pub async fn invoke(context: Arc<Context>, event: Value) -> Result<Reply, FunctionError> {
    if event.get("restate").is_some() {
        return Ok(Reply::Restated(invoke_restate(&context, event).await?));
    }
    let event: Event = parse("compact", event)?;
    let lake = context.lake().await?;
    check_country("compact", event.country, lake.code)?;
    let catalog = context.aws().catalog()?;
    let ports = Ports { objects: &*lake.objects, catalog, clock: &SystemClock };
    Ok(Reply::Answer(handle(&ports, &event).await?))
}

/// The answer to any event.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Reply {
    Answer(Answer),
    Restated(Restated),
}

/// Judging again is the one thing here that needs the country's sources.
async fn invoke_restate(context: &Context, event: Value) -> Result<Restated, FunctionError> {
    let event: restate::Event = parse("compact", event)?;
    let country = context.country().await?;
    check_country("compact", event.country, country.code)?;
    let catalog = context.aws().catalog()?;
    let ports = Ports { objects: &*country.objects, catalog, clock: &SystemClock };
    let restated = async {
        let schedules = country.schedules().await?;
        restate::restate(&ports, &country.file, schedules, &event).await
    };
    restated.await.map_err(|error| country.blame(error))
}
