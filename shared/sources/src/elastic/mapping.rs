//! The mapping of the indices behind the name, and whether it matches the country file.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;
use storewatch_domain::IdType;

use super::ElasticConfig;
use super::query;
use crate::live_view::LiveViewError;

/// How each index maps the requested fields.
#[derive(Default)]
pub(super) struct Mapping {
    indices: BTreeMap<String, BTreeMap<String, Field>>,
}

/// How an index maps a field.
struct Field {
    kind: String,
    doc_values: bool,
    normalizer: Option<String>,
    /// For a field alias, the field that it refers to.
    path: Option<String>,
    /// The names of its sub-fields of type `keyword`.
    keywords: Vec<String>,
}

/// What a search needs to know about the mapping.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The kinds of ids, each with the indices that use it; not empty.
    pub(super) ids: Vec<(IdKind, Vec<String>)>,
    /// The type to sort by in an index that does not map the id field; `None` if all do.
    pub(super) unmapped_type: Option<&'static str>,
    /// Whether some index maps the reason field.
    pub(super) has_reason: bool,
}

/// The type of an id field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdKind {
    Text,
    /// An integer with this many bits.
    Number(u32),
}

impl IdKind {
    fn new(kind: &str) -> Option<Self> {
        Some(match kind {
            "keyword" | "constant_keyword" => Self::Text,
            "long" => Self::Number(64),
            "integer" => Self::Number(32),
            "short" => Self::Number(16),
            "byte" => Self::Number(8),
            _ => return None,
        })
    }

    fn id_type(self) -> IdType {
        if self == Self::Text { IdType::Keyword } else { IdType::Long }
    }

    /// The smallest and largest id; `None` for text.
    pub(super) fn limits(self) -> Option<(i64, i64)> {
        match self {
            Self::Text => None,
            Self::Number(bits) => Some((i64::MIN >> (64 - bits), i64::MAX >> (64 - bits))),
        }
    }
}

/// Types whose keys can be searched like fields, but are not in the mapping.
const OF_KEYS: [&str; 3] = ["flattened", "flat_object", "passthrough"];

/// Types that never have doc values.
const NO_DOC_VALUES: [&str; 12] = [
    "match_only_text",
    "annotated_text",
    "search_as_you_type",
    "completion",
    "rank_feature",
    "rank_features",
    "dense_vector",
    "sparse_vector",
    "percolator",
    "object",
    "nested",
    "knn_vector",
];

impl Mapping {
    /// Reads the response to `GET INDEX/_mapping/field/FIELDS`.
    pub(super) fn from_fields(body: &[u8]) -> Result<Self, serde_json::Error> {
        let indices: BTreeMap<String, FieldMappings> = serde_json::from_slice(body)?;
        let fields = |index: FieldMappings| {
            let of = |field: FieldMapping| field.mapping.into_values().next().map(Field::from);
            index.mappings.into_iter().filter_map(|(name, field)| Some((name, of(field)?))).collect()
        };
        Ok(Self { indices: indices.into_iter().map(|(name, index)| (name, fields(index))).collect() })
    }

    pub(super) fn indices(&self) -> BTreeSet<String> {
        self.indices.keys().cloned().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Whether some index maps the field.
    pub(super) fn maps(&self, field: &str) -> bool {
        self.indices.values().any(|fields| fields.contains_key(field))
    }

    /// The fields that field aliases refer to.
    pub(super) fn alias_paths(&self) -> BTreeSet<String> {
        let fields = self.indices.values().flat_map(BTreeMap::values);
        fields.filter_map(|field| field.path.clone()).collect()
    }

    /// Adds more fields of the same indices. Fields that are already known stay.
    pub(super) fn extend(&mut self, more: Self) {
        for (index, fields) in more.indices {
            let known = self.indices.entry(index).or_default();
            fields.into_iter().for_each(|(name, field)| {
                known.entry(name).or_insert(field);
            });
        }
    }

    /// Whether the field can have values: it is mapped, or it is a key in a field of one of the types [`OF_KEYS`].
    fn has(&self, field: &str) -> bool {
        let is_of_keys = |parent| self.of(parent).any(|(_, field)| OF_KEYS.contains(&field.kind.as_str()));
        self.maps(field) || with_parents(field).skip(1).any(is_of_keys)
    }

    /// How each index maps the field, following aliases. Skips indices that do not map it.
    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a Field)> {
        self.indices.iter().filter_map(move |(index, fields)| {
            let field = fields.get(name)?;
            let target = field.path.as_ref().and_then(|path| fields.get(path));
            Some((index.as_str(), target.unwrap_or(field)))
        })
    }
}

/// The fields to ask the mapping for.
pub(super) fn wanted(config: &ElasticConfig) -> BTreeSet<String> {
    let mut fields = query::fields(&config.online);
    fields.extend(config.filter.iter().flat_map(query::fields));
    fields.extend(config.reason_field.clone());
    // With its parents: a search cannot sort by an id in a nested object.
    fields.extend(with_parents(&config.id_field).map(str::to_owned));
    fields
}

/// Patterns for the wanted fields that no index maps, to look them up by field capabilities. Those include runtime
/// fields, and show objects by their fields. Includes the parents, which may be `flattened` fields.
pub(super) fn doubtful(config: &ElasticConfig, mapping: &Mapping) -> BTreeSet<String> {
    let fields: Vec<String> = wanted(config).into_iter().filter(|field| !mapping.maps(field)).collect();
    let patterns = fields.iter().flat_map(|field| with_parents(field).map(str::to_owned));
    patterns.chain(fields.iter().map(|field| format!("{field}.*"))).collect()
}

/// `a.b.c`, `a.b` and `a`.
fn with_parents(field: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(field), |field| field.rsplit_once('.').map(|(parent, _)| parent))
}

/// Checks that the mapping matches the country file. With `warn`, logs what may be a mistake but does not matter
/// yet.
///
/// # Errors
/// `Config`, which names the key: a field that no index maps, a type that does not fit, or ids that an index
/// changes. A search would not report any of these, and every store would seem to be unlisted or offline.
pub(super) fn check(config: &ElasticConfig, mapping: &Mapping, warn: bool) -> Result<Layout, LiveViewError> {
    let ids = ids(config, mapping)?;
    for (key, query) in [("online", Some(&config.online)), ("filter", config.filter.as_ref())] {
        let Some(query) = query else { continue };
        let is_mapped = |field: &str| mapping.has(field);
        let unmapped: Vec<String> =
            query::fields(query).into_iter().filter(|field| !is_mapped(field)).collect();
        if unmapped.is_empty() {
            continue;
        }
        let index = &config.index;
        if !query::could_match(query, is_mapped) {
            let problem = format!(
                "no document can match: index {index:?} maps no field {}; check the name, or add the field to the mapping",
                unmapped.join(", ")
            );
            return Err(LiveViewError::Config { field: key, problem });
        }
        if warn {
            let fields = unmapped.join(", ");
            tracing::warn!(index, key, fields, "no index maps these fields of the query yet");
        }
    }
    let unmapped_type =
        mapping.indices.values().any(|fields| !fields.contains_key(&config.id_field)).then_some(match config
            .id_type
        {
            IdType::Long => "long",
            IdType::Keyword => "keyword",
        });
    Ok(Layout { ids, unmapped_type, has_reason: has_reason(config, mapping)? })
}

fn ids(config: &ElasticConfig, mapping: &Mapping) -> Result<Vec<(IdKind, Vec<String>)>, LiveViewError> {
    let bad = |key, problem| Err(LiveViewError::Config { field: key, problem });
    let name = &config.id_field;
    let mut ids: Vec<(IdKind, Vec<String>)> = Vec::new();
    for (index, field) in mapping.of(name) {
        let kind = match IdKind::new(&field.kind) {
            Some(kind) if kind.id_type() == config.id_type => kind,
            _ => {
                let wanted = if config.id_type == IdType::Long { "long" } else { "keyword" };
                let hint = keyword_hint(name, field);
                return bad(
                    "id_type",
                    format!("{wanted:?} does not fit: index {index:?} maps {name:?} as {}{hint}", field.kind),
                );
            }
        };
        if !field.doc_values {
            return bad(
                "id_field",
                format!("{name:?} has no doc values in index {index:?}, so it cannot be sorted by"),
            );
        }
        if let Some(normalizer) = &field.normalizer {
            return bad(
                "id_field",
                format!(
                    "index {index:?} changes the values of {name:?} with its normalizer {normalizer:?}, so they are not PostgreSQL's ids; use a keyword field without a normalizer"
                ),
            );
        }
        match ids.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, indices)) => indices.push(index.to_owned()),
            None => ids.push((kind, vec![index.to_owned()])),
        }
    }
    for parent in with_parents(name).skip(1) {
        if let Some((index, _)) = mapping.of(parent).find(|(_, field)| field.kind == "nested") {
            return bad(
                "id_field",
                format!(
                    "{name:?} is in a nested object of index {index:?}, so documents cannot be sorted by it"
                ),
            );
        }
    }
    if ids.is_empty() {
        return bad("id_field", format!("index {:?} maps no field {name:?}", config.index));
    }
    Ok(ids)
}

/// Whether to ask for reasons. A new index in which no store has been offline may not map the reason field yet.
fn has_reason(config: &ElasticConfig, mapping: &Mapping) -> Result<bool, LiveViewError> {
    let Some(name) = &config.reason_field else { return Ok(false) };
    for (index, field) in mapping.of(name) {
        if !field.doc_values {
            let problem = format!(
                "index {index:?} maps {name:?} as {}, which has no doc values{}",
                field.kind,
                keyword_hint(name, field)
            );
            return Err(LiveViewError::Config { field: "reason_field", problem });
        }
    }
    Ok(mapping.maps(name))
}

fn keyword_hint(name: &str, field: &Field) -> String {
    field
        .keywords
        .first()
        .map_or_else(String::new, |keyword| format!("; its sub-field \"{name}.{keyword}\" is a keyword"))
}

#[derive(Deserialize)]
struct FieldMappings {
    #[serde(default)]
    mappings: BTreeMap<String, FieldMapping>,
}

#[derive(Deserialize)]
struct FieldMapping {
    /// One entry, whose key is the last part of the field's name.
    mapping: BTreeMap<String, FieldParameters>,
}

#[derive(Deserialize)]
struct FieldParameters {
    #[serde(rename = "type")]
    kind: Option<String>,
    doc_values: Option<Value>,
    fielddata: Option<Value>,
    normalizer: Option<String>,
    path: Option<String>,
    #[serde(default)]
    fields: BTreeMap<String, Value>,
}

impl From<FieldParameters> for Field {
    fn from(parameters: FieldParameters) -> Self {
        let kind = parameters.kind.unwrap_or_else(|| "object".to_owned());
        let is = |value: &Option<Value>, wanted: &str| match value {
            Some(Value::Bool(value)) => value.to_string() == wanted,
            Some(Value::String(value)) => value == wanted,
            _ => false,
        };
        let doc_values = match kind.as_str() {
            "text" => is(&parameters.fielddata, "true"),
            "binary" => is(&parameters.doc_values, "true"),
            kind => !NO_DOC_VALUES.contains(&kind) && !is(&parameters.doc_values, "false"),
        };
        let is_keyword = |field: &Value| field.get("type").and_then(Value::as_str) == Some("keyword");
        let keywords =
            parameters.fields.into_iter().filter(|(_, field)| is_keyword(field)).map(|(name, _)| name);
        let keywords = keywords.collect();
        Self { kind, doc_values, normalizer: parameters.normalizer, path: parameters.path, keywords }
    }
}

/// The response of `_field_caps`.
#[derive(Deserialize, Default)]
pub(super) struct Caps {
    #[serde(default)]
    indices: Vec<String>,
    /// By field, then by type, because indices can map a field differently.
    #[serde(default)]
    fields: BTreeMap<String, BTreeMap<String, Cap>>,
    /// The number of indices that failed; missing from the response if none did.
    #[serde(default)]
    failed_indices: u64,
    #[serde(default)]
    failures: Vec<Value>,
}

#[derive(Deserialize)]
struct Cap {
    /// Whether it has doc values.
    aggregatable: bool,
    /// The indices with this type; missing from the response if all have it.
    indices: Option<Vec<String>>,
}

impl Caps {
    /// What is missing, if some of the `wanted` indices did not answer. OpenSearch returns HTTP 200 without an
    /// index that is down, and its fields would seem not to be mapped.
    pub(super) fn missing(&self, wanted: &BTreeSet<String>) -> Option<String> {
        if self.failed_indices > 0 {
            let why = self.failures.first().map(|failure| format!(", the first: {failure}"));
            return Some(format!(
                "the fields of {} indices are missing{}",
                self.failed_indices,
                why.unwrap_or_default()
            ));
        }
        if self.indices.is_empty() {
            return Some("no index returned its fields".to_owned());
        }
        let silent = wanted.iter().find(|index| !self.indices.contains(index))?;
        Some(format!("the fields of index {silent:?} are missing"))
    }

    /// Converts the capabilities to a mapping.
    pub(super) fn as_mapping(&self) -> Mapping {
        let mut mapping = Mapping::default();
        for index in &self.indices {
            let fields = self.fields.iter().filter_map(|(name, kinds)| {
                let has = |cap: &Cap| cap.indices.as_ref().is_none_or(|indices| indices.contains(index));
                let (kind, cap) = kinds.iter().find(|(kind, cap)| *kind != "unmapped" && has(cap))?;
                let doc_values = cap.aggregatable;
                let field = Field {
                    kind: kind.clone(),
                    doc_values,
                    normalizer: None,
                    path: None,
                    keywords: Vec::new(),
                };
                Some((name.clone(), field))
            });
            mapping.indices.insert(index.clone(), fields.collect());
        }
        mapping
    }
}
