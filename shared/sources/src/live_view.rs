//! The live view, wherever it is kept.

use std::error::Error;

use async_trait::async_trait;
use storewatch_domain::{IdRange, LiveStore, StoreKey};

use crate::secret::SecretError;

/// The live view could not be read. Messages name host and index; none holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum LiveViewError {
    /// `during` says what happened and what to do.
    #[error("the live view {index:?} at {host}: {during}")]
    Unavailable { host: String, index: String, during: String, source: Option<Box<dyn Error + Send + Sync>> },
    #[error("the live view {index:?} at {host} answered with a part only: {what}")]
    Incomplete { host: String, index: String, what: String, source: Option<Box<dyn Error + Send + Sync>> },
    #[error("[live_view].{field}: {problem}")]
    Config { field: &'static str, problem: String },
    /// The secret could not be read, or its value is not what the source takes.
    #[error(transparent)]
    Secret { source: SecretError },
}

/// A country's live view.
#[async_trait]
pub trait LiveView: Send + Sync {
    /// Every store of the range that has a document, in the order of ids, each once: online if any
    /// of its documents is. The answer is whole or an error, never a part.
    ///
    /// # Errors
    /// The source cannot be reached, answers with a part only, or does not understand the country's
    /// queries.
    async fn observe(&self, range: &IdRange) -> Result<Vec<(StoreKey, LiveStore)>, LiveViewError>;
}
