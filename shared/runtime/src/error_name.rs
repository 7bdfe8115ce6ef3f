//! The stable names of errors, which state machines match: a contract.

/// A function's error as the state machines know it, in `errorType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// A fault of the program.
    Panicked,
}

impl ErrorName {
    /// Every name.
    pub const ALL: [Self; 8] = [
        Self::BadEvent,
        Self::BadConfig,
        Self::ScheduleUnavailable,
        Self::LiveViewUnavailable,
        Self::LiveViewIncomplete,
        Self::LakeUnavailable,
        Self::CatalogUnavailable,
        Self::Panicked,
    ];

    /// The name as `errorType` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadEvent => "BadEvent",
            Self::BadConfig => "BadConfig",
            Self::ScheduleUnavailable => "ScheduleUnavailable",
            Self::LiveViewUnavailable => "LiveViewUnavailable",
            Self::LiveViewIncomplete => "LiveViewIncomplete",
            Self::LakeUnavailable => "LakeUnavailable",
            Self::CatalogUnavailable => "CatalogUnavailable",
            Self::Panicked => "Panicked",
        }
    }

    /// Whether another try may succeed. The same event and the same configuration fail the same way again.
    pub const fn is_retryable(self) -> bool {
        !matches!(self, Self::BadEvent | Self::BadConfig)
    }
}
