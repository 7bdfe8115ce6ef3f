//! The live view in Elasticsearch or OpenSearch.
//!
//! Two requests a chunk. The first asks what the index maps, as the mapping can change at any time
//! and a search does not tell. The second is the search: the id range, the country's `filter` and its
//! `online` query are evaluated by the server, and per document only the sort values come back: the
//! id, and a score that is 1 where `online` matches and 0 where not. Nothing is read from `_source`.
//! Only the one address is talked to.

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
use http::{Failure, Http};
use mapping::{Caps, Layout, Mapping};
use refusal::Refusal;
use search::{Answer, Bounds, Id};

/// A country's live view, as its country file says.
#[derive(Clone)]
pub struct ElasticConfig {
    /// The one address, `http` or `https`, without credentials. Others than [`Access::None`] need `https`,
    /// except to this machine itself.
    pub url: Url,
    pub access: Access,
    /// PEM certificates that are then the only roots for `https`; else the system's are.
    pub ca: Option<Vec<u8>>,
    /// An index, an alias, a pattern or several of these with commas.
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

/// A live view in Elasticsearch or OpenSearch, reached by a client that lives as long as the process.
pub struct ElasticLiveView {
    http: Http,
    config: ElasticConfig,
    /// The indices that earlier observations of this process read.
    history: Mutex<History>,
    /// Set once the cluster refused a range of text.
    no_ranges: AtomicBool,
}

impl ElasticLiveView {
    /// A client for the view; nothing is sent yet, and no secret read.
    ///
    /// # Errors
    /// `Config`: the address, the certificates or the kind of access cannot be used.
    pub fn new(config: ElasticConfig) -> Result<Self, LiveViewError> {
        let http = Http::new(&config)?;
        Ok(Self { http, config, history: Mutex::default(), no_ranges: AtomicBool::new(false) })
    }

    /// Asks what the indices map, and checks that it fits the country file.
    async fn layout(&self) -> Result<Layout, LiveViewError> {
        let fields = mapping::wanted(&self.config);
        let mapping = if is_remote(&self.config.index) {
            // Only field capabilities cross clusters.
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
        // Said once a process, not once a chunk.
        match mapping::check(&self.config, &mapping, !history.fitted) {
            Ok(layout) => {
                history.fitted = true;
                Ok(layout)
            }
            // The index is being made anew: its fields come back with its documents.
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
            let what = "the body is not the JSON of a mapping".to_owned();
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
                    "the body is not the JSON of field capabilities".to_owned(),
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
            place.incomplete("the body is not the JSON of a search".to_owned(), Some(error.into()))
        })?;
        match answer.missing(self.config.page, bounds) {
            Some(missing) => Err(place.incomplete(missing, None).into()),
            None => Ok(answer),
        }
    }

    /// A page by a range, or by its start where the cluster allows no ranges of text.
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
            tracing::info!("the cluster allows no ranges of text; chunks are read by search_after");
        }
        Ok((answer, Bounds::SearchAfter))
    }

    /// Whose mistake a refused search is, found by asking for its parts alone.
    async fn blame(&self, failure: Failure) -> LiveViewError {
        let refusal = match failure {
            Failure::Refused(refusal) if refusal.is_mistake() => refusal,
            failure => return self.state(failure),
        };
        // Where the server refuses even a search for nothing, the search is not what is wrong.
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

    /// How a search for nothing by this query is refused, `None` if it is not.
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

    /// A failure that may pass: a server that is down, busy, or lacks the index.
    fn state(&self, failure: Failure) -> LiveViewError {
        let place = self.http.place();
        match failure {
            Failure::Failed(error) => error,
            Failure::Refused(refusal) if refusal.is_closed_index() => place.incomplete(
                format!("an index is closed ({refusal}); open it, or leave it out of the name"),
                None,
            ),
            Failure::Refused(refusal) if refusal.status() == StatusCode::NOT_FOUND => {
                place.unavailable(format!("answered {refusal}; check [live_view].index"), None)
            }
            Failure::Refused(refusal) => place.unavailable(format!("answered {refusal}"), None),
        }
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
        let layout = self.layout().await?;
        let mut stores: Vec<(StoreKey, LiveStore)> = Vec::new();
        let mut rest = range.clone();
        loop {
            let (answer, bounds) = self.page_of(&layout, &rest).await?;
            let (listed, total) = (answer.hits.hits.len(), answer.hits.total.value);
            let mut is_beyond = false;
            for hit in answer.hits.hits {
                let key = self.key(hit.sort.0)?;
                // A document with several ids sorts by its smallest, which another chunk answers for.
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
                return Err(self.http.place().incomplete(what, None));
            }
            rest.first = last;
        }
    }
}

/// Whether part of the name is of another cluster, as in `eu:stores`. Date math (`<stores-{now/d}>`) may
/// hold a colon too.
fn is_remote(index: &str) -> bool {
    index.split(',').any(|part| part.contains(':') && !part.trim_start_matches('-').starts_with('<'))
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
