//! The errors of functions and their stable names. State machines match on the names, so they are a
//! contract; the messages are for people and name what failed, where, and what to do.

use std::error::Error;

use lambda_runtime::Diagnostic;
use storewatch_days::DaysError;
use storewatch_lake::{CatalogError, LakeError, ParquetError, ZonesError};
use storewatch_sources::{LiveViewError, ScheduleError, SecretError};

/// Why a function failed.
#[derive(Debug, thiserror::Error)]
pub enum FunctionError {
    #[error("the event of {function} is wrong: {problem}")]
    BadEvent { function: &'static str, problem: String },
    #[error("{place}: {problem}")]
    BadConfig { place: String, problem: String },
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    #[error(transparent)]
    LiveView(#[from] LiveViewError),
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Zones(#[from] ZonesError),
    #[error("{what} cannot be made into a file")]
    File { what: &'static str, source: ParquetError },
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Days(#[from] DaysError),
    #[error("a fault of the program ended the invocation; the log has where: {what}")]
    Panicked { what: String },
}

impl FunctionError {
    /// The name that state machines match.
    pub fn name(&self) -> &'static str {
        match self {
            Self::BadEvent { .. } => "BadEvent",
            Self::BadConfig { .. }
            | Self::LiveView(
                LiveViewError::Config { .. }
                | LiveViewError::Secret { source: SecretError::Malformed { .. } },
            ) => "BadConfig",
            Self::Schedule(error) => schedule_name(error),
            Self::LiveView(LiveViewError::Incomplete { .. }) => "LiveViewIncomplete",
            Self::LiveView(_) => "LiveViewUnavailable",
            Self::Lake(_) | Self::File { .. } => "LakeUnavailable",
            Self::Zones(error) => zones_name(error),
            Self::Catalog(_) => "CatalogUnavailable",
            Self::Days(error) => days_name(error),
            Self::Panicked { .. } => "Panicked",
        }
    }
}

fn schedule_name(error: &ScheduleError) -> &'static str {
    match error {
        ScheduleError::Config { .. } | ScheduleError::Secret { source: SecretError::Malformed { .. } } => {
            "BadConfig"
        }
        _ => "ScheduleUnavailable",
    }
}

fn zones_name(error: &ZonesError) -> &'static str {
    match error {
        ZonesError::Unusable { .. } => "BadConfig",
        ZonesError::Lake(_) => "LakeUnavailable",
    }
}

fn days_name(error: &DaysError) -> &'static str {
    match error {
        DaysError::Request(_) => "BadEvent",
        DaysError::Ids { .. } => "BadConfig",
        DaysError::Schedule(error) => schedule_name(error),
        DaysError::Zones(error) => zones_name(error),
        DaysError::NotRead => "ScheduleUnavailable",
        DaysError::Lake(_) | DaysError::File { .. } => "LakeUnavailable",
        DaysError::Catalog(_) => "CatalogUnavailable",
    }
}

impl From<FunctionError> for Diagnostic {
    fn from(error: FunctionError) -> Self {
        Self { error_type: error.name().to_owned(), error_message: describe(&error) }
    }
}

/// The error with all its sources, each said once.
pub fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let said = source.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = source.source();
    }
    text
}
