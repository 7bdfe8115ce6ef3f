//! Runs the fuzz targets (`targets/mod.rs`) on random bytes, so that every `cargo test` compiles and checks
//! them. `make fuzz` goes further: it chooses the bytes by coverage.
//!
//! When a fuzzer finds a mistake, add a test to `hours.rs` with a name that says what went wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod targets;

use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn both_implementations_agree_on_hours_made_from_any_bytes(bytes in vec(any::<u8>(), 0..120)) {
        targets::hours(&bytes);
    }

    #[test]
    fn any_text_is_parsed_or_refused(bytes in vec(any::<u8>(), 0..80)) {
        targets::texts(&bytes);
    }

    #[test]
    fn any_rows_that_are_accepted_can_be_judged(bytes in vec(any::<u8>(), 0..200)) {
        targets::rows(&bytes);
    }
}
