//! Secrets in AWS Secrets Manager. Their values never reach a log, a message or a result.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_sdk_secretsmanager::Client;
use serde::Deserialize;
use storewatch_sources::{Credentials, Secret, SecretError};
use tokio::sync::Mutex;

/// How long [`Secret::read`] answers from memory: a few ticks, because each reading is billed. If a source refuses the value,
/// it is read again at once.
const FRESH: Duration = Duration::from_secs(3_600);

/// The source that a secret's login is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    Postgres,
    Elasticsearch,
}

impl Login {
    /// Its key in a secret that has the logins of both sources.
    fn key(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Elasticsearch => "elasticsearch",
        }
    }
}

/// One secret, by its name or ARN, read when it is first needed.
pub(crate) struct AwsSecret {
    client: Client,
    name: String,
    login: Login,
    held: Mutex<Option<(Instant, Credentials)>>,
}

impl AwsSecret {
    pub(crate) fn new(client: Client, name: String, login: Login) -> Self {
        Self { client, name, login, held: Mutex::new(None) }
    }

    async fn ask(&self) -> Result<Credentials, SecretError> {
        let answer = self.client.get_secret_value().secret_id(&self.name).send().await;
        let answer = answer
            .map_err(|error| SecretError::Unavailable { name: self.name.clone(), source: Box::new(error) })?;
        let Some(text) = answer.secret_string else {
            let problem = "holds bytes; write its JSON object as text".to_owned();
            return Err(SecretError::Malformed { name: self.name.clone(), problem });
        };
        parse(&self.name, self.login, &text)
    }
}

#[async_trait]
impl Secret for AwsSecret {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read(&self) -> Result<Credentials, SecretError> {
        let mut held = self.held.lock().await;
        if let Some((_, value)) = held.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(value.clone());
        }
        let value = self.ask().await?;
        *held = Some((Instant::now(), value.clone()));
        Ok(value)
    }

    async fn read_again(&self) -> Result<Credentials, SecretError> {
        let mut held = self.held.lock().await;
        let value = self.ask().await?;
        *held = Some((Instant::now(), value.clone()));
        Ok(value)
    }
}

/// A secret of one source has the login's fields. A country's only secret has them under a key per source.
#[derive(Deserialize)]
struct Value {
    postgres: Option<Fields>,
    elasticsearch: Option<Fields>,
    #[serde(flatten)]
    own: Fields,
}

/// Other keys are allowed: a secret that rotation keeps for Amazon RDS holds `engine`, `host` and more.
#[derive(Deserialize)]
struct Fields {
    username: Option<String>,
    password: Option<String>,
    api_key: Option<String>,
}

/// Parses a secret's JSON, for one of the sources. Line breaks around a value come from files and terminals, and are removed.
///
/// # Errors
/// `Malformed`, which names the secret and does not quote its value.
pub fn parse(name: &str, login: Login, text: &str) -> Result<Credentials, SecretError> {
    let malformed = |problem: String| SecretError::Malformed { name: name.to_owned(), problem };
    // serde's message can quote the value, so it is dropped.
    let value: Value = serde_json::from_str(text).map_err(|_| {
        let wanted = "holds no JSON object with \"username\" and \"password\", or \"api_key\", as text";
        malformed(wanted.to_owned())
    })?;
    let is_shared = value.postgres.is_some() || value.elasticsearch.is_some();
    let part = match login {
        Login::Postgres => value.postgres,
        Login::Elasticsearch => value.elasticsearch,
    };
    let missing = || malformed(format!("has no {:?} beside the other source's login", login.key()));
    let fields = if is_shared { part.ok_or_else(missing)? } else { value.own };
    let clean = |field: &str, value: Option<String>| {
        let Some(value) = value else { return Ok(None) };
        let value = value.trim_matches(['\r', '\n']);
        match value {
            "" => Err(malformed(format!("has an empty {field:?}"))),
            _ if value.chars().any(char::is_control) => {
                Err(malformed(format!("has a line break or another control character in {field:?}")))
            }
            _ => Ok(Some(value.to_owned())),
        }
    };
    Ok(Credentials {
        username: clean("username", fields.username)?,
        password: clean("password", fields.password)?,
        // A key is base64, so that spaces around it mean nothing either.
        api_key: clean("api_key", fields.api_key.map(|key| key.trim().to_owned()))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem_of(text: &str) -> String {
        let Err(error) = parse("storewatch/es/postgres", Login::Postgres, text) else {
            panic!("{text:?} is taken")
        };
        error.to_string()
    }

    #[test]
    fn line_breaks_around_a_value_are_dropped_and_other_keys_are_allowed() {
        let text = r#"{"username": "reader\n", "password": " p w \r\n", "engine": "postgres", "port": 5432}"#;
        let value = parse("s", Login::Postgres, text).ok().unwrap();
        assert_eq!(value.username.as_deref(), Some("reader"));
        assert_eq!(value.password.as_deref(), Some(" p w "), "spaces may be part of a password");
        let value = parse("s", Login::Elasticsearch, r#"{"api_key": " a2V5\n"}"#).ok().unwrap();
        assert_eq!(value.api_key.as_deref(), Some("a2V5"));
    }

    #[test]
    fn a_secret_of_both_sources_gives_each_its_own_login() {
        let both =
            r#"{"postgres": {"username": "p", "password": "pw"}, "elasticsearch": {"api_key": "a2V5"}}"#;
        let value = parse("s", Login::Postgres, both).ok().unwrap();
        assert_eq!((value.username.as_deref(), value.api_key.as_deref()), (Some("p"), None));
        let value = parse("s", Login::Elasticsearch, both).ok().unwrap();
        assert_eq!((value.username.as_deref(), value.api_key.as_deref()), (None, Some("a2V5")));
        let error =
            parse("s", Login::Postgres, r#"{"elasticsearch": {"api_key": "hunter2"}}"#).err().unwrap();
        assert_eq!(error.to_string(), "the secret \"s\" has no \"postgres\" beside the other source's login");
    }

    #[test]
    fn a_malformed_value_is_named_by_its_secret_and_never_quoted() {
        for text in ["", "hunter2", "[\"hunter2\"]", r#"{"password": {"x": "hunter2"}}"#] {
            let problem = problem_of(text);
            assert!(problem.starts_with("the secret \"storewatch/es/postgres\" holds no JSON"), "{problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
        let problem = problem_of(r#"{"username": "u", "password": "hun\nter2"}"#);
        assert!(
            problem.contains("control character in \"password\"") && !problem.contains("ter2"),
            "{problem}"
        );
        assert!(problem_of(r#"{"username": "u", "password": "\n"}"#).contains("an empty \"password\""));
    }
}
