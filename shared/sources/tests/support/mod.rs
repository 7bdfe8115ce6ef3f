//! A client and a server of HTTP that are just enough for these tests.

use storewatch_stack_client::Stack;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Sends a request to the stack's Elasticsearch; it must succeed.
pub(crate) async fn post(method: &str, path: &str, body: &str) {
    let host = Stack::running().elasticsearch.url.trim_start_matches("http://");
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
}

/// A server that says of any index that its ids are mapped as `kind`, and gives one answer to one search.
pub(crate) struct Server {
    pub(crate) url: String,
    serving: JoinHandle<String>,
}

const MAPPED: &str = r#"{"fields":{
    "store_id":{"KIND":{"type":"KIND","aggregatable":true}},
    "offline_reason":{"keyword":{"type":"keyword","aggregatable":true}}}}"#;

impl Server {
    pub(crate) async fn answering(kind: &str, status: u16, body: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (body, mapped) = (body.to_owned(), MAPPED.replace("KIND", kind));
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read(&mut stream).await;
                let is_search = !request.contains("_field_caps");
                let (status, body) =
                    if is_search { (status, body.as_slice()) } else { (200, mapped.as_bytes()) };
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(head.as_bytes()).await.unwrap();
                stream.write_all(body).await.unwrap();
                stream.shutdown().await.unwrap();
                if is_search {
                    return request;
                }
            }
        });
        Self { url, serving }
    }

    /// The search that came.
    pub(crate) async fn request(self) -> String {
        self.serving.await.unwrap()
    }
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
