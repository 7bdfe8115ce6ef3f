//! Schedules in PostgreSQL. One read-only repeatable-read transaction sees all three tables at the same
//! instant, and reads their rows with binary COPY.
//!
//! Nothing outlives the transaction: no session setting and no prepared statement. So it works through a
//! pooler that may use a different server connection for each transaction.

mod address;
mod connect;
mod failure;
mod gather;
mod query;
mod roots;
mod sql;
mod tls;
mod values;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use storewatch_domain::CountryCode;
use tokio_postgres::{Error as PgError, IsolationLevel, Transaction};

pub use address::{AddressError, PostgresAddress};
use connect::Connector;
use failure::Failure;
use gather::Gathered;
use query::Fault;
pub use query::Queries;

use crate::schedules::{Read, ReadRequest, ScheduleError, Schedules};
use crate::secret::Secret;

/// The `[schedule]` section of a country file.
#[derive(Clone)]
pub struct PostgresConfig {
    /// Whose stores it has: regions must be the country's.
    pub country: CountryCode,
    pub address: PostgresAddress,
    /// `username`, which replaces the user in the address, and `password`.
    pub secret: Option<Arc<dyn Secret>>,
    /// The authorities to trust, PEM. If `None`, `sslrootcert`, or else the system's and Amazon RDS's.
    pub ca: Option<Vec<u8>>,
    pub queries: Queries,
    /// The time limit for a read, from connecting to the last row.
    pub timeout: Duration,
}

/// Schedules in PostgreSQL.
pub struct PostgresSchedules {
    country: CountryCode,
    connector: Connector,
    /// The hosts, for messages.
    hosts: String,
    queries: Queries,
    timeout: Duration,
}

impl PostgresSchedules {
    /// Makes a source. Does not connect and does not read the secret yet.
    ///
    /// # Errors
    /// The secret would be sent to another machine without TLS.
    pub fn new(config: PostgresConfig) -> Result<Self, ScheduleError> {
        let PostgresConfig { country, address, secret, ca, queries, timeout } = config;
        let hosts = address.hosts_text();
        let connector = Connector::new(address, secret, ca, timeout)?;
        Ok(Self { country, connector, hosts, queries, timeout })
    }

    async fn read_all(&self, request: &ReadRequest) -> Result<Read, ScheduleError> {
        let (mut client, host) = self.connector.connect().await?;
        let server = Server { host, country: self.country };
        let begin = |error| server.unavailable("beginning a read-only transaction", error);
        let transaction =
            client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let transaction = transaction.start().await.map_err(begin)?;
        limit_statements(&transaction, self.timeout).await.map_err(begin)?;
        let read = server.read(&transaction, &self.queries, request).await?;
        transaction.rollback().await.map_err(|error| server.unavailable("ending the transaction", error))?;
        Ok(read)
    }
}

/// Makes the server stop statements after the timeout. Keeps a lower limit of the role.
async fn limit_statements(transaction: &Transaction<'_>, timeout: Duration) -> Result<(), PgError> {
    let limit = format!(
        "select set_config('statement_timeout', least(nullif(setting::bigint, 0), {})::text, true)
         from pg_catalog.pg_settings where name = 'statement_timeout'",
        timeout.as_millis()
    );
    transaction.batch_execute(&limit).await
}

/// The server at the other end of the connection.
struct Server {
    host: String,
    country: CountryCode,
}

impl Server {
    fn unavailable(&self, during: &str, error: PgError) -> ScheduleError {
        let failure = Failure::from(error);
        let problem = format!("{during} failed: {failure}");
        ScheduleError::Unavailable { host: self.host.clone(), problem, source: Some(failure.into()) }
    }

    fn fault(&self, during: &'static str) -> impl Fn(Fault) -> ScheduleError + '_ {
        move |fault| match fault {
            Fault::Config(error) => error,
            Fault::Server(error) => self.unavailable(during, error),
        }
    }

    async fn read(
        &self,
        transaction: &Transaction<'_>,
        queries: &Queries,
        request: &ReadRequest,
    ) -> Result<Read, ScheduleError> {
        let version = match &queries.version {
            Some(sql) => {
                query::version(transaction, sql).await.map_err(self.fault("asking for the version"))?
            }
            None => None,
        };
        if version.is_some() && version == request.known_version {
            return Ok(Read::Unchanged);
        }
        // Check all three queries before reading the first row.
        let checking = self.fault("checking the queries");
        let stores = query::STORES.check(transaction, &queries.stores, None);
        let stores = stores.await.map_err(&checking)?;
        let weekly = query::WEEKLY.check(transaction, &queries.weekly, None).await.map_err(&checking)?;
        let dates = Some(request.exceptions);
        let exceptions = query::EXCEPTIONS.check(transaction, &queries.exceptions, dates);
        let exceptions = exceptions.await.map_err(&checking)?;
        let mut gathered = Gathered::default();
        gathered
            .stores(transaction, &stores, self.country)
            .await
            .map_err(self.fault("reading the stores"))?;
        gathered.weekly(transaction, &weekly).await.map_err(self.fault("reading the weekly hours"))?;
        gathered.exceptions(transaction, &exceptions).await.map_err(self.fault("reading the exceptions"))?;
        Ok(Read::Schedules { stores: gathered.stores, version })
    }
}

#[async_trait]
impl Schedules for PostgresSchedules {
    async fn read(&self, request: &ReadRequest) -> Result<Read, ScheduleError> {
        let timed_out =
            |_| ScheduleError::TimedOut { host: self.hosts.clone(), seconds: self.timeout.as_secs() };
        tokio::time::timeout(self.timeout, self.read_all(request)).await.map_err(timed_out)?
    }
}
