//! Invokes a function as Lambda would: a JSON event in, a JSON answer or a named error out, in a process
//! that can die at each I/O.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use serde::Serialize;
use serde_json::{Value, json};
use storewatch_domain::Slot;
use storewatch_lake::Catalog;
use storewatch_lake::delivery::Delivery;
use storewatch_runtime::events::{ChunkItem, Partitions, parse};
use storewatch_runtime::{FunctionError, describe};

use crate::chance::Call;
use crate::executor::{Task, give_way, spawn};
use crate::lake::{SimulatedCatalog, SimulatedObjects};
use crate::ports::Run;
use crate::world::World;

/// Why a task failed, as the state machine sees it.
#[derive(Debug, Clone)]
pub struct Failure {
    pub error: String,
    pub cause: String,
}

impl Failure {
    pub fn new(error: &str, cause: &str) -> Self {
        Self { error: error.to_owned(), cause: cause.to_owned() }
    }
}

/// The caller, and the country whose functions it calls.
#[derive(Clone)]
pub struct Caller {
    pub world: Arc<World>,
    pub country: usize,
    pub name: String,
}

impl Caller {
    /// Invokes a function and waits for its answer, with everything that can go wrong.
    pub async fn invoke(&self, function: &str, event: Value) -> Result<Value, Failure> {
        let call = self.world.draw(|chance| chance.call());
        if call != Call::Fine {
            self.world.note(|| format!("{} {function}: {call:?}", self.name));
        }
        let lost = || Failure::new("Lambda.ServiceException", "simulated");
        match call {
            Call::Fine => self.run(function, event).await,
            Call::NotRun => Err(lost()),
            Call::AnswerLost => self.run(function, event).await.and(Err(lost())),
            Call::Abandoned => {
                self.run_beside(function, event);
                give_way().await;
                Err(lost())
            }
            Call::Doubled => {
                self.run_beside(function, event.clone());
                self.run(function, event).await
            }
        }
    }

    /// Starts a function that nobody waits for and that may take long.
    pub fn run_beside(&self, function: &str, event: Value) {
        let slowness = [1, 10, 100, 1000][self.world.below(4)];
        let (mut caller, function) = (self.clone(), function.to_owned());
        caller.name.push('\'');
        spawn(Task::new(slowness, async move {
            let _ = caller.run(&function, event).await;
        }));
    }

    /// Runs the function once, in a process of its own.
    async fn run(&self, function: &str, event: Value) -> Result<Value, Failure> {
        let run = Run::new(self.world.clone(), self.country, format!("{} {function}", self.name));
        let merged =
            (function == "merge").then(|| serde_json::from_value::<Slot>(event["slot"].clone()).unwrap());
        let started = self.world.next_merge();
        let mut work: Pin<Box<dyn Future<Output = _>>> = Box::pin(handle(&run, function, event));
        let answer = std::future::poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Pending if run.dead.load(Ordering::Relaxed) => Poll::Ready(None),
            poll => poll.map(Some),
        });
        let answer = answer.await;
        drop(work);
        match merged {
            Some(slot) if matches!(answer, Some(Ok(_))) => {
                self.world.finish(run.country().code, slot, started)
            }
            Some(slot) if run.wrote.load(Ordering::Relaxed) => {
                self.world.leave_unfinished(run.country().code, slot);
            }
            _ => {}
        }
        match answer {
            None => Err(Failure::new("Runtime.ExitError", "simulated")),
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => {
                self.world.note(|| format!("{}: {}", run.name, describe(&error)));
                let cause = json!({ "errorType": error.name(), "errorMessage": describe(&error) });
                Err(Failure::new(error.name().as_str(), &cause.to_string()))
            }
        }
    }
}

async fn handle(run: &Arc<Run>, function: &str, event: Value) -> Result<Value, FunctionError> {
    let (file, objects) = (&run.country().file, SimulatedObjects::home(run.clone()));
    let (objects, clock, metrics) = (&objects, &**run, &**run);
    match function {
        "plan" => {
            let event: plan::Event = parse("plan", event)?;
            plan::plan(&plan::Ports { objects, clock }, file, &**run, &event).await.map(json)
        }
        "observe" => {
            let item: ChunkItem = parse("observe", event)?;
            observe::observe(&observe::Ports { objects, clock }, file, &**run, &item).await.map(json)
        }
        "merge" => {
            let event: merge::Event = parse("merge", event)?;
            let ports = merge::Ports { objects, metrics, clock, look_again_seconds: 60 };
            merge::merge(&ports, Ok(file), &event).await.map(json)
        }
        "register" => {
            let event: Partitions = parse("register", event)?;
            let (catalog, lake) = (SimulatedCatalog(run.clone()), SimulatedObjects::lake(run.clone()));
            let delivery = Delivery::new(objects, &lake, &catalog);
            let catalog: &dyn Catalog = if run.country().is_away { &delivery } else { &catalog };
            let ports = register::Ports { objects, catalog, metrics };
            register::register(&ports, run.country().code, event.partitions).await.map(json)
        }
        other => panic!("there is no function {other}"),
    }
}

fn json(answer: impl Serialize) -> Value {
    serde_json::to_value(answer).unwrap()
}
