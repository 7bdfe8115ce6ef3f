//! Executes `statemachine/country.asl.json` itself, as far as it uses: tasks, the map over chunks, their
//! Retry and Catch, choices, waits, and the paths that pass data on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::{Map, Value, json};
use storewatch_domain::{Instant, Slot};
use storewatch_lake::Objects;

use crate::executor::{Task, give_way, spawn};
use crate::functions::{Caller, Failure};
use crate::lake::SimulatedObjects;
use crate::ports::Run;
use crate::world::World;

static DEFINITION: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../statemachine/country.asl.json")).unwrap());

/// How an execution ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Succeeded,
    Failed,
    /// It timed out, or someone stopped it.
    Stopped,
}

/// An execution in progress.
#[derive(Clone)]
struct Execution {
    caller: Caller,
    started: i64,
    seconds: i64,
}

/// Runs the country tick of a slot.
pub async fn execute(world: Arc<World>, country: usize, slot: Slot, name: String) -> Ended {
    let code = world.countries[country].code;
    let input = json!({ "country": code, "slot": slot });
    let (started, seconds) = (world.now(), DEFINITION["TimeoutSeconds"].as_i64().unwrap());
    let caller = Caller { world, country, name };
    let execution = Execution { caller, started, seconds };
    let ended = execution.run(&DEFINITION, input).await;
    let caller = &execution.caller;
    caller.world.note(|| format!("{}: {ended:?}", caller.name));
    ended
}

impl Execution {
    async fn run(&self, machine: &'static Value, mut data: Value) -> Ended {
        let mut name = machine["StartAt"].as_str().unwrap();
        loop {
            let state = &machine["States"][name];
            if self.is_stopped() {
                return Ended::Stopped;
            }
            name = match state["Type"].as_str().unwrap() {
                "Succeed" => return Ended::Succeeded,
                "Fail" => return Ended::Failed,
                "Pass" => {
                    let input = state.get("InputPath").map_or("$", |path| path.as_str().unwrap());
                    let input = path(&data, input).clone();
                    let result = match state.get("Parameters") {
                        Some(parameters) => self.resolve(parameters, &input),
                        None => input,
                    };
                    put(&mut data, state.get("ResultPath"), result);
                    if state.get("End").is_some() {
                        return Ended::Succeeded;
                    }
                    &state["Next"]
                }
                "Choice" => {
                    let chosen =
                        state["Choices"].as_array().unwrap().iter().find(|rule| chooses(rule, &data));
                    chosen.map_or(&state["Default"], |rule| &rule["Next"])
                }
                "Wait" => {
                    self.wait(state, &data).await;
                    &state["Next"]
                }
                _ => match self.with_retries(state, &data).await {
                    Ok(result) => {
                        put(&mut data, state.get("ResultPath"), result);
                        if state.get("End").is_some() {
                            return Ended::Succeeded;
                        }
                        &state["Next"]
                    }
                    Err(failure) => {
                        let Some(catch) = matching(&state["Catch"], &failure) else { return Ended::Failed };
                        let error = json!({ "Error": failure.error, "Cause": failure.cause });
                        let catch = &state["Catch"][catch];
                        put(&mut data, catch.get("ResultPath"), error);
                        &catch["Next"]
                    }
                },
            }
            .as_str()
            .unwrap();
        }
    }

    async fn wait(&self, state: &'static Value, data: &Value) {
        let world = &self.caller.world;
        let until = match state.get("TimestampPath") {
            Some(time) => {
                let time = path(data, time.as_str().unwrap()).as_str().unwrap();
                // Step Functions cuts off parts of a second.
                time.parse::<Instant>().unwrap().micros() / 1_000_000 * 1_000_000
            }
            None => {
                let seconds = path(data, state["SecondsPath"].as_str().unwrap());
                world.now() + seconds.as_i64().unwrap() * 1_000_000
            }
        };
        world.wait_until(until).await;
    }

    fn is_stopped(&self) -> bool {
        let world = &self.caller.world;
        let late = world.now() - self.started > self.seconds * 1_000_000;
        late || world.draw(|chance| chance.one_in(chance.weather.executions))
    }

    async fn with_retries(&self, state: &'static Value, data: &Value) -> Result<Value, Failure> {
        let mut tried = [0_u64; 8];
        loop {
            let failure = match self.once(state, data).await {
                Ok(result) => return Ok(result),
                Err(failure) => failure,
            };
            let Some(n) = matching(&state["Retry"], &failure) else { return Err(failure) };
            let retry = &state["Retry"][n];
            if tried[n] >= retry["MaxAttempts"].as_u64().unwrap() {
                return Err(failure);
            }
            let interval = retry["IntervalSeconds"].as_f64().unwrap()
                * retry["BackoffRate"].as_f64().unwrap().powi(tried[n] as i32);
            tried[n] += 1;
            self.caller.world.wait(interval.min(retry["MaxDelaySeconds"].as_f64().unwrap_or(f64::MAX))).await;
        }
    }

    async fn once(&self, state: &'static Value, data: &Value) -> Result<Value, Failure> {
        if state["Type"] == "Map" {
            return self.map(state, data).await;
        }
        let parameters = self.resolve(&state["Parameters"], data);
        // `${PlanArn}` names the function `plan`.
        let function = parameters["FunctionName"].as_str().unwrap();
        let function = function.trim_start_matches("${").trim_end_matches("Arn}").to_lowercase();
        let answer = self.caller.invoke(&function, parameters["Payload"].clone()).await?;
        Ok(match state.get("ResultSelector") {
            Some(selector) => self.resolve(selector, &json!({ "Payload": answer })),
            None => answer,
        })
    }

    /// The distributed map: one child execution per item, with limited concurrency. All of them may fail.
    async fn map(&self, state: &'static Value, data: &Value) -> Result<Value, Failure> {
        let manifest = self.resolve(&state["ItemReader"]["Parameters"], data)["Key"].clone();
        let reader = Run::new(self.caller.world.clone(), self.caller.country, self.caller.name.clone());
        let objects = SimulatedObjects::home(reader.clone());
        let body = objects.get(manifest.as_str().unwrap());
        // If the process that reads the items dies, the read fails instead.
        let body = futures_util::future::select(Box::pin(body), Box::pin(dead(&reader))).await;
        let futures_util::future::Either::Left((Ok(body), _)) = body else {
            return Err(Failure::new("States.ItemReaderFailed", "simulated"));
        };
        let items: Vec<Value> = serde_json::from_slice(&body).unwrap();
        let at_once = path(data, state["MaxConcurrencyPath"].as_str().unwrap()).as_u64().unwrap() as usize;
        let open = Arc::new(AtomicUsize::new(at_once.min(items.len())));
        let items = Arc::new(Mutex::new(items.into_iter()));
        for _ in 0..open.load(Ordering::Relaxed) {
            let (items, open, execution) = (items.clone(), open.clone(), self.clone());
            spawn(Task::new(1, async move {
                loop {
                    let item = items.lock().unwrap().next();
                    let Some(item) = item else { break };
                    let mut child = execution.clone();
                    child.caller.name.push_str(&format!(" #{}", item["chunk"]));
                    let input = execution.resolve_item(&state["ItemSelector"], &Value::Null, &item);
                    child.run_boxed(&state["ItemProcessor"], input).await;
                }
                open.fetch_sub(1, Ordering::Relaxed);
            }));
        }
        while open.load(Ordering::Relaxed) > 0 {
            give_way().await;
        }
        Ok(Value::Null)
    }

    /// A machine inside a machine. Boxed, because an async function cannot call itself.
    fn run_boxed(
        &self,
        machine: &'static Value,
        data: Value,
    ) -> std::pin::Pin<Box<dyn Future<Output = Ended> + '_>> {
        Box::pin(self.run(machine, data))
    }

    /// Fills in the template's paths.
    fn resolve(&self, template: &Value, data: &Value) -> Value {
        self.resolve_item(template, data, &Value::Null)
    }

    /// The same inside a map, where there is an item.
    fn resolve_item(&self, template: &Value, data: &Value, item: &Value) -> Value {
        let Value::Object(fields) = template else { return template.clone() };
        let filled = fields.iter().map(|(name, value)| match (name.strip_suffix(".$"), value) {
            (Some(name), Value::String(text)) => {
                let merged =
                    text.strip_prefix("States.JsonMerge(").and_then(|rest| rest.strip_suffix(", false)"));
                let value = match (text.as_str(), merged) {
                    ("$$.Map.Item.Value", _) => item.clone(),
                    ("$$.Execution.StartTime", _) => json!(Instant::from_micros(self.started).unwrap()),
                    (_, Some(two)) => merge(data, two),
                    (text, None) => path(data, text).clone(),
                };
                (name.to_owned(), value)
            }
            _ => (name.clone(), self.resolve_item(value, data, item)),
        });
        Value::Object(filled.collect::<Map<_, _>>())
    }
}

async fn dead(run: &Run) {
    while !run.dead.load(Ordering::Relaxed) {
        give_way().await;
    }
}

/// `$` or `$.a.b`.
fn path<'a>(data: &'a Value, path: &str) -> &'a Value {
    let fields = path.strip_prefix('$').unwrap().split('.').filter(|field| !field.is_empty());
    fields.fold(data, |data, field| &data[field])
}

/// `States.JsonMerge` of two paths, `$.a, $.b`: the fields of both objects. Those of the second win.
fn merge(data: &Value, two: &str) -> Value {
    let (first, second) = two.split_once(", ").unwrap();
    let mut merged = path(data, first).as_object().unwrap().clone();
    merged.extend(path(data, second).as_object().unwrap().clone());
    Value::Object(merged)
}

/// Puts a result where `ResultPath` says: into a field, nowhere, or in place of everything.
fn put(data: &mut Value, to: Option<&Value>, result: Value) {
    match to {
        None => *data = result,
        Some(Value::Null) => {}
        Some(to) => {
            let fields = to.as_str().unwrap().trim_start_matches("$.").split('.');
            *fields.fold(data, |data, field| &mut data[field]) = result;
        }
    }
}

/// Whether a rule of a Choice holds.
fn chooses(rule: &Value, data: &Value) -> bool {
    let is_null = rule["IsNull"].as_bool().expect("IsNull is the only supported comparison");
    path(data, rule["Variable"].as_str().unwrap()).is_null() == is_null
}

/// The first Retry or Catch entry that matches the error.
fn matching(entries: &Value, failure: &Failure) -> Option<usize> {
    let names = |entry: &Value| {
        let names = entry["ErrorEquals"].as_array().unwrap();
        names.iter().any(|name| name == "States.ALL" || *name == *failure.error)
    };
    entries.as_array()?.iter().position(names)
}
