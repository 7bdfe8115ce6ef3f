//! The country file: all that the code knows of a country.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use storewatch_domain::{CountryCode, IdType, MissingHours, Rules, Zones};
use storewatch_sources::Queries;
use url::Url;

use crate::error::FunctionError;

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
    pub url: Url,
    /// The secret with `username` and `password`; absent where the server asks for none.
    pub secret: Option<String>,
    pub stores: Option<String>,
    pub weekly: Option<String>,
    pub exceptions: Option<String>,
    pub version: Option<String>,
    #[serde(default = "twenty")]
    timeout_seconds: u64,
}

/// `[live_view]`: the country's Elasticsearch.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveViewSection {
    pub url: Url,
    /// The secret with `username` and `password`, or `api_key`; absent where the server asks for none.
    pub secret: Option<String>,
    #[serde(default)]
    aws_sigv4: bool,
    pub index: String,
    pub id_field: String,
    pub id_type: IdType,
    pub online: Value,
    pub filter: Option<Value>,
    pub reason_field: Option<String>,
    #[serde(default = "ten")]
    timeout_seconds: u64,
}

/// `[run]`: how the country's ticks are cut.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunSection {
    /// Stores in a chunk, 1 to 10,000.
    pub chunk_stores: usize,
    /// Chunks at once, 1 to 1,000.
    pub concurrency: usize,
}

impl Default for RunSection {
    fn default() -> Self {
        Self { chunk_stores: 10_000, concurrency: 4 }
    }
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
        let bad = |problem: String| FunctionError::BadConfig { place: place.to_owned(), problem };
        let file: Self =
            toml::from_str(text).map_err(|error| bad(error.to_string().trim_end().to_owned()))?;
        file.check().map_err(bad)?;
        Ok(file)
    }

    fn check(&self) -> Result<(), String> {
        let range = |key: &str, value: usize, most: usize| match value {
            n if (1..=most).contains(&n) => Ok(()),
            n => Err(format!("{key} = {n} is not in 1 to {most}")),
        };
        range("[run].chunk_stores", self.run.chunk_stores, 10_000)?;
        range("[run].concurrency", self.run.concurrency, 1_000)?;
        range("[schedule].timeout_seconds", self.schedule.timeout_seconds as usize, 600)?;
        range("[live_view].timeout_seconds", self.live_view.timeout_seconds as usize, 600)?;
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
        if self.live_view.aws_sigv4 {
            return Err("[live_view].aws_sigv4 = true: signing for Amazon OpenSearch Service is not built yet; give a secret with username and password".to_owned());
        }
        Ok(())
    }

    /// What the country's stores are judged by, with these zones.
    ///
    /// # Errors
    /// `BadConfig` if they do not have the default zone.
    pub fn rules(&self, zones: &Zones) -> Result<Rules, FunctionError> {
        let default_timezone = zones.get(&self.default_timezone);
        Ok(Rules {
            default_timezone: default_timezone.map_err(|error| FunctionError::BadConfig {
                place: format!("default_timezone, with the zones of IANA {}", zones.release()),
                problem: error.to_string(),
            })?,
            zones: zones.clone(),
            missing_hours: self.missing_hours,
            id_type: self.live_view.id_type,
        })
    }
}

impl ScheduleSection {
    /// The country's queries, or the defaults where it has none.
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
        assert_eq!(error.name(), "BadConfig");
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
    fn numbers_out_of_range_are_named_with_their_range() {
        let error = error_of(("[schedule]", "[run]\nchunk_stores = 10001\n[schedule]"));
        assert!(error.contains("[run].chunk_stores = 10001 is not in 1 to 10000"), "{error}");
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
}
