//! The `dispatch` function: builds its clients once, then serves invocations.

use lambda_runtime::Error;
use storewatch_runtime::serve;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    serve(dispatch::Context::new().await, dispatch::invoke).await
}
