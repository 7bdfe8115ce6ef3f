//! The `register` function: builds its clients once, then serves invocations.

use lambda_runtime::Error;
use storewatch_runtime::serve;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    serve(register::Context::new().await, register::invoke).await
}
