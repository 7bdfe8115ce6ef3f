//! Simulates country ticks from a seed. The real functions run on a lake, a catalog and sources in memory.
//! Chance decides which task continues at each I/O, what fails before or after it took effect, which
//! process is killed, and how time passes. After every write, invariants are checked; at the end, when
//! everything works again, the final state is checked too.
//!
//! | module | what it is |
//! |---|---|
//! | [`truth`] | what the sources say at any time, and the rows that follow from it by a simple model |
//! | [`world`] | what all executions of one simulation share |
//! | [`chance`] | seeded random choices: faults, outages, how fast time passes |
//! | [`script`] | what must happen at a certain operation, for tests that tell one story |
//! | [`executor`] | runs tasks on one thread, and lets chance choose the next one |
//! | [`lake`], [`ports`] | the functions' ports, with faults |
//! | [`functions`] | an invocation, as Lambda would run it |
//! | [`machine`] | an execution of `statemachine/country.asl.json` |
//! | [`current`] | who is in an outage, by all rows |
//! | [`invariants`] | what must hold after every write, and at the end |
//! | [`driver`] | runs one simulation from its seed |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "only tests use it, and a test fails by panicking"
)]

pub mod chance;
pub mod current;
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
