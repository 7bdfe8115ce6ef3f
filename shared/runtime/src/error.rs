//! The errors of functions and their stable names. State machines match the names, so they are a contract.
//! Messages are for people: they say what failed, where, and what to do.

use std::error::Error;
use std::fmt;

use lambda_runtime::Diagnostic;
use storewatch_days::DaysError;
use storewatch_lake::{CatalogError, LakeError, ParquetError, SnapshotError, ZonesError};
use storewatch_sources::{LiveViewError, ScheduleError, SecretError};

use crate::error_name::ErrorName;

/// Why a function failed.
#[derive(Debug, thiserror::Error)]
pub enum FunctionError {
    #[error("the event of {function} is wrong: {problem}")]
    BadEvent { function: &'static str, problem: String },
    #[error("{place}: {problem}")]
    BadConfig { place: ConfigPlace, problem: String },
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
    #[error("the schedules cannot be made into a file")]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Days(#[from] DaysError),
}

/// Where a configuration is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigPlace {
    /// The name of the whole: a country file with its key, or a variable of the environment.
    Named(String),
    /// A part of the country file, which does not say which file it is.
    Part(String),
}

impl fmt::Display for ConfigPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Named(text) | Self::Part(text)) = self;
        f.write_str(text)
    }
}

impl FunctionError {
    /// The country file is wrong in this part, such as `[live_view].id_type`.
    pub fn bad_part(part: impl Into<String>, problem: impl ToString) -> Self {
        Self::BadConfig { place: ConfigPlace::Part(part.into()), problem: problem.to_string() }
    }

    /// The configuration of this name is wrong: a country file, or a variable of the environment.
    pub(crate) fn bad_config(name: impl Into<String>, problem: impl ToString) -> Self {
        Self::BadConfig { place: ConfigPlace::Named(name.into()), problem: problem.to_string() }
    }

    /// The name that state machines match.
    pub fn name(&self) -> ErrorName {
        match self {
            Self::BadEvent { .. } => ErrorName::BadEvent,
            Self::BadConfig { .. }
            | Self::LiveView(
                LiveViewError::Config { .. }
                | LiveViewError::Secret { source: SecretError::Malformed { .. } },
            ) => ErrorName::BadConfig,
            Self::Schedule(error) => schedule_name(error),
            Self::LiveView(LiveViewError::Incomplete { .. }) => ErrorName::LiveViewIncomplete,
            Self::LiveView(_) => ErrorName::LiveViewUnavailable,
            Self::Lake(_) | Self::File { .. } | Self::Snapshot(_) => ErrorName::LakeUnavailable,
            Self::Zones(error) => zones_name(error),
            Self::Catalog(_) => ErrorName::CatalogUnavailable,
            Self::Days(error) => days_name(error),
        }
    }

    /// Whether the message says where the fault is. If not, it is in the country file.
    pub(crate) fn names_its_place(&self) -> bool {
        match self {
            Self::BadConfig { place, .. } => matches!(place, ConfigPlace::Named(_)),
            // Zone data and secrets are not part of the country file.
            Self::Zones(_) | Self::Days(DaysError::Zones(_)) => true,
            Self::LiveView(LiveViewError::Secret { .. })
            | Self::Schedule(ScheduleError::Secret { .. })
            | Self::Days(DaysError::Schedule(ScheduleError::Secret { .. })) => true,
            error => error.name() != ErrorName::BadConfig,
        }
    }
}

fn schedule_name(error: &ScheduleError) -> ErrorName {
    match error {
        ScheduleError::Config { .. } | ScheduleError::Secret { source: SecretError::Malformed { .. } } => {
            ErrorName::BadConfig
        }
        _ => ErrorName::ScheduleUnavailable,
    }
}

fn zones_name(error: &ZonesError) -> ErrorName {
    match error {
        ZonesError::Unusable { .. } => ErrorName::BadConfig,
        ZonesError::Lake(_) => ErrorName::LakeUnavailable,
    }
}

fn days_name(error: &DaysError) -> ErrorName {
    match error {
        DaysError::Request(_) => ErrorName::BadEvent,
        DaysError::Ids { .. } => ErrorName::BadConfig,
        DaysError::Schedule(error) => schedule_name(error),
        DaysError::Zones(error) => zones_name(error),
        DaysError::NotRead => ErrorName::ScheduleUnavailable,
        DaysError::Lake(_) | DaysError::File { .. } | DaysError::Snapshot(_) => ErrorName::LakeUnavailable,
        DaysError::Catalog(_) => ErrorName::CatalogUnavailable,
    }
}

impl From<FunctionError> for Diagnostic {
    fn from(error: FunctionError) -> Self {
        Self { error_type: error.name().into(), error_message: describe(&error) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fault_of_the_country_file_that_does_not_name_it_needs_its_name() {
        let secret = || SecretError::Malformed { name: "s".to_owned(), problem: "holds bytes".to_owned() };
        let config = || ScheduleError::Config { field: "url", problem: "?".to_owned(), source: None };
        let bad_event = FunctionError::BadEvent { function: "plan", problem: "?".to_owned() };
        for error in [
            FunctionError::bad_config("country file of es", "?"),
            ScheduleError::Secret { source: secret() }.into(),
            LiveViewError::Secret { source: secret() }.into(),
            DaysError::Schedule(ScheduleError::Secret { source: secret() }).into(),
            DaysError::NotRead.into(),
            bad_event,
        ] {
            assert!(error.names_its_place(), "{error}");
        }
        for error in [
            FunctionError::bad_part("[live_view].id_type", "?"),
            config().into(),
            DaysError::Schedule(config()).into(),
        ] {
            assert!(!error.names_its_place(), "{error}");
        }
    }
}
