//! The lake: its objects and tables, what they contain, and the two services that hold them, S3 and the
//! Glue catalog. Each service is behind a trait that also has an in-memory implementation.

pub mod availability;
mod blocks;
pub mod catalog;
pub mod compaction;
pub mod current;
pub mod delivery;
pub mod glue;
mod hash;
mod in_order;
pub mod keys;
pub mod memory;
pub mod objects;
pub mod outages;
pub mod parquet;
pub mod rejudged;
pub mod s3;
mod schedule_texts;
pub mod snapshot;
pub mod store_schedules;
pub mod tables;
pub mod ticks;
pub mod zones;

pub use catalog::{Catalog, CatalogError, Partition, Registered, register};
pub use objects::{Condition, LakeError, ListedObject, Objects, Put, Tag};
pub use parquet::ParquetError;
pub use snapshot::SnapshotError;
pub use tables::{EtlTable, Table};
pub use ticks::{InvalidOutcome, Outcome, TickRecord};
pub use zones::ZonesError;
