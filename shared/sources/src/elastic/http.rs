//! Requests to the one address of the live view.
//!
//! The transport of the `elasticsearch` crate always follows redirects, and would send the request to an
//! address that is not in the country file. So only the paths of requests come from the crate, and this
//! module sends them.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use elasticsearch::http::StatusCode;
use elasticsearch::http::headers::{
    ACCEPT, CONTENT_TYPE, DEFAULT_ACCEPT, DEFAULT_CONTENT_TYPE, DEFAULT_USER_AGENT, LOCATION, RETRY_AFTER,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response};
use url::Url;

use super::ElasticConfig;
use super::access::{Authorization, Authorizer};
use super::refusal::Refusal;
use super::tls;
use crate::live_view::LiveViewError;

type Source = Box<dyn Error + Send + Sync>;

/// A client of one address.
pub(super) struct Http {
    client: Client,
    /// Ends with a slash, so that paths are joined below it.
    base: Url,
    authorizer: Authorizer,
    place: Place,
    has_ca: bool,
}

/// How messages name the live view.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) index: String,
}

/// Why a request failed: the server refused it, or did not answer.
pub(super) enum Failure {
    Refused(Refusal),
    Failed(LiveViewError),
}

impl From<LiveViewError> for Failure {
    fn from(error: LiveViewError) -> Self {
        Self::Failed(error)
    }
}

impl Http {
    pub(super) fn new(config: &ElasticConfig) -> Result<Self, LiveViewError> {
        let bad_url = |problem: String| LiveViewError::Config { field: "url", problem };
        let url = &config.url;
        let host = match (url.scheme(), url.host_str(), url.port_or_known_default()) {
            ("http" | "https", Some(host), Some(port)) => format!("{host}:{port}"),
            _ => return Err(bad_url("must be an http or https address with a host".to_owned())),
        };
        let authorizer = Authorizer::new(config.access.clone(), url)?;
        let builder = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            // Compressing an answer costs the server a sixth of the CPU of a search (docs/benchmarks.md).
            .no_gzip()
            .timeout(config.timeout)
            .connect_timeout(config.timeout.min(Duration::from_secs(10)))
            .user_agent(DEFAULT_USER_AGENT);
        // Loading roots takes milliseconds, and plain http does not need them.
        let builder = match url.scheme() {
            "https" => builder.use_preconfigured_tls(tls::client_config(config.ca.as_deref())?),
            _ => builder.tls_built_in_root_certs(false),
        };
        let client =
            builder.build().map_err(|error| bad_url(format!("cannot build an HTTP client: {error}")))?;
        let mut base = url.clone();
        // A request uses only the scheme, host, port and path of the address.
        base.set_query(None);
        base.set_fragment(None);
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", url.path()));
        }
        let place = Place { host, index: config.index.clone() };
        Ok(Self { client, base, authorizer, place, has_ca: config.ca.is_some() })
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Returns the body of a successful response. `path` is relative to the address and includes the query string.
    pub(super) async fn get(&self, path: &str) -> Result<Bytes, Failure> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// Like [`Http::get`], but posts JSON.
    pub(super) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Result<Bytes, Failure> {
        self.send(Method::POST, path, body.into()).await
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        let url = self.base.join(path.trim_start_matches('/')).map_err(|error| LiveViewError::Config {
            field: "index",
            problem: format!("{:?} does not give a valid address: {error}", self.place.index),
        })?;
        let (mut authorization, mut response) = self.once(&method, &url, &body).await?;
        let is_refused = |response: &Response| {
            matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        };
        if is_refused(&response) && self.authorizer.renew(&authorization).await? {
            (authorization, response) = self.once(&method, &url, &body).await?;
        }
        let status = response.status();
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let target = location.and_then(|location| url.join(location).ok());
        // A date instead of seconds would need the server's clock.
        let after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let bytes = response
            .bytes()
            .await
            .map_err(|error| self.place.incomplete("the body broke off".to_owned(), Some(error.into())))?;
        if status.is_success() {
            return Ok(bytes);
        }
        if status.is_redirection() {
            let to = target.as_ref().and_then(Url::host_str).unwrap_or("nowhere");
            let during = format!(
                "answered HTTP {}, a redirect to {to}; redirects are not followed, so put the server's own address into [live_view].url",
                status.as_u16()
            );
            return Err(self.place.unavailable(during, None).into());
        }
        let refusal =
            Refusal::read(status, after.map(Duration::from_secs), &bytes, |text| authorization.redact(text));
        if is_credentials(status) {
            let during = format!("answered {refusal}; {}", self.authorizer.advice());
            return Err(self.place.unavailable(during, None).into());
        }
        Err(Failure::Refused(refusal))
    }

    async fn once(
        &self,
        method: &Method,
        url: &Url,
        body: &Bytes,
    ) -> Result<(Authorization, Response), LiveViewError> {
        let authorization = self.authorizer.authorize(method.as_str(), url, body).await?;
        let mut request = self
            .client
            .request(method.clone(), url.clone())
            .header(ACCEPT, DEFAULT_ACCEPT)
            .headers(authorization.headers.clone());
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, DEFAULT_CONTENT_TYPE).body(body.clone());
        }
        let again = request.try_clone();
        let error = match (request.send().await, again) {
            (Ok(response), _) => return Ok((authorization, response)),
            // A kept connection may have ended while the function was frozen, between two ticks. Only sending tells.
            (Err(error), Some(again)) if has_broken(&error) => match again.send().await {
                Ok(response) => return Ok((authorization, response)),
                Err(error) => error,
            },
            (Err(error), _) => error,
        };
        Err(self.no_answer(error))
    }

    fn no_answer(&self, error: reqwest::Error) -> LiveViewError {
        let host = self.base.host_str().unwrap_or_default();
        let during = match tls::problem(&error, host, self.has_ca) {
            Some(problem) => problem,
            None if error.is_timeout() => {
                "did not answer in time; check that it is not overloaded and that this network reaches it"
                    .to_owned()
            }
            None => "did not answer; check that it runs and that this network reaches it".to_owned(),
        };
        // The message already has the address.
        self.place.unavailable(during, Some(error.without_url().into()))
    }
}

/// Whether the connection ended before an answer. Every request reads only, so it may be sent twice.
fn has_broken(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_timeout() && !error.is_connect()
}

fn is_credentials(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// The error, for a server that may have room later.
pub(super) fn busy(error: LiveViewError, after: Option<Duration>) -> LiveViewError {
    LiveViewError::Busy { error: Box::new(error), after }
}

impl Place {
    pub(super) fn unavailable(&self, during: String, source: Option<Source>) -> LiveViewError {
        let (host, index) = (self.host.clone(), self.index.clone());
        LiveViewError::Unavailable { host, index, during, source }
    }

    pub(super) fn incomplete(&self, what: String, source: Option<Source>) -> LiveViewError {
        let (host, index) = (self.host.clone(), self.index.clone());
        LiveViewError::Incomplete { host, index, what, source }
    }
}
