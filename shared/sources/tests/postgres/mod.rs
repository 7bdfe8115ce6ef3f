//! Shared by the tests of the PostgreSQL source: a database for each test, and PgBouncer in front of it.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod pgbouncer;

use std::sync::Arc;
use std::time::Duration;

use storewatch_domain::LocalDate;
use storewatch_sources::{
    Credentials, FixedSecret, PostgresAddress, PostgresConfig, PostgresSchedules, Queries, Read, ReadRequest,
    ScheduleError, Schedules, Secret,
};
use storewatch_stack_client::{Stack, unique_name};
use tokio_postgres::{Client, NoTls};

const SCHEMA: &str = include_str!("../../../../infra/local/sample/schema.sql");

pub(crate) const ROWS: &str = "
insert into stores (id, name, city, timezone, active) values
  (1, 'Bar \"Uno\"', 'Madrid', 'Europe/Madrid', true), (2, 'Two', null, null, true),
  (3, 'closed for good', 'Madrid', 'Europe/Madrid', false);
insert into store_hours (store_id, weekday, opens, closes) values
  (1, 1, '09:00', '24:00'), (1, 7, '20:30:15', '02:00'), (3, 1, '09:00', '10:00');
insert into store_exceptions (store_id, date, opens, closes) values
  (1, '2026-12-25', null, null), (1, '2026-12-26', '10:00', '10:00'), (1, '2027-06-01', null, null);";

pub(crate) struct Database {
    pub(crate) client: Client,
    pub(crate) name: String,
}

impl Database {
    pub(crate) async fn new(rows: &str) -> Self {
        let name = unique_name("schedules");
        connect("postgres").await.batch_execute(&format!("create database {name}")).await.unwrap();
        let client = connect(&name).await;
        client.batch_execute(SCHEMA).await.unwrap();
        client.batch_execute(rows).await.unwrap();
        Self { client, name }
    }

    /// The address of the database at `host`.
    pub(crate) fn url(&self, host: &str, parameters: &str) -> String {
        format!("postgresql://nobody@{host}:{}/{}?{parameters}", Stack::running().postgres.port, self.name)
    }

    pub(crate) fn config(&self, host: &str, parameters: &str) -> PostgresConfig {
        config_of(&self.url(host, parameters))
    }

    pub(crate) async fn read(&self, queries: Queries) -> Result<Read, ScheduleError> {
        let config = PostgresConfig { queries, ..self.config("127.0.0.1", "sslmode=require") };
        PostgresSchedules::new(config).unwrap().read(&request(None)).await
    }
}

/// A source with the administrator's login.
pub(crate) fn config_of(url: &str) -> PostgresConfig {
    let pg = &Stack::running().postgres;
    PostgresConfig {
        country: "es".parse().unwrap(),
        address: PostgresAddress::parse(url).unwrap(),
        secret: secret(&pg.admin_user, &pg.admin_password),
        ca: None,
        queries: Queries::default(),
        timeout: Duration::from_secs(20),
    }
}

pub(crate) fn secret(username: &str, password: &str) -> Option<Arc<dyn Secret>> {
    let value = credentials(username, password);
    Some(Arc::new(FixedSecret { name: "storewatch/es/postgres".to_owned(), value }))
}

pub(crate) fn credentials(username: &str, password: &str) -> Credentials {
    Credentials { username: Some(username.to_owned()), password: Some(password.to_owned()), api_key: None }
}

pub(crate) async fn connect(database: &str) -> Client {
    let pg = &Stack::running().postgres;
    connect_to(pg.port, database).await
}

/// The administrator's client, without TLS.
pub(crate) async fn connect_to(port: u16, database: &str) -> Client {
    let pg = &Stack::running().postgres;
    let mut config = tokio_postgres::Config::new();
    config.host(&pg.host).port(port).user(&pg.admin_user).password(&pg.admin_password).dbname(database);
    config.ssl_mode(tokio_postgres::config::SslMode::Disable);
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

pub(crate) fn date(text: &str) -> LocalDate {
    LocalDate::from(text.parse::<chrono::NaiveDate>().unwrap())
}

pub(crate) fn request(known_version: Option<&str>) -> ReadRequest {
    let exceptions = (date("2026-12-01"), date("2026-12-31"));
    ReadRequest { exceptions, known_version: known_version.map(str::to_owned) }
}

/// The stores that were read, sorted by id.
pub(crate) fn stores(read: Read) -> Vec<storewatch_domain::Store> {
    let Read::Schedules { mut stores, .. } = read else { panic!("the schedules should not be unchanged") };
    stores.sort_by(|a, b| a.id.cmp(&b.id));
    stores
}

/// An error with its sources, without repeating any text, as the functions show it.
pub(crate) fn shown(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let said = source.to_string();
        text = if text.contains(&said) { text } else { format!("{text}: {said}") };
        next = source.source();
    }
    text
}
