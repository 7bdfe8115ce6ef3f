//! Registering partitions.

use storewatch_domain::CountryCode;
use storewatch_lake::catalog::{self, Catalog};
use storewatch_lake::{LakeError, Objects, Partition, Registered, keys};
use storewatch_runtime::events::Partitions;
use storewatch_runtime::{FunctionError, Metric, Metrics};

/// What registering needs of the world.
pub struct Ports<'a> {
    pub objects: &'a dyn Objects,
    pub catalog: &'a dyn Catalog,
    pub metrics: &'a dyn Metrics,
}

/// Makes the catalog hold these partitions and all that are noted as pending, oldest first. A note
/// goes only when its partitions stand in the catalog; until then they count as pending. It may have
/// been written again since it was read, but never with other partitions: see [`keys::pending`].
///
/// # Errors
/// `CatalogUnavailable`, `LakeUnavailable`; what is not registered stays noted for the next tick.
pub async fn register(
    ports: &Ports<'_>,
    country: CountryCode,
    mut partitions: Vec<Partition>,
) -> Result<Registered, FunctionError> {
    let mut notes = Vec::new();
    let mut noted: Vec<Partition> = Vec::new();
    for note in ports.objects.list(&keys::pending_prefix(country)).await? {
        let body = match ports.objects.get(&note.key).await {
            // Another register has done it since the listing.
            Err(LakeError::Missing { .. }) => continue,
            body => body?,
        };
        match serde_json::from_slice::<Partitions>(&body) {
            Ok(pending) if pending.partitions.iter().all(|partition| partition.country == country) => {
                noted.extend(pending.partitions);
                notes.push(note.key);
            }
            Ok(_) => {
                tracing::error!(key = note.key, "a pending note names another country; it is left alone")
            }
            Err(error) => {
                tracing::error!(key = note.key, %error, "a pending note cannot be read; it is left alone")
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
