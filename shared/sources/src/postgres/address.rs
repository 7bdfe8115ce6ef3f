//! The address of a PostgreSQL server. Parsed like a connection URI of libpq (PostgreSQL's documentation,
//! section "Connection URIs"), except that a password is refused.

use std::fmt;
use std::net::IpAddr;

use tokio_postgres::Config;

use super::tls::SslMode;

/// What is wrong with an address. Never quotes the address, which may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(String);

/// Where a country's PostgreSQL is, and how to connect to it. One or more hosts, tried in order.
#[derive(Debug, Clone)]
pub struct PostgresAddress {
    pub(super) hosts: Vec<Host>,
    /// The settings for all hosts.
    pub(super) settings: Config,
    pub(super) ssl_mode: SslMode,
    /// `sslrootcert`: a PEM file on this machine, or `system`.
    pub(super) ssl_root_cert: Option<String>,
}

/// One server of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    /// A name, an IP address, or the folder of a Unix socket, which begins with a slash.
    pub(super) name: String,
    /// `hostaddr`: the address to connect to, instead of looking up the name.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
}

type Parameters = Vec<(String, String)>;

fn bad<T>(problem: impl Into<String>) -> Result<T, AddressError> {
    Err(AddressError(problem.into()))
}

impl PostgresAddress {
    /// Parses `postgresql://[user@][host[:port],…][/database][?parameter=value&…]`.
    ///
    /// # Errors
    /// The text is not such an address, contains a password, or has an unknown or unsupported parameter.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let mut hosts = Hosts::default();
        let (mut ssl_mode, mut ssl_root_cert) = (None, None);
        let mut pairs = String::new();
        for (key, value) in parameters(text)? {
            match key.as_str() {
                "password" | "sslpassword" => {
                    return bad("the address holds a password; put it into the secret");
                }
                "host" => hosts.names = split(&value),
                "hostaddr" => hosts.addresses = split(&value),
                "port" => hosts.ports = split(&value),
                "sslmode" => ssl_mode = Some(ssl_mode_of(&value)?),
                // JDBC's form, which libpq also accepts.
                "ssl" if value == "true" => ssl_mode = Some(SslMode::Require),
                "sslrootcert" => ssl_root_cert = Some(value),
                // GSSAPI is not supported, and both values allow to connect without it.
                "gssencmode" if matches!(&*value, "disable" | "prefer") => {}
                "load_balance_hosts" if value == "disable" => {}
                "target_session_attrs" if !matches!(&*value, "any" | "read-write" | "read-only") => {
                    return bad(format!(
                        "target_session_attrs is {value:?}; use any, read-write or read-only"
                    ));
                }
                "keepalives_count" => pairs.push_str(&format!("keepalives_retries={} ", quoted(&value))),
                "user"
                | "dbname"
                | "options"
                | "application_name"
                | "target_session_attrs"
                | "connect_timeout"
                | "channel_binding"
                | "keepalives"
                | "keepalives_idle"
                | "keepalives_interval"
                | "sslnegotiation" => {
                    pairs.push_str(&format!("{key}={} ", quoted(&value)));
                }
                other => return bad(format!("the parameter {other:?} is not supported; leave it out")),
            }
        }
        let mut settings = pairs.parse::<Config>().map_err(|error| {
            AddressError(
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string),
            )
        })?;
        let hosts = hosts.zip()?;
        let ssl_mode = with_system_roots(ssl_mode, ssl_root_cert.as_deref())?;
        if settings.get_application_name().is_none() {
            settings.application_name("storewatch");
        }
        Ok(Self { hosts, settings, ssl_mode, ssl_root_cert })
    }

    /// Checks that a password cannot be read on the network: every host is this machine itself, or `sslmode`
    /// requires TLS.
    ///
    /// # Errors
    /// A host is another machine, and `sslmode` does not require TLS.
    pub fn check_hides_credentials(&self) -> Result<(), AddressError> {
        if self.ssl_mode.insists() {
            return Ok(());
        }
        match self.hosts.iter().find(|host| !host.is_this_machine()) {
            Some(host) => bad(format!(
                "sslmode {} may send the secret's password to {host} without TLS; use sslmode=verify-full, verify-ca or require",
                self.ssl_mode.name()
            )),
            None => Ok(()),
        }
    }

    /// The hosts, for messages.
    pub(super) fn hosts_text(&self) -> String {
        self.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

impl Host {
    pub(super) fn is_socket(&self) -> bool {
        self.name.starts_with('/')
    }

    fn is_this_machine(&self) -> bool {
        let address = self.address.or_else(|| self.name.parse().ok());
        self.is_socket() || address.map_or(self.name == "localhost", |address| address.is_loopback())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_socket(), self.name.contains(':')) {
            (true, _) => write!(f, "{}/.s.PGSQL.{}", self.name, self.port),
            (_, true) => write!(f, "[{}]:{}", self.name, self.port),
            _ => write!(f, "{}:{}", self.name, self.port),
        }
    }
}

/// The lists of names, addresses and ports that together make the hosts.
#[derive(Default)]
struct Hosts {
    names: Vec<String>,
    addresses: Vec<String>,
    ports: Vec<String>,
}

impl Hosts {
    fn zip(self) -> Result<Vec<Host>, AddressError> {
        let count = self.names.len().max(self.addresses.len());
        if count == 0 || (self.addresses.is_empty() && self.names.iter().any(String::is_empty)) {
            return bad("the address names no host");
        }
        for (what, given) in [("hosts", self.names.len()), ("hostaddrs", self.addresses.len())] {
            if given != 0 && given != count {
                return bad(format!("the address has {given} {what}, but needs {count}"));
            }
        }
        if self.ports.len() > 1 && self.ports.len() != count {
            return bad(format!("the address has {count} hosts and {} ports", self.ports.len()));
        }
        let host = |n: usize| {
            let port = self.ports.get(n).or(self.ports.first()).map_or("", String::as_str);
            let port = match port {
                "" => 5432,
                text => text
                    .parse()
                    .ok()
                    .filter(|port| *port > 0)
                    .ok_or_else(|| AddressError("a port is not a number from 1 to 65535".to_owned()))?,
            };
            let address = match self.addresses.get(n).map_or("", String::as_str) {
                "" => None,
                text => {
                    Some(text.parse().map_err(|_| AddressError("hostaddr is not an IP address".to_owned()))?)
                }
            };
            let name = self.names.get(n).filter(|name| !name.is_empty()).cloned();
            let name = name.or_else(|| address.map(|address: IpAddr| address.to_string()));
            Ok(Host { name: name.unwrap_or_default(), address, port })
        };
        (0..count).map(host).collect()
    }
}

/// The address as a list of parameters. Later ones replace earlier ones.
fn parameters(text: &str) -> Result<Parameters, AddressError> {
    let rest = text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://"));
    let Some(mut rest) = rest else { return bad("the address must begin with postgresql://") };
    let mut found = Parameters::new();
    // Like libpq, look for a user only before the first slash.
    if let Some(at) = rest.find(['@', '/']).filter(|&at| rest.as_bytes()[at] == b'@') {
        let (user, password) = rest[..at].split_once(':').unwrap_or((&rest[..at], ""));
        if !password.is_empty() {
            return bad("the address holds a password; put it into the secret");
        }
        if !user.is_empty() {
            found.push(("user".to_owned(), decode(user)?));
        }
        rest = &rest[at + 1..];
    }
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    if place.contains('@') {
        return bad(
            "the address has an @ after its host; write it as %40, and put a password into the secret",
        );
    }
    let (servers, database) = place.split_once('/').unwrap_or((place, ""));
    if !servers.is_empty() {
        let (names, ports): (Vec<_>, Vec<_>) =
            servers.split(',').map(server).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        found.push(("host".to_owned(), names.join(",")));
        found.push(("port".to_owned(), ports.join(",")));
    }
    if !database.is_empty() {
        found.push(("dbname".to_owned(), decode(database)?));
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some((key, value)) if !value.contains('=') => found.push((decode(key)?, decode(value)?)),
            // After a missing &, the value could contain a password.
            _ => {
                return bad(
                    "a parameter of the address is not of the form key=value; write = in a value as %3D",
                );
            }
        }
    }
    Ok(found)
}

/// Splits a host from its port, which may be empty.
fn server(text: &str) -> Result<(String, String), AddressError> {
    let (name, port) = match text.strip_prefix('[').map(|inner| inner.split_once(']')) {
        Some(Some((name, rest))) if rest.is_empty() || rest.starts_with(':') => {
            (name, rest.get(1..).unwrap_or(""))
        }
        Some(_) => return bad("an IPv6 address starts with [ but does not end with ]"),
        None => text.split_once(':').unwrap_or((text, "")),
    };
    Ok((decode(name)?, decode(port)?))
}

/// A value, quoted as in libpq's keyword=value form.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn split(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

/// Percent-decodes. A plus stays a plus.
fn decode(text: &str) -> Result<String, AddressError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let byte = match (first, rest) {
            (b'%', [high, low, tail @ ..]) => {
                rest = tail;
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                digit(high)
                    .zip(digit(low))
                    .map(|(high, low)| (high * 16 + low) as u8)
                    .filter(|byte| *byte != 0)
            }
            (b'%', _) => None,
            (byte, _) => Some(*byte),
        };
        match byte {
            Some(byte) => bytes.push(byte),
            None => {
                return bad(
                    "the address has a % without two hexadecimal digits after it; write % itself as %25",
                );
            }
        }
    }
    String::from_utf8(bytes).or_else(|_| bad("the address is not UTF-8 after decoding its %XX"))
}

fn ssl_mode_of(value: &str) -> Result<SslMode, AddressError> {
    SslMode::parse(value).map_or_else(
        || {
            bad(format!(
                "sslmode {value:?} is not one of disable, allow, prefer, require, verify-ca, verify-full"
            ))
        },
        Ok,
    )
}

/// `sslrootcert=system` requires `verify-full`, because anybody can get a certificate from one of those authorities.
fn with_system_roots(mode: Option<SslMode>, roots: Option<&str>) -> Result<SslMode, AddressError> {
    match (mode, roots) {
        (None | Some(SslMode::VerifyFull), Some("system")) => Ok(SslMode::VerifyFull),
        (Some(_), Some("system")) => bad("sslrootcert=system needs sslmode=verify-full"),
        (mode, _) => Ok(mode.unwrap_or(SslMode::Prefer)),
    }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::TargetSessionAttrs;

    use super::*;

    fn parse(text: &str) -> PostgresAddress {
        PostgresAddress::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn addresses_mean_the_same_as_in_libpq() {
        let found =
            parse("postgresql://reader@h/shop?options=-c%20search_path%3Dshop+x&application_name=it's%5C%26");
        assert_eq!(found.settings.get_options(), Some("-c search_path=shop+x"));
        assert_eq!(found.settings.get_application_name(), Some("it's\\&"));
        assert_eq!((found.settings.get_user(), found.settings.get_dbname()), (Some("reader"), Some("shop")));
        assert_eq!(parse("postgres://h").settings.get_application_name(), Some("storewatch"));
        let cases = [
            ("postgresql://reader@127.0.0.1:9,localhost:5432/db", "127.0.0.1:9, localhost:5432"),
            ("postgresql://a,b:6/db", "a:5432, b:6"),
            ("postgresql://[::1]:7,[fe80::1]/db", "[::1]:7, [fe80::1]:5432"),
            ("postgresql://%2Frun%2Fpg/db", "/run/pg/.s.PGSQL.5432"),
            ("postgresql:///db?host=/run/pg&port=6", "/run/pg/.s.PGSQL.6"),
            ("postgresql:///db?host=a,b&port=6", "a:6, b:6"),
            ("postgresql://db.example/d?hostaddr=10.0.0.1", "db.example:5432"),
            ("postgresql:///d?hostaddr=10.0.0.1", "10.0.0.1:5432"),
            ("postgresql://@h:/d?", "h:5432"),
            ("postgresql://reader:@h/d", "h:5432"),
        ];
        for (text, hosts) in cases {
            assert_eq!(parse(text).hosts_text(), hosts, "{text}");
        }
        assert_eq!(parse("postgresql://db?sslrootcert=system").ssl_mode, SslMode::VerifyFull);
        assert_eq!(parse("postgresql://db?ssl=true").ssl_mode, SslMode::Require);
        let found = parse("postgresql://db?target_session_attrs=read-only&keepalives_count=3");
        assert_eq!(found.settings.get_target_session_attrs(), TargetSessionAttrs::ReadOnly);
        assert_eq!(found.settings.get_keepalives_retries(), Some(3));
    }

    #[test]
    fn a_refused_address_is_never_quoted() {
        let cases = [
            ("postgresql://u:secret1@h/d", "holds a password"),
            ("postgresql://u:pa#secret1@h/d", "holds a password"),
            ("postgresql://u:pa?secret1@h/d", "holds a password"),
            ("postgresql://u:pa/secret1@h/d", "@ after its host"),
            ("postgresql://u:1/secret1@h/d", "@ after its host"),
            ("postgresql://u:secret1/d", "a port is not a number"),
            ("postgresql://h/d?password=secret1", "holds a password"),
            ("postgresql://h/d?%70assword=secret1", "holds a password"),
            ("postgresql://h/d?user=u=password=secret1", "key=value"),
            ("postgresql://h/d?secret1", "key=value"),
            ("postgresql://h/%zzsecret1", "two hexadecimal digits"),
            ("postgresql://[secret1/d", "IPv6"),
            ("secret1://h/d", "must begin with postgresql://"),
            ("host=h password=secret1", "must begin with postgresql://"),
        ];
        for (text, said) in cases {
            let error = PostgresAddress::parse(text).unwrap_err();
            assert!(error.to_string().contains(said), "{text}: {error}");
            assert!(!format!("{error:?}").contains("secret1"), "{text}: {error:?}");
        }
    }

    #[test]
    fn unsupported_parameters_of_libpq_are_refused_by_name() {
        let cases = [
            ("sslcert=/c.pem", "the parameter \"sslcert\" is not supported"),
            ("service=x", "the parameter \"service\""),
            ("gssencmode=require", "the parameter \"gssencmode\""),
            ("target_session_attrs=standby", "target_session_attrs is \"standby\""),
            ("sslmode=sometimes", "sslmode \"sometimes\""),
            ("sslmode=require&sslrootcert=system", "needs sslmode=verify-full"),
            ("connect_timeout=soon", "connect_timeout"),
            ("port=1,2,3", "1 hosts and 3 ports"),
            ("port=0", "a port is not a number"),
            ("hostaddr=h", "not an IP address"),
        ];
        for (query, said) in cases {
            let error = PostgresAddress::parse(&format!("postgresql://h/d?{query}")).unwrap_err();
            assert!(error.to_string().contains(said), "{query}: {error}");
        }
        assert!(PostgresAddress::parse("postgresql:///d").unwrap_err().to_string().contains("names no host"));
    }

    #[test]
    fn a_password_is_sent_over_tls_or_stays_on_this_machine() {
        let check = |text: &str| parse(text).check_hides_credentials();
        for text in [
            "127.0.0.2",
            "[::1]",
            "localhost",
            "%2Frun",
            "x?hostaddr=127.0.0.1",
            "db.example?sslmode=require",
        ] {
            assert_eq!(check(&format!("postgresql://{text}")), Ok(()), "{text}");
        }
        for text in
            ["db.example", "localhost,db.example", "10.0.0.1?sslmode=disable", "localhost?hostaddr=10.0.0.1"]
        {
            let error = check(&format!("postgresql://{text}")).unwrap_err().to_string();
            assert!(error.starts_with("sslmode ") && error.contains("without TLS"), "{text}: {error}");
        }
    }
}
