//! The `merge` function: its clients are built once, then it serves invocations.

use lambda_runtime::Error;
use storewatch_runtime::serve;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    serve(merge::Context::new().await, merge::invoke).await
}
