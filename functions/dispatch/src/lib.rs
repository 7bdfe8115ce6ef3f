//! `dispatch`: finds the slot of a tick and the countries that take part in it.

pub mod handler;

use std::sync::Arc;

use serde_json::Value;
use storewatch_runtime::FunctionError;

pub use handler::{Start, dispatch};

/// What lives as long as the process.
pub use storewatch_runtime::AwsContext as Context;

/// Handles one invocation.
///
/// # Errors
/// As [`dispatch`].
pub async fn invoke(context: Arc<Context>, event: Value) -> Result<Vec<Start>, FunctionError> {
    dispatch(&*context.objects()?, &event).await
}
