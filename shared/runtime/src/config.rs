//! The country file: all that the code knows of a country.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use storewatch_domain::{CountryCode, IdType, Instant, LocalDate, MissingHours, Rules, Slot, Zones};
use storewatch_sources::elastic::is_loopback;
use storewatch_sources::{PostgresAddress, Queries};
use url::Url;

use crate::error::FunctionError;
use crate::events::{OBSERVING_AFTER_LOOK_MICROS, OBSERVING_MICROS};

/// A country file, checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountryFile {
    pub country: CountryCode,
    /// For stores that name no zone. [`CountryFile::rules`] looks it up.
    pub default_timezone: String,
    pub missing_hours: MissingHours,
    pub schedule: ScheduleSection,
    pub live_view: LiveViewSection,
    #[serde(default)]
    pub run: RunSection,
}

/// `[schedule]`: the country's PostgreSQL.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSection {
    /// Checked: [`ScheduleSection::address`] reads it. Holds no password.
    pub url: String,
    /// Name or ARN of the secret with `username` and `password`; absent if the server needs none.
    pub secret: Option<String>,
    pub stores: Option<String>,
    pub weekly: Option<String>,
    pub exceptions: Option<String>,
    pub version: Option<String>,
    /// PEM file under the lake's `config/`: the authorities to trust.
    pub ca: Option<String>,
    #[serde(default = "twenty")]
    timeout_seconds: u64,
}

/// `[live_view]`: the country's Elasticsearch or OpenSearch.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveViewSection {
    #[serde(deserialize_with = "address")]
    pub url: Url,
    /// Name or ARN of the secret with `username` and `password`, or `api_key`; absent if the server needs none.
    pub secret: Option<String>,
    #[serde(default)]
    pub aws_sigv4: bool,
    /// PEM file under the lake's `config/`: the only authorities to trust, instead of the system's.
    pub ca: Option<String>,
    pub index: String,
    pub id_field: String,
    pub id_type: IdType,
    pub online: Value,
    pub filter: Option<Value>,
    pub reason_field: Option<String>,
    #[serde(default = "ten")]
    timeout_seconds: u64,
}

/// `[run]`: how the country's ticks run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunSection {
    /// Stores in a chunk, 1 to 10,000.
    pub chunk_stores: usize,
    /// Chunks at once, 1 to 1,000.
    pub concurrency: usize,
    /// Where in the slot the live view is looked at, in seconds after its start.
    pub look_after_seconds: usize,
}

impl Default for RunSection {
    fn default() -> Self {
        Self { chunk_stores: 10_000, concurrency: 4, look_after_seconds: 0 }
    }
}

impl RunSection {
    /// The latest that a country may look.
    pub const LATEST_LOOK_SECONDS: usize = 600;

    /// When the live view of the slot is looked at.
    pub fn look_at(&self, slot: Slot) -> Instant {
        slot.first_instant().plus_micros(self.look_after_seconds as i64 * 1_000_000)
    }

    /// How long after its start a country tick observes, in microseconds.
    pub fn observing_micros(&self) -> i64 {
        OBSERVING_MICROS.max(self.look_after_seconds as i64 * 1_000_000 + OBSERVING_AFTER_LOOK_MICROS)
    }
}

/// The local dates whose exceptions are read for a slot, from three days back for hours that run past midnight to two
/// weeks ahead for ticks while PostgreSQL is down.
pub fn exception_dates(slot: Slot) -> (LocalDate, LocalDate) {
    let date = slot.day().date();
    (date.plus_days(-3), date.plus_days(14))
}

/// An address in TOML. One that cannot be read is not quoted: it may hold a password.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|error| de::Error::custom(format_args!("the address cannot be read: {error}")))
}

fn ten() -> u64 {
    10
}

fn twenty() -> u64 {
    20
}

impl CountryFile {
    /// Reads a country file. `place` is how messages name it.
    ///
    /// # Errors
    /// `BadConfig`, which names the place, the key and the value.
    pub fn parse(text: &str, place: &str) -> Result<Self, FunctionError> {
        let bad = |problem: String| FunctionError::bad_config(place, problem);
        let file: Self = toml::from_str(text).map_err(|error| bad(toml_problem(text, &error)))?;
        file.check().map_err(bad)?;
        Ok(file)
    }

    fn check(&self) -> Result<(), String> {
        let range = |key: &str, value: usize, least: usize, most: usize| match value {
            n if (least..=most).contains(&n) => Ok(()),
            n => Err(format!("{key} = {n} is not in {least} to {most}")),
        };
        let latest_look = RunSection::LATEST_LOOK_SECONDS;
        range("[run].chunk_stores", self.run.chunk_stores, 1, 10_000)?;
        range("[run].concurrency", self.run.concurrency, 1, 1_000)?;
        range("[run].look_after_seconds", self.run.look_after_seconds, 0, latest_look)?;
        range("[schedule].timeout_seconds", self.schedule.timeout_seconds as usize, 1, 600)?;
        range("[live_view].timeout_seconds", self.live_view.timeout_seconds as usize, 1, 600)?;
        let address = self.schedule.address()?;
        if self.schedule.secret.is_some() {
            address.check_hides_credentials().map_err(|error| format!("[schedule].url: {error}"))?;
        }
        check_ca("[schedule].ca", self.schedule.ca.as_deref())?;
        let queries = [("online", Some(&self.live_view.online)), ("filter", self.live_view.filter.as_ref())];
        for (key, query) in queries.into_iter().filter_map(|(key, query)| Some((key, query?))) {
            if query.as_object().is_none_or(|query| query.len() != 1) {
                return Err(format!(
                    "[live_view].{key} = {query} is not one query, such as {{ term = {{ online = true }} }}"
                ));
            }
        }
        for (key, text) in [("index", &self.live_view.index), ("id_field", &self.live_view.id_field)] {
            if text.trim().is_empty() {
                return Err(format!("[live_view].{key} is empty"));
            }
        }
        self.live_view.check()
    }

    /// The rules that judge the country's stores, with these zones.
    ///
    /// # Errors
    /// `BadConfig` if they do not have the default zone.
    pub fn rules(&self, zones: &Zones) -> Result<Rules, FunctionError> {
        let default_timezone = zones.get(&self.default_timezone);
        Ok(Rules {
            default_timezone: default_timezone.map_err(|error| {
                let part = format!("default_timezone, with the zones of IANA {}", zones.release());
                FunctionError::bad_part(part, error)
            })?,
            zones: zones.clone(),
            missing_hours: self.missing_hours,
            id_type: self.live_view.id_type,
        })
    }
}

/// What is wrong with the TOML, and where. The line is not quoted, because it can hold a password.
fn toml_problem(text: &str, error: &toml::de::Error) -> String {
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return error.message().to_owned();
    };
    let line = before.matches('\n').count();
    let key = text.lines().nth(line).and_then(|line| line.split_once('=')).map_or("", |(key, _)| key.trim());
    let is_key =
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    let key = if is_key { format!(", {key}") } else { String::new() };
    format!("line {}{key}: {}", line + 1, error.message())
}

/// Checks the name of a PEM file, which is the same beside the country files and in the lake.
fn check_ca(field: &str, name: Option<&str>) -> Result<(), String> {
    let is_plain = |name: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !name.starts_with('.') && name.len() > 4 && name.ends_with(".pem") && name.bytes().all(allowed)
    };
    match name {
        Some(name) if !name.strip_prefix("ca/").is_some_and(is_plain) => {
            Err(format!("{field} = {name:?} must be of the form \"ca/name.pem\""))
        }
        _ => Ok(()),
    }
}

impl ScheduleSection {
    /// The address of PostgreSQL.
    ///
    /// # Errors
    /// The text is not an address. [`CountryFile::parse`] has refused such a file.
    pub fn address(&self) -> Result<PostgresAddress, String> {
        PostgresAddress::parse(&self.url).map_err(|error| format!("[schedule].url: {error}"))
    }

    /// The country's queries, or the defaults.
    pub fn queries(&self) -> Queries {
        let default = Queries::default();
        Queries {
            stores: self.stores.clone().unwrap_or(default.stores),
            weekly: self.weekly.clone().unwrap_or(default.weekly),
            exceptions: self.exceptions.clone().unwrap_or(default.exceptions),
            version: self.version.clone(),
        }
    }

    /// For one whole reading.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }
}

impl LiveViewSection {
    /// Checks what the types cannot. Messages hold no part of the address that may be secret.
    fn check(&self) -> Result<(), String> {
        let url = &self.url;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("[live_view].url must be an http or https address with a host".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("[live_view].url holds a user or a password; remove it, and put it into the secret that [live_view].secret names".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("[live_view].url has a ? or # part, which would not be used; remove it".to_owned());
        }
        if self.aws_sigv4 && self.secret.is_some() {
            return Err(
                "[live_view] has both secret and aws_sigv4 = true; keep the one that the server asks for"
                    .to_owned(),
            );
        }
        let is_encrypted = url.scheme() == "https";
        if (self.aws_sigv4 || self.secret.is_some()) && !is_encrypted && !is_loopback(url) {
            return Err("[live_view].url is http, but credentials are sent over https only, except to this machine itself; use an https address".to_owned());
        }
        match &self.ca {
            Some(_) if !is_encrypted => Err("[live_view].ca is for https, but url is http".to_owned()),
            name => check_ca("[live_view].ca", name.as_deref()),
        }
    }

    /// For one request.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        country = "es"
        default_timezone = "Europe/Madrid"
        missing_hours = "closed"
        [schedule]
        url = "postgresql://reader@db.example:5432/stores?sslmode=verify-full"
        secret = "storewatch/es/postgres"
        [live_view]
        url = "https://search.example:9243"
        index = "stores-es"
        id_field = "store_id"
        id_type = "long"
        online = { term = { online = true } }
    "#;

    fn error_of(change: (&str, &str)) -> String {
        assert!(GOOD.contains(change.0));
        let error = CountryFile::parse(&GOOD.replace(change.0, change.1), "countries/es.toml").unwrap_err();
        assert_eq!(error.name(), crate::ErrorName::BadConfig);
        describe_for_test(&error)
    }

    fn describe_for_test(error: &FunctionError) -> String {
        crate::error::describe(error)
    }

    #[test]
    fn a_file_with_only_what_must_be_there_gets_the_defaults() {
        let file = CountryFile::parse(GOOD, "countries/es.toml").unwrap();
        assert_eq!(file.run.chunk_stores, 10_000);
        assert_eq!(file.schedule.queries(), Queries::default());
        assert_eq!(file.schedule.timeout(), Duration::from_secs(20));
    }

    #[test]
    fn an_unknown_key_is_named_with_the_file() {
        let error = error_of(("index =", "indexx ="));
        assert!(error.contains("countries/es.toml") && error.contains("unknown field `indexx`"), "{error}");
    }

    #[test]
    fn a_bad_time_zone_is_named_with_key_and_value() {
        let file = CountryFile::parse(&GOOD.replace("Madrid", "Madird"), "countries/es.toml").unwrap();
        let zones = Zones::embedded();
        let error = describe_for_test(&file.rules(&zones).unwrap_err());
        assert_eq!(
            error,
            format!(
                "default_timezone, with the zones of IANA {}: unknown time zone \"Europe/Madird\": an IANA name such as \"Europe/Madrid\" is wanted",
                zones.release()
            )
        );
    }

    #[test]
    fn a_wrong_query_is_named_with_key_and_value() {
        let error = error_of(("{ term = { online = true } }", "true"));
        assert!(error.contains("[live_view].online = true is not one query"), "{error}");
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_and_never_quoted() {
        let good = "postgresql://reader@db.example:5432/stores?sslmode=verify-full";
        let cases = [
            ("postgresql://reader:pa#s3cret@localhost/db", "[schedule].url: the address holds a password"),
            ("postgresql://reader:pa/s3cret@localhost/db", "[schedule].url: the address has an @"),
            (
                "postgresql://db/d?sslmode=require&%70assword=s3cret",
                "[schedule].url: the address holds a password",
            ),
            ("postgresql://db/d?sslcert=x", "[schedule].url: the parameter \"sslcert\" is not supported"),
            ("postgresql://db/d", "[schedule].url: sslmode prefer may send the secret's password to db:5432"),
            ("postgresql://u:s3cret@h/d\" x", "line 6, url: "),
        ];
        for (url, said) in cases {
            let error = error_of((good, url));
            assert!(error.contains(said) && !error.contains("TOML"), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        let file =
            GOOD.replace(good, "postgresql://db1:5433,db2/d?sslmode=require&options=-c%20search_path%3Dshop");
        CountryFile::parse(&file, "es.toml").unwrap();
        CountryFile::parse(&GOOD.replace(good, "postgresql://localhost/d"), "es.toml").unwrap();
    }

    #[test]
    fn an_authority_is_a_file_of_the_folder_ca() {
        let with = |ca: &str| ("[live_view]", format!("ca = \"{ca}\"\n[live_view]"));
        for ca in ["es.pem", "ca/../es.pem", "/ca/es.pem", "ca/es.crt", "ca/.pem"] {
            let (place, text) = with(ca);
            assert!(error_of((place, &text)).contains("[schedule].ca = "), "{ca}");
        }
        let (place, text) = with("ca/es-postgres.pem");
        CountryFile::parse(&GOOD.replace(place, &text), "es.toml").unwrap();
    }

    #[test]
    fn credentials_in_the_live_view_s_address_are_refused_and_not_quoted() {
        for address in [
            "https://elastic:hunter2@search.example:9243",
            "https://hunter2@search.example:9243",
            "https://elastic:hun#ter2@search.example:9243",
            "https://elastic:hunter2@search.example:port",
            "https://search.example:9243/?auth=hunter2",
            "hunter2",
        ] {
            let error = error_of(("https://search.example:9243", address));
            assert!(error.contains("url") || error.contains("address"), "{address}: {error}");
            assert!(!error.contains("ter2"), "{address}: {error}");
        }
    }

    #[test]
    fn credentials_go_over_https_only_except_to_this_machine() {
        let with = |url: &str, line: &str| {
            let section = format!("url = \"{url}\"\n{line}");
            let text = GOOD.replace("url = \"https://search.example:9243\"", &section);
            CountryFile::parse(&text, "countries/es.toml").map_err(|error| describe_for_test(&error))
        };
        for line in ["secret = \"s\"", "aws_sigv4 = true"] {
            let error = with("http://search.example:9200", line).unwrap_err();
            assert!(error.contains("https only"), "{error}");
            for url in ["http://127.0.0.1:9200", "http://[::1]:9200", "https://search.example"] {
                with(url, line).unwrap();
            }
        }
        with("http://search.example:9200", "").unwrap();
        assert!(with("https://a.example", "aws_sigv4 = true\nsecret = \"s\"").is_err());
        assert!(with("https://a.example", "ca = \"../secret.pem\"").is_err());
        assert!(with("http://a.example", "ca = \"ca/es.pem\"").unwrap_err().contains("https"));
        assert_eq!(
            with("https://a.example", "ca = \"ca/es.pem\"").unwrap().live_view.ca.unwrap(),
            "ca/es.pem"
        );
    }

    #[test]
    fn numbers_out_of_range_are_named_with_their_range() {
        let error = error_of(("[schedule]", "[run]\nchunk_stores = 10001\n[schedule]"));
        assert!(error.contains("[run].chunk_stores = 10001 is not in 1 to 10000"), "{error}");
        let error = error_of(("[schedule]", "[run]\nlook_after_seconds = 601\n[schedule]"));
        assert!(error.contains("[run].look_after_seconds = 601 is not in 0 to 600"), "{error}");
    }

    #[test]
    fn every_country_file_of_the_project_is_good() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/countries");
        let mut read = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let file = CountryFile::parse(&text, &path.display().to_string()).unwrap();
            assert_eq!(path.file_stem().unwrap().to_str().unwrap(), file.country.as_str());
            file.rules(&Zones::embedded()).unwrap();
            read += 1;
        }
        assert!(read >= 3);
    }

    #[test]
    fn a_late_look_gets_its_own_time_to_observe() {
        let slot: Slot = "2026-11-23T04:15:00Z".parse().unwrap();
        let run = |seconds: &str| {
            let text = format!("{GOOD}\n[run]\nlook_after_seconds = {seconds}");
            CountryFile::parse(&text, "es.toml").unwrap().run
        };
        for (seconds, at, observing) in
            [("0", "04:15:00", 450), ("390", "04:21:30", 450), ("600", "04:25:00", 660)]
        {
            let run = run(seconds);
            assert_eq!(run.look_at(slot).to_string(), format!("2026-11-23T{at}.000000Z"));
            assert_eq!(run.observing_micros(), observing * 1_000_000, "{seconds}");
        }
    }
}
