//! The time zone data by which a country is judged: the release that is built into the functions, or a
//! bundle in the lake that replaces it.
//!
//! `config/country=es/tzdb.json` names the bundle. A bundle's key holds a hash of its bytes, so its content
//! never changes and may be kept as long as the process lives. A bundle that cannot be used is an error:
//! with other zones, results could be wrong by an hour without notice.

use std::error::Error;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use storewatch_domain::{CountryCode, Zones};

use crate::{LakeError, Objects, keys};

/// Why a country's zone data cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ZonesError {
    /// A file is missing, damaged or another country's; `source` says which.
    #[error(
        "time zone data (s3://{bucket}/{key}): {source}; restore or remove it with `make zones`; until then no store is judged"
    )]
    Unusable { bucket: String, key: String, source: Box<dyn Error + Send + Sync> },
    #[error(transparent)]
    Lake(#[from] LakeError),
}

/// Zone data, and where it comes from.
#[derive(Debug, Clone)]
pub struct ZoneData {
    /// The key of the bundle; `None` for the embedded release.
    pub key: Option<String>,
    pub zones: Zones,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    bundle: String,
}

/// The zone data that the country uses now.
///
/// # Errors
/// The bundle that the country uses is missing or damaged, or S3 failed.
pub async fn current(objects: &dyn Objects, country: CountryCode) -> Result<ZoneData, ZonesError> {
    let choice = keys::zones_choice(country);
    let Some((_, body)) = objects.find(&choice).await? else {
        return of(objects, country, None).await;
    };
    let choice: Choice = serde_json::from_slice(&body).map_err(|error| bad(objects, &choice, error))?;
    of(objects, country, Some(choice.bundle)).await
}

/// The zone data with that key, or the built-in release.
///
/// # Errors
/// The bundle is missing, damaged or another country's, or S3 failed.
pub async fn of(
    objects: &dyn Objects,
    country: CountryCode,
    key: Option<String>,
) -> Result<ZoneData, ZonesError> {
    let zones = match &key {
        None => Zones::embedded(),
        Some(key) => bundle(objects, country, key).await?,
    };
    tracing::info!(tzdb = zones.release(), bundle = key, "time zone data");
    Ok(ZoneData { key, zones })
}

async fn bundle(objects: &dyn Objects, country: CountryCode, key: &str) -> Result<Zones, ZonesError> {
    /// The last bundle that was read, with its key.
    static HELD: Mutex<Option<(String, Zones)>> = Mutex::new(None);
    let held = || HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, zones)) = held().as_ref().filter(|(own, _)| own == key) {
        return Ok(zones.clone());
    }
    let name = key.strip_prefix(&keys::zone_bundles(country));
    let name = name.ok_or_else(|| {
        bad(objects, &keys::zones_choice(country), format!("{key:?} is not a bundle of {country}"))
    })?;
    let body = objects.get(key).await.map_err(|error| match error {
        LakeError::Missing { .. } => bad(objects, key, "it does not exist"),
        error => error.into(),
    })?;
    let zones = Zones::from_bundle(&body).map_err(|error| bad(objects, key, error))?;
    let wanted = bundle_name(zones.release(), &body);
    if name != wanted {
        return Err(bad(objects, key, format!("its content is that of {wanted}; it was changed or damaged")));
    }
    *held() = Some((key.to_owned(), zones.clone()));
    Ok(zones)
}

/// The end of a bundle's key: the release, and the first 16 hex digits of its SHA-256.
fn bundle_name(release: &str, body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{release}-{hex}")
}

fn bad(objects: &dyn Objects, key: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> ZonesError {
    ZonesError::Unusable { bucket: objects.bucket().to_owned(), key: key.to_owned(), source: source.into() }
}
