//! Access to the live view: rotated secrets, certificates of a private authority, and AWS signatures.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use aws_credential_types::Credentials as AwsCredentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use storewatch_domain::{IdRange, IdType, StoreKey};
use storewatch_sources::{
    Access, Credentials, ElasticConfig, ElasticLiveView, FixedSecret, LiveView, LiveViewError, Secret,
    SecretError,
};

use crate::server::served;
use crate::support::domain::Domain;
use crate::support::tls::{Authority, Front};
use crate::support::{Server, node};
use crate::{config, contract, documents, index};

fn secret(value: Credentials) -> Access {
    Access::Secret(Arc::new(FixedSecret { name: "storewatch/es/elasticsearch".to_owned(), value }))
}

fn basic(password: &str) -> Credentials {
    let (username, password) = (Some("ana".to_owned()), Some(password.to_owned()));
    Credentials { username, password, api_key: None }
}

fn api_key(key: &str) -> Credentials {
    Credentials { api_key: Some(key.to_owned()), ..Credentials::default() }
}

#[tokio::test]
async fn credentials_are_sent_with_every_search_and_never_appear_in_messages() {
    let cases = [
        (basic("s3cr3t"), "authorization: basic yw5honmzy3izda=="),
        (api_key("a2V5"), "authorization: apikey a2v5"),
    ];
    let echoes = r#"{"error":{"reason":"no: Basic YW5hOnMzY3IzdA==, ana:s3cr3t, ApiKey a2V5"}}"#;
    for (credentials, header) in cases {
        let server = ElasticConfig { access: secret(credentials.clone()), ..config("stores", IdType::Long) };
        let (seen, _) = served(401, echoes, server).await;
        let (own, error) = (if header.contains("basic") { 0 } else { 1 }, seen.unwrap_err().to_string());
        let kept = ["s3cr3t", "YW5hOnMzY3IzdA==", "a2V5"].map(|secret| error.contains(secret));
        assert_eq!(kept, [[false, false, true], [true, true, false]][own], "{error}");
        assert!(error.contains("check the secret"), "{error}");
        let view = ElasticConfig { access: secret(credentials), ..config("stores", IdType::Long) };
        let (seen, request) = served(503, "", view).await;
        assert!(request.to_lowercase().contains(header), "{request}");
        assert!(!request.to_lowercase().contains("accept-encoding"), "the server would compress: {request}");
        let error = format!("{:?}", seen.unwrap_err());
        assert!(!error.contains("s3cr3t") && !error.contains("a2V5"), "{error}");
    }
}

/// A secret that has been rotated: the cached value is the first, and the current value is the last.
struct Rotated {
    values: [Credentials; 2],
    again: AtomicUsize,
}

#[async_trait]
impl Secret for Rotated {
    fn name(&self) -> &str {
        "rotated"
    }

    async fn read(&self) -> Result<Credentials, SecretError> {
        Ok(self.values[self.again.load(Ordering::SeqCst).min(1)].clone())
    }

    async fn read_again(&self) -> Result<Credentials, SecretError> {
        self.again.fetch_add(1, Ordering::SeqCst);
        self.read().await
    }
}

#[tokio::test]
async fn a_rotated_secret_is_used_at_once_and_an_unchanged_one_is_not_tried_twice() {
    let mapping = r#"{"stores":{"mappings":{
        "store_id":{"full_name":"store_id","mapping":{"store_id":{"type":"long"}}},
        "online":{"full_name":"online","mapping":{"online":{"type":"boolean"}}}}}}"#;
    let found = r#"{"timed_out":false,"_shards":{"total":1,"successful":1,"failed":0},
        "hits":{"total":{"value":0,"relation":"eq"}}}"#;
    // "ana:new"
    let let_in = |request: &str| request.to_lowercase().contains("basic yw5hom5ldw==");
    for (values, wanted, asked) in
        [(["old", "new"], true, 1), (["old", "old"], false, 1), (["new", "new"], true, 0)]
    {
        let server =
            Server::serving(move |request| match (let_in(request), request.contains("/_mapping/")) {
                (false, _) => (401, String::new(), b"{}".to_vec()),
                (true, true) => (200, String::new(), mapping.as_bytes().to_vec()),
                (true, false) => (200, String::new(), found.as_bytes().to_vec()),
            })
            .await;
        let secret = Arc::new(Rotated { values: values.map(basic), again: AtomicUsize::new(0) });
        let view = ElasticLiveView::new(ElasticConfig {
            url: server.url.parse().unwrap(),
            access: Access::Secret(Arc::clone(&secret) as Arc<dyn Secret>),
            filter: None,
            reason_field: None,
            ..config("stores", IdType::Long)
        });
        let seen = view.unwrap().observe(&IdRange::default()).await;
        assert_eq!(seen.is_ok(), wanted, "{values:?}: {seen:?}");
        assert_eq!(secret.again.load(Ordering::SeqCst), asked, "{values:?}");
    }
}

#[tokio::test]
async fn a_malformed_secret_is_named_and_no_request_is_sent() {
    let server = Server::answering("long", 200, b"{}").await;
    let url = server.url.parse().unwrap();
    let both = Credentials { api_key: Some("a2V5".to_owned()), ..basic("s3cr3t") };
    let view =
        ElasticLiveView::new(ElasticConfig { url, access: secret(both), ..config("stores", IdType::Long) });
    let error = view.unwrap().observe(&IdRange::default()).await.unwrap_err();
    assert!(matches!(error, LiveViewError::Secret { source: SecretError::Malformed { .. } }), "{error}");
    assert!(error.to_string().contains("storewatch/es/elasticsearch"), "{error}");
    assert!(server.is_untouched());
}

#[test]
fn credentials_are_never_sent_unencrypted_over_a_network() {
    let url = "http://search.example:9200".parse().unwrap();
    let config = ElasticConfig { url, access: secret(basic("s3cr3t")), ..config_of_nobody() };
    let error = ElasticLiveView::new(config).err().unwrap();
    assert!(matches!(error, LiveViewError::Config { field: "url", .. }), "{error}");
}

fn config_of_nobody() -> ElasticConfig {
    ElasticConfig {
        url: "http://127.0.0.1:9".parse().unwrap(),
        access: Access::None,
        ca: None,
        index: "stores".to_owned(),
        id_field: "store_id".to_owned(),
        id_type: IdType::Long,
        online: serde_json::json!({ "match_all": {} }),
        filter: None,
        reason_field: None,
        timeout: std::time::Duration::from_secs(10),
        page: 3,
    }
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_if_its_certificate_is_given() {
    let name = index(&documents(StoreKey::Long), IdType::Long).await;
    let (own, other) = (Authority::new("own"), Authority::new("other"));
    let front = Front::new(&own, "DNS:localhost", &node()).await;
    let at = |host: &str, ca: Option<&[u8]>| ElasticConfig {
        url: format!("https://{host}:{}", front.port).parse().unwrap(),
        access: secret(basic("s3cr3t")),
        ca: ca.map(<[u8]>::to_vec),
        ..config(&name, IdType::Long)
    };
    contract(&ElasticLiveView::new(at("localhost", Some(&own.pem))).unwrap(), StoreKey::Long).await;
    for (host, ca, said) in [
        ("localhost", Some(&*other.pem), "certificate is not signed by the authority in [live_view].ca"),
        ("localhost", None, "that this system does not trust"),
        ("127.0.0.1", Some(&*own.pem), "certificate is not for 127.0.0.1"),
    ] {
        let view = ElasticLiveView::new(at(host, ca)).unwrap();
        let error = view.observe(&IdRange::default()).await.unwrap_err();
        assert!(matches!(error, LiveViewError::Unavailable { .. }), "{error}");
        assert!(error.to_string().contains(said) && !error.to_string().contains("network"), "{error}");
    }
    let error = ElasticLiveView::new(at("localhost", Some(b"no PEM"))).err().unwrap();
    assert!(matches!(error, LiveViewError::Config { field: "ca", .. }), "{error}");
}

#[tokio::test]
async fn requests_have_the_signature_that_amazon_opensearch_service_checks() {
    let name = index(&documents(StoreKey::Long), IdType::Long).await;
    let domain = Domain::start(&node()).await;
    let signed = |key: &str, region: &str| {
        let token = Some("the+session/token==".to_owned());
        let credentials = AwsCredentials::new(Domain::KEY, key, token, None, "test");
        ElasticConfig {
            url: domain.url.parse().unwrap(),
            access: Access::AwsSigV4 {
                credentials: SharedCredentialsProvider::new(credentials),
                region: Some(region.to_owned()),
            },
            // Characters that must be encoded in a path.
            index: format!("{name},{name}*"),
            ..config(&name, IdType::Long)
        }
    };
    contract(&ElasticLiveView::new(signed(Domain::SECRET, Domain::REGION)).unwrap(), StoreKey::Long).await;
    for wrong in [signed("wrong", Domain::REGION), signed(Domain::SECRET, "eu-north-1")] {
        let error = ElasticLiveView::new(wrong).unwrap().observe(&IdRange::default()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("HTTP 403") && text.contains("es:ESHttpGet"), "{text}");
        // Like AWS, the stand-in repeats the canonical request and the signature in its error.
        let kept = ["the+session/token==", Domain::KEY].map(|secret| text.contains(secret));
        assert_eq!(kept, [false, false], "{text}");
    }
    let unsigned = ElasticConfig { access: Access::None, ..signed("", "") };
    let error = ElasticLiveView::new(unsigned).unwrap().observe(&IdRange::default()).await.unwrap_err();
    assert!(error.to_string().contains("HTTP 403"), "{error}");
}
