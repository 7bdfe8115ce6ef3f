//! The `openings` function: its clients are built once, then it serves invocations.

use lambda_runtime::Error;
use storewatch_runtime::serve;

#[tokio::main]
async fn main() -> Result<(), Error> {
    serve(openings::Context::new().await, openings::invoke).await
}
