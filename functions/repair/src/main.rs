//! The `repair` function: builds its clients once, then serves invocations.

use lambda_runtime::Error;
use storewatch_runtime::serve;

#[tokio::main]
async fn main() -> Result<(), Error> {
    serve(repair::Context::new().await, repair::invoke).await
}
