//! Errors of the driver, described so that users know what failed and what to do.

use std::error::Error;
use std::{fmt, io};

use rustls::Error as TlsError;
use tokio_postgres::Error as PgError;
use tokio_postgres::error::DbError;

/// What failed, which decides what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The server, or a pooler in front of it, refuses the user or the password.
    Login,
    /// The TLS handshake failed, or the certificate is not trusted.
    Tls,
    /// The server cannot be reached, or the connection broke.
    Network,
    /// The server reports an error.
    Server,
}

/// An error of the driver. The error that contains it includes its text, so it has no source of its own.
pub(super) struct Failure {
    pub(super) kind: Kind,
    said: String,
    pub(super) error: PgError,
}

impl From<PgError> for Failure {
    fn from(error: PgError) -> Self {
        let (kind, said) = match error.as_db_error() {
            Some(refusal) => (server_kind(refusal), server_words(refusal)),
            None => driver_words(&error),
        };
        Self { kind, said, error }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

// No source: the driver's own texts ("db error") add nothing.
impl Error for Failure {}

/// SQLSTATE class 28 is "invalid authorization specification".
fn server_kind(refusal: &DbError) -> Kind {
    if refusal.code().code().starts_with("28") { Kind::Login } else { Kind::Server }
}

/// The server's message with its detail and hint, on one line.
fn server_words(refusal: &DbError) -> String {
    let parts = [Some(refusal.message()), refusal.detail(), refusal.hint()];
    let parts: Vec<_> = parts.into_iter().flatten().map(|part| part.trim_end_matches('.')).collect();
    parts.join("; ").replace('\n', " ")
}

fn driver_words(error: &PgError) -> (Kind, String) {
    let outer = error.to_string();
    let inner = error.source();
    let words = inner.map_or_else(|| outer.clone(), ToString::to_string);
    let tls = inner
        .and_then(|inner| inner.downcast_ref::<io::Error>())
        .and_then(io::Error::get_ref)
        .and_then(|inner| inner.downcast_ref::<TlsError>());
    match (tls, outer.as_str()) {
        (Some(error), _) => (Kind::Tls, tls_words(error)),
        (_, "error performing TLS handshake") if words == "server does not support TLS" => {
            (Kind::Tls, "it does not support TLS, which sslmode requires".to_owned())
        }
        (_, "error performing TLS handshake") => (Kind::Tls, format!("the TLS handshake failed: {words}")),
        (_, "authentication error" | "invalid configuration") => (Kind::Login, words),
        (_, "connection closed" | "error communicating with the server") => {
            (Kind::Network, format!("the connection broke: {words}"))
        }
        _ => (Kind::Network, words),
    }
}

fn tls_words(error: &TlsError) -> String {
    match error {
        // The text comes from the verifier in `tls`.
        TlsError::General(words) => words.clone(),
        TlsError::AlertReceived(alert) => format!("it ended the TLS handshake with the alert {alert:?}"),
        TlsError::InvalidCertificate(_) => {
            "its certificate does not match the key that signed the TLS handshake".to_owned()
        }
        other => format!("the TLS handshake failed: {other}"),
    }
}
