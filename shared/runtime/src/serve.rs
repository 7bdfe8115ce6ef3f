//! Serves invocations: JSON logs with country, slot and chunk on every line, a typed handler, and errors with
//! their stable names.

use std::sync::Arc;
use std::time::Instant;
use std::{env, panic, process};

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::Value;
use tracing::Instrument;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::error::{FunctionError, describe};

/// Answers an event.
type Handler = Box<dyn Fn(Value) -> LocalBoxFuture<'static, Result<Value, FunctionError>>>;

/// Serves invocations until the process ends. `context` is built once, at the cold start.
///
/// # Errors
/// Lambda's runtime interface cannot be reached.
pub async fn serve<C, H, F, O>(context: C, handler: H) -> Result<(), Error>
where
    C: 'static,
    H: Fn(Arc<C>, Value) -> F + Copy + 'static,
    F: Future<Output = Result<O, FunctionError>> + 'static,
    O: Serialize,
{
    let context = Arc::new(context);
    let handler: Handler = Box::new(move |event| {
        let answer = handler(Arc::clone(&context), event);
        async move {
            let answer = serde_json::to_value(answer.await?);
            // Answers are texts, numbers and lists, and the keys of their maps are texts: JSON can hold them.
            Ok(answer.unwrap_or_else(|error| unreachable!("an answer is not JSON: {error}")))
        }
        .boxed_local()
    });
    run(handler).await
}

/// The same for every function, so that Lambda's runtime is compiled once and not again for each of them.
fn run(handler: Handler) -> LocalBoxFuture<'static, Result<(), Error>> {
    start_log();
    end_on_panic();
    let version = env::var("STOREWATCH_VERSION").unwrap_or_else(|_| "unknown".to_owned());
    tracing::info!(version, "started");
    let serving = lambda_runtime::run(service_fn(move |invocation: LambdaEvent<Value>| {
        let (event, lambda) = invocation.into_parts();
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let span = tracing::info_span!(
            "invocation",
            // An event with partitions names no country, but the function serves only one.
            country = Some(text("country"))
                .filter(|c| !c.is_empty())
                .or_else(|| env::var("STOREWATCH_COUNTRY").ok()),
            slot = text("slot"),
            chunk = event.get("chunk").and_then(|chunk| chunk.as_u64()),
            request_id = lambda.request_id,
        );
        let answer = handler(event);
        async move {
            let started = Instant::now();
            let answer = answer.await;
            let milliseconds = started.elapsed().as_millis() as u64;
            match &answer {
                Ok(_) => tracing::info!(milliseconds, "done"),
                Err(error) => tracing::error!(
                    milliseconds,
                    error_type = error.name().as_str(),
                    error = describe(error),
                    "failed"
                ),
            }
            answer
        }
        .instrument(span)
    }));
    serving.boxed_local()
}

fn start_log() {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
        .with_max_level(LevelFilter::TRACE)
        .finish()
        .with(filter())
        .init();
}

/// Ends the process when it panics, after a line in the log that says where. Lambda fails the invocation with
/// `Runtime.ExitError`, which the state machines know, and starts another process for the next.
///
/// A release cannot unwind, because that takes a quarter of a binary. Other builds behave the same.
fn end_on_panic() {
    panic::set_hook(Box::new(|panic| {
        tracing::error!(error = %panic, "panicked");
        process::abort();
    }));
}

/// The levels in `RUST_LOG`, without the runtime's own line about a failed invocation. Ours says more.
///
/// Not an `EnvFilter`, which also filters by spans, and takes regular expressions to do so.
fn filter() -> Targets {
    let levels = env::var("RUST_LOG").ok().filter(|levels| !levels.is_empty());
    let levels = levels.and_then(|levels| levels.parse().ok());
    let levels = levels.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    levels.with_target("lambda_runtime", LevelFilter::OFF)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    const SIGABRT: i32 = 6;

    #[test]
    fn a_panic_ends_the_process_and_the_log_says_where_and_in_which_invocation() {
        if let Ok(number) = env::var("STOREWATCH_PANIC") {
            start_log();
            end_on_panic();
            let _invocation = tracing::info_span!("invocation", country = "es").entered();
            assert!(number != "0", "a number above 0 is wanted, and this is {number}");
        }
        let name = "serve::tests::a_panic_ends_the_process_and_the_log_says_where_and_in_which_invocation";
        let test = env::current_exe().unwrap();
        let ended = Command::new(test)
            .args(["--exact", name, "--nocapture"])
            .env("STOREWATCH_PANIC", "0")
            .output()
            .unwrap();
        assert_eq!(ended.status.signal(), Some(SIGABRT), "{ended:?}");
        let log = String::from_utf8(ended.stdout).unwrap();
        let line =
            log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).next_back().unwrap();
        assert_eq!((&line["level"], &line["span"]["country"]), (&"ERROR".into(), &"es".into()), "{line}");
        let error = line["error"].as_str().unwrap();
        assert!(error.contains("serve.rs") && error.ends_with("wanted, and this is 0"), "{error}");
    }
}
