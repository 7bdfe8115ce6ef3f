//! Country ticks and days through the functions, in memory. One program, because each would compile the functions again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod compaction;
mod country_tick;
mod current_outages;
mod delivery;
mod looking_again;
mod openings;
mod outages;
mod restatement;
mod schedules_table;
mod sources_that_change;
mod time_and_change;
mod waiting;
mod zones;
