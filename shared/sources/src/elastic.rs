//! The live view in Elasticsearch.
//!
//! One search a chunk: the id range, the country's `filter` and its `online` query are evaluated by
//! Elasticsearch, and per document only the sort values come back: the id, and a score that is 1
//! where `online` matches and 0 where not. Nothing is read from `_source`. Only the one address is
//! talked to.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use elasticsearch::auth::Credentials;
use elasticsearch::http::StatusCode;
use elasticsearch::http::response::Response;
use elasticsearch::http::transport::{SingleNodeConnectionPool, TransportBuilder};
use elasticsearch::{Elasticsearch, FieldCapsParts, SearchParts};
use serde::Deserialize;
use serde_json::{Value, json};
use storewatch_domain::{IdRange, IdType, LiveStore, StoreKey};
use tokio::sync::OnceCell;
use url::Url;

use crate::live_view::{LiveView, LiveViewError};
use crate::unicode::unicode;

/// How the live view lets one in.
#[derive(Clone)]
pub enum ViewCredentials {
    None,
    Basic {
        username: String,
        password: String,
    },
    /// The encoded form, base64 of `id:key`.
    ApiKey(String),
}

/// A country's live view, as its country file and secret say.
#[derive(Clone)]
pub struct ElasticConfig {
    /// The one address, `http` or `https`.
    pub url: Url,
    pub credentials: ViewCredentials,
    /// An index or alias.
    pub index: String,
    pub id_field: String,
    pub id_type: IdType,
    /// The query that online documents match.
    pub online: Value,
    /// The query that a country's documents match, where an index holds others too.
    pub filter: Option<Value>,
    /// A field with doc values that says why a store is not online.
    pub reason_field: Option<String>,
    /// For one request.
    pub timeout: Duration,
    /// Documents in one answer; 10,000 is the most that an index allows unless it is told otherwise.
    pub page: usize,
}

/// The documents that Elasticsearch answers with at most, by its default.
pub const MAX_PAGE: usize = 10_000;

/// A live view in Elasticsearch, reached by a client that lives as long as the process.
pub struct ElasticLiveView {
    client: Elasticsearch,
    config: ElasticConfig,
    host: String,
    /// What no message may tell, even where a server says it back.
    secrets: Vec<String>,
    /// Set once the index was found to map the fields as the country file says.
    mapped: OnceCell<()>,
}

impl ElasticLiveView {
    /// A client for the view; nothing is sent yet.
    ///
    /// # Errors
    /// The address cannot be one, or the client cannot be built.
    pub fn new(config: ElasticConfig) -> Result<Self, LiveViewError> {
        let bad_url = |problem: String| LiveViewError::Config { field: "url", problem };
        let host = match (config.url.scheme(), config.url.host_str()) {
            ("http" | "https", Some(host)) => {
                format!("{host}:{}", config.url.port_or_known_default().unwrap_or_default())
            }
            _ => return Err(bad_url("an http or https address with a host is wanted".to_owned())),
        };
        let pool = SingleNodeConnectionPool::new(config.url.clone());
        let builder = TransportBuilder::new(pool).disable_proxy().timeout(config.timeout);
        let builder = match config.credentials.clone() {
            ViewCredentials::None => builder,
            ViewCredentials::Basic { username, password } => {
                builder.auth(Credentials::Basic(username, password))
            }
            ViewCredentials::ApiKey(key) => builder.auth(Credentials::EncodedApiKey(key)),
        };
        let transport =
            builder.build().map_err(|error| bad_url(format!("no client can be built: {error}")))?;
        let secrets = match &config.credentials {
            ViewCredentials::None => Vec::new(),
            ViewCredentials::Basic { username, password } => {
                vec![BASE64_STANDARD.encode(format!("{username}:{password}")), password.clone()]
            }
            ViewCredentials::ApiKey(key) => {
                // The encoded form holds the key in a readable one.
                let decoded =
                    BASE64_STANDARD.decode(key).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                let inner = decoded.and_then(|text| text.split_once(':').map(|(_, key)| key.to_owned()));
                [key.clone()].into_iter().chain(inner).collect()
            }
        };
        let client = Elasticsearch::new(transport);
        Ok(Self { client, config, host, secrets, mapped: OnceCell::new() })
    }

    /// Checks once a process that the index maps the country's fields. A field that is not mapped is
    /// no error to a search: it matches nothing, and every store would seem to be unlisted.
    async fn check_mapping(&self) -> Result<(), LiveViewError> {
        let mut fields = vec![self.config.id_field.as_str()];
        fields.extend(self.config.reason_field.as_deref());
        let indices = [self.config.index.as_str()];
        let request = self.client.field_caps(FieldCapsParts::Index(&indices)).fields(&fields);
        let text = self.answer(request.send().await).await?;
        let caps: FieldCaps = serde_json::from_slice(&text).map_err(|error| {
            self.incomplete("the body is not the JSON of field capabilities".to_owned(), Some(error.into()))
        })?;
        if caps.failed_indices > 0 {
            // Their fields are not told of, and would seem not to be mapped.
            let why = caps.failures.first().map(|failure| format!(", the first: {failure}"));
            let what = format!("the fields of {} indices are missing", caps.failed_indices);
            return Err(self.incomplete(what + &why.unwrap_or_default(), None));
        }
        let config = |field, problem| Err(LiveViewError::Config { field, problem });
        let index = &self.config.index;
        for (key, field) in [("id_field", fields.first()), ("reason_field", fields.get(1))] {
            let Some(field) = field else { continue };
            let Some(kinds) = caps.fields.get(*field) else {
                return config(key, format!("index {index:?} at {} maps no field {field:?}", self.host));
            };
            if let Some((kind, _)) = kinds.iter().find(|(_, caps)| !caps.aggregatable) {
                return config(
                    key,
                    format!("{field:?} is mapped as {kind}, which has no doc values, in index {index:?}"),
                );
            }
        }
        let (wanted, allowed): (_, &[&str]) = match self.config.id_type {
            IdType::Long => ("long", &["long", "integer", "short", "byte"]),
            IdType::Keyword => ("keyword", &["keyword", "constant_keyword"]),
        };
        let ids = caps.fields.get(&self.config.id_field).into_iter().flat_map(BTreeMap::keys);
        match ids.into_iter().find(|kind| !allowed.contains(&kind.as_str())) {
            Some(kind) => {
                let field = &self.config.id_field;
                config(
                    "id_type",
                    format!("{wanted:?} is not how index {index:?} maps {field:?}: it is mapped as {kind}"),
                )
            }
            None => Ok(()),
        }
    }

    /// The body of an answer, if it is one of success.
    async fn answer(&self, sent: Result<Response, elasticsearch::Error>) -> Result<Bytes, LiveViewError> {
        let response =
            sent.map_err(|error| self.unavailable("did not answer".to_owned(), Some(error.into())))?;
        let status = response.status_code();
        let text = response
            .bytes()
            .await
            .map_err(|error| self.incomplete("the body broke off".to_owned(), Some(error.into())))?;
        if status.is_success() { Ok(text) } else { Err(self.refusal(status, &text)) }
    }

    async fn page(&self, range: &IdRange) -> Result<Answer, LiveViewError> {
        let fields = ["timed_out", "_shards", "hits.total", "hits.hits.sort", "hits.hits.fields"];
        let sent = self
            .client
            .search(SearchParts::Index(&[&self.config.index]))
            .allow_partial_search_results(false)
            .filter_path(&fields)
            .body(body(&self.config, range))
            .send()
            .await;
        let text = self.answer(sent).await?;
        let answer: Answer = serde_json::from_str(&unicode(&text)).map_err(|error| {
            self.incomplete("the body is not the JSON of a search".to_owned(), Some(error.into()))
        })?;
        self.whole(&answer)?;
        Ok(answer)
    }

    /// A search can come back with HTTP 200 and a part of the documents: a shard that failed, a time
    /// that ran out, fewer documents than were counted.
    fn whole(&self, answer: &Answer) -> Result<(), LiveViewError> {
        let shards = &answer.shards;
        let (listed, total) = (answer.hits.hits.len(), answer.hits.total.value);
        let what = if answer.timed_out {
            "the search timed out".to_owned()
        } else if shards.failed > 0 || shards.successful != shards.total {
            let why = shards.failures.first().map(|failure| format!(", the first: {failure}"));
            let (successful, total) = (shards.successful, shards.total);
            format!("{successful} of {total} shards answered{}", why.unwrap_or_default())
        } else if answer.hits.total.relation != "eq" {
            "the documents were not counted to the end".to_owned()
        } else if listed < total.min(self.config.page) {
            format!("{listed} of {total} documents")
        } else {
            return Ok(());
        };
        Err(self.incomplete(what, None))
    }

    fn refusal(&self, status: StatusCode, text: &[u8]) -> LiveViewError {
        let reason = serde_json::from_slice::<Value>(text).ok().and_then(|body| {
            let error = body.get("error")?;
            let cause = error.pointer("/root_cause/0/reason").or_else(|| error.get("reason"));
            Some(cause.and_then(Value::as_str).map_or_else(|| error.to_string(), str::to_owned))
        });
        let mut reason = reason.unwrap_or_else(|| String::from_utf8_lossy(text).into_owned());
        for secret in self.secrets.iter().filter(|secret| !secret.is_empty()) {
            reason = reason.replace(secret.as_str(), "***");
        }
        let reason: String = reason.chars().take(500).collect();
        if status == StatusCode::BAD_REQUEST {
            let problem = format!(
                "Elasticsearch at {} does not understand the search of index {:?} (it is made of online, filter, id_field and reason_field): {reason}",
                self.host, self.config.index
            );
            return LiveViewError::Config { field: "online", problem };
        }
        self.unavailable(format!("answered HTTP {}: {reason}", status.as_u16()), None)
    }

    fn unavailable(
        &self,
        during: String,
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    ) -> LiveViewError {
        let (host, index) = (self.host.clone(), self.config.index.clone());
        LiveViewError::Unavailable { host, index, during, source }
    }

    fn incomplete(
        &self,
        what: String,
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    ) -> LiveViewError {
        let (host, index) = (self.host.clone(), self.config.index.clone());
        LiveViewError::Incomplete { host, index, what, source }
    }

    /// The id of a hit, which must be of the type that the country file says.
    fn key(&self, id: Id) -> Result<StoreKey, LiveViewError> {
        match (id, self.config.id_type) {
            (Id::Long(id), IdType::Long) => Ok(StoreKey::Long(id)),
            (Id::Keyword(id), IdType::Keyword) => Ok(StoreKey::Keyword(id)),
            (id, wanted) => {
                let found = if matches!(id, Id::Long(_)) { "a number" } else { "text" };
                let wanted = if wanted == IdType::Long { "long" } else { "keyword" };
                let problem = format!(
                    "{wanted:?} is not how index {:?} maps {:?}: it sorts by {found}",
                    self.config.index, self.config.id_field
                );
                Err(LiveViewError::Config { field: "id_type", problem })
            }
        }
    }
}

#[async_trait]
impl LiveView for ElasticLiveView {
    async fn observe(&self, range: &IdRange) -> Result<Vec<(StoreKey, LiveStore)>, LiveViewError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        self.mapped.get_or_try_init(|| self.check_mapping()).await?;
        let mut stores: Vec<(StoreKey, LiveStore)> = Vec::new();
        let mut rest = range.clone();
        loop {
            let answer = self.page(&rest).await?;
            let (listed, total) = (answer.hits.hits.len(), answer.hits.total.value);
            for hit in answer.hits.hits {
                let key = self.key(hit.sort.0)?;
                // A document with several ids sorts by its smallest, which another chunk answers for.
                if !range.contains(&key) {
                    continue;
                }
                let reason = hit.fields.into_values().flatten().next().map(text);
                match stores.last_mut() {
                    Some((last, store)) if *last == key => store.add(hit.sort.1 > 0.0, reason),
                    _ => stores.push((key, LiveStore { online: hit.sort.1 > 0.0, reason })),
                }
            }
            if listed >= total {
                return Ok(in_order(stores));
            }
            // The next page starts with the last id of this one, because documents of that id can
            // lie on both; reading some of them twice changes nothing. An id that is no Unicode, or too
            // long, cannot be asked for: then it starts with the one before.
            let mut bounds = stores.iter().rev().map(|(key, _)| key);
            let last = bounds.find(|key| key.can_bound() && !is_replaced(key)).cloned();
            if last == rest.first {
                let what = format!(
                    "more than {} documents have the id {}",
                    self.config.page,
                    last.map_or_else(String::new, |id| id.to_string())
                );
                return Err(self.incomplete(what, None));
            }
            rest.first = last;
        }
    }
}

/// The stores in the order of their ids, each once. They are so already, but for ids that were no Unicode: these
/// were in their place by what they were before.
fn in_order(mut stores: Vec<(StoreKey, LiveStore)>) -> Vec<(StoreKey, LiveStore)> {
    stores.sort_by(|a, b| a.0.cmp(&b.0));
    // `dedup_by` hands over the later of two neighbours first.
    stores.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            earlier.1.add(later.1.online, later.1.reason.take());
        }
        same
    });
    stores
}

/// Whether the id holds something in the place of what was no Unicode.
fn is_replaced(key: &StoreKey) -> bool {
    matches!(key, StoreKey::Keyword(id) if id.contains(char::REPLACEMENT_CHARACTER))
}

/// A reason may be mapped as anything that has doc values.
fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn body(config: &ElasticConfig, range: &IdRange) -> Value {
    let mut within = json!({});
    if let Some(first) = &range.first {
        within["gte"] = json!(first);
    }
    if let Some(last) = &range.last {
        within["lt"] = json!(last);
    }
    let bounds = match (&range.first, &range.last) {
        (None, None) => json!({ "exists": { "field": config.id_field } }),
        _ => json!({ "range": { &config.id_field: within } }),
    };
    let mut filters = vec![bounds];
    filters.extend(config.filter.clone());
    let mut body = json!({
        "size": config.page,
        "track_total_hits": true,
        "_source": false,
        "stored_fields": "_none_",
        "query": { "bool": {
            "filter": filters,
            "should": [{ "constant_score": { "filter": config.online, "boost": 1.0 } }],
            "minimum_should_match": 0,
        } },
        "sort": [{ &config.id_field: { "order": "asc" } }, { "_score": { "order": "desc" } }],
    });
    if let Some(field) = &config.reason_field {
        body["docvalue_fields"] = json!([field]);
    }
    body
}

#[derive(Deserialize)]
struct FieldCaps {
    /// By field, then by the types that the indices give it.
    #[serde(default)]
    fields: BTreeMap<String, BTreeMap<String, FieldCap>>,
    /// Of the indices behind the name; left out where there is none.
    #[serde(default)]
    failed_indices: u64,
    #[serde(default)]
    failures: Vec<Value>,
}

#[derive(Deserialize)]
struct FieldCap {
    /// Whether it has doc values.
    aggregatable: bool,
}

#[derive(Deserialize)]
struct Answer {
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    hits: Hits,
}

#[derive(Deserialize)]
struct Shards {
    total: u64,
    successful: u64,
    failed: u64,
    #[serde(default)]
    failures: Vec<Value>,
}

#[derive(Deserialize)]
struct Hits {
    total: Total,
    /// Left out of a filtered answer where it would be empty.
    #[serde(default)]
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Total {
    value: usize,
    relation: String,
}

#[derive(Deserialize)]
struct Hit {
    sort: (Id, f64),
    #[serde(default)]
    fields: BTreeMap<String, Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Long(i64),
    Keyword(String),
}
