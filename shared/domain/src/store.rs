//! A store of PostgreSQL, and the ids by which the two sources name the same store.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hours::StoreHours;

/// A store as PostgreSQL describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Store {
    /// Its id as text, as PostgreSQL writes it.
    pub id: String,
    /// What people call it.
    pub name: Option<String>,
    /// The city by which it is summed up.
    pub city: Option<String>,
    /// The IANA name of its zone as PostgreSQL has it; the country's default where it is null.
    pub timezone: Option<String>,
    /// Its weekly rows and exceptions, without the rows that cannot be used.
    pub hours: StoreHours,
    /// What is wrong with the store's rows, and with which; such a store is `unknown`.
    pub problem: Option<String>,
}

impl Store {
    /// Marks the store as one that cannot be judged. The first problem stays.
    pub fn spoil(&mut self, problem: impl fmt::Display) {
        if self.problem.is_none() {
            self.problem = Some(problem.to_string());
        }
    }
}

/// How the live view's id field is mapped, which decides the order of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdType {
    /// Signed 64-bit numbers, in the order of numbers.
    Long,
    /// Text, in the order of its UTF-8 bytes.
    Keyword,
}

/// A store's id as the live view has it and orders it.
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
    /// The longest text, in bytes, that can be an id: longer ones are in no range that Elasticsearch takes,
    /// for it makes an automaton of at most 1,000 states of a bound.
    pub const LONGEST: usize = 512;

    /// Turns PostgreSQL's id into the live view's; nothing where it cannot be one: it is no number but must be
    /// one, or its text is longer than [`StoreKey::LONGEST`].
    pub fn new(id: &str, id_type: IdType) -> Option<Self> {
        match id_type {
            IdType::Long => id.trim_ascii().parse().ok().map(Self::Long),
            IdType::Keyword => Some(Self::Keyword(id.to_owned())).filter(Self::can_bound),
        }
    }

    /// Whether a range can be asked for that begins or ends with this id.
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

/// A contiguous range of ids: from `first` on, up to but without `last`; open where one is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The smallest id of the range.
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

    /// Whether no id at all can lie in the range.
    pub fn is_empty(&self) -> bool {
        matches!((&self.first, &self.last), (Some(first), Some(last)) if last <= first)
    }
}
