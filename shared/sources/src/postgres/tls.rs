//! TLS to PostgreSQL as libpq's `sslmode` means it: from none to a checked name.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};

/// How the server is checked, as PostgreSQL's documentation of libpq (section "SSL support") has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server has it; the certificate is not checked.
    Prefer,
    /// TLS; the certificate is not checked, unless a CA file is given.
    Require,
    /// TLS with a certificate of a trusted authority, whatever its name.
    VerifyCa,
    /// TLS with a certificate of a trusted authority, for the host's name.
    VerifyFull,
}

impl SslMode {
    /// Reads the value of `sslmode`. `allow`, which tries without TLS first, is taken as `prefer`,
    /// which is never less safe.
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
}

/// The roots could not be loaded, or the client cannot be built from them.
#[derive(Debug, thiserror::Error)]
pub(super) enum RootsError {
    #[error("sslrootcert {file:?} holds no PEM certificates that can be read: {detail}")]
    File { file: String, detail: String },
    #[error("no root certificates are installed on this system: {detail}")]
    System { detail: String },
    #[error("rustls refuses the configuration")]
    Rustls(#[from] TlsError),
    #[error("the root certificates cannot be used")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

/// The client's side of TLS. `roots` is a PEM file, or nothing for the system's roots.
pub(super) fn client_config(mode: SslMode, roots: Option<&str>) -> Result<ClientConfig, RootsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    // As libpq does it: with a CA file at hand, `require` checks against it.
    let mode = if mode == SslMode::Require && roots.is_some() { SslMode::VerifyCa } else { mode };
    let verifier: Arc<dyn ServerCertVerifier> = match mode {
        SslMode::Disable | SslMode::Prefer | SslMode::Require => Arc::new(Unchecked(provider)),
        SslMode::VerifyCa | SslMode::VerifyFull => {
            let store = Arc::new(load_roots(roots)?);
            let full = WebPkiServerVerifier::builder_with_provider(store, provider).build()?;
            if mode == SslMode::VerifyFull { full } else { Arc::new(AnyName(full)) }
        }
    };
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn load_roots(file: Option<&str>) -> Result<RootCertStore, RootsError> {
    let mut store = RootCertStore::empty();
    if let Some(file) = file.filter(|file| *file != "system") {
        let bad = |detail: String| RootsError::File { file: file.to_owned(), detail };
        for certificate in CertificateDer::pem_file_iter(file).map_err(|error| bad(error.to_string()))? {
            store.add(certificate.map_err(|error| bad(error.to_string()))?)?;
        }
        if store.is_empty() {
            return Err(bad("there is none in it".to_owned()));
        }
        return Ok(store);
    }
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        let detail = found.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        return Err(RootsError::System { detail });
    }
    Ok(store)
}

/// Takes any certificate, as `require` does: what is sent is hidden, the server is not known.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Checks everything but the name, as `verify-ca` does.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        // The name is checked last, so every other fault is found before this one.
        match self.0.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
