//! A minimal HTTP client and server for these tests.

pub(crate) mod domain;
pub(crate) mod tls;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use storewatch_stack_client::Stack;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The address of a real node: the stack's Elasticsearch, or the engine that `make test-engines` tries.
pub(crate) fn node() -> String {
    std::env::var("LIVE_VIEW_URL").unwrap_or_else(|_| Stack::running().elasticsearch.url.clone())
}

/// Sends a request to the node. It must succeed.
pub(crate) async fn post(method: &str, path: &str, body: &str) {
    send(method, path, body).await;
}

/// The node's response, head and body.
pub(crate) async fn get(path: &str) -> String {
    send("GET", path, "").await
}

async fn send(method: &str, path: &str, body: &str) -> String {
    let node = node();
    let host = node.trim_start_matches("http://");
    let kind = if path.contains("_bulk") { "application/x-ndjson" } else { "application/json" };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{method} {path}: {answer}");
    assert!(!answer.contains("\"errors\":true"), "{method} {path}: {answer}");
    answer
}

/// A server on a free port.
pub(crate) struct Server {
    pub(crate) url: String,
    /// All complete requests, except those for the mapping.
    requests: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    /// Maps the ids of any index as `kind`, and answers every search with this status and body.
    pub(crate) async fn answering(kind: &str, status: u16, body: &[u8]) -> Self {
        let body = body.to_owned();
        Self::mapping(kind, false, move || (status, String::new(), body.clone())).await
    }

    /// Answers searches as `answer` says, and with `always` the request for the mapping too.
    pub(crate) async fn mapping(
        kind: &str,
        always: bool,
        answer: impl Fn() -> (u16, String, Vec<u8>) + Send + 'static,
    ) -> Self {
        let mapped = json!({ "stores": { "mappings": {
            "store_id": { "full_name": "store_id", "mapping": { "store_id": { "type": kind } } },
            "online": { "full_name": "online", "mapping": { "online": { "type": "boolean" } } },
            "country": { "full_name": "country", "mapping": { "country": { "type": "keyword" } } },
            "offline_reason":
                { "full_name": "offline_reason", "mapping": { "offline_reason": { "type": "keyword" } } },
        } } })
        .to_string();
        Self::serving(move |request| match request.contains("/_mapping/") && !always {
            true => (200, String::new(), mapped.clone().into_bytes()),
            false => answer(),
        })
        .await
    }

    pub(crate) async fn redirecting(status: u16, location: &str) -> Self {
        let header = format!("location: {location}\r\n");
        Self::serving(move |_| (status, header.clone(), Vec::new())).await
    }

    /// Answers each request with a status, additional header lines and a body.
    pub(crate) async fn serving(answer: impl Fn(&str) -> (u16, String, Vec<u8>) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read(&mut stream).await;
                let (status, headers, body) = answer(&request);
                if !request.contains("/_mapping/") {
                    seen.lock().unwrap().push(request);
                }
                let head = format!(
                    "HTTP/1.1 {status} X\r\n{headers}content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(head.as_bytes()).await.unwrap();
                stream.write_all(&body).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        Self { url, requests, serving }
    }

    /// The first request that arrived, except those for the mapping.
    pub(crate) async fn request(self) -> String {
        self.requests.lock().unwrap().first().cloned().unwrap_or_default()
    }

    /// The number of requests, except those for the mapping.
    pub(crate) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    pub(crate) fn is_untouched(&self) -> bool {
        self.count() == 0
    }
}

/// A proxy before a server, and how many connections it has accepted. It keeps a connection open for some requests, and
/// resets it at the next one.
pub(crate) async fn ending_after(requests: usize, upstream: &str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicUsize::new(0));
    let (counted, host) = (Arc::clone(&accepted), upstream.trim_start_matches("http://").to_owned());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let host = host.clone();
            tokio::spawn(async move {
                for _ in 0..requests {
                    let request = read(&mut stream).await;
                    let mut server = TcpStream::connect(&host).await.unwrap();
                    server.write_all(request.as_bytes()).await.unwrap();
                    let mut answer = String::new();
                    server.read_to_string(&mut answer).await.unwrap();
                    let kept = answer.replace("connection: close\r\n", "");
                    stream.write_all(kept.as_bytes()).await.unwrap();
                }
                read(&mut stream).await;
            });
        }
    });
    (url, accepted)
}

async fn read(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut part = [0; 4096];
    while !is_whole(&request) {
        let n = stream.read(&mut part).await.unwrap();
        assert!(n > 0, "the request broke off");
        request.extend_from_slice(&part[..n]);
    }
    String::from_utf8(request).unwrap()
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some(end) = text.find("\r\n\r\n") else { return false };
    let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    length.and_then(|length| length.parse().ok()).is_none_or(|length: usize| text.len() >= end + 4 + length)
}
