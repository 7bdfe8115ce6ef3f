//! Checks a country file against the sources that it names, with the code by which the functions read and judge.
//!
//! Standard input is one JSON object, so that no secret is on the command line or in a file:
//!
//! ```json
//! {"place": "infra/countries/es.toml", "text": "country = …",
//!  "secrets": {"storewatch/es": "{\"postgres\": …}"}, "authorities": {"ca/es.pem": "-----BEGIN …"}}
//! ```
//!
//! Prints what was found. Ends with 1 if something looks wrong, with 2 if the input is not such an object.

mod check;
mod report;
mod secrets;

use std::collections::BTreeMap;
use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Deserialize;
use storewatch_lake::Objects;
use storewatch_lake::memory::MemoryObjects;
use storewatch_runtime::context::Country;
use storewatch_runtime::{AwsContext, CountryFile, FunctionError, SystemClock, describe};
use tracing_subscriber::EnvFilter;

use report::Report;
use secrets::GivenSecret;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    /// How messages name the country file.
    place: String,
    text: String,
    /// Name to JSON text.
    secrets: BTreeMap<String, String>,
    /// Name, such as `ca/es.pem`, to PEM text.
    authorities: BTreeMap<String, String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    // Reading the live view warns of what may be a mistake; such a line belongs to the answer.
    let filter = EnvFilter::new("off,storewatch_sources=warn");
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .init();
    let mut text = String::new();
    let input = std::io::stdin().read_to_string(&mut text).map_err(|error| error.to_string());
    // serde's message can quote a secret, so it is dropped.
    let input =
        input.and_then(|_| serde_json::from_str(&text).map_err(|_| "it is not the JSON object".to_owned()));
    let input: Input = match input {
        Ok(input) => input,
        Err(problem) => {
            eprintln!("validate: standard input: {problem}; see shared/validate/src/main.rs");
            return ExitCode::from(2);
        }
    };
    let report = match country(input).await {
        Ok(country) => check::check(&country, &SystemClock).await,
        Err(error) => Report::failed(describe(&error)),
    };
    print!("{report}");
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The country as its functions would have it, with the given secrets and authorities.
async fn country(input: Input) -> Result<Country, FunctionError> {
    let Input { place, text, secrets, authorities } = input;
    let file = CountryFile::parse(&text, &place)?;
    let objects = MemoryObjects::default();
    for (name, pem) in authorities {
        objects.put(&format!("config/{name}"), pem.into()).await?;
    }
    let secret = |name: &str, login| GivenSecret::named(name, login, secrets.get(name).cloned());
    Country::new(file, place, Arc::new(objects), &AwsContext::new().await, secret)
}
