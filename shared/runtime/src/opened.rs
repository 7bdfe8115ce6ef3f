//! Opens the live view with its secret, as long as [`ElasticLiveView`] takes credentials and no secret.

use std::sync::Arc;

use async_trait::async_trait;
use storewatch_domain::{IdRange, LiveStore, StoreKey};
use storewatch_sources::{
    Credentials, ElasticConfig, ElasticLiveView, LiveView, LiveViewError, Secret, SecretError,
    ViewCredentials,
};
use tokio::sync::Mutex;

/// A live view that reads its secret before each observation. Its client is built anew only when the
/// value changed.
pub(crate) struct OpenedLiveView {
    config: ElasticConfig,
    secret: Option<Arc<dyn Secret>>,
    view: Mutex<Option<(Credentials, Arc<ElasticLiveView>)>>,
}

impl OpenedLiveView {
    pub(crate) fn new(config: ElasticConfig, secret: Option<Arc<dyn Secret>>) -> Self {
        Self { config, secret, view: Mutex::new(None) }
    }

    async fn open(&self) -> Result<Arc<ElasticLiveView>, LiveViewError> {
        let value = match &self.secret {
            Some(secret) => secret.read().await.map_err(|source| LiveViewError::Secret { source })?,
            None => Credentials::default(),
        };
        let mut held = self.view.lock().await;
        if let Some((_, view)) = held.as_ref().filter(|(from, _)| *from == value) {
            return Ok(Arc::clone(view));
        }
        let mut config = self.config.clone();
        if let Some(secret) = &self.secret {
            config.credentials = credentials(secret.name(), value.clone())?;
        }
        let view = Arc::new(ElasticLiveView::new(config)?);
        *held = Some((value, Arc::clone(&view)));
        Ok(view)
    }
}

fn credentials(name: &str, value: Credentials) -> Result<ViewCredentials, LiveViewError> {
    match (value.api_key, value.username, value.password) {
        (Some(key), None, None) => Ok(ViewCredentials::ApiKey(key)),
        (None, Some(username), Some(password)) => Ok(ViewCredentials::Basic { username, password }),
        _ => {
            let problem = "must hold either \"username\" and \"password\" or \"api_key\"".to_owned();
            Err(LiveViewError::Secret { source: SecretError::Malformed { name: name.to_owned(), problem } })
        }
    }
}

#[async_trait]
impl LiveView for OpenedLiveView {
    async fn observe(&self, range: &IdRange) -> Result<Vec<(StoreKey, LiveStore)>, LiveViewError> {
        self.open().await?.observe(range).await
    }
}
