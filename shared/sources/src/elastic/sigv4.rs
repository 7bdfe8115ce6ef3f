//! Signs requests to Amazon OpenSearch Service with AWS Signature Version 4, as in AWS's "Signature Version 4
//! signing process". The signature covers path, query and body.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use elasticsearch::http::headers::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Mutex;
use url::Url;

use super::access::Authorization;
use crate::live_view::LiveViewError;

/// How long before they expire credentials are replaced.
const MARGIN: Duration = Duration::from_secs(120);

/// Signs requests to one domain.
pub(super) struct Signer {
    provider: SharedCredentialsProvider,
    region: String,
    service: &'static str,
    host: String,
    /// The current credentials. A provider that is called directly does not cache them, so an assumed role would
    /// mean a call to STS for each request.
    held: Mutex<Option<Credentials>>,
}

impl Signer {
    pub(super) fn new(
        provider: SharedCredentialsProvider,
        region: Option<String>,
        url: &Url,
    ) -> Result<Self, LiveViewError> {
        let host = url
            .host_str()
            .ok_or_else(|| LiveViewError::Config { field: "url", problem: "has no host".to_owned() })?;
        let (of_host, service) = region_and_service(host);
        let region = of_host.map(str::to_owned).or(region).ok_or_else(|| LiveViewError::Config {
            field: "aws_sigv4",
            problem: format!(
                "the AWS region of {host} is unknown: set AWS_REGION, or use the domain's own address"
            ),
        })?;
        Ok(Self { provider, region, service, host: host.to_owned(), held: Mutex::new(None) })
    }

    /// Headers that sign the request: date, digest of the body, session token, signature.
    pub(super) async fn sign(
        &self,
        method: &str,
        url: &Url,
        body: &[u8],
    ) -> Result<Authorization, LiveViewError> {
        let credentials = self.credentials().await?;
        let headers =
            self.headers(&credentials, method, url, body).map_err(|error| LiveViewError::Config {
                field: "aws_sigv4",
                problem: format!("cannot sign the request to {}: {error}", self.host),
            })?;
        let mut secrets = vec![
            credentials.secret_access_key().to_owned(),
            credentials.access_key_id().to_owned(),
            credentials.session_token().unwrap_or_default().to_owned(),
        ];
        // AWS repeats a wrongly signed request in its error, including the signature.
        let signature = headers.get("authorization").and_then(|value| value.to_str().ok());
        secrets
            .extend(signature.and_then(|text| text.split_once("Signature=")).map(|(_, hex)| hex.to_owned()));
        Ok(Authorization { headers, secrets })
    }

    /// Asks for the credentials again, and returns whether they changed.
    pub(super) async fn renew(&self) -> Result<bool, LiveViewError> {
        let mut held = self.held.lock().await;
        let fresh = self.ask().await?;
        let changed = held.as_ref().is_none_or(|held| held.access_key_id() != fresh.access_key_id());
        *held = Some(fresh);
        Ok(changed)
    }

    async fn credentials(&self) -> Result<Credentials, LiveViewError> {
        let mut held = self.held.lock().await;
        let soon = SystemTime::now() + MARGIN;
        if let Some(held) = held.as_ref().filter(|held| held.expiry().is_none_or(|expiry| expiry > soon)) {
            return Ok(held.clone());
        }
        let fresh = self.ask().await?;
        *held = Some(fresh.clone());
        Ok(fresh)
    }

    async fn ask(&self) -> Result<Credentials, LiveViewError> {
        self.provider.provide_credentials().await.map_err(|error| LiveViewError::Unavailable {
            host: self.host.clone(),
            index: String::new(),
            during: "cannot be read: there are no AWS credentials to sign the request with".to_owned(),
            source: Some(error.into()),
        })
    }

    fn headers(
        &self,
        credentials: &Credentials,
        method: &str,
        url: &Url,
        body: &[u8],
    ) -> Result<HeaderMap, Box<dyn std::error::Error + Send + Sync>> {
        let identity = credentials.clone().into();
        let mut settings = SigningSettings::default();
        // OpenSearch Serverless requires the digest of the body as a header.
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(self.service)
            .time(SystemTime::now())
            .settings(settings)
            .build()?
            .into();
        let request =
            SignableRequest::new(method, url.as_str(), std::iter::empty(), SignableBody::Bytes(body))?;
        let (instructions, _) = sign(request, &parameters)?.into_parts();
        let mut headers = HeaderMap::new();
        for (name, value) in instructions.headers() {
            let mut value = HeaderValue::from_str(value)?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_bytes(name.as_bytes())?, value);
        }
        Ok(headers)
    }
}

/// The region in a domain's host name, and the service to sign for: `aoss` is OpenSearch Serverless, `es`
/// everything else.
fn region_and_service(host: &str) -> (Option<&str>, &'static str) {
    let labels: Vec<&str> = host.split('.').collect();
    let service = if labels.contains(&"aoss") { "aoss" } else { "es" };
    let region = match labels.as_slice() {
        // search-stores-abc.eu-west-1.es.amazonaws.com, abc.eu-west-1.aoss.amazonaws.com
        [.., region, "es" | "aoss", "amazonaws", "com"] => Some(*region),
        [.., region, "es" | "aoss", "amazonaws", "com", "cn"] => Some(*region),
        // search-stores-abc.aos.eu-west-1.on.aws
        [.., "aos" | "aoss", region, "on", "aws"] => Some(*region),
        _ => None,
    };
    (region, service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_and_service_come_from_the_host() {
        for (host, wanted) in [
            ("search-stores-abc.eu-west-1.es.amazonaws.com", (Some("eu-west-1"), "es")),
            ("vpc-stores-abc.cn-north-1.es.amazonaws.com.cn", (Some("cn-north-1"), "es")),
            ("search-stores-abc.aos.us-east-2.on.aws", (Some("us-east-2"), "es")),
            ("abc123.us-east-1.aoss.amazonaws.com", (Some("us-east-1"), "aoss")),
            ("search.shop.example", (None, "es")),
        ] {
            assert_eq!(region_and_service(host), wanted, "{host}");
        }
    }
}
