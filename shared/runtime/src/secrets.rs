//! Secrets: what the sources let one in with. Their values never reach a log, a message or a result.

use std::time::{Duration, Instant};

use aws_sdk_secretsmanager::Client;
use serde::Deserialize;
use storewatch_sources::ViewCredentials;
use tokio::sync::Mutex;

use crate::error::{FunctionError, SourceName};

/// How long a value is believed: a rotated password is in use within this time.
const FRESH: Duration = Duration::from_secs(300);

/// One secret, asked for when it is needed and kept for a while.
pub(crate) struct Secret {
    client: Client,
    name: String,
    source_name: SourceName,
    value: Mutex<Option<(Instant, String)>>,
}

/// The value of a secret. Deliberately without `Debug`.
#[derive(Deserialize, Default)]
pub(crate) struct SecretValue {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) api_key: Option<String>,
}

impl Secret {
    pub(crate) fn new(client: Client, name: String, source_name: SourceName) -> Self {
        Self { client, name, source_name, value: Mutex::new(None) }
    }

    /// The raw text, so that a caller sees when it changes, and what it says.
    pub(crate) async fn read(&self) -> Result<(String, SecretValue), FunctionError> {
        let mut held = self.value.lock().await;
        if let Some((_, text)) = held.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok((text.clone(), self.parse(text)?));
        }
        let answer = self.client.get_secret_value().secret_id(&self.name).send().await;
        let answer = answer.map_err(|error| FunctionError::Secret {
            name: self.name.clone(),
            source_name: self.source_name,
            source: Box::new(error),
        })?;
        let text = answer.secret_string.unwrap_or_default();
        let value = self.parse(&text)?;
        *held = Some((Instant::now(), text.clone()));
        Ok((text, value))
    }

    fn parse(&self, text: &str) -> Result<SecretValue, FunctionError> {
        // What serde says of a wrong value can quote it, so it is not kept.
        serde_json::from_str(text).map_err(|_| FunctionError::BadConfig {
            place: format!("secret {:?}", self.name),
            problem:
                "its value is not a JSON object with \"username\" and \"password\", or \"api_key\", as text"
                    .to_owned(),
        })
    }
}

impl SecretValue {
    pub(crate) fn view_credentials(self, name: &str) -> Result<ViewCredentials, FunctionError> {
        match (self.api_key, self.username, self.password) {
            (Some(key), None, None) => Ok(ViewCredentials::ApiKey(key)),
            (None, Some(username), Some(password)) => Ok(ViewCredentials::Basic { username, password }),
            _ => Err(FunctionError::BadConfig {
                place: format!("secret {name:?}"),
                problem: "either \"username\" and \"password\" or \"api_key\" is wanted".to_owned(),
            }),
        }
    }
}
