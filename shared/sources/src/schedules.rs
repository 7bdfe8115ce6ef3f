//! Schedules, wherever they are kept.

use std::error::Error;

use async_trait::async_trait;
use storewatch_domain::{LocalDate, Store};

use crate::secret::SecretError;

/// Schedules could not be read. Messages name the host and the field of the country file that is to
/// blame; none holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// It is not reached, lets nobody in, or failed: what can pass without a change of the country file.
    #[error("PostgreSQL at {host}: {problem}")]
    Unavailable { host: String, problem: String, source: Option<Box<dyn Error + Send + Sync>> },
    #[error("PostgreSQL at {host} took longer than the {seconds} s of [schedule].timeout_seconds")]
    TimedOut { host: String, seconds: u64 },
    /// The country file is to blame: an address that cannot be used, or a query that the server refuses.
    #[error("[schedule].{field}: {problem}")]
    Config { field: &'static str, problem: String, source: Option<Box<dyn Error + Send + Sync>> },
    /// The secret could not be read, or its value is not what the source takes.
    #[error(transparent)]
    Secret { source: SecretError },
}

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRequest {
    /// The first and last local date whose exceptions are wanted, both included.
    pub exceptions: (LocalDate, LocalDate),
    /// The version of the schedules that the caller has already; while it is the current one,
    /// nothing is read.
    pub known_version: Option<String>,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The schedules are still of the version that was asked about.
    Unchanged,
    /// All stores with all their hours, in any order, as one transaction saw them.
    Schedules {
        stores: Vec<Store>,
        /// What the `version` query said, where the country has one.
        version: Option<String>,
    },
}

/// A country's schedules.
#[async_trait]
pub trait Schedules: Send + Sync {
    /// Reads every store with its hours. A row that makes no sense spoils its own store only, which
    /// then says why in [`Store::problem`]; rows of stores that are not there are passed over.
    ///
    /// # Errors
    /// The source cannot be reached or read, or the country's queries do not fit it.
    async fn read(&self, request: &ReadRequest) -> Result<Read, ScheduleError>;
}
