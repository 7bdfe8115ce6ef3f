//! The two sources that are compared: schedules, which say when a store should be open, and the
//! live view, which says what users are shown. A trait each, a real one and one in memory.

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
