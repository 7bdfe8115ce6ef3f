//! Country ticks simulated from a seed. The real functions run on a lake, a catalog and sources in
//! memory, while chance decides which task goes on at each I/O, what fails before or after it took
//! effect, who is killed, and how time passes. After every write it is checked what must always
//! hold; at the end, when all is well again, what everything must have come to.
//!
//! | module | what it is |
//! |---|---|
//! | [`truth`] | what the sources say at any time, and the rows that follow, by a model of its own |
//! | [`world`] | all that the executions of one simulation share |
//! | [`chance`] | the seeded choices: faults, outages, the pace of time |
//! | [`script`] | what must happen at a certain operation, where a test tells one story |
//! | [`executor`] | runs tasks on one thread, and lets chance choose whose turn it is |
//! | [`lake`], [`ports`] | the functions' ports, with faults |
//! | [`functions`] | an invocation, as Lambda would run it |
//! | [`machine`] | an execution of `statemachine/country.asl.json` |
//! | [`invariants`] | what holds after every write, and when all is well again |
//! | [`driver`] | one simulation from its seed |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "only tests use it, and they fail so"
)]

pub mod chance;
pub mod driver;
pub mod executor;
pub mod functions;
pub mod invariants;
pub mod lake;
pub mod machine;
pub mod ports;
pub mod script;
pub mod truth;
pub mod world;
