//! TLS to PostgreSQL with the levels of libpq's `sslmode`, from no TLS to a checked host name.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme};
use x509_cert::der::{Decode, Encode};
use x509_cert::{Certificate, Version};

use super::roots::{self, Roots, RootsError};

/// How the server is checked, as in PostgreSQL's documentation of libpq (section "SSL Support").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server supports it. The certificate is not checked.
    Prefer,
    /// TLS. The certificate is checked only if authorities are given.
    Require,
    /// TLS with a certificate from a trusted authority, for any name.
    VerifyCa,
    /// TLS with a certificate from a trusted authority, for the name of the host.
    VerifyFull,
}

impl SslMode {
    /// Parses a value of `sslmode`. Treats `allow`, which tries without TLS first, as `prefer`, which is at
    /// least as safe.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "disable" => Self::Disable,
            "allow" | "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return None,
        })
    }

    /// Its value in an address.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    /// Whether it never connects without TLS.
    pub(super) fn insists(self) -> bool {
        !matches!(self, Self::Disable | Self::Prefer)
    }
}

/// The client's TLS configuration.
pub(super) fn client_config(mode: SslMode, roots: &Roots) -> Result<ClientConfig, RootsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    // Like libpq: if authorities are given, `require` checks the certificate.
    let mode = if mode == SslMode::Require && roots.are_given() { SslMode::VerifyCa } else { mode };
    let trust = match mode {
        SslMode::Disable | SslMode::Prefer | SslMode::Require => None,
        SslMode::VerifyCa | SslMode::VerifyFull => {
            let (certificates, store) = roots::load(roots)?;
            let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider));
            Some(Trust { certificates, webpki: webpki.build()?, any_name: mode == SslMode::VerifyCa })
        }
    };
    let verifier = Arc::new(Verifier { provider, trust });
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Checks what the mode requires. Without `trust`, only that the server has the certificate's key.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    trust: Option<Trust>,
}

#[derive(Debug)]
struct Trust {
    /// The authorities' own certificates. OpenSSL also accepts one of them from a server, and webpki does not.
    certificates: Vec<CertificateDer<'static>>,
    webpki: Arc<WebPkiServerVerifier>,
    any_name: bool,
}

impl Trust {
    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), TlsError> {
        if self.certificates.contains(certificate) {
            check_dates(certificate, now)?;
            return match self.any_name {
                true => Ok(()),
                false => verify_server_name(&ParsedCertificate::try_from(certificate)?, name),
            };
        }
        match self.webpki.verify_server_cert(certificate, intermediates, name, &[], now) {
            // webpki checks the name last, so there is no other fault.
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.any_name => Ok(()),
            result => result.map(|_| ()),
        }
    }
}

fn check_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), TlsError> {
    let parsed = Certificate::from_der(certificate)
        .map_err(|_| TlsError::InvalidCertificate(CertificateError::BadEncoding))?;
    let validity = parsed.tbs_certificate.validity;
    let error = match now.as_secs() {
        now if now < validity.not_before.to_unix_duration().as_secs() => CertificateError::NotValidYet,
        now if now > validity.not_after.to_unix_duration().as_secs() => CertificateError::Expired,
        _ => return Ok(()),
    };
    Err(TlsError::InvalidCertificate(error))
}

/// Explains why a certificate is refused.
fn explain(error: TlsError, certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> TlsError {
    use CertificateError as Fault;
    let TlsError::InvalidCertificate(fault) = error else { return error };
    let parsed = Certificate::from_der(certificate).ok().map(|parsed| parsed.tbs_certificate);
    let subject = parsed.as_ref().map(|parsed| parsed.subject.to_string()).unwrap_or_default();
    let is_old = parsed.as_ref().is_some_and(|parsed| parsed.version != Version::V3);
    let names = parsed.as_ref().map(alternative_names).unwrap_or_default();
    let name = name.to_str();
    let words = match fault {
        _ if is_old && !matches!(fault, Fault::Expired | Fault::NotValidYet) => {
            "is X.509 version 1 or 2, which only sslmode=require accepts; issue one of version 3".to_owned()
        }
        Fault::NotValidForName | Fault::NotValidForNameContext { .. } if names.is_empty() => format!(
            "names its host in CN only ({subject}), and sslmode=verify-full needs {name:?} as a subject alternative name (SAN); issue one with a SAN, or use sslmode=verify-ca"
        ),
        Fault::NotValidForName | Fault::NotValidForNameContext { .. } => {
            format!("is for {}, not for {name:?}", names.join(", "))
        }
        Fault::UnknownIssuer => "is not signed by a trusted authority; put its authority's certificate into the file of [schedule].ca".to_owned(),
        Fault::BadSignature => {
            "is not signed by the trusted authority that has its issuer's name; the authority may have changed its key".to_owned()
        }
        Fault::Expired | Fault::ExpiredContext { .. } => "has expired".to_owned(),
        Fault::NotValidYet | Fault::NotValidYetContext { .. } => "is not valid yet".to_owned(),
        // Only webpki's name for it identifies this error.
        Fault::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => "is an authority's own; put it into the file of [schedule].ca to trust it, or issue one that is not an authority's".to_owned(),
        other => format!("is refused: {other}"),
    };
    TlsError::General(format!("its certificate {words}"))
}

/// The names that the certificate is for: its subject alternative names.
fn alternative_names(certificate: &x509_cert::TbsCertificate) -> Vec<String> {
    use x509_cert::ext::pkix::SubjectAltName;
    use x509_cert::ext::pkix::name::GeneralName;
    let Ok(Some((_, SubjectAltName(names)))) = certificate.get::<SubjectAltName>() else { return Vec::new() };
    let shown = |name: GeneralName| match name {
        GeneralName::DnsName(name) => format!("{:?}", name.as_str()),
        GeneralName::IpAddress(bytes) => match bytes.as_bytes() {
            [a, b, c, d] => format!("{a}.{b}.{c}.{d}"),
            other => format!("the IP address {other:02x?}"),
        },
        _ => "a name that is not a host's".to_owned(),
    };
    names.into_iter().map(shown).collect()
}

impl Verifier {
    fn algorithms(&self) -> &rustls::crypto::WebPkiSupportedAlgorithms {
        &self.provider.signature_verification_algorithms
    }

    /// The public key of a certificate of version 1 or 2, which webpki cannot read. `None` for version 3.
    fn old_key(certificate: &CertificateDer<'_>) -> Option<x509_cert::spki::SubjectPublicKeyInfoOwned> {
        let parsed = Certificate::from_der(certificate).ok()?.tbs_certificate;
        (parsed.version != Version::V3).then_some(parsed.subject_public_key_info)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        if let Some(trust) = &self.trust {
            trust
                .check(certificate, intermediates, name, now)
                .map_err(|error| explain(error, certificate, name))?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let Some(key) = Self::old_key(certificate) else {
            return verify_tls12_signature(message, certificate, signed, self.algorithms());
        };
        let bad = TlsError::InvalidCertificate(CertificateError::BadSignature);
        let algorithm = key.algorithm.to_der().map_err(|_| bad.clone())?;
        let fits = |candidate: &&&dyn rustls::pki_types::SignatureVerificationAlgorithm| {
            algorithm.ends_with(&candidate.public_key_alg_id())
        };
        let schemes = self.algorithms().mapping.iter().filter(|(scheme, _)| *scheme == signed.scheme);
        for candidate in schemes.flat_map(|(_, candidates)| *candidates).filter(fits) {
            if candidate
                .verify_signature(key.subject_public_key.raw_bytes(), message, signed.signature())
                .is_ok()
            {
                return Ok(HandshakeSignatureValid::assertion());
            }
        }
        Err(bad)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let Some(key) = Self::old_key(certificate) else {
            return verify_tls13_signature(message, certificate, signed, self.algorithms());
        };
        let key = key.to_der().map_err(|_| TlsError::InvalidCertificate(CertificateError::BadEncoding))?;
        let key = SubjectPublicKeyInfoDer::from(key);
        verify_tls13_signature_with_raw_key(message, &key, signed, self.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms().supported_schemes()
    }
}
