//! The interface of a live view.

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use storewatch_domain::{IdRange, LiveStore, StoreKey};

use crate::secret::SecretError;

/// The live view could not be read. Messages name the host and the index, and never contain a secret.
#[derive(Debug, thiserror::Error)]
pub enum LiveViewError {
    /// `during` says what happened and what to do.
    #[error("the live view {index:?} at {host}: {during}")]
    Unavailable { host: String, index: String, during: String, source: Option<Box<dyn Error + Send + Sync>> },
    #[error("the live view {index:?} at {host} returned only part of an answer: {what}")]
    Incomplete { host: String, index: String, what: String, source: Option<Box<dyn Error + Send + Sync>> },
    #[error("[live_view].{field}: {problem}")]
    Config { field: &'static str, problem: String },
    /// The server has no room for the request now. Whoever asks waits, at least for `after` if the server names a
    /// time, and asks again; if there is no time for that, `error` is what happened.
    #[error("{error}")]
    Busy { error: Box<LiveViewError>, after: Option<Duration> },
    /// The secret could not be read, or the source cannot use its value.
    #[error(transparent)]
    Secret { source: SecretError },
}

impl LiveViewError {
    /// The error for somebody who does not wait.
    #[must_use]
    pub fn without_waiting(self) -> Self {
        match self {
            Self::Busy { error, .. } => *error,
            error => error,
        }
    }
}

/// A country's live view.
#[async_trait]
pub trait LiveView: Send + Sync {
    /// Returns every store in the range that has a document, each once, in the order of ids. A store is
    /// online if any of its documents is. The answer is complete or an error.
    ///
    /// # Errors
    /// The source cannot be reached, returns only part of an answer, or does not understand the
    /// country's queries.
    async fn observe(&self, range: &IdRange) -> Result<Vec<(StoreKey, LiveStore)>, LiveViewError>;
}
