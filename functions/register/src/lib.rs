//! `register`: makes the catalog hold the partitions of this tick and those that earlier ticks
//! could not register.

pub mod handler;

use std::sync::Arc;

use serde_json::Value;
use storewatch_lake::Registered;
use storewatch_runtime::events::{Partitions, check_country, parse};
use storewatch_runtime::{CountryContext, FunctionError};

pub use handler::{Ports, register};

/// What lives as long as the process.
pub struct Context(CountryContext);

impl Context {
    pub async fn new() -> Self {
        Self(CountryContext::new().await)
    }
}

/// One invocation.
///
/// # Errors
/// As [`register`]; `BadEvent` for a partition of another country.
pub async fn invoke(context: Arc<Context>, event: Value) -> Result<Registered, FunctionError> {
    let event: Partitions = parse("register", event)?;
    let lake = context.0.lake().await?;
    for partition in &event.partitions {
        check_country("register", partition.country, lake.code)?;
    }
    let (catalog, metrics) = (context.0.aws().catalog()?, context.0.aws().metrics()?);
    let ports = Ports { objects: &*lake.objects, catalog: &catalog, metrics: &metrics };
    register(&ports, lake.code, event.partitions).await
}
