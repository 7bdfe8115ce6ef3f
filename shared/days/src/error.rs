//! Why work on a past day failed.

use storewatch_domain::{CountryCode, Day, NoUsableIds};
use storewatch_lake::{CatalogError, LakeError, ParquetError, SnapshotError, ZonesError};
use storewatch_sources::ScheduleError;

/// Why work on a past day failed. Running it again finishes what was left.
#[derive(Debug, thiserror::Error)]
pub enum DaysError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    #[error(transparent)]
    Zones(#[from] ZonesError),
    /// The source broke its contract.
    #[error("PostgreSQL answered \"unchanged\", though no earlier version of the schedules was named")]
    NotRead,
    #[error("cannot make the Parquet file of {what}")]
    File { what: &'static str, source: ParquetError },
    #[error("cannot make a file of schedules")]
    Snapshot(#[from] SnapshotError),
    #[error("[live_view].id_type")]
    Ids { source: NoUsableIds },
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// The request makes no sense. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("\"stores\" is empty; leave it out to judge all stores again")]
    NoStores,
    #[error("store {id:?} is not in the schedules of {country}")]
    UnknownStore { id: String, country: CountryCode },
    #[error("{country} has no rows of stores on {day}")]
    NoRows { country: CountryCode, day: Day },
    #[error("{from} to {to} is {days} days; give 1 to {most}")]
    Days { from: Day, to: Day, days: i64, most: i64 },
}
