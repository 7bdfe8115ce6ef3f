//! What the functions share: the country file, clients, events, logs, metrics, and the names of errors that the
//! state machines match.

pub mod clock;
pub mod config;
pub mod context;
pub mod error;
mod error_name;
pub mod events;
mod exact_ids;
pub mod metrics;
pub mod secrets;
pub mod serve;
mod turn;

pub use clock::{Clock, SystemClock};
pub use config::CountryFile;
pub use context::{AwsContext, Country, CountryContext};
pub use error::{ConfigPlace, FunctionError, describe};
pub use error_name::{ErrorName, InvalidErrorName};
pub use metrics::{Metric, Metrics};
pub use serve::serve;
pub use turn::observe_in_turn;
