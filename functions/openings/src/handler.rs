//! Finds the stores that open in the hour after a slot, and looks whether the live view has them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use storewatch_domain::{CountryCode, Instant, Slot, Store, StoreKey, cut};
use storewatch_lake::{Catalog, Condition, Objects, Partition, Put, keys, register, zones};
use storewatch_runtime::config::exception_dates;
use storewatch_runtime::{Clock, CountryFile, FunctionError, observe_in_turn};
use storewatch_sources::{LiveView, Read, ReadRequest, ScheduleError, Schedules};

use crate::ahead::Ahead;
use crate::table::{self, OPENINGS, Opening};

/// What the function needs from outside, besides the sources.
pub struct Ports<'a> {
    pub objects: &'a dyn Objects,
    pub catalog: &'a dyn Catalog,
    pub clock: &'a dyn Clock,
}

/// The event.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    pub country: CountryCode,
    /// A time in the slot: that of the rule's event.
    pub time: Instant,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    pub country: CountryCode,
    pub slot: Slot,
    /// How many stores open in the hour after the slot.
    pub openings: usize,
    /// How many of them users would not find now.
    pub unlisted: usize,
    /// The key of the file.
    pub key: String,
}

/// Writes a row per store that opens in the hour after the slot, and registers the day's partition.
///
/// The file is written once under its key, so a second run changes nothing. If it is written and cannot be registered,
/// the run of the next hour registers the day.
///
/// # Errors
/// `ScheduleUnavailable`, `LiveViewUnavailable`, `LiveViewIncomplete`: nothing is written then. `BadEvent` outside of the
/// slot, because the live view's past and future cannot be observed. `BadConfig`, `LakeUnavailable`, `CatalogUnavailable`.
pub async fn openings(
    ports: &Ports<'_>,
    country: &CountryFile,
    schedules: &dyn Schedules,
    view: &dyn LiveView,
    event: &Event,
) -> Result<Found, FunctionError> {
    let slot = Slot::of(event.time);
    check_time(ports, slot)?;
    let zones = zones::current(ports.objects, event.country).await?;
    let rules = country.rules(&zones.zones)?;
    let id_type = country.live_view.id_type;
    let chunks = cut(stores(schedules, slot).await?, id_type, country.run.chunk_stores)
        .map_err(|error| FunctionError::bad_part("[live_view].id_type", error))?;
    let mut ahead = Ahead::new(slot, &rules);
    let mut rows = Vec::new();
    for chunk in &chunks {
        let opening = chunk.stores.iter().filter_map(|store| Some((store, ahead.opens_at(store)?)));
        let opening: Vec<(&Store, Instant)> = opening.collect();
        if opening.is_empty() {
            continue;
        }
        let seen = observe_in_turn(ports.clock, view, &chunk.range).await?;
        let observed_at = seen.at;
        let listed: BTreeSet<StoreKey> = seen.stores.into_iter().map(|(key, _)| key).collect();
        rows.extend(opening.into_iter().map(|(store, opens_at)| Opening {
            observed_at,
            store_id: &store.id,
            name: store.name.as_deref(),
            city: store.city.as_deref(),
            timezone: store.timezone.as_deref().unwrap_or(rules.default_timezone.name()),
            opens_at,
            listed: StoreKey::new(&store.id, id_type).is_some_and(|key| listed.contains(&key)),
        }));
    }
    check_time(ports, slot)?;
    publish(ports, event.country, slot, &mut rows).await
}

/// Reads the schedules.
async fn stores(schedules: &dyn Schedules, slot: Slot) -> Result<Vec<Store>, FunctionError> {
    let request = ReadRequest { exceptions: exception_dates(slot), known_version: None };
    match schedules.read(&request).await? {
        Read::Schedules { stores, .. } => Ok(stores),
        Read::Unchanged => {
            let problem = "the version is called unchanged, but none was known".to_owned();
            Err(ScheduleError::Config { field: "version", problem, source: None }.into())
        }
    }
}

/// Refuses to work outside of the slot.
fn check_time(ports: &Ports<'_>, slot: Slot) -> Result<(), FunctionError> {
    if slot.contains(ports.clock.now()) {
        return Ok(());
    }
    let problem =
        format!("the slot {slot} is over or has not begun, and the live view is only looked at within it");
    Err(FunctionError::BadEvent { function: "openings", problem })
}

/// Writes the file and makes the catalog hold its partition.
async fn publish(
    ports: &Ports<'_>,
    country: CountryCode,
    slot: Slot,
    rows: &mut [Opening<'_>],
) -> Result<Found, FunctionError> {
    let file = |source| FunctionError::File { what: "the stores that open next", source };
    let key = keys::table_file(OPENINGS, country, slot);
    let body = table::write(slot, rows).map_err(file)?;
    if ports.objects.put_if(&key, body, Condition::Absent).await? == Put::Conflict {
        tracing::info!("the slot was looked at before; keeping the first file");
    }
    let (table, day) = (OPENINGS, slot.day());
    let location = keys::partition_location(ports.objects.bucket(), table, country, day);
    register(ports.catalog, &[Partition { table, country, day, location }]).await?;
    let unlisted = rows.iter().filter(|row| !row.listed).count();
    tracing::info!(country = country.as_str(), openings = rows.len(), unlisted, "openings");
    Ok(Found { country, slot, openings: rows.len(), unlisted, key })
}
