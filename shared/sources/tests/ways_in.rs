//! Connecting to PostgreSQL: addresses as in libpq, rotated secrets, and the messages when connecting fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod postgres;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use postgres::{Database, ROWS, config_of, credentials, request, secret, shown, stores};
use storewatch_sources::{
    Credentials, PostgresConfig, PostgresSchedules, Queries, Read, ScheduleError, Schedules, Secret,
    SecretError,
};
use storewatch_stack_client::{Stack, unique_name};
use tokio::net::TcpListener;

async fn read(config: PostgresConfig) -> Result<Read, ScheduleError> {
    PostgresSchedules::new(config).unwrap().read(&request(None)).await
}

async fn told(config: PostgresConfig) -> String {
    let error = read(config).await.unwrap_err();
    assert!(matches!(error, ScheduleError::Unavailable { .. }), "{error:?}");
    shown(&error)
}

/// The answer to a version query through this address.
async fn version(url: &str, sql: &str) -> String {
    let queries = Queries { version: Some(sql.to_owned()), ..Queries::default() };
    let Read::Schedules { version, .. } = read(PostgresConfig { queries, ..config_of(url) }).await.unwrap()
    else {
        panic!()
    };
    version.unwrap()
}

#[tokio::test]
async fn options_and_application_name_arrive_as_psql_sends_them() {
    let database = Database::new("").await;
    let rows = ROWS.replace("insert into ", "insert into shop.");
    let moved =
        "create schema shop; alter table stores set schema shop; alter table store_hours set schema shop;
        alter table store_exceptions set schema shop;";
    database.client.batch_execute(&format!("{moved} {rows}")).await.unwrap();
    let url = database.url("localhost", "options=-c%20search_path%3Dshop&application_name=a+b%20c");
    assert_eq!(version(&url, "select current_setting('application_name')").await, "(\"a+b c\")");
    assert_eq!(stores(read(config_of(&url)).await.unwrap()).len(), 2);
    let url = database.url("localhost", "options=-c%20search_path%3Dshop");
    assert_eq!(version(&url, "select current_setting('application_name')").await, "(storewatch)");
}

#[tokio::test]
async fn several_hosts_are_tried_in_order() {
    let database = Database::new(ROWS).await;
    let port = Stack::running().postgres.port;
    let url = |hosts: &str| format!("postgresql://{hosts}/{}", database.name);
    let works = |hosts: String| {
        let config = config_of(&url(&hosts));
        async move { stores(read(config).await.unwrap()).len() }
    };
    assert_eq!(works(format!("127.0.0.1:9,localhost:{port}")).await, 2);
    // A host that accepts connections but never answers gets only its share of the time.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("127.0.0.1:{}", silent.local_addr().unwrap().port());
    let config = config_of(&url(&format!("{silent},localhost:{port}")));
    assert_eq!(
        stores(read(PostgresConfig { timeout: Duration::from_secs(4), ..config }).await.unwrap()).len(),
        2
    );
    let text = told(config_of(&url("127.0.0.1:9,[::1]:9"))).await;
    let head = "PostgreSQL at 127.0.0.1:9, [::1]:9: 127.0.0.1:9: cannot connect: ";
    assert!(text.starts_with(head) && text.contains("; [::1]:9: cannot connect: "), "{text}");
    assert!(text.ends_with("; check that it runs and that this network reaches it"), "{text}");
    let url = database.url("localhost", "target_session_attrs=read-only");
    let text = told(config_of(&url)).await;
    assert!(text.contains("database is not read only"), "{text}");
}

#[tokio::test]
async fn a_refused_login_is_explained_without_repetition() {
    let database = Database::new(ROWS).await;
    let good = || database.config("127.0.0.1", "sslmode=require");
    let admin = &Stack::running().postgres.admin_user;
    let text = told(PostgresConfig { secret: secret(admin, "wr0ng"), ..good() }).await;
    let wanted = format!(
        "PostgreSQL at 127.0.0.1:{}: the login was refused: password authentication failed for user \"{admin}\"; check the username and the password in the secret \"storewatch/es/postgres\"",
        Stack::running().postgres.port
    );
    assert_eq!(text, wanted);
    let text = told(PostgresConfig { secret: None, ..good() }).await;
    assert!(
        text.ends_with("the login was refused: password missing; name a secret in [schedule].secret"),
        "{text}"
    );
    let text = told(config_of(&database.url("localhost", "").replace(&database.name, "nowhere"))).await;
    assert!(text.ends_with(": database \"nowhere\" does not exist"), "{text}");
}

/// A secret that changes after it was read.
struct Rotated {
    values: [Credentials; 2],
    asked: AtomicUsize,
}

#[async_trait]
impl Secret for Rotated {
    fn name(&self) -> &str {
        "storewatch/es/postgres"
    }

    async fn read(&self) -> Result<Credentials, SecretError> {
        Ok(self.values[0].clone())
    }

    async fn read_again(&self) -> Result<Credentials, SecretError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(self.values[1].clone())
    }
}

#[tokio::test]
async fn a_rotated_secret_is_found_when_the_login_fails() {
    let database = Database::new(ROWS).await;
    let role = unique_name("reader");
    let make = format!(
        "create role {role} login password 'new'; grant select on all tables in schema public to {role}"
    );
    database.client.batch_execute(&make).await.unwrap();
    let rotated = |first: &str, second: &str| {
        let values = [credentials(&role, first), credentials(&role, second)];
        Arc::new(Rotated { values, asked: AtomicUsize::new(0) })
    };
    let config = |secret: &Arc<Rotated>, url: String| PostgresConfig {
        secret: Some(Arc::clone(secret) as Arc<dyn Secret>),
        ..config_of(&url)
    };
    let cases = [
        ("new", "unused", true, 0),
        ("old", "new", true, 1),
        ("old", "old", false, 1),
        ("old", "older", false, 1),
    ];
    for (first, second, works, asked) in cases {
        let secret = rotated(first, second);
        let result = read(config(&secret, database.url("localhost", ""))).await;
        assert_eq!(
            (result.is_ok(), secret.asked.load(Ordering::Relaxed)),
            (works, asked),
            "{first} {second}"
        );
        // A password that one host has refused is not sent to another one.
        let url = database.url("localhost", "").replace("@localhost", "@localhost,127.0.0.1:9");
        let port = Stack::running().postgres.port.to_string();
        let url = url
            .replacen("@localhost,", &format!("@localhost:{port},"), 1)
            .replace(&format!(":9:{port}"), ":9");
        if !works {
            assert!(!told(config(&rotated(first, second), url)).await.contains(":9"));
        }
    }
    database.client.batch_execute(&format!("drop owned by {role}; drop role {role}")).await.unwrap();
}

/// A secret that cannot be read.
struct Missing;

#[async_trait]
impl Secret for Missing {
    fn name(&self) -> &str {
        "storewatch/es/postgres"
    }

    async fn read(&self) -> Result<Credentials, SecretError> {
        Err(SecretError::Unavailable { name: self.name().to_owned(), source: "not found".into() })
    }

    async fn read_again(&self) -> Result<Credentials, SecretError> {
        self.read().await
    }
}

#[tokio::test]
async fn an_unreadable_secret_is_an_error_of_the_schedules() {
    let config =
        PostgresConfig { secret: Some(Arc::new(Missing)), ..config_of("postgresql://localhost:9/d") };
    let error = read(config).await.unwrap_err();
    assert!(matches!(error, ScheduleError::Secret { .. }), "{error:?}");
    assert!(shown(&error).contains("storewatch/es/postgres") && shown(&error).ends_with("not found"));
}

#[tokio::test]
async fn a_password_is_not_sent_to_another_machine_without_tls() {
    for parameters in ["", "?sslmode=prefer", "?sslmode=disable"] {
        let config = config_of(&format!("postgresql://db.example/d{parameters}"));
        let open = PostgresConfig { secret: None, ..config.clone() };
        let Err(error) = PostgresSchedules::new(config) else { panic!("{parameters}") };
        assert!(error.to_string().starts_with("[schedule].url: sslmode "), "{error}");
        assert!(PostgresSchedules::new(open).is_ok(), "there is no password to protect");
    }
}

#[tokio::test]
async fn a_statement_that_the_server_stops_is_not_a_mistake_in_the_query() {
    let database = Database::new(ROWS).await;
    let stopped = "create function stop() returns text language plpgsql as
        $$ begin raise exception 'the server says' using errcode = '25P04'; end $$";
    database.client.batch_execute(stopped).await.unwrap();
    let with = |stores: &str| Queries { stores: stores.to_owned(), ..Queries::default() };
    // PostgreSQL 15 has no transaction_timeout, so raise its SQLSTATE in the middle of the COPY.
    let error =
        database.read(with("select id, stop() as name, city, timezone from stores")).await.unwrap_err();
    assert!(matches!(error, ScheduleError::Unavailable { .. }), "{error:?}");
    assert!(shown(&error).ends_with("reading the stores failed: the server says"), "{}", shown(&error));
    let sleeps = "select id, name, city, timezone from stores, pg_sleep(5)";
    let limit = format!("alter database {} set statement_timeout = '100ms'", database.name);
    database.client.batch_execute(&limit).await.unwrap();
    let error = database.read(with(sleeps)).await.unwrap_err();
    assert!(matches!(error, ScheduleError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("statement timeout"), "{error}");
    let limit = format!("alter database {} reset statement_timeout", database.name);
    database.client.batch_execute(&limit).await.unwrap();
    let config = PostgresConfig { queries: with(sleeps), ..database.config("localhost", "") };
    let error = read(PostgresConfig { timeout: Duration::from_secs(1), ..config }).await.unwrap_err();
    let is_timeout = error.to_string().contains("statement timeout");
    assert!(is_timeout || matches!(error, ScheduleError::TimedOut { seconds: 1, .. }), "{error:?}");
}
