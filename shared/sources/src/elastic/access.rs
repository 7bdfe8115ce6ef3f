//! Access to the live view: without credentials, with a secret, or with AWS signatures.

use std::sync::Arc;

use aws_credential_types::provider::SharedCredentialsProvider;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use elasticsearch::http::headers::{AUTHORIZATION, HeaderMap, HeaderValue};
use url::{Host, Url};

use super::sigv4::Signer;
use crate::live_view::LiveViewError;
use crate::secret::{Credentials, Secret, SecretError};

/// How requests are authorized.
#[derive(Clone)]
pub enum Access {
    /// Requests carry no credentials.
    None,
    /// `username` and `password`, or `api_key`. Read when a request is sent, and again if the server refuses
    /// it, so that a rotated secret is used at once.
    Secret(Arc<dyn Secret>),
    /// Requests are signed for Amazon OpenSearch Service (AWS Signature Version 4).
    AwsSigV4 {
        credentials: SharedCredentialsProvider,
        /// Used if the host name contains no region.
        region: Option<String>,
    },
}

/// A request's credentials: its headers, and the strings that must not appear in messages.
pub(super) struct Authorization {
    pub(super) headers: HeaderMap,
    pub(super) secrets: Vec<String>,
}

impl Authorization {
    /// Replaces secrets in a text from the server by `***`.
    pub(super) fn redact(&self, mut text: String) -> String {
        for secret in self.secrets.iter().filter(|secret| !secret.is_empty()) {
            text = text.replace(secret.as_str(), "***");
        }
        text
    }
}

/// [`Access`], ready to authorize requests to one host.
pub(super) enum Authorizer {
    None,
    Secret(Arc<dyn Secret>),
    Signer(Signer),
}

impl Authorizer {
    /// # Errors
    /// Credentials would be sent unencrypted over a network, or the AWS region is unknown.
    pub(super) fn new(access: Access, url: &Url) -> Result<Self, LiveViewError> {
        if !matches!(access, Access::None) && url.scheme() != "https" && !is_loopback(url) {
            let problem = "credentials are sent over https only, except to this machine itself; use an https:// address";
            return Err(LiveViewError::Config { field: "url", problem: problem.to_owned() });
        }
        Ok(match access {
            Access::None => Self::None,
            Access::Secret(secret) => Self::Secret(secret),
            Access::AwsSigV4 { credentials, region } => Self::Signer(Signer::new(credentials, region, url)?),
        })
    }

    /// The headers that authorize one request.
    pub(super) async fn authorize(
        &self,
        method: &str,
        url: &Url,
        body: &[u8],
    ) -> Result<Authorization, LiveViewError> {
        match self {
            Self::None => Ok(Authorization { headers: HeaderMap::new(), secrets: Vec::new() }),
            Self::Secret(secret) => Ok(authorization(secret.name(), &secret.read().await?)?),
            Self::Signer(signer) => signer.sign(method, url, body).await,
        }
    }

    /// Asks for the credentials again, and returns whether they changed. If not, do not try again.
    pub(super) async fn renew(&self, used: &Authorization) -> Result<bool, LiveViewError> {
        match self {
            Self::None => Ok(false),
            Self::Secret(secret) => {
                let now = authorization(secret.name(), &secret.read_again().await?)?;
                Ok(now.headers != used.headers)
            }
            Self::Signer(signer) => signer.renew().await,
        }
    }

    /// What to check when the server refuses the credentials.
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Self::None => "it asks for credentials: set [live_view].secret or aws_sigv4",
            Self::Secret(_) => {
                "check the secret, and that its user may search the index and view its metadata"
            }
            Self::Signer(_) => {
                "check the region, and that the domain and the function's role allow es:ESHttpGet and es:ESHttpPost"
            }
        }
    }
}

impl From<SecretError> for LiveViewError {
    fn from(source: SecretError) -> Self {
        Self::Secret { source }
    }
}

/// Whether the address is this machine itself, so that requests do not cross a network.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

/// The `Authorization` header for a secret's value.
fn authorization(name: &str, value: &Credentials) -> Result<Authorization, SecretError> {
    let malformed =
        |problem: &str| SecretError::Malformed { name: name.to_owned(), problem: problem.to_owned() };
    let (scheme, encoded, mut secrets) = match (&value.api_key, &value.username, &value.password) {
        (Some(key), None, None) => {
            let key = key.trim();
            if key.contains(':') {
                return Err(malformed("holds \"api_key\" as id:key; give its encoded form, base64 of that"));
            }
            // The encoded form contains the key in clear text, so messages must not show that either.
            let decoded = BASE64_STANDARD.decode(key).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let inner = decoded.and_then(|text| text.split_once(':').map(|(_, key)| key.to_owned()));
            ("ApiKey", key.to_owned(), Vec::from_iter(inner))
        }
        (None, Some(username), Some(password)) => {
            if username.contains(':') {
                return Err(malformed("holds a \"username\" with a colon, which HTTP cannot send"));
            }
            ("Basic", BASE64_STANDARD.encode(format!("{username}:{password}")), vec![password.clone()])
        }
        _ => return Err(malformed("must hold either \"username\" and \"password\" or \"api_key\"")),
    };
    let mut header = HeaderValue::from_str(&format!("{scheme} {encoded}"))
        .map_err(|_| malformed("has a line break or another character in \"api_key\" that is not base64"))?;
    header.set_sensitive(true);
    secrets.push(encoded);
    Ok(Authorization { headers: HeaderMap::from_iter([(AUTHORIZATION, header)]), secrets })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(username: Option<&str>, password: Option<&str>, api_key: Option<&str>) -> Credentials {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Credentials { username: own(username), password: own(password), api_key: own(api_key) }
    }

    #[test]
    fn an_api_key_may_end_with_a_line_break_but_malformed_secrets_are_refused() {
        let good = authorization("es/key", &value(None, None, Some("a2V5\n"))).ok().unwrap();
        assert_eq!(good.headers[AUTHORIZATION], "ApiKey a2V5");
        for (bad, said) in [
            (value(None, None, Some("a2\nV5")), "line break"),
            (value(None, None, Some("id:s3cr3t")), "encoded form"),
            (value(Some("a:b"), Some("s3cr3t"), None), "colon"),
            (value(Some("ana"), None, None), "either"),
            (value(Some("ana"), Some("s3cr3t"), Some("a2V5")), "either"),
        ] {
            let error = authorization("es/key", &bad).err().unwrap().to_string();
            assert!(error.contains("es/key") && error.contains(said), "{error}");
            assert!(!error.contains("s3cr3t") && !error.contains("V5"), "{error}");
        }
    }

    #[test]
    fn only_addresses_of_this_machine_are_loopback() {
        for (url, wanted) in [
            ("http://127.0.0.1:9200", true),
            ("http://127.8.9.10", true),
            ("http://[::1]:9200", true),
            ("http://LOCALHOST:9200", true),
            ("http://localhost.example", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), wanted, "{url}");
        }
    }
}
