//! Past days: compacts their ticks' files into one per table, judges them again by other schedules, and
//! repairs the catalog to match the files on S3.
//!
//! A [`Record`](record::Record) on S3 says which version of each table a day has; the catalog follows it.

pub mod compact;
mod day_outages;
mod day_schedules;
pub mod due;
pub mod error;
mod publish;
mod readings;
pub mod record;
pub mod repair;
pub mod restate;
mod rows;
mod tick_files;

use storewatch_domain::{CountryCode, Day};
use storewatch_lake::{Catalog, Objects};

pub use compact::{CompactRequest, Compacted, CompactedTable, compact};
pub use due::{Due, due};
pub use error::DaysError;
pub use publish::REPLACED;
pub use repair::{Repaired, repair};
pub use restate::{RestateRequest, Restated, restate};

/// The bucket that holds the files, and the catalog that says where queries find them.
#[derive(Clone, Copy)]
pub struct Lake<'a> {
    pub objects: &'a dyn Objects,
    pub catalog: &'a dyn Catalog,
}

/// A day of a country.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountryDay {
    pub country: CountryCode,
    pub day: Day,
}
