//! Registers partitions.

use futures_util::{StreamExt, TryStreamExt, stream};
use storewatch_domain::CountryCode;
use storewatch_lake::catalog::{self, Catalog};
use storewatch_lake::{LakeError, Objects, Partition, Registered, keys};
use storewatch_runtime::events::Partitions;
use storewatch_runtime::{FunctionError, Metric, Metrics};

/// The ports that registering uses.
pub struct Ports<'a> {
    pub objects: &'a dyn Objects,
    pub catalog: &'a dyn Catalog,
    pub metrics: &'a dyn Metrics,
}

/// The most notes that one call handles: two days of ticks, whose files are delivered to a lake in another account well
/// within the function's time. After a longer outage, later ticks handle the rest.
const MOST_NOTES: usize = 192;

/// Notes read or deleted at once.
const PARALLEL: usize = 16;

/// Registers these partitions and all that are noted as pending, oldest first. A note is deleted only when
/// its partitions are in the catalog; until then they count as pending. The note may have been written
/// again after it was read, but never with other partitions: see [`keys::pending`].
///
/// # Errors
/// `CatalogUnavailable`, `LakeUnavailable`. What is not registered stays noted for the next tick.
pub async fn register(
    ports: &Ports<'_>,
    country: CountryCode,
    mut partitions: Vec<Partition>,
) -> Result<Registered, FunctionError> {
    let objects = ports.objects;
    let listed = objects.list(&keys::pending_prefix(country)).await?;
    let ticks = listed.len();
    let read = stream::iter(listed.into_iter().take(MOST_NOTES)).map(|note| async move {
        match objects.get(&note.key).await {
            // Another `register` has handled it since the listing.
            Err(LakeError::Missing { .. }) => Ok(None),
            body => body.map(|body| Some((note.key, body))),
        }
    });
    let read: Vec<_> = read.buffered(PARALLEL).try_collect().await?;
    let (mut notes, mut noted) = (Vec::new(), Vec::new());
    for (key, body) in read.into_iter().flatten() {
        match serde_json::from_slice::<Partitions>(&body) {
            Ok(pending) if pending.partitions.iter().all(|partition| partition.country == country) => {
                noted.extend(pending.partitions);
                notes.push(key);
            }
            Ok(_) => tracing::error!(key, "a pending note names another country; ignoring it"),
            Err(error) => tracing::error!(key, %error, "a pending note cannot be read; ignoring it"),
        }
    }
    noted.append(&mut partitions);
    noted.sort();
    noted.dedup();
    let done = catalog::register(ports.catalog, &noted).await;
    // Each tick leaves one note. CloudWatch bills a metric only for hours in which it gets a value.
    let pending = if done.is_ok() { ticks.saturating_sub(MOST_NOTES) } else { ticks.max(1) };
    if pending > 0 {
        ports.metrics.put(country, &[Metric::count("TicksPending", pending as u64)]).await;
    }
    let done = done?;
    let deleted = stream::iter(notes).map(|key| async move { objects.delete(&key).await });
    deleted.buffer_unordered(PARALLEL).try_collect::<()>().await?;
    tracing::info!(
        country = country.as_str(),
        created = done.created,
        updated = done.updated,
        unchanged = done.unchanged,
        "registered"
    );
    Ok(done)
}
