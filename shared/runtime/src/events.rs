//! What one function writes and another reads: events, and notes in the lake.
//!
//! A deployment changes functions one after the other while ticks run, so a function can get a field that only the
//! newer release of another knows. It ignores that field.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storewatch_domain::{CountryCode, Instant, Reason, Slot, StoreKey};
use storewatch_lake::Partition;

use crate::error::FunctionError;
use crate::error_name::ErrorName;

/// How long after its start a country tick observes, in microseconds. Merging and registering need the rest of
/// the state machine's time: statemachine/retries.toml has the sum.
pub const OBSERVING_MICROS: i64 = 450 * 1_000_000;
/// How long after the place in the slot at which its country looks it observes at least.
pub const OBSERVING_AFTER_LOOK_MICROS: i64 = 60 * 1_000_000;

/// One item of the manifest: a chunk of stores that one `observe` handles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkItem {
    pub country: CountryCode,
    pub slot: Slot,
    /// When the schedules were read.
    pub schedule_as_of: Instant,
    /// The number of the chunk, from 0.
    pub chunk: u32,
    /// The key of the chunk's snapshot.
    pub key: String,
    /// The smallest id of the chunk; null in the first chunk, which has no lower end.
    #[serde(with = "crate::exact_ids")]
    pub first: Option<StoreKey>,
    /// The smallest id after the chunk; null in the last chunk, which has no upper end.
    #[serde(with = "crate::exact_ids")]
    pub last: Option<StoreKey>,
    /// How many stores the chunk's snapshot holds.
    pub stores: usize,
    /// The key of the zone data for the whole tick; absent for the release that is built into the functions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones: Option<String>,
    /// When the country tick started. The state machine adds it, because a manifest can serve more than one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Instant>,
}

/// Why a chunk staged nothing: a note from `observe` to `merge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unobserved {
    pub chunk: u32,
    /// Why its stores are unknown, as in the column.
    pub reason: Reason,
    /// `None` if an older release wrote the note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Cause>,
    #[serde(default)]
    pub message: String,
}

/// What kept a chunk from being observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cause {
    /// `observe` failed.
    Error(ErrorName),
    /// `observe` did not fail, but did not observe either: [`Reason::Late`].
    Reason(Reason),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error(name) => name.as_str(),
            Self::Reason(reason) => reason.as_str(),
        })
    }
}

/// Why a slot was planned on an older snapshot: a note from `plan` to `merge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaleSchedules {
    /// When the snapshot was read.
    pub schedule_as_of: Instant,
    pub error: ErrorName,
    pub message: String,
}

/// The event of `register`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partitions {
    pub partitions: Vec<Partition>,
}

/// Reads an event.
///
/// # Errors
/// `BadEvent`, which names the function and the field.
pub fn parse<T: DeserializeOwned>(function: &'static str, event: Value) -> Result<T, FunctionError> {
    serde_path_to_error::deserialize(event)
        .map_err(|error| FunctionError::BadEvent { function, problem: error.to_string() })
}

/// Reads an event of a function that did more in an earlier release. `Old` is the part that only the old event
/// has. `to` is the function that does that work now, and the field that asked for it.
///
/// # Errors
/// `BadEvent`, as [`parse`]; for an old event it says which function to call.
pub fn parse_unless_moved<T: DeserializeOwned, Old: DeserializeOwned>(
    function: &'static str,
    event: Value,
    to: &'static str,
) -> Result<T, FunctionError> {
    if Old::deserialize(&event).is_ok() {
        let problem = format!("it is of an earlier release; call the function {to} without \"{to}\"");
        return Err(FunctionError::BadEvent { function, problem });
    }
    parse(function, event)
}

/// Checks that the event is for the function's own country.
///
/// # Errors
/// `BadEvent`, which names both countries.
pub fn check_country(
    function: &'static str,
    event: CountryCode,
    own: CountryCode,
) -> Result<(), FunctionError> {
    if event == own {
        return Ok(());
    }
    let problem = format!("country {event:?} is not {own:?}, the country that this function serves");
    Err(FunctionError::BadEvent { function, problem })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_note_has_the_form_that_earlier_releases_read_and_theirs_is_read() {
        let note = |reason, error| Unobserved { chunk: 7, reason, error, message: "why".to_owned() };
        let late = note(Reason::Late, Some(Cause::Reason(Reason::Late)));
        let failed = note(Reason::LiveViewUnavailable, Some(Cause::Error(ErrorName::BadConfig)));
        for (note, reason, error) in [(late, "late", "late"), (failed, "live_view_unavailable", "BadConfig")]
        {
            let json = json!({ "chunk": 7, "reason": reason, "error": error, "message": "why" });
            assert_eq!(serde_json::to_value(&note).unwrap(), json);
            assert_eq!(serde_json::from_value::<Unobserved>(json).unwrap(), note);
        }
        let oldest: Unobserved = serde_json::from_value(json!({ "chunk": 7, "reason": "late" })).unwrap();
        assert_eq!((oldest.reason, oldest.error), (Reason::Late, None));
    }

    fn chunk_item() -> Value {
        json!({
            "country": "es", "slot": "2026-11-23T04:15:00Z", "schedule_as_of": "2026-11-23T04:15:01.000000Z", "chunk": 0,
            "key": "k", "first": null, "last": null, "stores": 1,
        })
    }

    #[test]
    fn a_field_of_a_newer_release_is_ignored() {
        let mut chunk = chunk_item();
        chunk["newer"] = json!({ "field": 1 });
        assert_eq!(parse::<ChunkItem>("observe", chunk).unwrap().key, "k");
        let partition = json!({
            "table": "country_ticks", "country": "es", "day": "2026-11-23", "location": "s3://lake/", "newer": true,
        });
        let partitions = json!({ "partitions": [partition], "newer": null });
        assert_eq!(parse::<Partitions>("register", partitions).unwrap().partitions.len(), 1);
    }

    /// What Step Functions makes of an item of the manifest: every number becomes a double.
    fn through_the_map(value: Value) -> Value {
        match value {
            Value::Number(number) => {
                // All numbers of an item are whole, and stay so.
                serde_json::from_str(&format!("{:.0}", number.as_f64().unwrap())).unwrap()
            }
            Value::Array(items) => items.into_iter().map(through_the_map).collect(),
            Value::Object(fields) => {
                fields.into_iter().map(|(name, field)| (name, through_the_map(field))).collect()
            }
            other => other,
        }
    }

    #[test]
    fn ids_that_no_double_holds_pass_the_map_unchanged() {
        let keyword = |id: &str| StoreKey::Keyword(id.to_owned());
        let long = StoreKey::Long;
        let cases = [
            (Some(long((1 << 53) + 1)), Some(long(i64::MAX))),
            (Some(long(i64::MIN)), Some(long(-(1 << 53) - 1))),
            (Some(long((1 << 53) - 1)), Some(long(1 << 53))),
            (None, Some(long(1016))),
            (Some(keyword("9007199254740993")), None),
        ];
        for (first, last) in cases {
            let item = ChunkItem { first, last, ..parse("observe", chunk_item()).unwrap() };
            let passed = through_the_map(serde_json::to_value(&item).unwrap());
            assert_eq!(parse::<ChunkItem>("observe", passed).unwrap(), item);
        }
    }

    #[test]
    fn ids_that_a_double_holds_keep_the_form_that_earlier_releases_read() {
        let mut item = chunk_item();
        (item["first"], item["last"]) = (json!(1016), json!("a"));
        let read = parse::<ChunkItem>("observe", item.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), item);
    }

    #[test]
    fn a_wrong_time_in_an_event_is_a_bad_event_that_names_its_field() {
        let mut event = chunk_item();
        event["schedule_as_of"] = json!("yesterday");
        let error = parse::<ChunkItem>("observe", event).unwrap_err();
        assert_eq!(error.name(), ErrorName::BadEvent);
        assert!(
            error.to_string().contains("schedule_as_of: \"yesterday\" is not an RFC 3339 time"),
            "{error}"
        );
    }
}
