//! `infra/vocabulary.json` tells other languages the names that this code writes: statuses, reasons,
//! outcomes, errors, tables and columns. This test holds the file against the code.
//!
//! `make generate` sets `WRITE_VOCABULARY`, with which the test writes the file first.

use std::path::Path;

use serde_json::{Value, json};
use storewatch_domain::{Reason, Slot, Status};
use storewatch_lake::{Outcome, Table};
use storewatch_runtime::ErrorName;
use storewatch_runtime::config::RunSection;
use storewatch_runtime::events::{OBSERVING_AFTER_LOOK_MICROS, OBSERVING_MICROS};

fn vocabulary() -> Value {
    let columns = |table: Table| -> Vec<Value> {
        table.columns().iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect()
    };
    json!({
        "slot_seconds": Slot::SECONDS,
        "observing_seconds": OBSERVING_MICROS / 1_000_000,
        "latest_look_seconds": RunSection::LATEST_LOOK_SECONDS,
        "observing_after_look_seconds": OBSERVING_AFTER_LOOK_MICROS / 1_000_000,
        "statuses": Status::ALL.map(|status| json!({ "name": status.as_str(), "is_rated": status.is_rated() })),
        "reasons": Reason::ALL.map(Reason::as_str),
        "outcomes": Outcome::ALL.map(Outcome::as_str),
        "errors": ErrorName::ALL.map(|name| json!({ "name": name.as_str(), "is_retryable": name.is_retryable() })),
        "tables": Table::ALL.map(|table| json!({
            "name": table.name(),
            "is_ticked": Table::TICKED.contains(&table),
            "columns": columns(table),
        })),
    })
}

#[test]
fn the_vocabulary_file_says_what_the_code_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/vocabulary.json");
    let wanted = format!("{:#}\n", vocabulary());
    if std::env::var_os("WRITE_VOCABULARY").is_some() {
        std::fs::write(&file, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == wanted, "infra/vocabulary.json differs from the code: run `make generate`");
}
