//! The last good snapshot, used when the schedules cannot be read.

use storewatch_domain::cut;
use storewatch_lake::objects::json;
use storewatch_lake::{Objects, keys};
use storewatch_runtime::events::{ChunkItem, StaleSchedules};
use storewatch_runtime::{CountryFile, ErrorName, FunctionError, describe};

use crate::basis::Basis;
use crate::handler::{Event, Ports};
use crate::snapshots::{self, Snapshot};

/// Returns the last good snapshot if it can be used, and notes why it is; else the error.
///
/// Once the schedules have been read, any error of PostgreSQL is an outage: a correct query can fail for one
/// row. A country file that has never worked, or that names another source now, is refused.
pub async fn instead_of(
    error: FunctionError,
    ports: &Ports<'_>,
    country: &CountryFile,
    event: &Event,
) -> Result<Snapshot, FunctionError> {
    if !matches!(error.name(), ErrorName::ScheduleUnavailable | ErrorName::BadConfig) {
        return Err(error);
    }
    let Some(snapshot) = usable(ports, country, event).await? else { return Err(error) };
    let note = StaleSchedules {
        schedule_as_of: snapshot.schedule_as_of,
        error: error.name(),
        message: describe(&error),
    };
    tracing::error!(
        error_type = note.error.as_str(),
        error = note.message,
        schedule_as_of = %note.schedule_as_of,
        "the schedules cannot be read; the last good snapshot is used"
    );
    let key = keys::stale_schedules(event.country, event.slot, snapshot.schedule_as_of);
    ports.objects.put(&key, json(ports.objects, &key, &note)?).await?;
    Ok(snapshot)
}

/// Whether the slot was planned on these chunks because the schedules could not be read.
pub async fn is_noted(
    objects: &dyn Objects,
    event: &Event,
    items: &[ChunkItem],
) -> Result<bool, FunctionError> {
    let Some(first) = items.first() else { return Ok(false) };
    let key = keys::stale_schedules(event.country, event.slot, first.schedule_as_of);
    Ok(objects.list(&key).await?.iter().any(|object| object.key == key))
}

/// The last good snapshot, cut as the country file says now. `None` if there is none, or if it is from
/// another source, which has other stores.
async fn usable(
    ports: &Ports<'_>,
    country: &CountryFile,
    event: &Event,
) -> Result<Option<Snapshot>, FunctionError> {
    let Some(snapshot) = snapshots::last_good(ports.objects, event.country).await? else { return Ok(None) };
    let (as_of, basis) = (snapshot.schedule_as_of, Basis::of(country));
    if !snapshot.basis.has_source_of(&basis) {
        tracing::warn!(
            schedule_as_of = %as_of,
            "the last good snapshot is not used: the country file names another database or other queries now"
        );
        return Ok(None);
    }
    if snapshot.basis.is_cut_as(&basis) {
        return Ok(Some(snapshot));
    }
    // It was cut differently. The new chunks' keys hold the current time, so the chunks that other slots were
    // planned on stay.
    let stores = snapshots::stores(ports.objects, &snapshot).await?;
    let chunks = match cut(stores, country.live_view.id_type, country.run.chunk_stores) {
        Ok(chunks) => chunks,
        Err(error) => {
            tracing::warn!(schedule_as_of = %as_of, %error, "the last good snapshot is not used");
            return Ok(None);
        }
    };
    tracing::info!(
        schedule_as_of = %as_of,
        "the last good snapshot is cut again, for the country file of now"
    );
    let chunks =
        snapshots::write(ports.objects, event.country, event.slot, ports.clock.now(), &chunks).await?;
    Ok(Some(Snapshot { schedule_as_of: as_of, version: None, basis, chunks }))
}
