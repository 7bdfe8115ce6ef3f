//! Country ticks from many seeds, and stories of what they once broke.
//!
//! `SIMULATION_SEED=7` runs only that seed. `SIMULATION_TICKS=100000` changes the number of ticks. Both
//! together run that many ticks, starting with that seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod stories;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use simulation::driver::simulate;

/// The number of ticks in a usual test run.
const TICKS: usize = 2_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Simulates the world of the seed. Panics with the way to repeat it if an invariant is broken.
fn holds(seed: u64) -> usize {
    simulate(seed, false).unwrap_or_else(|_| {
        let broken = simulate(seed, true).expect_err("a seed stands for one simulation");
        panic!(
            "{}\n\nseed {seed}: {}\n\nagain: SIMULATION_SEED={seed} cargo test --workspace --test country_ticks",
            broken.trace, broken.problem
        )
    })
}

#[test]
fn whatever_fails_everything_comes_out_right() {
    let (seed, ticks) = (number("SIMULATION_SEED"), number("SIMULATION_TICKS"));
    let wanted = ticks.map_or(if seed.is_some() { 1 } else { TICKS }, |ticks| ticks as usize);
    let (next, done, broken) =
        (AtomicU64::new(seed.unwrap_or(0)), AtomicUsize::new(0), AtomicBool::new(false));
    let (started, first) = (Instant::now(), next.load(Ordering::Relaxed));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(wanted);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while done.load(Ordering::Relaxed) < wanted && !broken.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let _stop = StopOthers { seed, broken: &broken };
                    done.fetch_add(holds(seed), Ordering::Relaxed);
                }
            });
        }
    });
    let (done, seconds) = (done.into_inner(), started.elapsed().as_secs_f64());
    let worlds = next.into_inner() - first;
    println!("{done} country ticks in {worlds} worlds, {:.0} a second", done as f64 / seconds);
}

/// Stops the other threads if its seed panics, in the simulation or in a function.
struct StopOthers<'a> {
    seed: u64,
    broken: &'a AtomicBool,
}

impl Drop for StopOthers<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("that was seed {}", self.seed);
            self.broken.store(true, Ordering::Relaxed);
        }
    }
}
