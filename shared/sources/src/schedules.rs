//! The interface of a source of schedules.

use std::error::Error;

use async_trait::async_trait;
use storewatch_domain::{LocalDate, Store};

use crate::secret::SecretError;

/// Schedules could not be read. Messages name the host and the field of the country file to correct, and
/// never contain a secret.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// It cannot be reached, refuses the login, or failed. This can pass without a change to the country file.
    #[error("PostgreSQL at {host}: {problem}")]
    Unavailable { host: String, problem: String, source: Option<Box<dyn Error + Send + Sync>> },
    #[error("PostgreSQL at {host} took longer than the {seconds} s of [schedule].timeout_seconds")]
    TimedOut { host: String, seconds: u64 },
    /// The country file is wrong: an address that cannot be used, or a query that the server refuses.
    #[error("[schedule].{field}: {problem}")]
    Config { field: &'static str, problem: String, source: Option<Box<dyn Error + Send + Sync>> },
    /// The secret could not be read, or the source cannot use its value.
    #[error(transparent)]
    Secret { source: SecretError },
}

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRequest {
    /// The first and last local date whose exceptions to read, both included.
    pub exceptions: (LocalDate, LocalDate),
    /// The version of the schedules that the caller already has. If it is still current, nothing is read.
    pub known_version: Option<String>,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The schedules still have the caller's version.
    Unchanged,
    /// All stores with all their hours, in any order, read in one transaction.
    Schedules {
        stores: Vec<Store>,
        /// The answer to the `version` query; `None` if the country has none.
        version: Option<String>,
    },
}

/// A country's schedules.
#[async_trait]
pub trait Schedules: Send + Sync {
    /// Reads every store with its hours. An invalid row spoils only its own store, whose
    /// [`Store::problem`] then says why. Rows of stores that do not exist are ignored.
    ///
    /// # Errors
    /// The source cannot be reached or read, or the country's queries do not fit its tables.
    async fn read(&self, request: &ReadRequest) -> Result<Read, ScheduleError>;
}
