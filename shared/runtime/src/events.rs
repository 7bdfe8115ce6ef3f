//! The shapes of the functions' events that one function makes and another takes.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storewatch_domain::{CountryCode, Instant, Reason, Slot, StoreKey};
use storewatch_lake::Partition;

use crate::error::FunctionError;
use crate::error_name::ErrorName;

/// For how long after its start a country tick observes, in microseconds. What comes after must have its
/// time before the machine's own ends: statemachine/retries.toml holds the sum.
pub const OBSERVING_MICROS: i64 = 450 * 1_000_000;

/// One item of the manifest: a chunk of stores that one `observe` handles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChunkItem {
    pub country: CountryCode,
    pub slot: Slot,
    /// When the schedules were read.
    pub schedule_as_of: Instant,
    /// The number of the chunk, from 0.
    pub chunk: u32,
    /// The key of the chunk's snapshot.
    pub key: String,
    /// The smallest id of the chunk; null in the first one, which is open below.
    pub first: Option<StoreKey>,
    /// The smallest id after the chunk; null in the last one, which is open above.
    pub last: Option<StoreKey>,
    /// How many stores the snapshot of the chunk holds.
    pub stores: usize,
    /// The key of the bundle of zone data by which the whole tick is judged; absent for the release that
    /// the functions are built with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones: Option<String>,
    /// When the country tick started. The state machine adds it: the manifest does not
    /// have it, because a slot can be run more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Instant>,
}

/// Why a chunk staged nothing: what `observe` leaves beside the staged chunks for `merge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unobserved {
    pub chunk: u32,
    /// Why its stores are unknown, as the column says it.
    pub reason: Reason,
    /// `None` in what older releases have written.
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
    /// It did not fail, but did not observe: [`Reason::Late`].
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

/// Why a slot was planned on an older snapshot: what `plan` leaves beside the manifest for `merge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaleSchedules {
    /// When the snapshot was read.
    pub schedule_as_of: Instant,
    pub error: ErrorName,
    pub message: String,
}

/// What `register` is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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

/// Reads an event of a function that did more in an earlier release. `Old` is what only the old event has;
/// `to` names the function that does that work now, and the field by which the old event asked for it.
///
/// # Errors
/// `BadEvent`, as [`parse`]; for an old event it says which function to call.
pub fn parse_unless_moved<T: DeserializeOwned, Old: DeserializeOwned>(
    function: &'static str,
    event: Value,
    to: &'static str,
) -> Result<T, FunctionError> {
    let is_old = Old::deserialize(&event).is_ok();
    parse(function, event).map_err(|error| match is_old {
        true => {
            let problem = format!("it is of an earlier release; call the function {to} without \"{to}\"");
            FunctionError::BadEvent { function, problem }
        }
        false => error,
    })
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
