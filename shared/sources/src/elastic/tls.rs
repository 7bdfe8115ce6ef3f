//! TLS to the live view: which authorities are trusted, and what a refused certificate means.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, Error as TlsError, RootCertStore};

use crate::live_view::LiveViewError;

/// The client's side of TLS. `ca` is PEM, and then the only root; else the system's roots are trusted.
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
            .map_err(|error| format!("a certificate of the file cannot be a root: {error}"))?;
    }
    if roots.is_empty() {
        return Err("the file holds no certificate (-----BEGIN CERTIFICATE-----)".to_owned());
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    match roots.add_parsable_certificates(found.certs) {
        (0, _) => {
            Err("this system has no root certificates for https; name the authority with ca".to_owned())
        }
        _ => Ok(roots),
    }
}

/// What went wrong with TLS, if that is what `error` is about.
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
            "its certificate is signed by an authority that this system does not trust; name that authority's certificate with [live_view].ca".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("its certificate is not for {host} ({certificate}); use a name that the certificate holds")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("its certificate has expired ({certificate}); renew it")
        }
        _ => format!("its certificate is refused ({certificate})"),
    })
}

/// The first error of rustls in the chain. `io::Error` holds it without naming it as its source.
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
