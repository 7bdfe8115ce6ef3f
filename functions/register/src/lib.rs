//! `register`: makes the catalog hold the partitions of this tick and those that earlier ticks
//! could not register.

pub mod handler;
pub mod repair;

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use storewatch_lake::{Registered, Repaired};
use storewatch_runtime::FunctionError;
use storewatch_runtime::events::{Partitions, check_country, parse};

pub use handler::{Ports, register};
pub use repair::{Repair, repair};

/// What lives as long as the process.
pub use storewatch_runtime::CountryContext as Context;

/// One invocation.
///
/// # Errors
/// As [`register`] or [`repair`]; `BadEvent` for another country.
pub async fn invoke(context: Arc<Context>, event: Value) -> Result<Answer, FunctionError> {
    let lake = context.lake().await?;
    let (catalog, metrics) = (context.aws().catalog()?, context.aws().metrics()?);
    let ports = Ports { objects: &*lake.objects, catalog, metrics };
    if event.get("repair").is_some() {
        let event: Repair = parse("register", event)?;
        check_country("register", event.country, lake.code)?;
        return Ok(Answer::Repaired(repair(&ports, &event).await?));
    }
    let event: Partitions = parse("register", event)?;
    for partition in &event.partitions {
        check_country("register", partition.country, lake.code)?;
    }
    Ok(Answer::Registered(register(&ports, lake.code, event.partitions).await?))
}

/// The answer to either event.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Answer {
    Registered(Registered),
    Repaired(Repaired),
}
