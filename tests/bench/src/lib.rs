//! Shared by benchmarks and measurements: a generated day of ticks, and a bucket in a folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]

pub mod day;
pub mod disk;
