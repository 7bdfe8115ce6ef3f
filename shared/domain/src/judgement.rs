//! Judgement: turns a store's schedule and what the live view shows into one status.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::hours::Opening;

/// The result for a store in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Scheduled and online.
    Available,
    /// Scheduled, listed, not online.
    Unavailable,
    /// Scheduled, not in the live view.
    Unlisted,
    /// Online while not scheduled.
    Unexpected,
    /// Not scheduled and not online.
    Closed,
    /// In the live view, but not in PostgreSQL.
    Orphan,
    /// Could not be judged; [`Judged::reason`] says why.
    Unknown,
}

impl Status {
    /// Every status, in the order of the tables' columns.
    pub const ALL: [Self; 7] = [
        Self::Available,
        Self::Unavailable,
        Self::Unlisted,
        Self::Unexpected,
        Self::Closed,
        Self::Orphan,
        Self::Unknown,
    ];

    /// The name used in columns and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Unavailable => "unavailable",
            Self::Unlisted => "unlisted",
            Self::Unexpected => "unexpected",
            Self::Closed => "closed",
            Self::Orphan => "orphan",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the status counts towards availability. `available` counts in the numerator and the
    /// denominator, `unavailable` and `unlisted` in the denominator only.
    pub const fn is_rated(self) -> bool {
        matches!(self, Self::Available | Self::Unavailable | Self::Unlisted)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not a [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a status of a store")]
pub struct InvalidStatus(pub String);

impl FromStr for Status {
    type Err = InvalidStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|status| status.as_str() == text);
        known.ok_or_else(|| InvalidStatus(text.to_owned()))
    }
}

/// Why the live view could not be used for a chunk of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ViewFailure {
    /// It did not answer, or refused.
    Unavailable,
    /// It returned only part of an answer.
    Incomplete,
    /// It was observed outside the slot. The past of a live view cannot be observed.
    Late,
}

/// Why a store is [`Status::Unknown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Reason {
    /// The live view did not answer, or refused.
    LiveViewUnavailable,
    /// The live view returned only part of an answer.
    LiveViewIncomplete,
    /// A row of the store's schedule is invalid, or its time zone does not exist.
    BadSchedule,
    /// It was observed outside the slot.
    Late,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 4] =
        [Self::LiveViewUnavailable, Self::LiveViewIncomplete, Self::BadSchedule, Self::Late];

    /// The name used in the column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LiveViewUnavailable => "live_view_unavailable",
            Self::LiveViewIncomplete => "live_view_incomplete",
            Self::BadSchedule => "bad_schedule",
            Self::Late => "late",
        }
    }

    /// Why the live view was not used; `None` if the store's schedule is to blame.
    pub const fn view_failure(self) -> Option<ViewFailure> {
        match self {
            Self::LiveViewUnavailable => Some(ViewFailure::Unavailable),
            Self::LiveViewIncomplete => Some(ViewFailure::Incomplete),
            Self::BadSchedule => None,
            Self::Late => Some(ViewFailure::Late),
        }
    }
}

/// The text is not a [`Reason`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a reason for which a store is unknown")]
pub struct InvalidReason(pub String);

impl FromStr for Reason {
    type Err = InvalidReason;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|reason| reason.as_str() == text);
        known.ok_or_else(|| InvalidReason(text.to_owned()))
    }
}

impl TryFrom<String> for Reason {
    type Error = InvalidReason;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.as_str().to_owned()
    }
}

impl From<ViewFailure> for Reason {
    fn from(failure: ViewFailure) -> Self {
        match failure {
            ViewFailure::Unavailable => Self::LiveViewUnavailable,
            ViewFailure::Incomplete => Self::LiveViewIncomplete,
            ViewFailure::Late => Self::Late,
        }
    }
}

/// A store in the live view: all its documents together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LiveStore {
    /// Whether any of its documents matches the country's `online` query.
    pub online: bool,
    /// The reason that the documents give, if any of them has one.
    pub reason: Option<String>,
}

impl LiveStore {
    /// Adds a document of the store. The store is online if any document is. Its reason comes from the
    /// documents with the same `online` as the store: the first in text order, so the order in which
    /// documents arrive does not matter.
    pub fn add(&mut self, online: bool, reason: Option<String>) {
        match (self.online, online) {
            (true, false) => {}
            (false, true) => *self = Self { online, reason },
            _ => {
                self.reason = match (self.reason.take(), reason) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                }
            }
        }
    }
}

/// What the live view showed of a store at one instant of the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen<'a> {
    /// The instant, in seconds since the start of the slot, 0 to 899.
    pub second: u16,
    /// The store's documents; `None` if it is not listed.
    pub store: Option<&'a LiveStore>,
}

/// The judgement of one store in one slot. The fields are the columns of the same names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged<'a> {
    /// The result.
    pub status: Status,
    /// Whether the store should be open when it was observed; `None` without an observation or a schedule.
    pub scheduled: Option<bool>,
    /// How much of the slot lies within the hours, 0 to 900 seconds; `None` without a schedule.
    pub scheduled_seconds: Option<u16>,
    /// Whether it is in the live view; `None` if not observed.
    pub listed: Option<bool>,
    /// Whether it is online; `None` if not observed, false if not listed.
    pub online: Option<bool>,
    /// For `unknown`, why; otherwise the reason that the documents give.
    pub reason: Option<&'a str>,
}

/// Judges a store of PostgreSQL.
///
/// `opening` is when the store is open in the slot, or `None` if its schedule is bad. `view` is what the
/// live view showed, or why it could not be used. If both are bad, the reason is the schedule: it is
/// still bad when the view is back.
///
/// ```
/// use storewatch_domain::*;
/// let (closed, offline) = (Opening::default(), LiveStore::default());
/// let seen = Seen { second: 12, store: Some(&offline) };
/// assert_eq!(judge(Some(&closed), Ok(seen)).status, Status::Closed);
/// assert_eq!(judge(Some(&closed), Err(ViewFailure::Late)).reason, Some("late"));
/// assert_eq!(judge(None, Ok(seen)).reason, Some("bad_schedule"));
/// ```
pub fn judge<'a>(opening: Option<&Opening>, view: Result<Seen<'a>, ViewFailure>) -> Judged<'a> {
    let seen = view.ok();
    let listed = seen.map(|seen| seen.store.is_some());
    let online = seen.map(|seen| seen.store.is_some_and(|store| store.online));
    let scheduled = opening.zip(seen).map(|(opening, seen)| opening.contains(seen.second));
    let (status, reason) = match (opening, view) {
        (None, _) => (Status::Unknown, Some(Reason::BadSchedule.as_str())),
        (Some(_), Err(failure)) => (Status::Unknown, Some(Reason::from(failure).as_str())),
        (Some(opening), Ok(seen)) => {
            let status = match (opening.contains(seen.second), seen.store) {
                (true, Some(store)) if store.online => Status::Available,
                (true, Some(_)) => Status::Unavailable,
                (true, None) => Status::Unlisted,
                (false, Some(store)) if store.online => Status::Unexpected,
                (false, _) => Status::Closed,
            };
            (status, seen.store.and_then(|store| store.reason.as_deref()))
        }
    };
    let scheduled_seconds = opening.map(Opening::seconds);
    Judged { status, scheduled, scheduled_seconds, listed, online, reason }
}

/// Judges a store that is only in the live view.
pub fn orphan(store: &LiveStore) -> Judged<'_> {
    Judged {
        status: Status::Orphan,
        scheduled: None,
        scheduled_seconds: None,
        listed: Some(true),
        online: Some(store.online),
        reason: store.reason.as_deref(),
    }
}
