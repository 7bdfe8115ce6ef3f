//! Writes the files that a day of ticks leaves into a folder: `make_day STORES FOLDER`.
//!
//! `CHANGED` stores (default 20) change their name at each reading of the schedules.
#![allow(clippy::unwrap_used, reason = "a generator ends by panicking")]

use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [stores, folder] = arguments.as_slice() else {
        eprintln!("usage: make_day STORES FOLDER");
        std::process::exit(2);
    };
    storewatch_bench::day::make(Path::new(folder), stores.parse().unwrap());
}
