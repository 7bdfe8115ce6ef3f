//! Failures of a server, from a test server: a real one does not fail on demand.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use storewatch_domain::{IdRange, IdType, LiveStore, StoreKey};
use storewatch_sources::{ElasticConfig, ElasticLiveView, LiveView, LiveViewError};

use crate::support::{Server, ending_after};
use crate::{config, store};

fn answer(change: impl FnOnce(&mut Value)) -> String {
    let mut body = json!({
        "timed_out": false,
        "_shards": { "total": 2, "successful": 2, "failed": 0 },
        "hits": { "total": { "value": 1, "relation": "eq" }, "hits": [{ "sort": [1, 1.0] }] },
    });
    change(&mut body);
    body.to_string()
}

/// Observes a server that gives this response to a search. Returns the result, and the search that it received.
pub(crate) async fn served(
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
async fn an_incomplete_response_is_an_error() {
    let parts = [
        answer(|body| body["timed_out"] = json!(true)),
        answer(|body| body["_shards"]["failed"] = json!(1)),
        answer(|body| body["_shards"]["successful"] = json!(1)),
        answer(|body| body["_shards"]["successful"] = json!(3)),
        answer(|body| body["_shards"] = json!({ "total": 0, "successful": 0, "failed": 0 })),
        answer(|body| body["_clusters"] = json!({ "total": 1, "successful": 0, "skipped": 1 })),
        answer(|body| body["_clusters"] = json!({ "total": 2, "successful": 1, "partial": 1, "skipped": 0 })),
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
async fn hostile_text_in_a_document_is_only_data_and_harms_no_other_document() {
    let long = "x".repeat(100_000);
    let reasons =
        ["'; drop table stores; --", "two\nlines, \"quoted\"\u{0}", "../../etc/passwd", "${jndi:x}", &long];
    for reason in reasons {
        let body = answer(|body| body["hits"]["hits"][0]["fields"] = json!({ "offline_reason": [reason] }));
        let (seen, _) = served(200, &body, config("stores", IdType::Long)).await;
        assert_eq!(seen.unwrap(), [(StoreKey::Long(1), store(true, Some(reason)))]);
    }
    // Elasticsearch sorts by the original id. Half a surrogate pair comes before U+E000.
    let ids = [r#""a""#, r#""\ud800""#, "\"\u{e000}\"", r#""\udfff""#];
    let hits = ids.map(|id| format!(r#"{{"sort":[{id},1.0]}}"#)).join(",");
    let body =
        answer(|body| body["hits"] = json!({ "total": { "value": 4, "relation": "eq" }, "hits": "HITS" }));
    let config_of_text = config("stores", IdType::Keyword);
    let (seen, _) = served(200, body.replace("\"HITS\"", &format!("[{hits}]")), config_of_text).await;
    let ids: Vec<_> = seen.unwrap().into_iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(ids, ["a", "\u{e000}", "\u{fffd}"], "each once, in the order of the ids after replacement");
    let body = answer(|body| body["hits"]["hits"][0]["fields"] = json!({ "offline_reason": ["n?t UTF-8"] }));
    let bytes: Vec<u8> = body.bytes().map(|byte| if byte == b'?' { 0xff } else { byte }).collect();
    let (seen, _) = served(200, &bytes, config("stores", IdType::Long)).await;
    assert_eq!(seen.unwrap(), [(StoreKey::Long(1), store(true, Some("n\u{fffd}t UTF-8")))]);
}

#[tokio::test]
async fn error_responses_of_a_busy_or_broken_server_are_unavailable() {
    for status in [401, 403, 429, 500, 502, 503] {
        let (seen, _) =
            served(status, "{\"error\":{\"reason\":\"not now\"}}", config("stores", IdType::Long)).await;
        let error = seen.unwrap_err().without_waiting();
        assert!(matches!(error, LiveViewError::Unavailable { .. }), "{status}: {error}");
        assert!(error.to_string().contains(&format!("HTTP {status}: not now")), "{error}");
    }
}

#[tokio::test]
async fn a_server_without_room_is_busy_and_says_when_to_come_again() {
    let tripped = |kind: &str| {
        json!({ "error": { "root_cause": [{ "type": kind, "reason": "Data too large" }] } }).to_string()
    };
    let full = answer(|body| {
        body["_shards"] = json!({ "total": 2, "successful": 1, "failed": 1, "failures":
            [{ "shard": 1, "reason": { "type": "circuit_breaking_exception", "reason": "Data too large" } }] });
    });
    // The status, the header, the body, and the seconds to wait; `None` if it is not busy.
    let cases = [
        (429, "", "slow down".to_owned(), Some(0)),
        (429, "retry-after: 7\r\n", tripped("es_rejected_execution_exception"), Some(7)),
        (503, "", tripped("circuit_breaking_exception"), Some(0)),
        (503, "", tripped("rejected_execution_exception"), Some(0)),
        (503, "retry-after: 3\r\n", "<html>".to_owned(), Some(3)),
        (503, "retry-after: Fri, 27 Nov 2026 16:00:00 GMT\r\n", "<html>".to_owned(), None),
        (503, "", "no master".to_owned(), None),
        (500, "", tripped("null_pointer_exception"), None),
        (200, "", full, Some(0)),
    ];
    for (status, header, body, wanted) in cases {
        for asks_mapping in [false, true] {
            // A node without room refuses the request for the mapping too.
            if asks_mapping && status == 200 {
                continue;
            }
            let (header, body) = (header.to_owned(), body.clone());
            let server = Server::mapping("long", asks_mapping, move || {
                (status, header.clone(), body.clone().into_bytes())
            });
            let server = server.await;
            let url = server.url.parse().unwrap();
            let view = ElasticLiveView::new(ElasticConfig { url, ..config("stores", IdType::Long) }).unwrap();
            let error = view.observe(&IdRange::default()).await.unwrap_err();
            let found = match &error {
                LiveViewError::Busy { after, .. } => Some(after.map_or(0, |after| after.as_secs())),
                _ => None,
            };
            assert_eq!(found, wanted, "{status}, mapping {asks_mapping}: {error}");
        }
    }
}

#[tokio::test]
async fn a_redirect_is_refused_and_its_target_receives_nothing() {
    let target = Server::answering("long", 200, answer(|_| ()).as_bytes()).await;
    let location = format!("{}/stores/_search", target.url);
    let server = Server::redirecting(307, &location).await;
    let config = ElasticConfig { url: server.url.parse().unwrap(), ..config("stores", IdType::Long) };
    let error = ElasticLiveView::new(config).unwrap().observe(&IdRange::default()).await.unwrap_err();
    assert!(matches!(error, LiveViewError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("answered HTTP 307"), "{error}");
    assert!(target.is_untouched(), "the target received a request");
}

#[tokio::test]
async fn http_400_is_a_mistake_in_the_country_file_only_if_the_request_is_wrong() {
    // Elasticsearch's error type, and whether it is a mistake.
    for (kind, wanted) in [
        ("too_many_buckets_exception", false),
        ("circuit_breaking_exception", false),
        ("index_closed_exception", false),
        ("", false),
    ] {
        let body = json!({ "error": { "type": kind, "reason": "why" }, "status": 400 }).to_string();
        let (seen, _) = served(400, &body, config("stores", IdType::Long)).await;
        let error = seen.unwrap_err();
        assert_eq!(matches!(error, LiveViewError::Config { .. }), wanted, "{kind}: {error}");
        assert!(error.to_string().contains("HTTP 400: why"), "{error}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_has_ended_is_replaced_and_one_that_works_is_kept() {
    // Each observation is two requests. So the fourth and the seventh meet a connection that has ended.
    let body = answer(|_| ());
    let server =
        Server::mapping("long", false, move || (200, String::new(), body.clone().into_bytes())).await;
    let (url, accepted) = ending_after(3, &server.url).await;
    let url = url.parse().unwrap();
    let view = ElasticLiveView::new(ElasticConfig { url, ..config("stores", IdType::Long) }).unwrap();
    for connections in [1, 2, 2, 3] {
        let seen = view.observe(&IdRange::default()).await;
        assert_eq!(seen.unwrap(), [(StoreKey::Long(1), store(true, None))]);
        assert_eq!(accepted.load(Ordering::Relaxed), connections);
    }
}
