//! The contract of a live view, which Elasticsearch and the live view in memory both fulfil, and failures that
//! only a server can have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod access;
mod mapping;
mod server;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use serde_json::json;
use storewatch_domain::{IdRange, IdType, LiveStore, StoreKey};
use storewatch_sources::memory::{Document, MemoryLiveView};
use storewatch_sources::{Access, ElasticConfig, ElasticLiveView, LiveView, LiveViewError};
use storewatch_stack_client::unique_name;
use support::{node, post};

fn config(index: &str, id_type: IdType) -> ElasticConfig {
    ElasticConfig {
        url: node().parse().unwrap(),
        access: Access::None,
        ca: None,
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

/// Makes an index with these documents and one of another country.
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
    assert_eq!(all, wanted, "each once, in the order of ids, online if any document is");

    // From `first` up to but not including `last`: adjacent ranges have no gap and no overlap.
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

/// Eight stores, two of which have two documents.
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
    // Text is ordered by bytes: upper case before lower case, and "é" after both.
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
async fn a_live_view_in_memory_fulfils_the_contract() {
    contract(&MemoryLiveView { documents: documents(StoreKey::Long) }, StoreKey::Long).await;
    contract(&MemoryLiveView { documents: documents(keyword) }, keyword).await;
}

#[tokio::test]
async fn elasticsearch_fulfils_the_contract_with_numbers_as_ids() {
    let name = index(&documents(StoreKey::Long), IdType::Long).await;
    // There are more documents than fit on a page of three. They are read page by page, and none is lost.
    contract(&ElasticLiveView::new(config(&name, IdType::Long)).unwrap(), StoreKey::Long).await;
    let whole = ElasticConfig { page: 10_000, ..config(&name, IdType::Long) };
    contract(&ElasticLiveView::new(whole).unwrap(), StoreKey::Long).await;
}

#[tokio::test]
async fn elasticsearch_fulfils_the_contract_with_text_as_ids() {
    let name = index(&documents(keyword), IdType::Keyword).await;
    contract(&ElasticLiveView::new(config(&name, IdType::Keyword)).unwrap(), keyword).await;
}

#[tokio::test]
async fn more_documents_with_one_id_than_fit_on_a_page_are_an_error() {
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
async fn a_query_that_elasticsearch_does_not_understand_is_a_mistake_in_the_country_file() {
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
async fn a_missing_index_is_unavailable_rather_than_empty() {
    let error = error_of(config(&unique_name("none"), IdType::Long)).await;
    assert!(matches!(error, LiveViewError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("404"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_down_is_unavailable() {
    let url = "http://127.0.0.1:9".parse().unwrap();
    let error = error_of(ElasticConfig { url, ..config("stores", IdType::Long) }).await;
    assert!(matches!(error, LiveViewError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("127.0.0.1:9"), "{error}");
}
