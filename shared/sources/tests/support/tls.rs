//! A certificate authority made with openssl, and a TLS proxy in front of a server that speaks plain HTTP.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use storewatch_stack_client::unique_name;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// An authority. Its key is in its own folder, which is removed on drop.
pub(crate) struct Authority {
    folder: std::path::PathBuf,
    /// Its certificate.
    pub(crate) pem: Vec<u8>,
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(unique_name("authority"));
        std::fs::create_dir(&folder).unwrap();
        let subject = format!("/CN={name}");
        let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -days 2";
        openssl(&folder, &format!("{new} -subj {subject}"));
        let pem = std::fs::read(folder.join("ca.pem")).unwrap();
        Self { folder, pem }
    }

    /// Makes a server certificate for these names, such as `DNS:localhost`, and its key.
    fn sign(&self, names: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        std::fs::write(self.folder.join("names"), format!("subjectAltName = {names}\n")).unwrap();
        let new =
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out request";
        openssl(&self.folder, &format!("{new} -subj /CN=front"));
        let sign = "x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile names";
        openssl(&self.folder, &format!("{sign} -out cert.pem"));
        let certificate = CertificateDer::from_pem_file(self.folder.join("cert.pem")).unwrap();
        (certificate, PrivateKeyDer::from_pem_file(self.folder.join("key.pem")).unwrap())
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let done = Command::new("openssl").current_dir(folder).args(arguments.split(' ')).output().unwrap();
    assert!(done.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Accepts TLS connections on 127.0.0.1 and forwards their bytes.
pub(crate) struct Front {
    pub(crate) port: u16,
    serving: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Front {
    pub(crate) async fn new(authority: &Authority, names: &str, upstream: &str) -> Self {
        let (certificate, key) = authority.sign(names);
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
                tokio::spawn(async move {
                    // A client that refuses the certificate ends the handshake here.
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut server = TcpStream::connect(upstream).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
                });
            }
        });
        Self { port, serving }
    }
}
