//! The indices that a process has read. One of several that vanishes leaves no trace in an answer: the
//! others answer for themselves, all shards took part, and its stores would seem to be unlisted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long an index that vanished is waited for: a slot. After that it was meant to go.
const PATIENCE: Duration = Duration::from_secs(900);

/// What the observations before have seen.
#[derive(Default)]
pub(super) struct History {
    /// Each index, and since when it is missing.
    indices: BTreeMap<String, Option<Instant>>,
    /// Whether the mapping has ever fitted the country file.
    pub(super) fitted: bool,
}

impl History {
    /// What is missing of the view that was there before, given the indices of now. An index in whose place a
    /// new one came is not missed: it was made anew under another name.
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
            "index {missing:?}, which was part of it, is gone; if that is meant, it is taken so in {left} minutes"
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
    fn an_index_that_vanished_is_missed_for_a_slot_unless_it_was_replaced_or_came_back() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut history = History::default();
        assert_eq!(history.missing(names(&["a", "b"]), start), None);
        // The wait begins when it is noticed: the process may not have looked for long.
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
