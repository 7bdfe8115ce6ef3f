//! Finds the fields in a query of the country file before the query is sent. Elasticsearch does not report a
//! field that no index maps: it matches no document, and every store would seem to be offline.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Queries of the form `{ kind: { field: … } }`.
const BY_KEY: [&str; 14] = [
    "term",
    "terms",
    "terms_set",
    "range",
    "match",
    "match_phrase",
    "match_phrase_prefix",
    "match_bool_prefix",
    "prefix",
    "wildcard",
    "regexp",
    "fuzzy",
    "intervals",
    "span_term",
];

/// Keys in such a query that are not fields.
const OPTIONS: [&str; 2] = ["boost", "_name"];

/// The fields in a query. Unknown kinds of queries have none.
pub(super) fn fields(query: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    // Call every field mapped, so that the walk visits all of them.
    can_match(query, &mut |field| {
        found.insert(field.to_owned());
        true
    });
    found
}

/// Whether some document could match the query, given which fields are mapped. True for unknown kinds of
/// queries.
pub(super) fn could_match(query: &Value, is_mapped: impl Fn(&str) -> bool) -> bool {
    can_match(query, &mut |field| is_mapped(field))
}

/// Calls `is_mapped` for every field of the query, even in the parts that exclude documents.
fn can_match(query: &Value, is_mapped: &mut dyn FnMut(&str) -> bool) -> bool {
    let Some((kind, inner)) = query.as_object().and_then(|query| query.iter().next()) else { return true };
    match (kind.as_str(), inner) {
        ("bool", Value::Object(parts)) => bool_can_match(parts, is_mapped),
        ("exists" | "distance_feature" | "rank_feature", _) => known(inner.get("field"), is_mapped),
        ("multi_match" | "query_string" | "simple_query_string", _) => {
            let fields = inner.get("fields").and_then(Value::as_array);
            let named = fields.into_iter().flatten().chain(inner.get("default_field"));
            any(&named.collect::<Vec<_>>(), |field| known(Some(field), is_mapped))
        }
        ("constant_score", _) => inner.get("filter").is_none_or(|query| can_match(query, is_mapped)),
        ("nested" | "function_score" | "script_score", _) => {
            inner.get("query").is_none_or(|query| can_match(query, is_mapped))
        }
        ("boosting", _) => inner.get("positive").is_none_or(|query| can_match(query, is_mapped)),
        ("dis_max", _) => any(&clauses(inner.get("queries")), |query| can_match(query, is_mapped)),
        (kind, Value::Object(parts)) if BY_KEY.contains(&kind) => {
            let field = parts.keys().find(|key| !OPTIONS.contains(&key.as_str()));
            field.is_none_or(|field| is_mapped_name(field, is_mapped))
        }
        _ => true,
    }
}

fn bool_can_match(parts: &Map<String, Value>, is_mapped: &mut dyn FnMut(&str) -> bool) -> bool {
    for query in clauses(parts.get("must_not")) {
        can_match(query, is_mapped);
    }
    let mut required = clauses(parts.get("must"));
    required.extend(clauses(parts.get("filter")));
    let has_required = !required.is_empty();
    // Visit all of them, so that `is_mapped` is called for each field.
    let mut all = true;
    for query in required {
        all &= can_match(query, is_mapped);
    }
    let optional = any(&clauses(parts.get("should")), |query| can_match(query, is_mapped));
    let needs_one = match parts.get("minimum_should_match") {
        Some(least) => least != &Value::from(0),
        None => !has_required,
    };
    all && (optional || !needs_one)
}

/// One clause, or an array of clauses.
fn clauses(value: Option<&Value>) -> Vec<&Value> {
    match value {
        Some(Value::Array(clauses)) => clauses.iter().collect(),
        Some(clause) => vec![clause],
        None => Vec::new(),
    }
}

/// Whether it holds for one of them, or there are none. Visits all of them.
fn any<'a>(of: &[&'a Value], mut holds: impl FnMut(&'a Value) -> bool) -> bool {
    of.iter().fold(of.is_empty(), |any, value| holds(value) || any)
}

fn known(field: Option<&Value>, is_mapped: &mut dyn FnMut(&str) -> bool) -> bool {
    field.and_then(Value::as_str).is_none_or(|field| is_mapped_name(field, is_mapped))
}

/// Whether the field is mapped. True without a check for Elasticsearch's own fields (`_id`), patterns (`name.*`),
/// and names that cannot be part of a list.
fn is_mapped_name(field: &str, is_mapped: &mut dyn FnMut(&str) -> bool) -> bool {
    let field = field.split_once('^').map_or(field, |(field, _)| field);
    if field.is_empty() || field.starts_with('_') || field.contains(['*', ',']) {
        return true;
    }
    is_mapped(field)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_query_could_match_unless_a_field_that_it_needs_is_not_mapped() {
        let cases = [
            (json!({ "term": { "online": true } }), true),
            (json!({ "term": { "gone": true, "boost": 2 } }), false),
            (json!({ "range": { "gone": { "gte": "now" } } }), false),
            (json!({ "exists": { "field": "gone" } }), false),
            (json!({ "term": { "_id": "1" } }), true),
            (json!({ "exists": { "field": "gone.*" } }), true),
            (json!({ "match_all": {} }), true),
            (json!({ "script": { "script": "doc['gone'].value" } }), true),
            (json!({ "bool": { "must_not": { "exists": { "field": "gone" } } } }), true),
            (
                json!({ "bool": { "filter": [{ "term": { "online": true } }, { "term": { "gone": 1 } }] } }),
                false,
            ),
            (
                json!({ "bool": { "should": [{ "term": { "online": true } }, { "term": { "gone": 1 } }] } }),
                true,
            ),
            (json!({ "bool": { "should": { "term": { "gone": 1 } } } }), false),
            (
                json!({ "bool": { "must": { "term": { "online": 1 } }, "should": { "term": { "gone": 1 } } } }),
                true,
            ),
            (
                json!({ "bool": { "must": { "term": { "online": 1 } }, "should": { "term": { "gone": 1 } },
                "minimum_should_match": 1 } }),
                false,
            ),
            (json!({ "nested": { "path": "o", "query": { "term": { "gone": 1 } } } }), false),
            (json!({ "constant_score": { "filter": { "prefix": { "gone": "a" } } } }), false),
            (
                json!({ "dis_max": { "queries": [{ "term": { "gone": 1 } }, { "term": { "online": 1 } }] } }),
                true,
            ),
            (json!({ "multi_match": { "query": "x", "fields": ["gone^3", "online"] } }), true),
            (json!({ "multi_match": { "query": "x", "fields": ["gone^3"] } }), false),
            (json!({ "query_string": { "query": "gone:1" } }), true),
            (json!({ "boosting": { "positive": { "term": { "gone": 1 } }, "negative": {} } }), false),
        ];
        for (query, wanted) in cases {
            assert_eq!(could_match(&query, |field| field == "online"), wanted, "{query}");
        }
    }

    #[test]
    fn every_field_is_found_even_in_parts_that_exclude_documents() {
        let query = json!({ "bool": {
            "must": [{ "term": { "a": 1 } }, { "terms": { "b": [1], "boost": 1 } }],
            "must_not": { "exists": { "field": "c" } },
            "should": [{ "multi_match": { "query": "x", "fields": ["d^2", "e*", "_id"] } }],
        } });
        assert_eq!(fields(&query).into_iter().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    }
}
