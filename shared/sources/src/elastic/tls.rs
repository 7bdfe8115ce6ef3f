//! TLS to the live view: which authorities to trust, and why a certificate was refused.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, Error as TlsError, RootCertStore};

use crate::live_view::LiveViewError;

/// The client's TLS configuration. `ca` is PEM and replaces the system's roots.
pub(super) fn client_config(ca: Option<&[u8]>) -> Result<ClientConfig, LiveViewError> {
    let roots = match ca {
        Some(pem) => private_roots(pem).map_err(|problem| LiveViewError::Config { field: "ca", problem })?,
        None => system_roots().map_err(|problem| LiveViewError::Config { field: "url", problem })?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| LiveViewError::Config { field: "url", problem: error.to_string() })?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn private_roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("the file is not PEM: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("a certificate in the file cannot be used as a root: {error}"))?;
    }
    if roots.is_empty() {
        return Err("the file contains no certificate (-----BEGIN CERTIFICATE-----)".to_owned());
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    match roots.add_parsable_certificates(found.certs) {
        (0, _) => {
            Err("this system has no root certificates for https; give the authority's certificate with ca"
                .to_owned())
        }
        _ => Ok(roots),
    }
}

/// Describes a failure of TLS; `None` if `error` is another one.
pub(super) fn problem(error: &(dyn Error + 'static), host: &str, has_ca: bool) -> Option<String> {
    let certificate = match tls_error(error)? {
        TlsError::InvalidCertificate(certificate) => certificate,
        other => return Some(format!("TLS failed ({other}); check that the port speaks https")),
    };
    Some(match certificate {
        CertificateError::UnknownIssuer | CertificateError::BadSignature if has_ca => {
            "its certificate is not signed by the authority in [live_view].ca".to_owned()
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is signed by an authority that this system does not trust; give that authority's certificate with [live_view].ca".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("its certificate is not for {host} ({certificate}); use a name in the certificate")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("its certificate has expired ({certificate}); renew it")
        }
        _ => format!("its certificate was refused ({certificate})"),
    })
}

/// The first rustls error in the chain. An `io::Error` does not return its inner error as its source.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TlsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<TlsError>() {
            return Some(found);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}
