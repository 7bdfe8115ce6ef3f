//! Stores, and the ids that match a store in PostgreSQL to its documents in the live view.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hours::StoreHours;
use crate::labels::Labels;

/// A store as PostgreSQL describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// The id, as PostgreSQL writes it as text.
    pub id: String,
    /// The display name.
    pub name: Option<String>,
    /// The city that it counts towards in summaries.
    pub city: Option<String>,
    /// The IANA name of its time zone, as PostgreSQL has it. `None` means the country's default.
    pub timezone: Option<String>,
    /// Whose store it is.
    pub labels: Labels,
    /// Weekly rows and exceptions, without the rows that are invalid.
    pub hours: StoreHours,
    /// Which of its rows is invalid, and why. A store with a problem is `unknown`.
    pub problem: Option<String>,
}

impl Store {
    /// Marks the store as one that cannot be judged. If it has a problem already, keeps that one.
    pub fn spoil(&mut self, problem: impl fmt::Display) {
        if self.problem.is_none() {
            self.problem = Some(problem.to_string());
        }
    }
}

/// How the live view maps its id field. This decides the order of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdType {
    /// Signed 64-bit numbers, in numeric order.
    Long,
    /// Text, ordered by its UTF-8 bytes.
    Keyword,
}

/// A store's id as the live view has it. Ordered as the live view orders ids.
///
/// ```
/// use storewatch_domain::{IdType, StoreKey};
/// let (nine, ten) = (StoreKey::new("9", IdType::Long), StoreKey::new("10", IdType::Long));
/// assert!(nine < ten);
/// assert!(StoreKey::new("9", IdType::Keyword) > StoreKey::new("10", IdType::Keyword));
/// assert_eq!(StoreKey::new("ten", IdType::Long), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StoreKey {
    /// An id of [`IdType::Long`].
    Long(i64),
    /// An id of [`IdType::Keyword`].
    Keyword(String),
}

impl StoreKey {
    /// The longest text id, in bytes. Elasticsearch turns a bound of a range into an automaton of at most
    /// 1,000 states, so it refuses ranges with longer bounds.
    pub const LONGEST: usize = 512;

    /// Turns PostgreSQL's id into the live view's. `None` if it cannot be one: it must be a number and is
    /// not, or it is a text longer than [`StoreKey::LONGEST`].
    pub fn new(id: &str, id_type: IdType) -> Option<Self> {
        match id_type {
            IdType::Long => id.trim_ascii().parse().ok().map(Self::Long),
            IdType::Keyword => Some(Self::Keyword(id.to_owned())).filter(Self::can_bound),
        }
    }

    /// Whether Elasticsearch accepts this id as the bound of a range.
    pub fn can_bound(&self) -> bool {
        match self {
            Self::Long(_) => true,
            Self::Keyword(id) => id.len() <= Self::LONGEST,
        }
    }
}

impl fmt::Display for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Long(id) => write!(f, "{id}"),
            Self::Keyword(id) => f.write_str(id),
        }
    }
}

/// A contiguous range of ids, from `first` up to but not including `last`. A bound that is `None` is open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The smallest id in the range.
    pub first: Option<StoreKey>,
    /// The smallest id after the range.
    pub last: Option<StoreKey>,
}

impl IdRange {
    /// Whether the id lies in the range.
    pub fn contains(&self, key: &StoreKey) -> bool {
        self.first.as_ref().is_none_or(|first| first <= key)
            && self.last.as_ref().is_none_or(|last| key < last)
    }

    /// Whether the range contains no id.
    pub fn is_empty(&self) -> bool {
        matches!((&self.first, &self.last), (Some(first), Some(last)) if last <= first)
    }
}
