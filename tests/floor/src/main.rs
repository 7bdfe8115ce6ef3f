//! The floor that `make bench` compares a tick with: it does nothing but copy the rows that a tick copies, read the live
//! view whole in the cheapest way, and write as many bytes to S3. It looks at none of them.
//!
//! The first argument says what to read (JSON). Each line of standard input asks for one round with so many bytes; each
//! line of standard output is how long its parts took. Connecting to PostgreSQL is its own part, because a tick connects
//! anew as well.

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

use aws_sdk_s3::Client as S3;
use futures_util::TryStreamExt;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, IsolationLevel};
use tokio_postgres_rustls::MakeRustlsConnect;

type Failure = Box<dyn Error + Send + Sync>;

#[derive(Deserialize)]
struct Sources {
    /// Settings of the connection, as for libpq.
    postgres: String,
    /// The authority that signed PostgreSQL's certificate.
    ca: String,
    /// The three queries whose rows are copied.
    queries: Vec<String>,
    /// Searches that together read the whole live view.
    searches: Vec<Search>,
    bucket: String,
}

#[derive(Deserialize)]
struct Search {
    url: String,
    body: serde_json::Value,
}

#[derive(Serialize)]
struct Round {
    connect_ms: f64,
    copy_ms: f64,
    read_ms: f64,
    write_ms: f64,
    copied_bytes: usize,
    read_bytes: usize,
}

struct Floor {
    sources: Sources,
    tls: ClientConfig,
    http: reqwest::Client,
    s3: S3,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let argument = std::env::args().nth(1).ok_or("the first argument must be the sources, as JSON")?;
    let floor = Floor::new(serde_json::from_str(&argument)?).await?;
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let round = floor.round(line?.trim().parse()?).await?;
        writeln!(out, "{}", serde_json::to_string(&round)?)?;
        out.flush()?;
    }
    Ok(())
}

impl Floor {
    async fn new(sources: Sources) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&sources.ca)? {
            roots.add(certificate?)?;
        }
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let tls =
            ClientConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions()?;
        let aws = aws_config::load_from_env().await;
        let s3 = aws_sdk_s3::config::Builder::from(&aws).force_path_style(true).build();
        Ok(Self {
            tls: tls.with_root_certificates(roots).with_no_client_auth(),
            // Compressing costs Elasticsearch more than the bytes do on one machine.
            http: reqwest::Client::builder().no_gzip().build()?,
            s3: S3::from_conf(s3),
            sources,
        })
    }

    async fn round(&self, bytes: usize) -> Result<Round, Failure> {
        let started = Instant::now();
        let mut postgres = self.connect().await?;
        let connected = Instant::now();
        let copied_bytes = self.copy(&mut postgres).await?;
        let copied = Instant::now();
        let read_bytes = self.read().await?;
        let read = Instant::now();
        let put =
            self.s3.put_object().bucket(&self.sources.bucket).key("floor").body(vec![b'x'; bytes].into());
        put.send().await?;
        let written = Instant::now();
        let ms = |from: Instant, to: Instant| (to - from).as_secs_f64() * 1e3;
        Ok(Round {
            connect_ms: ms(started, connected),
            copy_ms: ms(connected, copied),
            read_ms: ms(copied, read),
            write_ms: ms(read, written),
            copied_bytes,
            read_bytes,
        })
    }

    async fn connect(&self) -> Result<Client, Failure> {
        let tls = MakeRustlsConnect::new(self.tls.clone());
        let (client, connection) = tokio_postgres::connect(&self.sources.postgres, tls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    async fn copy(&self, postgres: &mut Client) -> Result<usize, Failure> {
        let transaction = postgres.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
        let transaction = transaction.read_only(true).start().await?;
        let mut bytes = 0;
        for query in &self.sources.queries {
            let rows = transaction.copy_out(&format!("copy ({query}) to stdout (format binary)")).await?;
            bytes += rows.try_fold(0, |sum, part| async move { Ok(sum + part.len()) }).await?;
        }
        transaction.rollback().await?;
        Ok(bytes)
    }

    async fn read(&self) -> Result<usize, Failure> {
        let mut bytes = 0;
        for search in &self.sources.searches {
            let request = self.http.post(&search.url).header("content-type", "application/json");
            let answer = request.body(search.body.to_string()).send().await?.error_for_status()?;
            bytes += answer.bytes().await?.len();
        }
        Ok(bytes)
    }
}
