//! What a refusal of the server means: a mistake of the country file, or a state that passes.

use std::fmt;

use elasticsearch::http::StatusCode;
use serde_json::Value;

/// The most of a server's text that a message quotes, in characters.
const QUOTED: usize = 500;

/// Types of errors that say that the request itself is wrong. Elasticsearch answers HTTP 400 to others
/// too (a closed index, too many buckets, a limit of the cluster), and those pass.
const MISTAKES: [&str; 12] = [
    "parsing_exception",
    "x_content_parse_exception",
    "xcontent_parse_exception",
    "parse_exception",
    "json_parse_exception",
    "json_e_o_f_exception",
    "named_object_not_found_exception",
    "query_shard_exception",
    "illegal_argument_exception",
    "number_format_exception",
    "input_coercion_exception",
    "script_exception",
];

/// An answer with an HTTP status of failure. Displays as "HTTP 400: type: reason".
pub(super) struct Refusal {
    status: StatusCode,
    /// Elasticsearch's type of the first cause, such as `parsing_exception`. Empty if it names none.
    kind: String,
    reason: String,
}

impl Refusal {
    /// Reads an answer's body. `redact` removes what no message may hold.
    pub(super) fn read(status: StatusCode, body: &[u8], redact: impl Fn(String) -> String) -> Self {
        let body_json = serde_json::from_slice::<Value>(body).ok();
        // AWS answers { "message": … } in front of the engine.
        let error = body_json.as_ref().and_then(|body| body.get("error").or_else(|| body.get("message")));
        let of = |key: &str| {
            let root = error?.pointer(&format!("/root_cause/0/{key}"));
            root.or_else(|| error?.get(key)).and_then(Value::as_str).map(str::to_owned)
        };
        let kind = of("type").unwrap_or_default();
        let reason = of("reason").unwrap_or_else(|| match error {
            Some(error) => error.as_str().map_or_else(|| error.to_string(), str::to_owned),
            None => String::from_utf8_lossy(body).into_owned(),
        });
        // Shortened last: half a secret is not recognized.
        Self { status, kind, reason: redact(reason).chars().take(QUOTED).collect() }
    }

    /// Whether the request is what is wrong.
    pub(super) fn is_mistake(&self) -> bool {
        self.status == StatusCode::BAD_REQUEST && MISTAKES.contains(&self.kind.as_str())
    }

    /// Whether an index of the view is closed.
    pub(super) fn is_closed_index(&self) -> bool {
        self.kind == "index_closed_exception"
    }

    /// Whether the cluster allows no ranges of text: `search.allow_expensive_queries` is false.
    pub(super) fn is_expensive(&self) -> bool {
        self.reason.contains("search.allow_expensive_queries")
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// The server's own words.
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}: {}", self.status.as_u16(), self.reason)
    }
}
