//! Seeded random choices: faults, outages, and how fast time passes.

use fastrand::Rng;

/// What happens to one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Fine,
    /// It fails without effect.
    FailsBefore,
    /// It takes effect, but its answer is lost.
    FailsAfter,
    /// It takes effect, its answer is lost, and the client retries by itself.
    Repeated,
    /// The process dies before it.
    DiesBefore,
    /// The process dies after it.
    DiesAfter,
}

/// What happens to one invocation, besides its operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Fine,
    /// Lambda fails before the function runs.
    NotRun,
    /// The function runs, but its answer is lost.
    AnswerLost,
    /// The caller gives up, but the function continues.
    Abandoned,
    /// The function runs twice at the same time.
    Doubled,
}

/// How rough a simulation is. One in `n`; 0 means never.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// One in this many operations fails.
    pub operations: u32,
    /// One in this many invocations fails.
    pub invocations: u32,
    /// One in this many executions is stopped at a state.
    pub executions: u32,
    /// Another writer of the catalog interrupts one in this many creations.
    pub intruders: u32,
    /// The most time that passes at one operation, in microseconds.
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

/// The random choices of one simulation.
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

    /// Stops all faults, or starts them again.
    pub fn calm(&mut self, calm: bool) {
        self.weather = if calm { Weather::CALM } else { self.drawn };
    }

    /// Returns true once in `n` on average.
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
