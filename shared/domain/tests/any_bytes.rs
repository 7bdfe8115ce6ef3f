//! The fuzz targets (`targets/mod.rs`) on random bytes, so that they compile and hold in every `cargo test`;
//! `make fuzz` goes further, by what the bytes reach.
//!
//! What a fuzzer finds belongs in `hours.rs`, under a name that says what went wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod targets;

use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_bytes_make_hours_on_which_both_implementations_agree(bytes in vec(any::<u8>(), 0..120)) {
        targets::hours(&bytes);
    }

    #[test]
    fn any_text_is_understood_or_refused(bytes in vec(any::<u8>(), 0..80)) {
        targets::texts(&bytes);
    }

    #[test]
    fn any_rows_that_are_accepted_can_be_judged(bytes in vec(any::<u8>(), 0..200)) {
        targets::rows(&bytes);
    }
}
