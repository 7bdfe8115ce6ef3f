//! Connects to the first host of the address that accepts the login in the secret.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::ClientConfig;
use tokio_postgres::{Client, Config, Error as PgError, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::{Host, PostgresAddress};
use super::failure::{Failure, Kind};
use super::roots::Roots;
use super::tls::{self, SslMode};
use crate::schedules::ScheduleError;
use crate::secret::{Credentials, Secret};

/// Makes connections. Reads are minutes apart, so each one makes its own.
pub(super) struct Connector {
    address: PostgresAddress,
    secret: Option<Arc<dyn Secret>>,
    roots: Roots,
    /// Reading the system's roots takes milliseconds, so they are read once, and only if they are needed.
    tls: OnceLock<ClientConfig>,
    /// The time limit for a read, which all hosts share.
    timeout: Duration,
}

/// Why there is no connection to a host.
enum Refusal {
    Driver(Failure),
    /// It did not answer within its share of the time, in seconds.
    Silent(f64),
    Config(ScheduleError),
}

impl Connector {
    pub(super) fn new(
        address: PostgresAddress,
        secret: Option<Arc<dyn Secret>>,
        ca: Option<Vec<u8>>,
        timeout: Duration,
    ) -> Result<Self, ScheduleError> {
        if secret.is_some() {
            address.check_hides_credentials().map_err(|error| ScheduleError::Config {
                field: "url",
                problem: error.to_string(),
                source: None,
            })?;
        }
        let roots = match (ca, &address.ssl_root_cert) {
            (Some(pem), _) => Roots::Given(pem),
            (None, Some(file)) if file == "system" => Roots::System,
            (None, Some(file)) => Roots::File(file.clone()),
            (None, None) => Roots::Known,
        };
        Ok(Self { address, secret, roots, tls: OnceLock::new(), timeout })
    }

    /// Connects, and returns the host. If the server refuses the login, reads the secret again, and tries
    /// again at once if its value has changed.
    pub(super) async fn connect(&self) -> Result<(Client, String), ScheduleError> {
        let Some(secret) = &self.secret else {
            return self.connect_as(&Credentials::default()).await.map_err(|refusals| self.error(refusals));
        };
        let failed = |source| ScheduleError::Secret { source };
        let value = secret.read().await.map_err(failed)?;
        let refusals = match self.connect_as(&value).await {
            Ok(connected) => return Ok(connected),
            Err(refusals) => refusals,
        };
        if refusals.last().is_some_and(|(_, refusal)| refusal.is_login()) {
            let now = secret.read_again().await.map_err(failed)?;
            if now != value {
                tracing::info!(secret = secret.name(), "the login was refused and the secret has changed");
                return self.connect_as(&now).await.map_err(|refusals| self.error(refusals));
            }
        }
        Err(self.error(refusals))
    }

    /// Tries the hosts in order. Like libpq, stops at a refused login: the next host would refuse it too.
    async fn connect_as(&self, value: &Credentials) -> Result<(Client, String), Vec<(&Host, Refusal)>> {
        let mut refusals = Vec::new();
        for host in &self.address.hosts {
            let share = self.timeout / self.address.hosts.len() as u32;
            let attempt = tokio::time::timeout(share, self.connect_to(host, self.config(host, value, share)));
            let refusal = match attempt.await {
                Ok(Ok(client)) => return Ok((client, host.to_string())),
                Ok(Err(refusal)) => refusal,
                Err(_) => Refusal::Silent(share.as_secs_f64()),
            };
            let is_final = refusal.is_login() || matches!(refusal, Refusal::Config(_));
            refusals.push((host, refusal));
            if is_final {
                break;
            }
        }
        Err(refusals)
    }

    fn config(&self, host: &Host, value: &Credentials, share: Duration) -> Config {
        let mut config = self.address.settings.clone();
        config.host(&host.name).port(host.port);
        if let Some(address) = host.address {
            config.hostaddr(address);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(share);
        }
        if let Some(username) = &value.username {
            config.user(username);
        }
        if let Some(password) = &value.password {
            config.password(password);
        }
        config.ssl_mode(match self.ssl_mode(host) {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            _ => tokio_postgres::config::SslMode::Require,
        });
        config
    }

    /// PostgreSQL has no TLS on Unix sockets, and libpq ignores `sslmode` there.
    fn ssl_mode(&self, host: &Host) -> SslMode {
        if host.is_socket() { SslMode::Disable } else { self.address.ssl_mode }
    }

    async fn connect_to(&self, host: &Host, config: Config) -> Result<Client, Refusal> {
        let failed = |error: PgError| Refusal::Driver(error.into());
        if self.ssl_mode(host) == SslMode::Disable {
            let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
            drive(connection);
            return Ok(client);
        }
        let tls = MakeRustlsConnect::new(self.client_config().map_err(Refusal::Config)?);
        let (client, connection) = config.connect(tls).await.map_err(failed)?;
        drive(connection);
        Ok(client)
    }

    fn client_config(&self) -> Result<ClientConfig, ScheduleError> {
        if let Some(config) = self.tls.get() {
            return Ok(config.clone());
        }
        let config = tls::client_config(self.address.ssl_mode, &self.roots).map_err(|error| {
            let (field, problem) = (self.roots.field(), error.to_string());
            ScheduleError::Config { field, problem, source: Some(error.into()) }
        })?;
        Ok(self.tls.get_or_init(|| config).clone())
    }

    /// Combines the errors of all hosts that were tried into one.
    fn error(&self, mut refusals: Vec<(&Host, Refusal)>) -> ScheduleError {
        let several = refusals.len() > 1;
        let texts: Vec<_> = refusals
            .iter()
            .map(|(host, refusal)| if several { format!("{host}: {refusal}") } else { refusal.to_string() })
            .collect();
        let tried: Vec<_> = refusals.iter().map(|(host, _)| host.to_string()).collect();
        let Some((_, last)) = refusals.pop() else {
            let (problem, source) = ("the address names no host".to_owned(), None);
            return ScheduleError::Config { field: "url", problem, source };
        };
        let host = tried.join(", ");
        let source: Box<dyn std::error::Error + Send + Sync> = match last {
            Refusal::Config(error) => return error,
            Refusal::Silent(_) => {
                return ScheduleError::Unavailable {
                    host,
                    problem: format!("{}; {NETWORK}", texts.join("; ")),
                    source: None,
                };
            }
            Refusal::Driver(failure) => failure.into(),
        };
        let kind = source.downcast_ref::<Failure>().map(|failure| failure.kind);
        let advice = match (kind, &self.secret) {
            (Some(Kind::Login), Some(secret)) => {
                format!("; check the username and the password in the secret {:?}", secret.name())
            }
            (Some(Kind::Login), None) => "; name a secret in [schedule].secret".to_owned(),
            (Some(Kind::Network), _) => format!("; {NETWORK}"),
            _ => String::new(),
        };
        ScheduleError::Unavailable { host, problem: texts.join("; ") + &advice, source: Some(source) }
    }
}

const NETWORK: &str = "check that it runs and that this network reaches it";

impl Refusal {
    fn is_login(&self) -> bool {
        matches!(self, Self::Driver(failure) if failure.kind == Kind::Login)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Driver(failure) => match failure.kind {
                Kind::Login => write!(f, "the login was refused: {failure}"),
                Kind::Network => write!(f, "cannot connect: {failure}"),
                Kind::Tls | Kind::Server => failure.fmt(f),
            },
            Self::Silent(seconds) => write!(f, "no answer within {seconds} s"),
            Self::Config(error) => error.fmt(f),
        }
    }
}

/// Sends and receives for a client until it is dropped. Users of the client get its errors.
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
