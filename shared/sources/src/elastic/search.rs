//! The search for one range of ids, and its response.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use storewatch_domain::{IdRange, StoreKey};

use super::ElasticConfig;
use super::mapping::{IdKind, Layout};
use super::refusal;

/// The parts of the response to request.
const PARTS: &str = "timed_out,_shards,_clusters,hits.total,hits.hits.sort,hits.hits.fields";

/// The query string of a search. With it, a closed index behind a pattern is an error instead of being left out,
/// and so is a pattern that matches no index.
pub(super) fn parameters() -> String {
    format!(
        "allow_partial_search_results=false&allow_no_indices=false&ignore_unavailable=false&expand_wildcards=open,closed&filter_path={PARTS}"
    )
}

/// How to ask for a range of ids.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bounds {
    /// By a range query.
    Range,
    /// By the start of the page, for a cluster that refuses ranges of text. The reader drops ids after the range.
    SearchAfter,
}

pub(super) fn body(config: &ElasticConfig, layout: &Layout, bounds: Bounds, range: &IdRange) -> Value {
    let within = match bounds {
        Bounds::Range => within(config, layout, range),
        Bounds::SearchAfter => json!({ "exists": { "field": config.id_field } }),
    };
    let mut filters = vec![within];
    filters.extend(config.filter.clone());
    let mut by_id = json!({ "order": "asc" });
    if let Some(kind) = layout.unmapped_type {
        // Without it, the shards of an index without the field fail.
        by_id["unmapped_type"] = json!(kind);
    }
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
        "sort": [{ &config.id_field: by_id }, { "_score": { "order": "desc" } }],
    });
    if let (Bounds::SearchAfter, Some(first)) = (bounds, &range.first) {
        // Higher than any score, so that the page starts with the first document of this id.
        body["search_after"] = json!([first, 1e30]);
    }
    if let Some(field) = config.reason_field.as_ref().filter(|_| layout.has_reason) {
        body["docvalue_fields"] = json!([field]);
    }
    body
}

/// The query for the documents in the range. Bounds are clamped to the limits of each kind of id, because
/// Elasticsearch refuses a bound outside them.
fn within(config: &ElasticConfig, layout: &Layout, range: &IdRange) -> Value {
    match layout.ids.as_slice() {
        [(kind, _)] => within_kind(config, *kind, range),
        kinds => {
            let each = kinds.iter().map(|(kind, indices)| {
                let bounds = within_kind(config, *kind, range);
                json!({ "bool": { "filter": [{ "terms": { "_index": indices } }, bounds] } })
            });
            json!({ "bool": { "should": each.collect::<Vec<_>>() } })
        }
    }
}

fn within_kind(config: &ElasticConfig, kind: IdKind, range: &IdRange) -> Value {
    let mut within = json!({});
    match (&range.first, kind.limits()) {
        (Some(StoreKey::Long(first)), Some((_, most))) if *first > most => return json!({ "match_none": {} }),
        (Some(StoreKey::Long(first)), Some((least, _))) if *first <= least => {}
        (Some(first), _) => within["gte"] = json!(first),
        (None, _) => {}
    }
    match (&range.last, kind.limits()) {
        (Some(StoreKey::Long(last)), Some((least, _))) if *last <= least => {
            return json!({ "match_none": {} });
        }
        (Some(StoreKey::Long(last)), Some((_, most))) if *last > most => {}
        (Some(last), _) => within["lt"] = json!(last),
        (None, _) => {}
    }
    match within.as_object() {
        Some(bounds) if !bounds.is_empty() => json!({ "range": { &config.id_field: within } }),
        _ => json!({ "exists": { "field": config.id_field } }),
    }
}

#[derive(Deserialize)]
pub(super) struct Answer {
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    /// Only present if the search covers several clusters.
    #[serde(rename = "_clusters")]
    clusters: Option<Clusters>,
    pub(super) hits: Hits,
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
struct Clusters {
    total: u64,
    successful: u64,
}

#[derive(Deserialize)]
pub(super) struct Hits {
    pub(super) total: Total,
    /// Missing from a filtered response if it is empty.
    #[serde(default)]
    pub(super) hits: Vec<Hit>,
}

#[derive(Deserialize)]
pub(super) struct Total {
    pub(super) value: usize,
    relation: String,
}

#[derive(Deserialize)]
pub(super) struct Hit {
    pub(super) sort: (Id, f64),
    #[serde(default)]
    pub(super) fields: BTreeMap<String, Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Id {
    Long(i64),
    Keyword(String),
}

impl Answer {
    /// Whether a shard failed because its node has no room now.
    pub(super) fn is_busy(&self) -> bool {
        let kinds = self.shards.failures.iter().filter_map(|failure| failure["reason"]["type"].as_str());
        kinds.into_iter().any(refusal::is_busy)
    }

    /// What is missing from the response; `None` if it is complete. A search can return HTTP 200 with only some
    /// of the documents: no shard took part, one failed, a cluster was skipped, or time ran out.
    pub(super) fn missing(&self, page: usize, bounds: Bounds) -> Option<String> {
        let (shards, total) = (&self.shards, &self.hits.total);
        let listed = self.hits.hits.len();
        if self.timed_out {
            return Some("the search timed out".to_owned());
        }
        if let Some(clusters) =
            self.clusters.as_ref().filter(|clusters| clusters.successful != clusters.total)
        {
            return Some(format!("{} of {} clusters answered", clusters.successful, clusters.total));
        }
        if shards.total == 0 {
            return Some(
                "no shard took part in the search; check that an open index has this name".to_owned(),
            );
        }
        if shards.failed > 0 || shards.successful != shards.total {
            let why = shards.failures.first().map(|failure| format!(", the first: {failure}"));
            let (successful, total) = (shards.successful, shards.total);
            return Some(format!("{successful} of {total} shards answered{}", why.unwrap_or_default()));
        }
        if total.relation != "eq" {
            return Some("the count of documents is not exact".to_owned());
        }
        // With `SearchAfter`, the total is that of the whole view, not of the range.
        if bounds == Bounds::Range && listed < total.value.min(page) {
            return Some(format!("{listed} of {} documents", total.value));
        }
        None
    }
}
