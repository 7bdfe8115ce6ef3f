//! Registers partitions.

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
    let mut notes = Vec::new();
    let mut noted: Vec<Partition> = Vec::new();
    for note in ports.objects.list(&keys::pending_prefix(country)).await? {
        let body = match ports.objects.get(&note.key).await {
            // Another `register` has handled it since the listing.
            Err(LakeError::Missing { .. }) => continue,
            body => body?,
        };
        match serde_json::from_slice::<Partitions>(&body) {
            Ok(pending) if pending.partitions.iter().all(|partition| partition.country == country) => {
                noted.extend(pending.partitions);
                notes.push(note.key);
            }
            Ok(_) => {
                tracing::error!(key = note.key, "a pending note names another country; ignoring it")
            }
            Err(error) => {
                tracing::error!(key = note.key, %error, "a pending note cannot be read; ignoring it")
            }
        }
    }
    noted.append(&mut partitions);
    noted.sort();
    noted.dedup();
    let done = catalog::register(ports.catalog, &noted).await;
    let pending = if done.is_ok() { 0 } else { noted.len() as u64 };
    ports.metrics.put(country, &[Metric::count("PartitionsPending", pending)]).await;
    let done = done?;
    for key in notes {
        ports.objects.delete(&key).await?;
    }
    tracing::info!(
        country = country.as_str(),
        created = done.created,
        updated = done.updated,
        unchanged = done.unchanged,
        "registered"
    );
    Ok(done)
}
