//! The credentials of a source. Adapters read them themselves, so that an unreadable secret is an error of
//! that source, and a rotated one is found when a login fails.

use std::error::Error;

use async_trait::async_trait;

/// The fields of a secret. Each source says which of them it uses. Has no `Debug`, so that it cannot be logged.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    pub username: Option<String>,
    pub password: Option<String>,
    /// The encoded form, base64 of `id:key`.
    pub api_key: Option<String>,
}

/// A secret could not be read. Messages name the secret and never contain its value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The secret store did not answer, has no such secret, or denies access to this role.
    #[error(
        "cannot read the secret {name:?}; check that it exists, has a value and that the role may read it"
    )]
    Unavailable { name: String, source: Box<dyn Error + Send + Sync> },
    /// The secret exists, but the source cannot use its value.
    #[error("the secret {name:?} {problem}")]
    Malformed { name: String, problem: String },
}

/// One secret.
#[async_trait]
pub trait Secret: Send + Sync {
    /// The secret's name, for messages.
    fn name(&self) -> &str;

    /// The value, which may be cached for some minutes.
    ///
    /// # Errors
    /// See [`SecretError`].
    async fn read(&self) -> Result<Credentials, SecretError>;

    /// The current value. Use it if the source refused the value from [`Secret::read`].
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
