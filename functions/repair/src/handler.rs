//! Repairs the catalog.

use serde::Deserialize;
use storewatch_days::{Lake, Repaired};
use storewatch_domain::{CountryCode, Day};
use storewatch_runtime::FunctionError;

/// The event: the first and the last day, both included. People write it, so a field that is misspelt is refused.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    pub country: CountryCode,
    pub from: Day,
    pub to: Day,
}

/// Makes the catalog match the files on S3.
///
/// # Errors
/// As [`storewatch_days::repair`].
pub async fn repair(lake: Lake<'_>, event: &Event) -> Result<Repaired, FunctionError> {
    Ok(storewatch_days::repair(lake, event.country, (event.from, event.to)).await?)
}
