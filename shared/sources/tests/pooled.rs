//! Schedules through PgBouncer with transaction pooling. Its clients share one server connection, so other
//! clients would see anything that a read leaves behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod postgres;

use std::process::Command;

use postgres::pgbouncer::PgBouncer;
use postgres::{Database, ROWS, config_of, connect_to, request, stores};
use storewatch_sources::{PostgresConfig, PostgresSchedules, Queries, Schedules};
use tokio_postgres::{Client, SimpleQueryMessage};

/// Adds a column that is not read, with a type that the driver does not know.
const WITH_ENUM: &str =
    "create type kind as enum ('bar', 'shop'); alter table stores add column kind kind default 'bar'";

/// The environment variable with the address that a child process of these tests reads.
const CHILD: &str = "STOREWATCH_TEST_POOLER";

fn config(url: &str) -> PostgresConfig {
    let queries = Queries {
        stores: "select * from stores where active".to_owned(),
        version: Some("select max(kind) from stores".to_owned()),
        ..Queries::default()
    };
    PostgresConfig { queries, ..config_of(url) }
}

async fn read(url: &str) {
    let read = PostgresSchedules::new(config(url)).unwrap().read(&request(None)).await.unwrap();
    assert_eq!(stores(read).len(), 2);
}

async fn asked(client: &Client, sql: &str) -> String {
    let answer = client.simple_query(sql).await.unwrap();
    let rows = answer.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("null").to_owned()),
        _ => None,
    });
    rows.collect()
}

#[tokio::test]
async fn a_read_leaves_nothing_behind_on_the_server_connection() {
    let database = Database::new(&format!("{ROWS} {WITH_ENUM}")).await;
    let pooler = PgBouncer::start(None, "");
    let other = connect_to(pooler.port, &database.name).await;
    let state = async || {
        let settings = "select string_agg(name || '=' || setting, ',' order by name) from pg_settings where name <> 'application_name'";
        let names = "select pg_backend_pid() || ':' || count(*) from pg_prepared_statements";
        (asked(&other, settings).await, asked(&other, names).await)
    };
    let before = state().await;
    let url = format!("postgresql://127.0.0.1:{}/{}?sslmode=disable", pooler.port, database.name);
    tokio::join!(read(&url), read(&url));
    // Neither does a read that fails halfway.
    let stores = "select id, name, city, timezone from stores where 1 / (id - 2) > -9".to_owned();
    let bad = PostgresConfig { queries: Queries { stores, ..Queries::default() }, ..config(&url) };
    let error = PostgresSchedules::new(bad).unwrap().read(&request(None)).await.unwrap_err();
    assert!(error.to_string().contains("division by zero"), "{error}");
    assert_eq!(state().await, before);
    assert!(before.1.ends_with(":0"), "{}", before.1);
}

#[tokio::test]
async fn new_processes_read_side_by_side_through_one_server_connection() {
    if let Ok(url) = std::env::var(CHILD) {
        return read(&url).await;
    }
    let database = Database::new(&format!("{ROWS} {WITH_ENUM}")).await;
    let pooler = PgBouncer::start(None, "");
    let url = format!("postgresql://127.0.0.1:{}/{}?sslmode=disable", pooler.port, database.name);
    let name = "new_processes_read_side_by_side_through_one_server_connection";
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(CHILD, &url)
            .spawn()
            .unwrap()
    };
    // Each process numbers its prepared statements from the start, so names would collide.
    let first = start().wait().unwrap();
    let together = [start(), start()].map(|mut child| child.wait().unwrap());
    assert!(first.success() && together.iter().all(|status| status.success()));
}

#[tokio::test]
async fn a_lower_statement_timeout_is_not_raised() {
    let database = Database::new(ROWS).await;
    let limit = |value: &str| format!("alter database {} set statement_timeout = {value}", database.name);
    for (value, wanted) in [("'7s'", "7s"), ("0", "20s"), ("'1h'", "20s")] {
        database.client.batch_execute(&limit(value)).await.unwrap();
        let version = Some("select current_setting('statement_timeout') as t".to_owned());
        let queries = Queries { version, ..Queries::default() };
        let read = database.read(queries).await.unwrap();
        let storewatch_sources::Read::Schedules { version, .. } = read else { panic!() };
        assert_eq!(version.unwrap(), format!("({wanted})"));
    }
}
