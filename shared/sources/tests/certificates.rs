//! Certificates of many kinds, served with OpenSSL. Those that psql accepts are accepted, and an error says why
//! another one is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod postgres;

use std::process::Command;

use postgres::pgbouncer::{Authority, Certificate, PgBouncer};
use postgres::{Database, ROWS, config_of, request, shown, stores};
use storewatch_sources::{PostgresConfig, PostgresSchedules, ScheduleError, Schedules};

/// Reads through a server with a certificate. Returns `None` on success, otherwise the message for users.
async fn told(
    database: &Database,
    server: &PgBouncer,
    host: &str,
    mode: &str,
    ca: Option<Vec<u8>>,
) -> Option<String> {
    let url = format!("postgresql://{host}:{}/{}?sslmode={mode}", server.port, database.name);
    let config = PostgresConfig { ca, ..config_of(&url) };
    match PostgresSchedules::new(config).unwrap().read(&request(None)).await {
        Ok(read) => {
            assert_eq!(stores(read).len(), 2);
            None
        }
        Err(error) => {
            assert!(matches!(error, ScheduleError::Unavailable { .. }), "{error:?}");
            let text = shown(&error);
            for innards in [
                "InvalidCertificate",
                "General",
                "Other(",
                "see that",
                "network",
                "NotValid",
                "unexpected error",
            ] {
                assert!(!text.contains(innards), "{text}");
            }
            Some(text)
        }
    }
}

fn serve(certificate: &Certificate) -> PgBouncer {
    PgBouncer::start(Some(certificate), "")
}

#[tokio::test]
async fn require_accepts_any_certificate_even_of_version_1() {
    let (database, authority) = (Database::new(ROWS).await, Authority::new());
    let rsa = authority.of_version_1("rsa", "rsa:2048");
    check_version_1(&rsa);
    for protocols in ["tlsv1.2", "tlsv1.3"] {
        let server = PgBouncer::start(Some(&rsa), &format!("client_tls_protocols = {protocols}"));
        assert_eq!(told(&database, &server, "localhost", "require", None).await, None, "{protocols}");
        // Trusted itself: like libpq, if the file of authorities contains the server's own certificate.
        let own = Some(authority.pem("rsa"));
        assert_eq!(
            told(&database, &server, "localhost", "verify-ca", own.clone()).await,
            None,
            "{protocols}"
        );
        let text = told(&database, &server, "localhost", "verify-full", own).await.unwrap();
        assert!(text.contains("its certificate is X.509 version 1 or 2"), "{text}");
    }
}

fn check_version_1(certificate: &Certificate) {
    let mut openssl = Command::new("openssl");
    let text =
        openssl.args(["x509", "-noout", "-text", "-in"]).arg(&certificate.file).output().unwrap().stdout;
    assert!(String::from_utf8_lossy(&text).contains("Version: 1"));
}

#[tokio::test]
async fn a_server_may_use_the_certificate_of_a_trusted_authority() {
    let (database, authority) = (Database::new(ROWS).await, Authority::new());
    let own = authority.self_signed("own", "/CN=localhost", "subjectAltName=DNS:localhost");
    let server = serve(&own);
    for mode in ["require", "verify-ca", "verify-full"] {
        assert_eq!(
            told(&database, &server, "localhost", mode, Some(authority.pem("own"))).await,
            None,
            "{mode}"
        );
    }
    let text =
        told(&database, &server, "127.0.0.1", "verify-full", Some(authority.pem("own"))).await.unwrap();
    assert!(text.contains("its certificate is for \"localhost\", not for \"127.0.0.1\""), "{text}");
    for ca in [Some(authority.pem("ca")), None] {
        let text = told(&database, &server, "localhost", "verify-ca", ca).await.unwrap();
        assert!(
            text.contains("its certificate is an authority's own; put it into the file of [schedule].ca"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_certificate_is_checked_against_a_private_authority() {
    let (database, authority) = (Database::new(ROWS).await, Authority::new());
    let good = authority.signed("good", "/CN=db", "subjectAltName=DNS:localhost,IP:127.0.0.1");
    let server = serve(&good);
    let ca = || Some(authority.pem("ca"));
    for host in ["localhost", "127.0.0.1"] {
        assert_eq!(told(&database, &server, host, "verify-full", ca()).await, None, "{host}");
    }
    let text = told(&database, &server, "localhost", "verify-full", None).await.unwrap();
    assert!(text.contains("its certificate is not signed by a trusted authority"), "{text}");
    // Like libpq, `require` checks the certificate if authorities are given.
    let other = Authority::new();
    let text = told(&database, &server, "localhost", "require", Some(other.pem("ca"))).await.unwrap();
    assert!(text.contains("is not signed by the trusted authority that has its issuer's name"), "{text}");
}

#[tokio::test]
async fn verify_full_refuses_a_name_in_cn_only_and_the_error_says_so() {
    let (database, authority) = (Database::new(ROWS).await, Authority::new());
    let plain = authority.signed("plain", "/CN=localhost", "keyUsage=digitalSignature");
    let server = serve(&plain);
    assert_eq!(told(&database, &server, "localhost", "verify-ca", Some(authority.pem("ca"))).await, None);
    let text = told(&database, &server, "localhost", "verify-full", Some(authority.pem("ca"))).await.unwrap();
    assert!(text.contains("in CN only (CN=localhost)") && text.contains("(SAN)"), "{text}");
}

#[tokio::test]
async fn unreadable_authorities_are_a_mistake_in_the_country_file() {
    let database = Database::new(ROWS).await;
    let config =
        PostgresConfig { ca: Some(b"no PEM".to_vec()), ..database.config("localhost", "sslmode=verify-ca") };
    let error = PostgresSchedules::new(config).unwrap().read(&request(None)).await.unwrap_err();
    assert!(matches!(error, ScheduleError::Config { field: "ca", .. }), "{error:?}");
}
