//! The contract of a live view, which Elasticsearch and the one in memory both keep, and what only a
//! server can do wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use storewatch_domain::{IdRange, IdType, LiveStore, StoreKey};
use storewatch_sources::memory::{Document, MemoryLiveView};
use storewatch_sources::{ElasticConfig, ElasticLiveView, LiveView, LiveViewError, ViewCredentials};
use storewatch_stack_client::{Stack, unique_name};
use support::{Server, post};

fn config(index: &str, id_type: IdType) -> ElasticConfig {
    ElasticConfig {
        url: Stack::running().elasticsearch.url.parse().unwrap(),
        credentials: ViewCredentials::None,
        index: index.to_owned(),
        id_field: "store_id".to_owned(),
        id_type,
        online: json!({ "term": { "online": true } }),
        filter: Some(json!({ "term": { "country": "es" } })),
        reason_field: Some("offline_reason".to_owned()),
        timeout: Duration::from_secs(10),
        page: 3,
    }
}

/// An index that holds the documents and one of another country.
async fn index(documents: &[Document], id_type: IdType) -> String {
    let name = unique_name("view");
    let kind = if id_type == IdType::Long { "long" } else { "keyword" };
    let mapping = json!({
        "settings": { "number_of_shards": 2, "number_of_replicas": 0 },
        "mappings": { "dynamic": "strict", "properties": {
            "store_id": { "type": kind }, "country": { "type": "keyword" },
            "online": { "type": "boolean" }, "offline_reason": { "type": "keyword" },
        } },
    });
    post("PUT", &format!("/{name}"), &mapping.to_string()).await;
    let mut bulk = String::new();
    let mut add = |id: &StoreKey, country: &str, online: bool, reason: Option<&str>| {
        let source =
            json!({ "store_id": id, "country": country, "online": online, "offline_reason": reason });
        bulk.push_str(&format!("{{\"index\":{{}}}}\n{source}\n"));
    };
    for document in documents {
        add(&document.id, "es", document.online, document.reason.as_deref());
    }
    if let Some(first) = documents.first() {
        add(&first.id, "mx", true, Some("of another country"));
    }
    if !bulk.is_empty() {
        post("POST", &format!("/{name}/_bulk?refresh=true"), &bulk).await;
    }
    name
}

fn document(id: StoreKey, online: bool, reason: Option<&str>) -> Document {
    Document { id, online, reason: reason.map(str::to_owned) }
}

fn store(online: bool, reason: Option<&str>) -> LiveStore {
    LiveStore { online, reason: reason.map(str::to_owned) }
}

async fn contract(view: &dyn LiveView, key: impl Fn(i64) -> StoreKey) {
    let all = view.observe(&IdRange::default()).await.unwrap();
    let wanted = vec![
        (key(11), store(true, None)),
        (key(12), store(false, Some("maintenance"))),
        (key(13), store(true, None)),
        (key(14), store(false, Some("a reason"))),
        (key(15), store(false, None)),
        (key(16), store(true, None)),
        (key(17), store(true, None)),
        (key(18), store(false, Some("\"quoted\", ünïcode 🏪"))),
    ];
    assert_eq!(all, wanted, "in the order of ids, each once, online if any document is");

    // From `first` on, up to but without `last`: ranges side by side miss nothing and share nothing.
    let range =
        |first: Option<i64>, last: Option<i64>| IdRange { first: first.map(&key), last: last.map(&key) };
    for cuts in [vec![14], vec![11], vec![19], vec![12, 13, 16], vec![1, 99]] {
        let mut parts = Vec::new();
        let ends: Vec<Option<i64>> =
            [None].into_iter().chain(cuts.iter().copied().map(Some)).chain([None]).collect();
        for pair in ends.windows(2) {
            parts.extend(view.observe(&range(pair[0], pair[1])).await.unwrap());
        }
        assert_eq!(parts, wanted, "cut at {cuts:?}");
    }
    assert_eq!(view.observe(&range(Some(15), Some(15))).await.unwrap(), []);
}

/// Eight stores, of which one has two documents and one five, more than a page holds with others.
fn documents(key: impl Fn(i64) -> StoreKey) -> Vec<Document> {
    let mut documents = vec![
        document(key(18), false, Some("\"quoted\", ünïcode 🏪")),
        document(key(11), true, None),
        document(key(12), false, Some("maintenance")),
        document(key(13), false, Some("one of two")),
        document(key(13), true, None),
        document(key(14), false, Some("b reason")),
        document(key(14), false, Some("a reason")),
        document(key(15), false, None),
        document(key(16), true, None),
        document(key(17), true, None),
    ];
    documents.rotate_left(3);
    documents
}

fn keyword(id: i64) -> StoreKey {
    // Text in the order of bytes: capitals before small letters, "é" after both.
    let text = match id {
        11 => "A-11".to_owned(),
        12 => "a-1".to_owned(),
        13 => "a-10".to_owned(),
        18 => "é/../18' or 1=1".to_owned(),
        n if n < 11 => String::new(),
        n if n > 18 => "\u{10FFFF}".to_owned(),
        n => format!("b-{n}"),
    };
    StoreKey::Keyword(text)
}

#[tokio::test]
async fn a_live_view_in_memory_keeps_the_contract() {
    contract(&MemoryLiveView { documents: documents(StoreKey::Long) }, StoreKey::Long).await;
    contract(&MemoryLiveView { documents: documents(keyword) }, keyword).await;
}

#[tokio::test]
async fn elasticsearch_keeps_the_contract_with_ids_that_are_numbers() {
    let name = index(&documents(StoreKey::Long), IdType::Long).await;
    // A page of three is less than the documents: they are paged, never cut.
    contract(&ElasticLiveView::new(config(&name, IdType::Long)).unwrap(), StoreKey::Long).await;
    let whole = ElasticConfig { page: 10_000, ..config(&name, IdType::Long) };
    contract(&ElasticLiveView::new(whole).unwrap(), StoreKey::Long).await;
}

#[tokio::test]
async fn elasticsearch_keeps_the_contract_with_ids_that_are_text() {
    let name = index(&documents(keyword), IdType::Keyword).await;
    contract(&ElasticLiveView::new(config(&name, IdType::Keyword)).unwrap(), keyword).await;
}

#[tokio::test]
async fn more_documents_of_one_id_than_a_page_holds_are_an_error_and_not_cut() {
    let four: Vec<_> = (0..4).map(|_| document(StoreKey::Long(7), false, None)).collect();
    let name = index(&four, IdType::Long).await;
    let error = ElasticLiveView::new(config(&name, IdType::Long)).unwrap().observe(&IdRange::default()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, LiveViewError::Incomplete { .. }), "{error}");
    assert!(error.to_string().contains("more than 3 documents have the id 7"), "{error}");
}

async fn error_of(config: ElasticConfig) -> LiveViewError {
    ElasticLiveView::new(config).unwrap().observe(&IdRange::default()).await.unwrap_err()
}

#[tokio::test]
async fn a_query_that_elasticsearch_does_not_understand_is_a_fault_of_the_country_file() {
    let name = index(&documents(StoreKey::Long), IdType::Long).await;
    let good = || config(&name, IdType::Long);
    let error = error_of(ElasticConfig { online: json!({ "no_such_query": {} }), ..good() }).await;
    assert!(matches!(error, LiveViewError::Config { .. }), "{error}");
    assert!(error.to_string().contains("no_such_query") && error.to_string().contains(&name), "{error}");
    let error = error_of(ElasticConfig { id_field: "nowhere".to_owned(), ..good() }).await;
    assert!(matches!(error, LiveViewError::Config { .. }), "{error}");
    let error = error_of(ElasticConfig { id_type: IdType::Keyword, ..good() }).await;
    assert!(matches!(error, LiveViewError::Config { field: "id_type", .. }), "{error}");
}

#[tokio::test]
async fn a_missing_index_is_unavailable_and_not_empty() {
    let error = error_of(config(&unique_name("none"), IdType::Long)).await;
    assert!(matches!(error, LiveViewError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("404"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let url = "http://127.0.0.1:9".parse().unwrap();
    let error = error_of(ElasticConfig { url, ..config("stores", IdType::Long) }).await;
    assert!(matches!(error, LiveViewError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("127.0.0.1:9"), "{error}");
}

fn answer(change: impl FnOnce(&mut Value)) -> String {
    let mut body = json!({
        "timed_out": false,
        "_shards": { "total": 2, "successful": 2, "failed": 0 },
        "hits": { "total": { "value": 1, "relation": "eq" }, "hits": [{ "sort": [1, 1.0] }] },
    });
    change(&mut body);
    body.to_string()
}

/// A server of our own, because a real one does not fail on demand.
async fn served(
    status: u16,
    body: impl AsRef<[u8]>,
    config: ElasticConfig,
) -> (Result<Vec<(StoreKey, LiveStore)>, LiveViewError>, String) {
    let kind = if config.id_type == IdType::Long { "long" } else { "keyword" };
    let server = Server::answering(kind, status, body.as_ref()).await;
    let url = server.url.parse().unwrap();
    let view = ElasticLiveView::new(ElasticConfig { url, ..config }).unwrap();
    let seen = view.observe(&IdRange::default()).await;
    (seen, server.request().await)
}

#[tokio::test]
async fn a_part_of_an_answer_is_never_believed() {
    let parts = [
        answer(|body| body["timed_out"] = json!(true)),
        answer(|body| body["_shards"]["failed"] = json!(1)),
        answer(|body| body["_shards"]["successful"] = json!(1)),
        answer(|body| body["_shards"]["successful"] = json!(3)),
        answer(|body| body["hits"]["total"]["value"] = json!(2)),
        answer(|body| body["hits"]["total"]["relation"] = json!("gte")),
        answer(|_| ())[..40].to_owned(),
        "<html>a proxy's page</html>".to_owned(),
        "{}".to_owned(),
    ];
    for body in parts {
        let (seen, _) = served(200, &body, config("stores", IdType::Long)).await;
        assert!(matches!(seen, Err(LiveViewError::Incomplete { .. })), "{body}: {seen:?}");
    }
    let (seen, _) = served(200, &answer(|_| ()), config("stores", IdType::Long)).await;
    assert_eq!(seen.unwrap(), [(StoreKey::Long(1), store(true, None))]);
}

#[tokio::test]
async fn whatever_a_document_says_is_data_and_costs_no_other_document() {
    let long = "x".repeat(100_000);
    let reasons =
        ["'; drop table stores; --", "two\nlines, \"quoted\"\u{0}", "../../etc/passwd", "${jndi:x}", &long];
    for reason in reasons {
        let body = answer(|body| body["hits"]["hits"][0]["fields"] = json!({ "offline_reason": [reason] }));
        let (seen, _) = served(200, &body, config("stores", IdType::Long)).await;
        assert_eq!(seen.unwrap(), [(StoreKey::Long(1), store(true, Some(reason)))]);
    }
    // Elasticsearch sorts by what an id was, half of a surrogate pair, which comes before U+E000.
    let ids = [r#""a""#, r#""\ud800""#, "\"\u{e000}\"", r#""\udfff""#];
    let hits = ids.map(|id| format!(r#"{{"sort":[{id},1.0]}}"#)).join(",");
    let body =
        answer(|body| body["hits"] = json!({ "total": { "value": 4, "relation": "eq" }, "hits": "HITS" }));
    let config_of_text = config("stores", IdType::Keyword);
    let (seen, _) = served(200, body.replace("\"HITS\"", &format!("[{hits}]")), config_of_text).await;
    let ids: Vec<_> = seen.unwrap().into_iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(ids, ["a", "\u{e000}", "\u{fffd}"], "in the order of what they are, each once");
    let body = answer(|body| body["hits"]["hits"][0]["fields"] = json!({ "offline_reason": ["n?t UTF-8"] }));
    let bytes: Vec<u8> = body.bytes().map(|byte| if byte == b'?' { 0xff } else { byte }).collect();
    let (seen, _) = served(200, &bytes, config("stores", IdType::Long)).await;
    assert_eq!(seen.unwrap(), [(StoreKey::Long(1), store(true, Some("n\u{fffd}t UTF-8")))]);
}

#[tokio::test]
async fn refusals_of_a_busy_or_broken_server_are_unavailable() {
    for status in [401, 403, 429, 500, 502, 503] {
        let (seen, _) =
            served(status, "{\"error\":{\"reason\":\"not now\"}}", config("stores", IdType::Long)).await;
        let error = seen.unwrap_err();
        assert!(matches!(error, LiveViewError::Unavailable { .. }), "{status}: {error}");
        assert!(error.to_string().contains(&format!("HTTP {status}: not now")), "{error}");
    }
}

#[tokio::test]
async fn credentials_go_with_every_search_and_into_no_message() {
    let basic = ViewCredentials::Basic { username: "ana".to_owned(), password: "s3cr3t".to_owned() };
    let cases = [
        (basic, "authorization: basic yw5honmzy3izda=="),
        (ViewCredentials::ApiKey("a2V5".to_owned()), "authorization: apikey a2v5"),
    ];
    let echoes = r#"{"error":{"reason":"no: Basic YW5hOnMzY3IzdA==, ana:s3cr3t, ApiKey a2V5"}}"#;
    for (credentials, header) in cases {
        let server = ElasticConfig { credentials: credentials.clone(), ..config("stores", IdType::Long) };
        let (seen, _) = served(401, echoes, server).await;
        let (own, error) = (if header.contains("basic") { 0 } else { 1 }, seen.unwrap_err().to_string());
        let kept = ["s3cr3t", "YW5hOnMzY3IzdA==", "a2V5"].map(|secret| error.contains(secret));
        assert_eq!(kept, [[false, false, true], [true, true, false]][own], "{error}");
        let (seen, request) =
            served(503, "", ElasticConfig { credentials, ..config("stores", IdType::Long) }).await;
        assert!(request.to_lowercase().contains(header), "{request}");
        assert!(request.to_lowercase().contains("accept-encoding: gzip"), "{request}");
        let error = format!("{:?}", seen.unwrap_err());
        assert!(!error.contains("s3cr3t") && !error.contains("a2V5"), "{error}");
    }
}
