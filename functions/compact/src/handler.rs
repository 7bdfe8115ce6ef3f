//! Compacts a day, or finds the days that are due.

use serde::{Deserialize, Serialize};
use storewatch_days::{CompactRequest, Compacted, CountryDay, Due, Lake, compact, due};
use storewatch_domain::{CountryCode, Day};
use storewatch_lake::{Catalog, Objects};
use storewatch_runtime::{Clock, CountryFile, FunctionError};

/// The ports that compacting uses.
pub struct Ports<'a> {
    pub objects: &'a dyn Objects,
    pub catalog: &'a dyn Catalog,
    pub clock: &'a dyn Clock,
}

/// The event: a day of a country. Without a day, it asks which days are due.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    pub country: CountryCode,
    pub day: Option<Day>,
}

/// The answer: the compacted day, or the days that are due if the event names none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    #[serde(flatten)]
    pub due: Option<Due>,
    #[serde(flatten)]
    pub compacted: Option<Compacted>,
}

/// Handles one event. `file` is the country file, or why there is none: the day is compacted without it, but
/// what its outages know of hours is missing until it is compacted again.
///
/// # Errors
/// As [`compact`] and [`due`]; why there is no country file, after the day was compacted.
pub async fn handle(
    ports: &Ports<'_>,
    file: Result<&CountryFile, FunctionError>,
    event: &Event,
) -> Result<Answer, FunctionError> {
    let (lake, country) = (Lake { objects: ports.objects, catalog: ports.catalog }, event.country);
    let today = Day::containing(ports.clock.now());
    let Some(day) = event.day else {
        return Ok(Answer { due: Some(due(lake, country, today).await?), compacted: None });
    };
    let missing_hours = file.as_ref().ok().map(|file| file.missing_hours);
    let request = CompactRequest { missing_hours, today };
    let compacted = compact(lake, CountryDay { country, day }, request).await?;
    file?;
    Ok(Answer { due: None, compacted: Some(compacted) })
}
