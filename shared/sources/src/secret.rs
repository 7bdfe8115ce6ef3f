//! What a source lets one in with, wherever it is kept. Adapters ask for it themselves, so that a
//! secret that cannot be read is that source's failure, and a rotated one is found when a login fails.

use std::error::Error;

use async_trait::async_trait;

/// The fields of a secret. A source says which of them it takes. Deliberately without `Debug`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    pub username: Option<String>,
    pub password: Option<String>,
    /// The encoded form, base64 of `id:key`.
    pub api_key: Option<String>,
}

/// A secret could not be read. Messages name the secret and never hold its value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The store of secrets did not answer, has no such secret, or refuses this role.
    #[error(
        "cannot read the secret {name:?}; check that it exists, has a value and that the role may read it"
    )]
    Unavailable { name: String, source: Box<dyn Error + Send + Sync> },
    /// The secret is there, but its value is not what the source takes.
    #[error("the secret {name:?} {problem}")]
    Malformed { name: String, problem: String },
}

/// One secret.
#[async_trait]
pub trait Secret: Send + Sync {
    /// The secret's name, for messages.
    fn name(&self) -> &str;

    /// Its value, which may be some minutes old.
    ///
    /// # Errors
    /// See [`SecretError`].
    async fn read(&self) -> Result<Credentials, SecretError>;

    /// Its value as it is now. Ask for it where the source refused the value that [`Secret::read`] gave.
    ///
    /// # Errors
    /// See [`SecretError`].
    async fn read_again(&self) -> Result<Credentials, SecretError>;
}

/// A secret whose value never changes.
pub struct FixedSecret {
    pub name: String,
    pub value: Credentials,
}

#[async_trait]
impl Secret for FixedSecret {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read(&self) -> Result<Credentials, SecretError> {
        Ok(self.value.clone())
    }

    async fn read_again(&self) -> Result<Credentials, SecretError> {
        Ok(self.value.clone())
    }
}
