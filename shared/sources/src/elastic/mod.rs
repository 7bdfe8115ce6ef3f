//! The live view in Elasticsearch or OpenSearch.
//!
//! Sends two requests per chunk. The first asks for the mapping, which can change at any time, and a search
//! does not show that. The second is the search. The server evaluates the id range, the country's `filter`
//! and its `online` query. For each document it returns only the sort values: the id, and a score that is 1
//! if `online` matches and 0 if not. Nothing is read from `_source`. All requests go to the one address.

mod access;
mod history;
mod http;
mod mapping;
mod query;
mod refusal;
mod search;
mod sigv4;
mod tls;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use elasticsearch::SearchParts;
use elasticsearch::indices::IndicesGetFieldMappingParts;
use elasticsearch::{FieldCapsParts, http::StatusCode};
use serde_json::{Value, json};
use storewatch_domain::{IdRange, IdType, LiveStore, StoreKey};
use url::Url;
use url::form_urlencoded::byte_serialize;

pub use access::{Access, is_loopback};

use crate::live_view::{LiveView, LiveViewError};
use crate::unicode::unicode;
use history::History;
use http::{Failure, Http, busy};
use mapping::{Caps, Layout, Mapping};
use refusal::Refusal;
use search::{Answer, Bounds, Id};

/// The `[live_view]` section of a country file.
#[derive(Clone)]
pub struct ElasticConfig {
    /// The only address, `http` or `https`, without credentials. With any access but [`Access::None`] it must be
    /// `https`, except to this machine itself.
    pub url: Url,
    pub access: Access,
    /// PEM certificates that replace the system's roots for `https`.
    pub ca: Option<Vec<u8>>,
    /// An index, an alias, a pattern, or several of these separated by commas.
    pub index: String,
    pub id_field: String,
    pub id_type: IdType,
    /// The query that online documents match.
    pub online: Value,
    /// The query that the country's documents match, if the index also has others.
    pub filter: Option<Value>,
    /// A field with doc values that says why a store is offline.
    pub reason_field: Option<String>,
    /// The time limit for one request.
    pub timeout: Duration,
    /// The number of documents per response. By default, an index allows at most 10,000.
    pub page: usize,
}

/// The largest page that Elasticsearch allows by default.
pub const MAX_PAGE: usize = 10_000;

/// A live view in Elasticsearch or OpenSearch. Keeps its connections open for the next observation.
pub struct ElasticLiveView {
    http: Http,
    config: ElasticConfig,
    /// The indices that earlier observations of this process have read.
    history: Mutex<History>,
    /// Set once the cluster has refused a range of text.
    no_ranges: AtomicBool,
}

impl ElasticLiveView {
    /// Makes a client. Sends no request and reads no secret yet.
    ///
    /// # Errors
    /// `Config`: the address, the certificates or the kind of access cannot be used.
    pub fn new(config: ElasticConfig) -> Result<Self, LiveViewError> {
        let http = Http::new(&config)?;
        Ok(Self { http, config, history: Mutex::default(), no_ranges: AtomicBool::new(false) })
    }

    /// Asks for the mapping, and checks that it matches the country file.
    async fn layout(&self) -> Result<Layout, LiveViewError> {
        let fields = mapping::wanted(&self.config);
        let mapping = if is_remote(&self.config.index) {
            // Only field capabilities work across clusters.
            self.caps(&fields, &BTreeSet::new()).await?.as_mapping()
        } else {
            let mut mapping = self.mapping(&fields).await?;
            if mapping.is_empty() {
                return Err(self.http.place().incomplete("no index has this name".to_owned(), None));
            }
            let paths = mapping.alias_paths();
            if !paths.is_empty() {
                mapping.extend(self.mapping(&paths).await?);
            }
            let doubtful = mapping::doubtful(&self.config, &mapping);
            if !doubtful.is_empty() {
                mapping.extend(self.caps(&doubtful, &mapping.indices()).await?.as_mapping());
            }
            mapping
        };
        let place = self.http.place();
        let mut history = self.history.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(missing) = history.missing(mapping.indices(), Instant::now()) {
            return Err(place.incomplete(missing, None));
        }
        // Warn once per process, not once per chunk.
        match mapping::check(&self.config, &mapping, !history.fitted) {
            Ok(layout) => {
                history.fitted = true;
                Ok(layout)
            }
            // The index is being rebuilt: its fields return with its documents.
            Err(LiveViewError::Config { field: field @ ("id_field" | "online" | "filter"), problem })
                if history.fitted =>
            {
                Err(place.incomplete(format!("the index was changed: [live_view].{field}: {problem}"), None))
            }
            Err(error) => Err(error),
        }
    }

    async fn mapping(&self, fields: &BTreeSet<String>) -> Result<Mapping, LiveViewError> {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let path = IndicesGetFieldMappingParts::IndexFields(&[&self.config.index], &fields).url();
        let body = self.http.get(&format!("{path}?allow_no_indices=false&ignore_unavailable=false")).await;
        let body = body.map_err(|failure| self.state(failure))?;
        Mapping::from_fields(&body).map_err(|error| {
            let what = "the response is not a mapping in JSON".to_owned();
            self.http.place().incomplete(what, Some(error.into()))
        })
    }

    async fn caps(
        &self,
        fields: &BTreeSet<String>,
        indices: &BTreeSet<String>,
    ) -> Result<Caps, LiveViewError> {
        let place = self.http.place();
        let path = FieldCapsParts::Index(&[&self.config.index]).url();
        let names: Vec<String> =
            fields.iter().map(|field| byte_serialize(field.as_bytes()).collect()).collect();
        let body = self.http.get(&format!("{path}?fields={}", names.join("%2C"))).await;
        let caps: Caps =
            serde_json::from_slice(&body.map_err(|failure| self.state(failure))?).map_err(|error| {
                place.incomplete(
                    "the response is not field capabilities in JSON".to_owned(),
                    Some(error.into()),
                )
            })?;
        match caps.missing(indices) {
            Some(missing) => Err(place.incomplete(missing, None)),
            None => Ok(caps),
        }
    }

    async fn page(&self, layout: &Layout, bounds: Bounds, range: &IdRange) -> Result<Answer, Failure> {
        let place = self.http.place();
        let path = SearchParts::Index(&[&self.config.index]).url();
        let body = search::body(&self.config, layout, bounds, range).to_string();
        let bytes = self.http.post(&format!("{path}?{}", search::parameters()), body).await?;
        let answer: Answer = serde_json::from_str(&unicode(&bytes)).map_err(|error| {
            place.incomplete("the response is not a search result in JSON".to_owned(), Some(error.into()))
        })?;
        match answer.missing(self.config.page, bounds) {
            Some(missing) if answer.is_busy() => Err(busy(place.incomplete(missing, None), None).into()),
            Some(missing) => Err(place.incomplete(missing, None).into()),
            None => Ok(answer),
        }
    }

    /// Reads a page by a range, or by its start if the cluster refuses ranges of text.
    async fn page_of(&self, layout: &Layout, range: &IdRange) -> Result<(Answer, Bounds), LiveViewError> {
        if !self.no_ranges.load(Ordering::Relaxed) {
            match self.page(layout, Bounds::Range, range).await {
                Ok(answer) => return Ok((answer, Bounds::Range)),
                Err(Failure::Refused(refusal))
                    if refusal.is_expensive() && self.config.id_type == IdType::Keyword => {}
                Err(failure) => return Err(self.blame(failure).await),
            }
        }
        let answer = match self.page(layout, Bounds::SearchAfter, range).await {
            Ok(answer) => answer,
            Err(failure) => return Err(self.blame(failure).await),
        };
        if !self.no_ranges.swap(true, Ordering::Relaxed) {
            tracing::info!("the cluster refuses ranges of text; reading chunks with search_after instead");
        }
        Ok((answer, Bounds::SearchAfter))
    }

    /// Finds out which part of a refused search is wrong, by trying its parts alone.
    async fn blame(&self, failure: Failure) -> LiveViewError {
        let refusal = match failure {
            Failure::Refused(refusal) if refusal.is_mistake() => refusal,
            failure => return self.state(failure),
        };
        // If the server refuses even `match_all`, the search is not what is wrong.
        if let Some(refusal) = self.probe(&json!({ "match_all": {} })).await {
            return self.state(Failure::Refused(refusal));
        }
        let queries = [("online", Some(&self.config.online)), ("filter", self.config.filter.as_ref())];
        for (field, query) in queries {
            let Some(query) = query else { continue };
            if let Some(refusal) = self.probe(query).await.filter(Refusal::is_mistake) {
                return self
                    .config_error(field, &format!("does not understand the query: {}", refusal.reason()));
            }
        }
        let problem = format!(
            "refuses the search, which sorts by {:?} and takes {} documents a page: {}",
            self.config.id_field,
            self.config.page,
            refusal.reason()
        );
        self.config_error("index", &problem)
    }

    /// Tries the query alone, without asking for documents. Returns the refusal, or `None` if it is accepted.
    async fn probe(&self, query: &Value) -> Option<Refusal> {
        let path = SearchParts::Index(&[&self.config.index]).url();
        let body = json!({ "size": 0, "query": { "bool": { "filter": query } } }).to_string();
        match self.http.post(&format!("{path}?allow_partial_search_results=false"), body).await {
            Err(Failure::Refused(refusal)) => Some(refusal),
            _ => None,
        }
    }

    fn config_error(&self, field: &'static str, problem: &str) -> LiveViewError {
        let place = self.http.place();
        LiveViewError::Config {
            field,
            problem: format!("{} (index {:?}) {problem}", place.host, place.index),
        }
    }

    /// The error for a failure that can pass: the server is down or busy, or the index is missing.
    fn state(&self, failure: Failure) -> LiveViewError {
        let place = self.http.place();
        match failure {
            Failure::Failed(error) => error,
            Failure::Refused(refusal) if refusal.is_closed_index() => place.incomplete(
                format!("an index is closed ({refusal}); open it, or remove it from the name"),
                None,
            ),
            Failure::Refused(refusal) if refusal.status() == StatusCode::NOT_FOUND => {
                place.unavailable(format!("answered {refusal}; check [live_view].index"), None)
            }
            Failure::Refused(refusal) => {
                let error = place.unavailable(format!("answered {refusal}"), None);
                if refusal.is_busy() { busy(error, refusal.after()) } else { error }
            }
        }
    }

    /// The id of a hit. Its type must be that of the country file.
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
        let layout = self.layout().await?;
        let mut stores: Vec<(StoreKey, LiveStore)> = Vec::new();
        let mut rest = range.clone();
        loop {
            let (answer, bounds) = self.page_of(&layout, &rest).await?;
            let (listed, total) = (answer.hits.hits.len(), answer.hits.total.value);
            let mut is_beyond = false;
            for hit in answer.hits.hits {
                let key = self.key(hit.sort.0)?;
                // A document with several ids sorts by the smallest one, which may belong to another chunk.
                if !range.contains(&key) {
                    is_beyond = range.last.as_ref().is_some_and(|last| key >= *last);
                    continue;
                }
                let reason = hit.fields.into_values().flatten().next().map(text);
                match stores.last_mut() {
                    Some((last, store)) if *last == key => store.add(hit.sort.1 > 0.0, reason),
                    _ => stores.push((key, LiveStore { online: hit.sort.1 > 0.0, reason })),
                }
            }
            let is_last = match bounds {
                Bounds::Range => listed >= total,
                Bounds::SearchAfter => listed < self.config.page || is_beyond,
            };
            if is_last {
                return Ok(in_order(stores));
            }
            // The next page starts with the last id of this one, because documents with that id can be on
            // both. Reading some of them twice does no harm. An id that is too long or not valid Unicode
            // cannot be a bound: then start with the id before it.
            let mut bounds = stores.iter().rev().map(|(key, _)| key);
            let last = bounds.find(|key| key.can_bound() && !is_replaced(key)).cloned();
            if last == rest.first {
                let what = format!(
                    "more than {} documents have the id {}",
                    self.config.page,
                    last.map_or_else(String::new, |id| id.to_string())
                );
                return Err(self.http.place().incomplete(what, None));
            }
            rest.first = last;
        }
    }
}

/// Whether part of the name is in another cluster, as in `eu:stores`. Date math (`<stores-{now/d}>`) may also
/// contain a colon.
fn is_remote(index: &str) -> bool {
    index.split(',').any(|part| part.contains(':') && !part.trim_start_matches('-').starts_with('<'))
}

/// The stores, each once, in the order of their ids. Only ids that were not valid Unicode can be out of order,
/// because the server sorted them by their original bytes.
fn in_order(mut stores: Vec<(StoreKey, LiveStore)>) -> Vec<(StoreKey, LiveStore)> {
    stores.sort_by(|a, b| a.0.cmp(&b.0));
    // `dedup_by` passes the later of two neighbours first.
    stores.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            earlier.1.add(later.1.online, later.1.reason.take());
        }
        same
    });
    stores
}

/// Whether part of the id was replaced because it was not valid Unicode.
fn is_replaced(key: &StoreKey) -> bool {
    matches!(key, StoreKey::Keyword(id) if id.contains(char::REPLACEMENT_CHARACTER))
}

/// A reason as text. Its field may have any type with doc values.
fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
