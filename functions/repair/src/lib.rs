//! `repair`: makes the catalog match the files on S3, for some days of a country.

pub mod handler;

use std::sync::Arc;

use serde_json::Value;
use storewatch_days::{Lake, Repaired};
use storewatch_runtime::FunctionError;
use storewatch_runtime::events::{check_country, parse};

pub use handler::{Event, repair};

/// What lives as long as the process.
pub use storewatch_runtime::CountryContext as Context;

/// Handles one invocation.
///
/// # Errors
/// As [`repair`]; `BadEvent` for another country.
pub async fn invoke(context: Arc<Context>, event: Value) -> Result<Repaired, FunctionError> {
    let event: Event = parse("repair", event)?;
    let lake = context.lake().await?;
    check_country("repair", event.country, lake.code)?;
    let catalog = context.aws().catalog()?;
    repair(Lake { objects: &*lake.objects, catalog: &*catalog }, &event).await
}
