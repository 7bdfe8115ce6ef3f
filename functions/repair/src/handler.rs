//! Repairing the catalog on request: `{"repair": true, "country": …, "from": …, "to": …}`.

use serde::Deserialize;
use storewatch_domain::{CountryCode, Day};
use storewatch_lake::{RepairError, Repaired};
use storewatch_runtime::FunctionError;

use crate::handler::Ports;

/// The event that repairs the catalog.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repair {
    /// `true`: it says what the event is for.
    pub repair: bool,
    pub country: CountryCode,
    /// The first day.
    pub from: Day,
    /// The last one.
    pub to: Day,
}

/// The most days that one invocation repairs: what the catalog is asked for in its time.
const MOST_DAYS: i64 = 3_660;

/// Makes the catalog equal to what lies on S3, for the days of the event.
///
/// # Errors
/// `BadEvent` where the days are none or too many, `CatalogUnavailable`, `LakeUnavailable`.
pub async fn repair(ports: &Ports<'_>, event: &Repair) -> Result<Repaired, FunctionError> {
    let bad = |problem: String| Err(FunctionError::BadEvent { function: "register", problem });
    let days = i64::from(event.to.date().days() - event.from.date().days()) + 1;
    if !event.repair {
        return bad("\"repair\" is false; leave the event away to repair nothing".to_owned());
    }
    if !(1..=MOST_DAYS).contains(&days) {
        return bad(format!(
            "from {} to {} are {days} days; 1 to {MOST_DAYS} are wanted",
            event.from, event.to
        ));
    }
    let repaired =
        storewatch_lake::repair(ports.objects, ports.catalog, event.country, (event.from, event.to)).await;
    let repaired = repaired.map_err(|error| match error {
        RepairError::Lake(error) => FunctionError::from(error),
        RepairError::Catalog(error) => error.into(),
    })?;
    tracing::info!(?repaired, "repaired");
    Ok(repaired)
}
