//! Serves invocations: JSON logs with country, slot and chunk on every line, a typed handler, and errors with
//! their stable names.

use std::env;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::Value;
use tracing::Instrument;
use tracing_subscriber::EnvFilter;

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
        async move { serde_json::to_value(answer.await?).map_err(unwritable) }.boxed_local()
    });
    run(handler).await
}

/// The same for every function, so that Lambda's runtime is compiled once and not again for each of them.
fn run(handler: Handler) -> LocalBoxFuture<'static, Result<(), Error>> {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
        .with_env_filter(filter())
        .init();
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
            let answer = caught(answer).await;
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

fn unwritable(error: serde_json::Error) -> FunctionError {
    FunctionError::Panicked { what: format!("its answer is not JSON: {error}") }
}

/// The answer, or a panic as an error with a stable name, which the state machines know.
async fn caught<O>(answer: impl Future<Output = Result<O, FunctionError>>) -> Result<O, FunctionError> {
    // Unwind safe: the invocation only borrows clients, so it cannot leave anything half changed.
    let answer = AssertUnwindSafe(answer).catch_unwind().await;
    answer.unwrap_or_else(|panic| {
        let text =
            panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        Err(FunctionError::Panicked { what: text.unwrap_or("it did not say what").to_owned() })
    })
}

/// The filter in `RUST_LOG`, without the runtime's own line about a failed invocation. Ours says more.
fn filter() -> EnvFilter {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    match "lambda_runtime=off".parse() {
        Ok(quiet) => filter.add_directive(quiet),
        Err(_) => filter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorName;

    #[tokio::test]
    async fn a_panic_is_an_error_with_a_name_of_its_own_and_says_what_it_said() {
        for number in [7, 0] {
            let answer = caught(async move {
                assert!(number > 0, "a number above 0 is wanted, and this is {number}");
                Ok(number)
            });
            match answer.await {
                Ok(found) => assert_eq!((found, number), (7, 7)),
                Err(error) => {
                    assert_eq!((error.name(), number), (ErrorName::Panicked, 0));
                    assert!(
                        describe(&error).ends_with("a number above 0 is wanted, and this is 0"),
                        "{error}"
                    );
                }
            }
        }
    }
}
