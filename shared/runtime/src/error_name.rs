//! The stable names of errors. State machines match them, so they are a contract.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of a function's error, in `errorType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ErrorName {
    /// The event is wrong.
    BadEvent,
    /// The country file, its queries, a secret's form or the environment is wrong.
    BadConfig,
    /// PostgreSQL or its secret is unavailable.
    ScheduleUnavailable,
    /// The live view or its secret is unavailable.
    LiveViewUnavailable,
    /// The live view returned only part of an answer.
    LiveViewIncomplete,
    /// S3 failed, or an object is missing or damaged.
    LakeUnavailable,
    /// Glue failed or refused.
    CatalogUnavailable,
}

impl ErrorName {
    /// Every name.
    pub const ALL: [Self; 7] = [
        Self::BadEvent,
        Self::BadConfig,
        Self::ScheduleUnavailable,
        Self::LiveViewUnavailable,
        Self::LiveViewIncomplete,
        Self::LakeUnavailable,
        Self::CatalogUnavailable,
    ];

    /// The name in `errorType`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadEvent => "BadEvent",
            Self::BadConfig => "BadConfig",
            Self::ScheduleUnavailable => "ScheduleUnavailable",
            Self::LiveViewUnavailable => "LiveViewUnavailable",
            Self::LiveViewIncomplete => "LiveViewIncomplete",
            Self::LakeUnavailable => "LakeUnavailable",
            Self::CatalogUnavailable => "CatalogUnavailable",
        }
    }

    /// Whether another try may succeed. A wrong event or configuration fails again in the same way.
    pub const fn is_retryable(self) -> bool {
        !matches!(self, Self::BadEvent | Self::BadConfig)
    }
}

/// The text is not an [`ErrorName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of an error")]
pub struct InvalidErrorName(pub String);

impl FromStr for ErrorName {
    type Err = InvalidErrorName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|name| name.as_str() == text);
        known.ok_or_else(|| InvalidErrorName(text.to_owned()))
    }
}

impl TryFrom<String> for ErrorName {
    type Error = InvalidErrorName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ErrorName> for String {
    fn from(name: ErrorName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for ErrorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
