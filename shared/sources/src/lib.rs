//! The two sources that Storewatch compares: schedules, which say when a store should be open, and the
//! live view, which users see. Each has a trait, a real implementation and one in memory.

pub mod elastic;
pub mod live_view;
pub mod memory;
pub mod postgres;
pub mod schedules;
pub mod secret;
mod unicode;

pub use elastic::{Access, ElasticConfig, ElasticLiveView};
pub use live_view::{LiveView, LiveViewError};
pub use postgres::{AddressError, PostgresAddress, PostgresConfig, PostgresSchedules, Queries};
pub use schedules::{Read, ReadRequest, ScheduleError, Schedules};
pub use secret::{Credentials, FixedSecret, Secret, SecretError};
