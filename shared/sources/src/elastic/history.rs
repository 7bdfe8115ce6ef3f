//! Remembers the indices that this process has read. If one of several indices disappears, the answer does not
//! show it: all shards of the others took part, and the stores of the missing one would seem to be unlisted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long to wait for an index that disappeared: one slot. After that, it was removed on purpose.
const PATIENCE: Duration = Duration::from_secs(900);

/// What earlier observations have read.
#[derive(Default)]
pub(super) struct History {
    /// Each index, and since when it is missing, if it is.
    indices: BTreeMap<String, Option<Instant>>,
    /// Whether the mapping has ever matched the country file.
    pub(super) fitted: bool,
}

impl History {
    /// Says which index is missing, given the current ones; `None` if none is. An index does not count as
    /// missing if a new one appeared: it was rebuilt under another name.
    pub(super) fn missing(&mut self, now: BTreeSet<String>, at: Instant) -> Option<String> {
        let is_replaced = now.iter().any(|index| !self.indices.contains_key(index));
        self.indices.retain(|index, since| match since {
            _ if now.contains(index) => true,
            Some(since) => !is_replaced && at.duration_since(*since) < PATIENCE,
            None => !is_replaced,
        });
        for index in &now {
            self.indices.insert(index.clone(), None);
        }
        let (missing, since) = self.indices.iter_mut().find(|(index, _)| !now.contains(*index))?;
        let since = *since.get_or_insert(at);
        let left = PATIENCE.saturating_sub(at.duration_since(since)).as_secs().div_ceil(60);
        Some(format!(
            "index {missing:?} was part of it and is gone; if it was removed on purpose, this error ends in {left} minutes"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn an_index_that_disappeared_is_missing_for_a_slot_unless_it_is_replaced_or_comes_back() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut history = History::default();
        assert_eq!(history.missing(names(&["a", "b"]), start), None);
        // The wait starts when it is noticed: the process may not have looked for a long time.
        for seconds in [2000, 2600, 2899] {
            let missing = history.missing(names(&["a"]), after(seconds)).unwrap();
            assert!(missing.contains("\"b\""), "{missing}");
        }
        assert_eq!(history.missing(names(&["a"]), after(2900)), None);
        assert_eq!(history.missing(names(&["a", "b"]), after(2901)), None);
        assert!(history.missing(names(&["a"]), after(2902)).is_some());
        assert_eq!(history.missing(names(&["a", "b"]), after(2903)), None, "it came back");
        assert_eq!(history.missing(names(&["a", "c"]), after(2904)), None, "c took the place of b");
        assert_eq!(history.missing(names(&["a", "c"]), after(2905)), None);
    }
}
