//! What an error response of the server means: a mistake in the country file, or a state that can pass.

use std::fmt;
use std::time::Duration;

use elasticsearch::http::StatusCode;
use serde_json::Value;

/// The maximum length of a server's text in a message, in characters.
const QUOTED: usize = 500;

/// Error types for which the request itself is wrong. Elasticsearch also sends HTTP 400 for other errors, which
/// can pass (a closed index, too many buckets, a limit of the cluster).
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

/// Error types for which a node has no room now: a breaker guards its memory, or a queue is full. The last one is
/// OpenSearch's.
const BUSY: [&str; 3] =
    ["circuit_breaking_exception", "es_rejected_execution_exception", "rejected_execution_exception"];

/// Whether an error type means that the node has no room now.
pub(super) fn is_busy(kind: &str) -> bool {
    BUSY.contains(&kind)
}

/// A response with an HTTP error status. Displays as "HTTP 400: reason".
pub(super) struct Refusal {
    status: StatusCode,
    /// Elasticsearch's type of the first cause, such as `parsing_exception`; empty if there is none.
    kind: String,
    reason: String,
    /// The seconds of `Retry-After`.
    after: Option<Duration>,
}

impl Refusal {
    /// Reads the body of a response. `redact` removes secrets from messages.
    pub(super) fn read(
        status: StatusCode,
        after: Option<Duration>,
        body: &[u8],
        redact: impl Fn(String) -> String,
    ) -> Self {
        let body_json = serde_json::from_slice::<Value>(body).ok();
        // AWS, in front of the engine, sends { "message": … }.
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
        // Shorten after redacting: half a secret is not recognized.
        Self { status, kind, reason: redact(reason).chars().take(QUOTED).collect(), after }
    }

    /// Whether the server has no room for the request now. A 503 alone can also be a server that is down.
    pub(super) fn is_busy(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS
            || is_busy(&self.kind)
            || (self.status == StatusCode::SERVICE_UNAVAILABLE && self.after.is_some())
    }

    /// How long the server asks to wait.
    pub(super) fn after(&self) -> Option<Duration> {
        self.after
    }

    /// Whether the request itself is wrong.
    pub(super) fn is_mistake(&self) -> bool {
        self.status == StatusCode::BAD_REQUEST && MISTAKES.contains(&self.kind.as_str())
    }

    /// Whether an index of the view is closed.
    pub(super) fn is_closed_index(&self) -> bool {
        self.kind == "index_closed_exception"
    }

    /// Whether the cluster refuses ranges of text: `search.allow_expensive_queries` is false.
    pub(super) fn is_expensive(&self) -> bool {
        self.reason.contains("search.allow_expensive_queries")
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// The reason that the server gives.
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}: {}", self.status.as_u16(), self.reason)
    }
}
