//! `dispatch`: from the event of a tick to the slot and the countries that take part in it.

pub mod handler;

use std::sync::Arc;

use serde_json::Value;
use storewatch_runtime::{AwsContext, FunctionError};

pub use handler::{Start, dispatch};

/// What lives as long as the process.
pub struct Context(AwsContext);

impl Context {
    pub async fn new() -> Self {
        Self(AwsContext::new().await)
    }
}

/// One invocation.
///
/// # Errors
/// As [`dispatch`].
pub async fn invoke(context: Arc<Context>, event: Value) -> Result<Vec<Start>, FunctionError> {
    dispatch(&*context.0.objects()?, &event).await
}
