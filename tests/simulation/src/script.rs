//! What must happen at one operation of a certain function, for tests that tell one story: it fails, its
//! process dies, or it is held until the test releases it.

use std::sync::Mutex;

use crate::chance::Fate;

/// One entry of the script. Applies to the first operation that matches.
struct Entry {
    /// The end of the invocation's name, and the start of its operation: `merge`, `put country_ticks`.
    function: &'static str,
    operation: &'static str,
    fate: Option<Fate>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Holding,
    Done,
}

/// The script of one world. Without entries, chance decides everything.
#[derive(Default)]
pub struct Script(Mutex<Vec<Entry>>);

/// An operation that is held, or will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold(usize);

/// What the script says about an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Fate(Fate),
    Hold(Hold),
}

impl Script {
    /// Gives the function's next such operation this fate.
    pub fn meets(&self, function: &'static str, operation: &'static str, fate: Fate) {
        self.push(function, operation, Some(fate));
    }

    /// Holds the function's next such operation before it takes effect.
    pub fn hold(&self, function: &'static str, operation: &'static str) -> Hold {
        self.push(function, operation, None)
    }

    fn push(&self, function: &'static str, operation: &'static str, fate: Option<Fate>) -> Hold {
        let mut entries = self.0.lock().unwrap();
        entries.push(Entry { function, operation, fate, state: State::Waiting });
        Hold(entries.len() - 1)
    }

    /// Releases a held operation.
    pub fn release(&self, hold: Hold) {
        let mut entries = self.0.lock().unwrap();
        assert!(entries[hold.0].state == State::Holding, "nothing is held");
        entries[hold.0].state = State::Done;
    }

    /// Whether the operation is being held.
    pub fn holds(&self, hold: Hold) -> bool {
        self.0.lock().unwrap()[hold.0].state == State::Holding
    }

    /// What the script says about the operation, if anything.
    pub fn says(&self, run: &str, operation: &str, what: &str) -> Option<Said> {
        let mut entries = self.0.lock().unwrap();
        let fits = |entry: &Entry| {
            let rest = entry.operation.strip_prefix(operation);
            let of_it = rest.is_some_and(|rest| what.starts_with(rest.trim_start()));
            of_it && run.ends_with(entry.function) && entry.state == State::Waiting
        };
        let n = entries.iter().position(fits)?;
        let entry = &mut entries[n];
        entry.state = if entry.fate.is_some() { State::Done } else { State::Holding };
        Some(entry.fate.map_or(Said::Hold(Hold(n)), Said::Fate))
    }
}
