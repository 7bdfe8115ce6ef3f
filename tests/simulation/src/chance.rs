//! The seeded choices: faults, outages, and the pace of time.

use fastrand::Rng;

/// What becomes of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Fine,
    /// It fails before it took effect.
    FailsBefore,
    /// It takes effect, and the answer is lost.
    FailsAfter,
    /// It takes effect, the answer is lost on its way, and the client tries again by itself.
    Repeated,
    /// The process dies before it.
    DiesBefore,
    /// The process dies after it.
    DiesAfter,
}

/// What becomes of one invocation, beside its operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Fine,
    /// Lambda fails before the function runs.
    NotRun,
    /// The function runs, and its answer is lost.
    AnswerLost,
    /// The caller gives up on a function that goes on.
    Abandoned,
    /// The function runs twice at once.
    Doubled,
}

/// How rough one simulation is. A one-in-n of 0 is never.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// One in so many operations meets a fault.
    pub operations: u32,
    /// One in so many invocations does.
    pub invocations: u32,
    /// One in so many executions is stopped at a state.
    pub executions: u32,
    /// Another writer of the catalog comes in between one in so many creations.
    pub intruders: u32,
    /// The most microseconds that pass at one operation.
    pub pace: i64,
}

impl Weather {
    /// Nothing fails, and time hardly passes.
    pub const CALM: Self = Self { operations: 0, invocations: 0, executions: 0, intruders: 0, pace: 10_000 };

    fn drawn(rng: &mut Rng) -> Self {
        let mut one_of = |choices: &[u32]| choices[rng.usize(..choices.len())];
        Self {
            operations: one_of(&[0, 400, 100, 40, 15]),
            invocations: one_of(&[0, 40, 10, 4]),
            executions: one_of(&[0, 200, 40]),
            intruders: one_of(&[0, 10, 3]),
            pace: i64::from(one_of(&[10_000, 500_000, 5_000_000, 40_000_000])),
        }
    }
}

/// The choices of one simulation.
pub struct Chance {
    pub rng: Rng,
    drawn: Weather,
    pub weather: Weather,
}

impl Chance {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let drawn = Weather::drawn(&mut rng);
        Self { rng, drawn, weather: drawn }
    }

    /// Stops all faults, or lets them come again.
    pub fn calm(&mut self, calm: bool) {
        self.weather = if calm { Weather::CALM } else { self.drawn };
    }

    /// Whether a one-in-n event takes place.
    pub fn one_in(&mut self, n: u32) -> bool {
        n > 0 && self.rng.u32(..n) == 0
    }

    pub fn fate(&mut self) -> Fate {
        if !self.one_in(self.weather.operations) {
            return Fate::Fine;
        }
        let fates = [Fate::FailsBefore, Fate::FailsAfter, Fate::Repeated, Fate::DiesBefore, Fate::DiesAfter];
        fates[self.rng.usize(..fates.len())]
    }

    pub fn call(&mut self) -> Call {
        if !self.one_in(self.weather.invocations) {
            return Call::Fine;
        }
        let calls = [Call::NotRun, Call::AnswerLost, Call::Abandoned, Call::Doubled];
        calls[self.rng.usize(..calls.len())]
    }
}
