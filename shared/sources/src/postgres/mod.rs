//! Schedules in PostgreSQL: one read-only repeatable-read transaction sees all three tables as they
//! were at one instant, and binary COPY brings their rows.

mod query;
mod tls;
mod values;

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use rustls::ClientConfig;
use storewatch_domain::{ExceptionHours, LocalDate, Store, WeeklyHours};
use tokio_postgres::binary_copy::BinaryCopyOutRow;
use tokio_postgres::{Config, Error as PgError, IsolationLevel, NoTls, Transaction};
use tokio_postgres_rustls::MakeRustlsConnect;
use url::Url;

pub use query::Queries;
use query::{Checked, Fault};
use tls::SslMode;
use values::{Date, Id, Number, Time};

use crate::schedules::{Read, ReadRequest, ScheduleError, Schedules};

/// A country's PostgreSQL, as its country file and secret say.
#[derive(Clone)]
pub struct PostgresConfig {
    /// `postgresql://user@host:port/database?sslmode=…&sslrootcert=…`, without a password.
    pub url: Url,
    /// From the secret; takes the place of the address's user.
    pub username: Option<String>,
    /// From the secret.
    pub password: Option<String>,
    pub queries: Queries,
    /// For the whole reading, from connecting to the last row.
    pub timeout: Duration,
}

/// Schedules in PostgreSQL. Every reading connects anew: readings are minutes apart.
pub struct PostgresSchedules {
    config: Config,
    ssl_mode: SslMode,
    roots: Option<String>,
    tls: OnceLock<ClientConfig>,
    host: String,
    queries: Queries,
    timeout: Duration,
}

impl PostgresSchedules {
    /// Checks the address; nothing is connected yet.
    ///
    /// # Errors
    /// The address is none of PostgreSQL's, holds a password, or has an unknown `sslmode`.
    pub fn new(config: PostgresConfig) -> Result<Self, ScheduleError> {
        let bad = |problem: String| ScheduleError::Config { field: "url", problem, source: None };
        let mut url = config.url;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(bad(format!("an address of postgresql:// is wanted, not of {}://", url.scheme())));
        }
        if url.password().is_some() {
            return Err(bad("the address holds a password, which belongs into the secret".to_owned()));
        }
        let (mut ssl_mode, mut roots, mut others) = (SslMode::Prefer, None, Vec::new());
        for (key, value) in url.query_pairs() {
            match &*key {
                "sslmode" => {
                    ssl_mode = SslMode::parse(&value).ok_or_else(|| {
                        bad(format!("sslmode {value:?} is none of disable, allow, prefer, require, verify-ca, verify-full"))
                    })?;
                }
                "sslrootcert" => roots = Some(value.into_owned()),
                "password" => {
                    return Err(
                        bad("the address holds a password, which belongs into the secret".to_owned()),
                    );
                }
                _ => others.push((key.into_owned(), value.into_owned())),
            }
        }
        url.set_query(None);
        if !others.is_empty() {
            url.query_pairs_mut().extend_pairs(others);
        }
        let host = format!("{}:{}", url.host_str().unwrap_or("localhost"), url.port().unwrap_or(5432));
        let mut pg: Config = url.as_str().parse().map_err(|error: PgError| ScheduleError::Config {
            field: "url",
            problem: "the address cannot be read".to_owned(),
            source: Some(error.into()),
        })?;
        pg.connect_timeout(config.timeout).application_name("storewatch");
        pg.ssl_mode(match ssl_mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            _ => tokio_postgres::config::SslMode::Require,
        });
        if let Some(username) = config.username {
            pg.user(username);
        }
        if let Some(password) = config.password {
            pg.password(password);
        }
        Ok(Self {
            config: pg,
            ssl_mode,
            roots,
            tls: OnceLock::new(),
            host,
            queries: config.queries,
            timeout: config.timeout,
        })
    }

    async fn connect(&self) -> Result<tokio_postgres::Client, ScheduleError> {
        let failed = |error: PgError| self.unavailable("connecting", error);
        if self.ssl_mode == SslMode::Disable {
            let (client, connection) = self.config.connect(NoTls).await.map_err(failed)?;
            drive(connection);
            return Ok(client);
        }
        let (client, connection) =
            self.config.connect(MakeRustlsConnect::new(self.client_config()?)).await.map_err(failed)?;
        drive(connection);
        Ok(client)
    }

    /// The system's roots take milliseconds to read, so they are read once, and only if they matter.
    fn client_config(&self) -> Result<ClientConfig, ScheduleError> {
        if let Some(config) = self.tls.get() {
            return Ok(config.clone());
        }
        let config = tls::client_config(self.ssl_mode, self.roots.as_deref()).map_err(|error| {
            ScheduleError::Config { field: "url", problem: error.to_string(), source: Some(error.into()) }
        })?;
        Ok(self.tls.get_or_init(|| config).clone())
    }

    fn unavailable(&self, during: &'static str, error: PgError) -> ScheduleError {
        ScheduleError::Unavailable { host: self.host.clone(), during, source: error.into() }
    }

    fn fault(&self, during: &'static str) -> impl Fn(Fault) -> ScheduleError + '_ {
        move |fault| match fault {
            Fault::Config(error) => error,
            Fault::Server(error) => self.unavailable(during, error),
        }
    }

    async fn read_all(&self, request: &ReadRequest) -> Result<Read, ScheduleError> {
        let mut client = self.connect().await?;
        let begin = |error| self.unavailable("beginning a read-only transaction", error);
        let statement_timeout = format!("set statement_timeout = {}", self.timeout.as_millis());
        client.batch_execute(&statement_timeout).await.map_err(begin)?;
        let transaction = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await
            .map_err(begin)?;
        let version = self.version(&transaction).await?;
        if version.is_some() && version == request.known_version {
            return Ok(Read::Unchanged);
        }
        // All three are checked before a row of the first is read.
        let queries = &self.queries;
        let checking = self.fault("checking the queries");
        let stores = query::check(&transaction, "stores", &queries.stores, &query::STORES, None);
        let stores = stores.await.map_err(&checking)?;
        let weekly = query::check(&transaction, "weekly", &queries.weekly, &query::WEEKLY, None);
        let weekly = weekly.await.map_err(&checking)?;
        let dates = Some(request.exceptions);
        let exceptions =
            query::check(&transaction, "exceptions", &queries.exceptions, &query::EXCEPTIONS, dates);
        let exceptions = exceptions.await.map_err(&checking)?;
        let mut gathered = Gathered::default();
        gathered.stores(&transaction, &stores).await.map_err(self.fault("reading the stores"))?;
        gathered.weekly(&transaction, &weekly).await.map_err(self.fault("reading the weekly hours"))?;
        gathered.exceptions(&transaction, &exceptions).await.map_err(self.fault("reading the exceptions"))?;
        transaction.rollback().await.map_err(|error| self.unavailable("ending the transaction", error))?;
        Ok(Read::Schedules { stores: gathered.stores, version })
    }

    async fn version(&self, transaction: &Transaction<'_>) -> Result<Option<String>, ScheduleError> {
        let Some(sql) = &self.queries.version else { return Ok(None) };
        let sql = sql.trim().trim_end_matches(';');
        let rows = transaction.query(&format!("select q::text from (\n{sql}\n) as q"), &[]).await;
        let rows = rows.map_err(|error| query::query_fault("version", error));
        let rows = rows.map_err(self.fault("asking for the version"))?;
        match &rows[..] {
            [row] => row.try_get(0).map_err(|error| self.unavailable("asking for the version", error)),
            _ => Err(ScheduleError::Config {
                field: "version",
                problem: format!("the query returns {} rows, and one is wanted", rows.len()),
                source: None,
            }),
        }
    }
}

#[async_trait]
impl Schedules for PostgresSchedules {
    async fn read(&self, request: &ReadRequest) -> Result<Read, ScheduleError> {
        let timed_out =
            |_| ScheduleError::TimedOut { host: self.host.clone(), seconds: self.timeout.as_secs() };
        tokio::time::timeout(self.timeout, self.read_all(request)).await.map_err(timed_out)?
    }
}

/// Sends and receives for a client until it is dropped. Failures reach whoever waits on the client.
fn drive<S, T>(connection: tokio_postgres::Connection<S, T>)
where
    tokio_postgres::Connection<S, T>: Future<Output = Result<(), PgError>> + Send + 'static,
{
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to PostgreSQL ended");
        }
    });
}

/// The stores with what was read of them so far.
#[derive(Default)]
struct Gathered {
    stores: Vec<Store>,
    by_id: HashMap<String, usize>,
    /// Rows of one store mostly come one after the other.
    last: Option<usize>,
}

impl Gathered {
    async fn stores(&mut self, transaction: &Transaction<'_>, query: &Checked) -> Result<(), Fault> {
        let mut nameless = 0_u64;
        query
            .each(transaction, |row| {
                let Some(id) = row.try_get::<Option<Id<'_>>>(0)? else {
                    nameless += 1;
                    return Ok(());
                };
                let store = Store {
                    id: id.with_text(str::to_owned),
                    name: row.try_get(1)?,
                    city: row.try_get(2)?,
                    timezone: row.try_get(3)?,
                    ..Store::default()
                };
                match self.by_id.get(&store.id) {
                    // One row a store in the tables; which of two is right cannot be known.
                    Some(&first) => self.stores[first].spoil("[schedule].stores: several rows have this id"),
                    None => {
                        self.by_id.insert(store.id.clone(), self.stores.len());
                        self.stores.push(store);
                    }
                }
                Ok(())
            })
            .await?;
        if nameless > 0 {
            tracing::warn!(
                rows = nameless,
                "[schedule].stores returned rows whose id is null; they were passed over"
            );
        }
        Ok(())
    }

    async fn weekly(&mut self, transaction: &Transaction<'_>, query: &Checked) -> Result<(), Fault> {
        query
            .each(transaction, |row| {
                let Some(store) = self.store_of(row)? else { return Ok(()) };
                let weekday: Option<Number> = row.try_get(1)?;
                let (opens, closes) = hours(row)?;
                match weekday.map(|Number(day)| (day, WeeklyHours::new(day, opens, closes))) {
                    Some((_, Ok(hours))) => store.hours.weekly.push(hours),
                    Some((day, Err(error))) => {
                        store.spoil(format!("[schedule].weekly of weekday {day}: {error}"))
                    }
                    None => store.spoil("[schedule].weekly: weekday is null"),
                }
                Ok(())
            })
            .await
    }

    async fn exceptions(&mut self, transaction: &Transaction<'_>, query: &Checked) -> Result<(), Fault> {
        query
            .each(transaction, |row| {
                let Some(store) = self.store_of(row)? else { return Ok(()) };
                let date: Option<Date> = row.try_get(1)?;
                let (opens, closes) = hours(row)?;
                let shown = |date: LocalDate| format!("[schedule].exceptions of {date}");
                match date.map(|Date(date)| (date, ExceptionHours::new(date, opens, closes))) {
                    Some((_, Ok(hours))) => store.hours.exceptions.push(hours),
                    Some((date, Err(error))) => store.spoil(format!("{}: {error}", shown(date))),
                    None => store.spoil("[schedule].exceptions: date is null"),
                }
                Ok(())
            })
            .await
    }

    /// The store that the row is of, if it is one of those that were read.
    fn store_of(&mut self, row: &BinaryCopyOutRow) -> Result<Option<&mut Store>, PgError> {
        let Some(id) = row.try_get::<Option<Id<'_>>>(0)? else { return Ok(None) };
        self.last = id.with_text(|text| {
            let again = self.last.filter(|&n| self.stores[n].id == text);
            again.or_else(|| self.by_id.get(text).copied())
        });
        Ok(self.last.map(|n| &mut self.stores[n]))
    }
}

fn hours(
    row: &BinaryCopyOutRow,
) -> Result<(Option<storewatch_domain::WallTime>, Option<storewatch_domain::WallTime>), PgError> {
    let (opens, closes): (Option<Time>, Option<Time>) = (row.try_get(2)?, row.try_get(3)?);
    Ok((opens.map(|Time(time)| time), closes.map(|Time(time)| time)))
}
