//! Runs one simulation from its seed: several slots in which anything can go wrong, then a calm one, then a
//! check of the results.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use storewatch_domain::{CountryCode, Instant, Slot};
use storewatch_lake::{Objects, Outcome, keys};

use crate::executor::{Executor, Task, spawn};
use crate::functions::{Caller, Failure};
use crate::invariants::Invariants;
use crate::machine::{Ended, execute};
use crate::script::Hold;
use crate::world::{Service, World};

/// The slots that are ticked: two on each side of midnight. The first is long past, and an operator ticks
/// it by hand. The last is ticked when everything works again.
const SLOTS: [&str; 6] = [
    "2026-11-01T12:00:00Z",
    "2026-11-23T23:30:00Z",
    "2026-11-23T23:45:00Z",
    "2026-11-24T00:00:00Z",
    "2026-11-24T00:15:00Z",
    "2026-11-24T04:00:00Z",
];
/// More steps than any simulation that ends.
const STEPS: usize = 2_000_000;

/// A simulation that broke an invariant.
#[derive(Debug)]
pub struct Broken {
    pub problem: String,
    pub trace: String,
}

/// A task's result, once it has one.
pub type Answer<T> = Arc<Mutex<Option<T>>>;

/// Starts work that runs beside everything else.
fn begin<T: 'static>(work: impl Future<Output = T> + 'static) -> Answer<T> {
    let answer = Answer::default();
    let given = answer.clone();
    spawn(Task::new(1, async move {
        let came_to = work.await;
        *given.lock().unwrap() = Some(came_to);
    }));
    answer
}

/// A simulation in progress.
pub struct Simulation {
    pub world: Arc<World>,
    executor: Executor,
    invariants: Invariants,
    ticks: usize,
    steps: usize,
}

/// Simulates the world of the seed. Returns how many country ticks it took.
pub fn simulate(seed: u64, traced: bool) -> Result<usize, Broken> {
    let mut simulation = Simulation::new(seed, traced);
    match simulation.run() {
        Ok(()) => Ok(simulation.ticks),
        Err(problem) => Err(Broken { problem, trace: simulation.world.trace() }),
    }
}

/// The slots of every simulation, in order.
pub fn slots() -> Vec<Slot> {
    SLOTS.into_iter().map(|slot| slot.parse().unwrap()).collect()
}

impl Simulation {
    /// The world of the seed before anything has happened.
    pub fn new(seed: u64, traced: bool) -> Self {
        let slots = slots();
        Self {
            world: Arc::new(World::new(seed, &slots[1..5], traced)),
            executor: Executor::afresh(),
            invariants: Invariants::new(&slots),
            ticks: 0,
            steps: 0,
        }
    }

    fn run(&mut self) -> Result<(), String> {
        let slots = slots();
        let (past, rough, last) = (slots[0], &slots[1..5], slots[5]);
        let world = self.world.clone();
        for (n, slot) in rough.iter().enumerate() {
            world.calm(false);
            let late = if self.happens(15) { Slot::SECONDS * 1_000_000 } else { 0 };
            world.pass_until(slot.start_micros() + world.micros_of(60) + late);
            self.take_away(*slot);
            for country in 0..world.countries.len() {
                if self.happens(5) {
                    self.observe_only(country, *slot);
                } else {
                    for (likely, slot) in [(10, *slot), (3, *slot), (2, rough[world.below(n + 1)])] {
                        if world.below(11) < likely {
                            self.tick(country, slot);
                        }
                    }
                }
                if self.happens(3) {
                    self.merge_alone(country, rough[world.below(n + 1)]);
                }
                if self.happens(8) {
                    self.tick(country, past);
                }
            }
            self.go_on(slot.end())?;
            if self.happens(2) {
                self.tick_calmly(*slot)?;
            }
        }
        world.calm(true);
        self.go_on(i64::MAX)?;
        self.invariants.current_outages(&world)?;
        for slot in [past].iter().chain(rough) {
            self.tick_calmly(*slot)?;
        }
        world.pass_until(last.start_micros());
        self.tick_calmly(last)?;
        self.invariants.settled(&world)
    }

    fn happens(&self, one_in: u32) -> bool {
        self.world.draw(|chance| chance.one_in(one_in))
    }

    /// Takes services down, for part of the slot or all of it.
    fn take_away(&self, slot: Slot) {
        let world = &self.world;
        let codes = world.countries.iter().map(|country| country.code);
        let services = codes.flat_map(|code| [Service::Schedules(code), Service::LiveView(code)]);
        for service in services.chain([Service::Catalog, Service::Lake]) {
            if self.happens(5) {
                let until = world.now() + world.micros_of(2 * Slot::SECONDS);
                world.note(|| format!("{service:?} is down from {slot} on"));
                world.set_away(service, until);
            }
        }
    }

    /// Starts the country tick of a slot.
    pub fn tick(&mut self, country: usize, slot: Slot) -> Answer<Ended> {
        self.ticks += 1;
        let world = self.world.clone();
        let name = format!("{}:{}~{}", world.countries[country].code, &slot.key()[9..13], self.ticks);
        begin(execute(world, country, slot, name))
    }

    /// Plans and observes a slot as an execution does that is stopped before it merges.
    fn observe_only(&self, country: usize, slot: Slot) {
        let (caller, code) = (self.caller(country, "observer"), self.world.countries[country].code);
        spawn(Task::new(1, async move {
            let _ = caller.invoke("plan", json!({ "country": code, "slot": slot })).await;
            let manifest = caller.world.objects.get(&keys::manifest(code, slot)).await;
            let items = manifest.map_or(Vec::new(), |body| serde_json::from_slice(&body).unwrap());
            for item in items {
                let _ = caller.invoke("observe", item).await;
            }
        }));
    }

    /// Runs a stray merge: before its chunks are observed, or long after.
    fn merge_alone(&self, country: usize, slot: Slot) {
        let code = self.world.countries[country].code;
        let event = json!({ "country": code, "slot": slot, "manifest": keys::manifest(code, slot) });
        self.caller(country, "stray").run_beside("merge", event);
    }

    /// Waits for all running work, then ticks the slot in all countries without faults. If that is in time,
    /// the slot must become complete.
    pub fn tick_calmly(&mut self, slot: Slot) -> Result<(), String> {
        let world = self.world.clone();
        world.calm(true);
        self.go_on(i64::MAX)?;
        let ticks: Vec<Answer<Ended>> = (0..world.countries.len()).map(|n| self.tick(n, slot)).collect();
        for tick in ticks {
            let ended = self.finish(&tick)?;
            if ended != Ended::Succeeded {
                return Err(format!("a tick of {slot} without faults: {ended:?}"));
            }
        }
        for country in &world.countries {
            let outcome = self.invariants.outcome(country.code, slot);
            let complete = outcome == Some(Outcome::Complete);
            if outcome.is_none() || (slot.contains(Instant::from_micros(world.now()).unwrap()) && !complete) {
                return Err(format!("{} {slot}: the outcome is {outcome:?}", country.code));
            }
        }
        self.go_on(i64::MAX)?;
        self.invariants.current_outages(&world)
    }

    /// Checks that `current_outages` says what all rows say.
    pub fn current_outages(&self) -> Result<(), String> {
        self.invariants.current_outages(&self.world)
    }

    /// The outcome in the slot's row.
    pub fn outcome(&self, country: CountryCode, slot: Slot) -> Option<Outcome> {
        self.invariants.outcome(country, slot)
    }

    /// Invokes a function.
    pub fn call(
        &self,
        country: usize,
        function: &'static str,
        event: Value,
    ) -> Answer<Result<Value, Failure>> {
        let caller = self.caller(country, "alone");
        begin(async move { caller.invoke(function, event).await })
    }

    fn caller(&self, country: usize, name: &str) -> Caller {
        Caller { world: self.world.clone(), country, name: name.to_owned() }
    }

    /// Runs tasks until this one has an answer.
    pub fn finish<T: Clone>(&mut self, answer: &Answer<T>) -> Result<T, String> {
        self.go_on_while(|| answer.lock().unwrap().is_none())?;
        answer.lock().unwrap().clone().ok_or_else(|| "all are done, but it has no answer".to_owned())
    }

    /// Runs tasks until all are done, or until this time (Unix seconds).
    pub fn go_on(&mut self, until: i64) -> Result<(), String> {
        let world = self.world.clone();
        self.go_on_while(|| world.now().div_euclid(1_000_000) < until)
    }

    /// Runs tasks until the operation is held.
    pub fn go_on_until_held(&mut self, hold: Hold) -> Result<(), String> {
        let world = self.world.clone();
        self.go_on_while(|| !world.script.holds(hold))?;
        if world.script.holds(hold) { Ok(()) } else { Err("all are done, but nothing was held".to_owned()) }
    }

    /// Runs tasks step by step while `goes_on`, and checks after each step what has changed.
    fn go_on_while(&mut self, goes_on: impl Fn() -> bool) -> Result<(), String> {
        let world = self.world.clone();
        loop {
            if self.executor.is_idle() || !goes_on() {
                return Ok(());
            }
            self.executor.step(&mut |n| world.below(n));
            if let Some(touched) = world.take_touched() {
                self.invariants.check(&world, touched)?;
            }
            self.steps += 1;
            if self.steps > STEPS {
                return Err("the simulation does not end".to_owned());
            }
        }
    }
}
