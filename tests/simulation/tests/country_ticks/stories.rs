//! What the simulation once broke, each as the shortest story that broke it: which operation was held or
//! failed, and what came in between. The simulation's own invariants detect the fault.

use serde_json::{Value, json};
use simulation::chance::Fate;
use simulation::driver::{Simulation, slots};
use simulation::machine::Ended;
use simulation::world::Service;
use storewatch_domain::{Instant, Slot};
use storewatch_lake::{Outcome, keys};

/// The country and the slot of the stories.
const ES: usize = 0;
const NOON: usize = 0;
const EVENING: usize = 1;

struct Story {
    simulation: Simulation,
    slot: Slot,
}

impl Story {
    /// A world at the start of that slot, in which nothing goes wrong except in the story.
    fn of(seed: u64, slot: usize) -> Self {
        let (simulation, slot) = (Simulation::new(seed, false), slots()[slot]);
        simulation.world.calm(true);
        simulation.world.pass_until(slot.start_micros());
        Self { simulation, slot }
    }

    /// As [`Story::of`], in a world whose schedules change within the slot.
    fn of_changing_schedules() -> Self {
        let changes = |story: &Story| {
            let truth = &story.simulation.world.countries[ES].truth;
            let (start, end) = (story.slot.start_micros(), story.slot.end() * 1_000_000);
            truth.edition_at(start + 60_000_000) != truth.edition_at(end - 60_000_000)
        };
        (0..).map(|seed| Self::of(seed, EVENING + 1)).find(changes).unwrap()
    }

    fn event(&self) -> Value {
        json!({ "country": "es", "slot": self.slot })
    }

    fn merge_event(&self) -> Value {
        let manifest = keys::manifest("es".parse().unwrap(), self.slot);
        json!({ "country": "es", "slot": self.slot, "manifest": manifest })
    }

    /// Runs a whole country tick, with nothing in between.
    fn ticks(&mut self) -> Ended {
        let tick = self.simulation.tick(ES, self.slot);
        self.simulation.finish(&tick).unwrap()
    }

    /// Calls one function, with nothing in between.
    fn calls(&mut self, function: &'static str, event: Value) -> Value {
        let answer = self.simulation.call(ES, function, event);
        self.simulation.finish(&answer).unwrap().unwrap()
    }

    /// The items of the manifest.
    fn items(&self) -> Vec<Value> {
        let key = keys::manifest("es".parse().unwrap(), self.slot);
        let body = futures_util::FutureExt::now_or_never(storewatch_lake::Objects::get(
            &self.simulation.world.objects,
            &key,
        ));
        serde_json::from_slice(&body.unwrap().unwrap()).unwrap()
    }

    /// Waits for all running work, then ticks calmly.
    fn ends_well(mut self) {
        self.simulation.tick_calmly(self.slot).unwrap();
    }
}

#[test]
fn a_merge_that_dies_between_two_files_has_noted_all_its_partitions() {
    let mut story = Story::of(0, EVENING);
    for _ in 0..2 {
        story.simulation.world.script.meets("merge", "put availability_by_city", Fate::DiesBefore);
    }
    // The handler of the failed tick notes the row of country_ticks, registers it, and removes that note.
    assert_eq!(story.ticks(), Ended::Failed);
    story.ends_well();
}

#[test]
fn a_note_rewritten_during_registration_stays_until_it_is_registered_too() {
    let mut story = Story::of(0, EVENING);
    let (world, es) = (story.simulation.world.clone(), "es".parse().unwrap());
    world.set_away(Service::Schedules(es), i64::MAX);
    let deletion = world.script.hold("register", "delete pending");
    let failing = story.simulation.tick(ES, story.slot);
    story.simulation.go_on_until_held(deletion).unwrap();
    world.calm(true);
    story.calls("plan", story.event());
    for item in story.items() {
        story.calls("observe", item);
    }
    story.calls("merge", story.merge_event());
    // The second execution is stopped here: nobody registers what it has merged.
    world.script.release(deletion);
    assert_eq!(story.simulation.finish(&failing).unwrap(), Ended::Failed);
    story.ends_well();
}

#[test]
fn a_register_continues_if_another_has_removed_its_note() {
    let mut story = Story::of(0, EVENING);
    let script = &story.simulation.world.clone().script;
    let reading = script.hold("register", "get pending");
    let first = story.simulation.tick(ES, story.slot);
    story.simulation.go_on_until_held(reading).unwrap();
    assert_eq!(story.ticks(), Ended::Succeeded);
    // It has no retries left: the next fault would be its last.
    for _ in 0..3 {
        script.meets("register", "list pending", Fate::FailsBefore);
    }
    script.release(reading);
    assert_eq!(story.simulation.finish(&first).unwrap(), Ended::Succeeded);
}

#[test]
fn two_readings_of_changing_schedules_do_not_mix_under_one_manifest() {
    let mut story = Story::of_changing_schedules();
    let world = story.simulation.world.clone();
    world.pass_until(story.slot.start_micros() + 60_000_000);
    let manifest = world.script.hold("plan", "put staging");
    let first = story.simulation.call(ES, "plan", story.event());
    story.simulation.go_on_until_held(manifest).unwrap();
    world.pass_until(story.slot.end() * 1_000_000 - 60_000_000);
    world.script.meets("plan", "put staging", Fate::DiesBefore);
    let second = story.simulation.call(ES, "plan", story.event());
    assert!(story.simulation.finish(&second).unwrap().is_err());
    world.script.release(manifest);
    story.simulation.finish(&first).unwrap().unwrap();
    assert_eq!(story.ticks(), Ended::Succeeded);
    story.ends_well();
}

#[test]
fn observing_a_chunk_again_does_not_change_what_a_merge_has_read() {
    let mut story = Story::of(0, EVENING);
    let world = story.simulation.world.clone();
    story.calls("plan", story.event());
    let items = story.items();
    for item in items.clone() {
        story.calls("observe", item);
    }
    let row = world.script.hold("merge", "put country_ticks");
    let first = story.simulation.call(ES, "merge", story.merge_event());
    story.simulation.go_on_until_held(row).unwrap();
    // The live view changes within the slot, and the invocations are delivered again.
    world.pass_until(story.slot.end() * 1_000_000 - 60_000_000);
    for item in items {
        story.calls("observe", item);
    }
    let rows = world.script.hold("merge", "put store_availability");
    let second = story.simulation.call(ES, "merge", story.merge_event());
    story.simulation.go_on_until_held(rows).unwrap();
    world.script.release(row);
    story.simulation.finish(&first).unwrap().unwrap();
    world.script.release(rows);
    story.simulation.finish(&second).unwrap().unwrap();
    story.ends_well();
}

#[test]
fn a_slot_that_is_merged_after_the_next_one_corrects_its_outages() {
    // What the merges have done when the other one comes in between.
    for (earlier, later) in [
        ("put store_availability", None),
        ("put country_ticks", None),
        ("put store_availability", Some("put current_outages")),
        ("put current_outages", Some("put country_ticks")),
        ("put country_ticks", Some("put store_availability")),
    ] {
        for seed in 0..10 {
            let mut story = Story::of(seed, EVENING);
            let script = &story.simulation.world.clone().script;
            // The first execution may end at its time limit, but not before its merge has.
            let held = script.hold("merge", earlier);
            let first = story.simulation.tick(ES, story.slot);
            story.simulation.go_on_until_held(held).unwrap();
            story.slot = Slot::containing(story.slot.end());
            story.simulation.world.pass_until(story.slot.start_micros());
            let crossing = later.map(|operation| script.hold("merge", operation));
            let second = story.simulation.tick(ES, story.slot);
            if let Some(crossing) = crossing {
                story.simulation.go_on_until_held(crossing).unwrap();
                script.release(held);
                story.simulation.finish(&first).unwrap();
                script.release(crossing);
                assert_eq!(story.simulation.finish(&second).unwrap(), Ended::Succeeded);
            } else {
                assert_eq!(story.simulation.finish(&second).unwrap(), Ended::Succeeded);
                script.release(held);
                story.simulation.finish(&first).unwrap();
            }
            story
                .simulation
                .current_outages()
                .unwrap_or_else(|problem| panic!("{earlier} {later:?}: {problem}"));
            story.ends_well();
        }
    }
}

#[test]
fn a_live_view_answer_after_the_slot_is_late() {
    let mut story = Story::of(0, EVENING);
    let world = story.simulation.world.clone();
    story.calls("plan", story.event());
    let asking = world.script.hold("observe", "read live view");
    let observing = story.simulation.call(ES, "observe", story.items()[0].clone());
    story.simulation.go_on_until_held(asking).unwrap();
    world.pass_until(story.slot.end() * 1_000_000);
    world.script.release(asking);
    let answer = story.simulation.finish(&observing).unwrap().unwrap();
    assert!(answer["key"].as_str().unwrap().ends_with(".error.json"), "{answer}");
    assert_eq!(story.ticks(), Ended::Succeeded);
    let es = "es".parse().unwrap();
    assert_eq!(story.simulation.outcome(es, story.slot), Some(Outcome::Partial));
}

#[test]
fn a_tick_of_an_old_slot_does_not_remove_the_exceptions_of_today() {
    for seed in 0..10 {
        let mut story = Story::of(seed, EVENING);
        let world = story.simulation.world.clone();
        assert_eq!(story.ticks(), Ended::Succeeded);
        world.pass_until(story.slot.end() * 1_000_000);
        let today = std::mem::replace(&mut story.slot, slots()[NOON]);
        assert_eq!(story.ticks(), Ended::Succeeded);
        // The next slot of today falls back to the last snapshot.
        story.slot = Slot::containing(today.end());
        world.set_away(Service::Schedules("es".parse().unwrap()), i64::MAX);
        assert_eq!(story.ticks(), Ended::Succeeded);
        story.ends_well();
    }
}

#[test]
fn a_live_view_that_is_down_for_half_a_minute_costs_no_chunk() {
    for seed in 0..20 {
        let mut story = Story::of(seed, EVENING);
        let (world, es) = (story.simulation.world.clone(), "es".parse().unwrap());
        world.set_away(Service::LiveView(es), world.now() + 30_000_000);
        assert_eq!(story.ticks(), Ended::Succeeded);
        assert_eq!(story.simulation.outcome(es, story.slot), Some(Outcome::Complete), "seed {seed}");
        assert!(world.metrics.sent().iter().all(|(_, m)| m.name != "TicksPartial"), "seed {seed}");
        assert!(story.slot.contains(Instant::from_micros(world.now()).unwrap()));
    }
}

#[test]
fn a_live_view_that_stays_down_ends_the_tick_in_time_and_is_counted_once() {
    for seed in 0..20 {
        let mut story = Story::of(seed, EVENING);
        let (world, es) = (story.simulation.world.clone(), "es".parse().unwrap());
        world.set_away(Service::LiveView(es), i64::MAX);
        assert_eq!(story.ticks(), Ended::Succeeded);
        assert_eq!(story.simulation.outcome(es, story.slot), Some(Outcome::Partial));
        let took = (world.now() - story.slot.start_micros()) / 1_000_000;
        assert!((360..540).contains(&took), "{took} s");
        let sent = world.metrics.sent();
        let partial: Vec<f64> =
            sent.iter().filter(|(_, m)| m.name == "TicksPartial").map(|(_, m)| m.value).collect();
        assert_eq!(partial, [1.0]);
    }
}
