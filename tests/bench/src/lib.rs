//! Shared by benchmarks and measurements: a generated day of ticks, a bucket in a folder, and stores to judge.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]

pub mod day;
pub mod disk;
pub mod stores;
