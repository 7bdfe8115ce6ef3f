//! Checks of the mapping against the country file, on a real node.

use serde_json::{Value, json};
use storewatch_domain::{IdRange, IdType, StoreKey};
use storewatch_sources::{ElasticConfig, ElasticLiveView, LiveView, LiveViewError};
use storewatch_stack_client::unique_name;

use crate::support::{get, post};
use crate::{config, error_of, keyword, store};

/// Makes an index with these fields and documents.
async fn index_of(name: &str, properties: Value, documents: &[Value]) {
    let body = json!({ "settings": { "number_of_shards": 2, "number_of_replicas": 0 },
        "mappings": { "properties": properties } });
    post("PUT", &format!("/{name}"), &body.to_string()).await;
    add(name, documents).await;
}

async fn add(name: &str, documents: &[Value]) {
    let lines: String =
        documents.iter().map(|document| format!("{{\"index\":{{}}}}\n{document}\n")).collect();
    if !lines.is_empty() {
        post("POST", &format!("/{name}/_bulk?refresh=true"), &lines).await;
    }
}

fn fields(id: Value) -> Value {
    json!({ "store_id": id, "online": { "type": "boolean" }, "country": { "type": "keyword" },
        "offline_reason": { "type": "keyword" } })
}

fn plain(index: &str, id_type: IdType) -> ElasticConfig {
    ElasticConfig { filter: None, page: 10_000, ..config(index, id_type) }
}

async fn ids(view: &ElasticLiveView, range: &IdRange) -> Result<Vec<String>, LiveViewError> {
    Ok(view.observe(range).await?.into_iter().map(|(id, _)| id.to_string()).collect())
}

fn longs(first: Option<i64>, last: Option<i64>) -> IdRange {
    IdRange { first: first.map(StoreKey::Long), last: last.map(StoreKey::Long) }
}

#[tokio::test]
async fn a_closed_or_deleted_index_of_a_pattern_is_an_error_rather_than_empty() {
    let name = unique_name("closed");
    for (suffix, id) in [("a", 1), ("b", 2)] {
        let document = json!({ "store_id": id, "online": true });
        index_of(&format!("{name}-{suffix}"), fields(json!({ "type": "long" })), &[document]).await;
    }
    let pattern = format!("{name}-*");
    let warm = ElasticLiveView::new(plain(&pattern, IdType::Long)).unwrap();
    assert_eq!(ids(&warm, &IdRange::default()).await.unwrap(), ["1", "2"]);
    post("POST", &format!("/{name}-b/_close"), "").await;
    let cold = || ElasticLiveView::new(plain(&pattern, IdType::Long)).unwrap();
    for view in [&warm, &cold()] {
        let error = ids(view, &IdRange::default()).await.unwrap_err();
        assert!(matches!(error, LiveViewError::Incomplete { .. }), "{error}");
    }
    post("POST", &format!("/{name}-b/_open?wait_for_active_shards=1"), "").await;
    assert_eq!(ids(&warm, &IdRange::default()).await.unwrap(), ["1", "2"]);
    // A process that has read the index before knows that it is missing.
    post("DELETE", &format!("/{name}-b"), "").await;
    let error = ids(&warm, &IdRange::default()).await.unwrap_err();
    assert!(matches!(error, LiveViewError::Incomplete { .. }), "{error}");
    assert!(error.to_string().contains(&format!("{name}-b")), "{error}");
    post("DELETE", &format!("/{name}-a"), "").await;
    for view in [&warm, &cold()] {
        let error = ids(view, &IdRange::default()).await.unwrap_err();
        let is_no_answer =
            matches!(error, LiveViewError::Incomplete { .. } | LiveViewError::Unavailable { .. });
        assert!(is_no_answer, "{error}");
    }
}

#[tokio::test]
async fn a_query_that_needs_an_unmapped_field_is_refused_by_name() {
    let name = unique_name("fields");
    let mut properties = fields(json!({ "type": "long" }));
    properties["place"] = json!({ "properties": { "city": { "type": "text",
        "fields": { "raw": { "type": "keyword" } } } } });
    properties["shown"] = json!({ "type": "alias", "path": "online" });
    index_of(&name, properties, &[json!({ "store_id": 1, "online": true, "place": { "city": "Faro" } })])
        .await;
    let with = |online: Value| ElasticConfig { online, ..plain(&name, IdType::Long) };
    let cases = [
        json!({ "term": { "onlin": true } }),
        json!({ "bool": { "filter": [{ "term": { "online": true } }, { "term": { "place.city.row": "x" } }] } }),
        json!({ "exists": { "field": "closed_at" } }),
    ];
    for online in cases {
        let error = error_of(with(online.clone())).await;
        assert!(matches!(error, LiveViewError::Config { field: "online", .. }), "{online}: {error}");
        assert!(error.to_string().contains("maps no field"), "{error}");
    }
    let filter = Some(json!({ "term": { "contry": "es" } }));
    let error = error_of(ElasticConfig { filter, ..plain(&name, IdType::Long) }).await;
    assert!(matches!(error, LiveViewError::Config { field: "filter", .. }), "{error}");
    for online in [
        json!({ "bool": { "must_not": { "exists": { "field": "closed_at" } } } }),
        json!({ "bool": { "should": [{ "term": { "online": true } }, { "term": { "closed_at": 1 } }] } }),
        json!({ "term": { "shown": true } }),
        json!({ "term": { "place.city.raw": "Faro" } }),
        json!({ "exists": { "field": "place" } }),
        json!({ "exists": { "field": "_id" } }),
        json!({ "query_string": { "query": "online:true" } }),
        json!({ "match_all": {} }),
    ] {
        let view = ElasticLiveView::new(with(online.clone())).unwrap();
        let seen = view.observe(&IdRange::default()).await;
        assert_eq!(seen.unwrap(), [(StoreKey::Long(1), store(true, None))], "{online}");
    }
}

#[tokio::test]
async fn an_index_that_is_being_rebuilt_is_an_error_until_its_fields_are_back() {
    let name = unique_name("anew");
    index_of(&name, fields(json!({ "type": "long" })), &[json!({ "store_id": 1, "online": true })]).await;
    let view = ElasticLiveView::new(plain(&name, IdType::Long)).unwrap();
    assert_eq!(ids(&view, &IdRange::default()).await.unwrap(), ["1"]);
    post("DELETE", &format!("/{name}"), "").await;
    let error = ids(&view, &IdRange::default()).await.unwrap_err();
    assert!(matches!(error, LiveViewError::Unavailable { .. }), "{error}");
    post("PUT", &format!("/{name}"), "{}").await;
    let error = ids(&view, &IdRange::default()).await.unwrap_err();
    assert!(matches!(error, LiveViewError::Incomplete { .. }), "{error}");
    add(&name, &[json!({ "store_id": 1, "online": true })]).await;
    assert_eq!(ids(&view, &IdRange::default()).await.unwrap(), ["1"]);
}

#[tokio::test]
async fn a_reason_field_without_values_yet_has_null_reasons() {
    let name = unique_name("reasons");
    let properties = json!({ "store_id": { "type": "long" }, "online": { "type": "boolean" } });
    index_of(&name, properties, &[json!({ "store_id": 1, "online": false })]).await;
    let view = ElasticLiveView::new(plain(&name, IdType::Long)).unwrap();
    assert_eq!(view.observe(&IdRange::default()).await.unwrap(), [(StoreKey::Long(1), store(false, None))]);
    // The first reason adds the field as text, by dynamic mapping.
    add(&name, &[json!({ "store_id": 2, "online": false, "offline_reason": "holiday" })]).await;
    let error = view.observe(&IdRange::default()).await.unwrap_err();
    assert!(matches!(error, LiveViewError::Config { field: "reason_field", .. }), "{error}");
    assert!(error.to_string().contains("\"offline_reason.keyword\" is a keyword"), "{error}");
    let sub = Some("offline_reason.keyword".to_owned());
    let view =
        ElasticLiveView::new(ElasticConfig { reason_field: sub, ..plain(&name, IdType::Long) }).unwrap();
    let seen = view.observe(&IdRange::default()).await.unwrap();
    assert_eq!(seen[1], (StoreKey::Long(2), store(false, Some("holiday"))));
}

#[tokio::test]
async fn an_unsuitable_id_field_is_refused_by_name() {
    let lower =
        json!({ "analysis": { "normalizer": { "low": { "type": "custom", "filter": ["lowercase"] } } } });
    let name = unique_name("ids");
    let nested = json!({ "type": "nested", "properties": { "id": { "type": "long" } } });
    let body = json!({ "settings": { "analysis": lower["analysis"] }, "mappings": { "properties": {
        "online": { "type": "boolean" },
        "low": { "type": "keyword", "normalizer": "low" },
        "bare": { "type": "long", "doc_values": false },
        "words": { "type": "text", "fields": { "raw": { "type": "keyword" } } },
        "in": nested } } });
    post("PUT", &format!("/{name}"), &body.to_string()).await;
    let document = json!({ "low": "A-1", "bare": 1, "words": "A-1", "in": [{ "id": 1 }], "online": true });
    add(&name, &[document]).await;
    for (field, id_type, key, said) in [
        ("low", IdType::Keyword, "id_field", "normalizer \"low\""),
        ("bare", IdType::Long, "id_field", "no doc values"),
        ("words", IdType::Keyword, "id_type", "\"words.raw\" is a keyword"),
        ("in.id", IdType::Long, "id_field", "nested"),
        ("nowhere", IdType::Long, "id_field", "maps no field \"nowhere\""),
    ] {
        let error = error_of(ElasticConfig { id_field: field.to_owned(), ..plain(&name, id_type) }).await;
        assert!(matches!(error, LiveViewError::Config { field, .. } if field == key), "{field}: {error}");
        assert!(error.to_string().contains(said), "{field}: {error}");
    }
    let raw = ElasticConfig { id_field: "words.raw".to_owned(), ..plain(&name, IdType::Keyword) };
    let view = ElasticLiveView::new(raw).unwrap();
    assert_eq!(ids(&view, &IdRange::default()).await.unwrap(), ["A-1"]);
}

#[tokio::test]
async fn ids_outside_the_range_of_the_id_field_match_nothing_and_are_no_error() {
    let name = unique_name("narrow");
    let online = |id: i64| json!({ "store_id": id, "online": true });
    index_of(&format!("{name}-a"), fields(json!({ "type": "integer" })), &[online(1), online(2)]).await;
    let big = 3_000_000_003;
    let ranges = [longs(None, Some(big)), longs(Some(big), Some(big + 2)), longs(Some(big + 2), None)];
    let view = ElasticLiveView::new(plain(&format!("{name}-a"), IdType::Long)).unwrap();
    let mut seen = Vec::new();
    for range in &ranges {
        seen.push(ids(&view, range).await.unwrap());
    }
    assert_eq!(seen, [vec!["1", "2"], vec![], vec![]]);
    assert!(ids(&view, &longs(None, Some(-big))).await.unwrap().is_empty());
    // Together with an index with long ids, and one without the id field.
    index_of(&format!("{name}-b"), fields(json!({ "type": "long" })), &[online(big), online(big + 2)]).await;
    let none = json!({ "online": { "type": "boolean" } });
    index_of(&format!("{name}-c"), none, &[json!({ "online": true })]).await;
    let view = ElasticLiveView::new(plain(&format!("{name}-*"), IdType::Long)).unwrap();
    let mut seen = Vec::new();
    for range in &ranges {
        seen.push(ids(&view, range).await.unwrap());
    }
    assert_eq!(seen, [vec!["1", "2"], vec!["3000000003"], vec!["3000000005"]]);
}

#[tokio::test]
async fn the_error_names_the_part_of_the_country_file_that_is_wrong() {
    let name = unique_name("blame");
    index_of(&name, fields(json!({ "type": "long" })), &[json!({ "store_id": 1, "online": true })]).await;
    let bad = json!({ "range": { "store_id": { "gte": "x" } } });
    let error = error_of(ElasticConfig { online: bad.clone(), ..plain(&name, IdType::Long) }).await;
    assert!(matches!(error, LiveViewError::Config { field: "online", .. }), "{error}");
    let error = error_of(ElasticConfig { filter: Some(bad), ..plain(&name, IdType::Long) }).await;
    assert!(matches!(error, LiveViewError::Config { field: "filter", .. }), "{error}");
    let error = error_of(ElasticConfig { page: 10_001, ..plain(&name, IdType::Long) }).await;
    assert!(matches!(error, LiveViewError::Config { field: "index", .. }), "{error}");
    assert!(error.to_string().contains("10001"), "{error}");
}

/// The setting affects the whole cluster, also the tests that run at the same time. They work either way. This one
/// runs the contract with the setting.
#[tokio::test]
async fn text_ids_can_be_read_if_the_cluster_refuses_ranges_of_text() {
    let name = crate::index(&crate::documents(keyword), IdType::Keyword).await;
    let set = |value: Value| json!({ "transient": { "search.allow_expensive_queries": value } }).to_string();
    post("PUT", "/_cluster/settings", &set(json!(false))).await;
    let view = ElasticLiveView::new(config(&name, IdType::Keyword)).unwrap();
    let result = tokio::spawn(async move { crate::contract(&view, keyword).await }).await;
    post("PUT", "/_cluster/settings", &set(Value::Null)).await;
    result.unwrap();
}

/// The cluster is its own remote, so that one node is enough.
#[tokio::test]
async fn a_skipped_remote_cluster_is_an_error_rather_than_empty() {
    let name = unique_name("remote");
    index_of(&name, fields(json!({ "type": "long" })), &[json!({ "store_id": 1, "online": true })]).await;
    let nodes = get("/_nodes/_local/transport?filter_path=nodes.*.transport_address").await;
    let own = nodes.split('"').find(|text| text.starts_with("127.0.0.1:")).unwrap().to_owned();
    let set = async |settings: Value| {
        let remote = json!({ "persistent": { "cluster": { "remote": { &name: settings } } } });
        post("PUT", "/_cluster/settings", &remote.to_string()).await;
    };
    set(json!({ "seeds": [own], "skip_unavailable": true })).await;
    let config = || plain(&format!("{name}:{name}"), IdType::Long);
    let warm = ElasticLiveView::new(config()).unwrap();
    assert_eq!(ids(&warm, &IdRange::default()).await.unwrap(), ["1"]);
    set(json!({ "seeds": ["127.0.0.1:9"], "skip_unavailable": true })).await;
    for view in [warm, ElasticLiveView::new(config()).unwrap()] {
        let error = ids(&view, &IdRange::default()).await.unwrap_err();
        assert!(
            matches!(error, LiveViewError::Incomplete { .. } | LiveViewError::Unavailable { .. }),
            "{error}"
        );
    }
    set(json!({ "seeds": null, "skip_unavailable": null })).await;
}
