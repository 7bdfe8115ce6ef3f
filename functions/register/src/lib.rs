//! `register`: registers the partitions of this tick in the catalog, and those that earlier ticks could not
//! register.

pub mod handler;

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use storewatch_lake::Registered;
use storewatch_runtime::FunctionError;
use storewatch_runtime::events::{Partitions, check_country, parse_unless_moved};

pub use handler::{Ports, register};

/// What lives as long as the process.
pub use storewatch_runtime::CountryContext as Context;

/// An event of an earlier release, `{"repair", "country", "from", "to"}`.
#[derive(Deserialize)]
struct OldRepair {
    #[serde(rename = "repair")]
    _repair: IgnoredAny,
}

/// Reads the event.
///
/// # Errors
/// `BadEvent`. An event that asks for a repair gets an error that names `repair`.
pub fn parse(event: Value) -> Result<Partitions, FunctionError> {
    parse_unless_moved::<_, OldRepair>("register", event, "repair")
}

/// Handles one invocation.
///
/// # Errors
/// As [`register`]; `BadEvent` for another country.
pub async fn invoke(context: Arc<Context>, event: Value) -> Result<Registered, FunctionError> {
    let event = parse(event)?;
    let lake = context.lake().await?;
    for partition in &event.partitions {
        check_country("register", partition.country, lake.code)?;
    }
    let (catalog, metrics) = (context.aws().catalog()?, context.aws().metrics()?);
    register(&Ports { objects: &*lake.objects, catalog: &*catalog, metrics }, lake.code, event.partitions)
        .await
}
