//! Judges a day again.

use serde::Deserialize;
use storewatch_days::{CountryDay, Lake, RestateRequest, Restated};
use storewatch_domain::{CountryCode, Day};
use storewatch_lake::{Catalog, Objects, zones};
use storewatch_runtime::{Clock, CountryFile, FunctionError};
use storewatch_sources::Schedules;

/// The ports that judging again uses.
pub struct Ports<'a> {
    pub objects: &'a dyn Objects,
    pub catalog: &'a dyn Catalog,
    pub clock: &'a dyn Clock,
}

/// The event: a day of a country. People write it, so a field that is misspelt is refused: without `stores`, all
/// stores would be judged again.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    pub country: CountryCode,
    pub day: Day,
    /// The ids of the stores to judge again; null or absent for all in the schedules.
    pub stores: Option<Vec<String>>,
}

/// Judges the day again by the current schedules and time zone data.
///
/// # Errors
/// As [`storewatch_days::restate`]. `BadConfig` if the zone data cannot be used or lack the default zone.
pub async fn restate(
    ports: &Ports<'_>,
    country: &CountryFile,
    schedules: &dyn Schedules,
    event: &Event,
) -> Result<Restated, FunctionError> {
    let lake = Lake { objects: ports.objects, catalog: ports.catalog };
    let day = CountryDay { country: event.country, day: event.day };
    let zones = zones::current(ports.objects, event.country).await?.zones;
    let request = RestateRequest {
        rules: country.rules(&zones)?,
        chunk_stores: country.run.chunk_stores,
        stores: event.stores.clone(),
    };
    let now = || ports.clock.now();
    Ok(storewatch_days::restate(lake, day, schedules, &now, &request).await?)
}
