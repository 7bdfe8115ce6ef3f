//! Secrets that the caller gives, read as the functions read theirs.

use std::sync::Arc;

use async_trait::async_trait;
use storewatch_runtime::secrets::{self, Login};
use storewatch_sources::{Credentials, Secret, SecretError};

/// A secret by its name; the value is JSON, or `None` if none was given.
pub(crate) struct GivenSecret {
    name: String,
    login: Login,
    value: Option<String>,
}

impl GivenSecret {
    pub(crate) fn named(name: &str, login: Login, value: Option<String>) -> Arc<dyn Secret> {
        Arc::new(Self { name: name.to_owned(), login, value })
    }
}

#[async_trait]
impl Secret for GivenSecret {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read(&self) -> Result<Credentials, SecretError> {
        let missing = || SecretError::Malformed {
            name: self.name.clone(),
            problem: "was not given; write its value into the file of SECRETS, or leave the secret line out"
                .to_owned(),
        };
        secrets::parse(&self.name, self.login, self.value.as_deref().ok_or_else(missing)?)
    }

    async fn read_again(&self) -> Result<Credentials, SecretError> {
        self.read().await
    }
}
