//! What a function is built with: clients made once at cold start, and its country, read when it is
//! first needed so that a wrong country file is answered with its error name, not with a crash.

use std::env;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use storewatch_domain::CountryCode;
use storewatch_lake::glue::GlueCatalog;
use storewatch_lake::s3::S3Objects;
use storewatch_lake::{LakeError, Objects};
use storewatch_sources::elastic::MAX_PAGE;
use storewatch_sources::{
    ElasticConfig, ElasticLiveView, PostgresConfig, PostgresSchedules, ViewCredentials,
};
use tokio::sync::{Mutex, OnceCell};

use crate::config::CountryFile;
use crate::error::{FunctionError, SourceName};
use crate::metrics::CloudWatchMetrics;
use crate::secrets::Secret;
use crate::zones;

/// The clients of AWS. Each is built when it is first needed and lives as long as the process: with it
/// live its connections, which are costly to make.
pub struct AwsContext {
    sdk: SdkConfig,
    objects: OnceLock<Arc<dyn Objects>>,
    catalog: OnceLock<GlueCatalog>,
    metrics: OnceLock<CloudWatchMetrics>,
}

impl AwsContext {
    /// Reads the environment that Lambda gives; sends nothing.
    pub async fn new() -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_attempt_timeout(Duration::from_secs(20))
            .operation_timeout(Duration::from_secs(45));
        let sdk = aws_config::defaults(BehaviorVersion::latest())
            .timeout_config(timeouts.build())
            .retry_config(RetryConfig::standard().with_max_attempts(4))
            .load()
            .await;
        Self { sdk, objects: OnceLock::new(), catalog: OnceLock::new(), metrics: OnceLock::new() }
    }

    /// The lake's bucket.
    ///
    /// # Errors
    /// `BadConfig` where the environment does not name it.
    pub fn objects(&self) -> Result<Arc<dyn Objects>, FunctionError> {
        let objects = once(&self.objects, || {
            // Only AWS itself has a host name a bucket.
            let path_style = self.sdk.endpoint_url().is_some();
            let config = aws_sdk_s3::config::Builder::from(&self.sdk).force_path_style(path_style).build();
            let client = aws_sdk_s3::Client::from_conf(config);
            let objects: Arc<dyn Objects> = Arc::new(S3Objects::new(client, variable("STOREWATCH_BUCKET")?));
            Ok(objects)
        });
        objects.cloned()
    }

    /// The database of the catalog.
    ///
    /// # Errors
    /// `BadConfig` where the environment does not name it.
    pub fn catalog(&self) -> Result<&GlueCatalog, FunctionError> {
        once(&self.catalog, || {
            Ok(GlueCatalog::new(aws_sdk_glue::Client::new(&self.sdk), variable("STOREWATCH_DATABASE")?))
        })
    }

    /// Where metrics go.
    ///
    /// # Errors
    /// `BadConfig` where the environment does not name the namespace.
    pub fn metrics(&self) -> Result<&CloudWatchMetrics, FunctionError> {
        once(&self.metrics, || {
            // The tick's data does not wait for its metrics: they are worth a few seconds, and no more.
            let timeouts = TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(1))
                .operation_attempt_timeout(Duration::from_secs(2))
                .operation_timeout(Duration::from_secs(4));
            let config =
                aws_sdk_cloudwatch::config::Builder::from(&self.sdk).timeout_config(timeouts.build());
            let client = aws_sdk_cloudwatch::Client::from_conf(config.build());
            Ok(CloudWatchMetrics::new(client, variable("STOREWATCH_METRICS_NAMESPACE")?))
        })
    }

    fn secret(&self, name: &str, source_name: SourceName) -> Secret {
        Secret::new(aws_sdk_secretsmanager::Client::new(&self.sdk), name.to_owned(), source_name)
    }
}

/// A function's own country.
pub struct CountryContext {
    aws: AwsContext,
    lake: OnceCell<CountryLake>,
    country: OnceCell<Country>,
}

/// A country and the lake it writes to, as the function's environment names them. That is all that is
/// needed to write down a failure, which must be possible where the country file is what is wrong.
#[derive(Clone)]
pub struct CountryLake {
    pub code: CountryCode,
    pub objects: Arc<dyn Objects>,
}

/// The country's file, and the lake it writes to.
pub struct Country {
    pub code: CountryCode,
    pub file: CountryFile,
    pub objects: Arc<dyn Objects>,
    /// How messages name the country file.
    place: String,
    secrets: (Option<Secret>, Option<Secret>),
    /// Kept with the secret's text they were built from.
    schedules: Mutex<Option<(String, Arc<PostgresSchedules>)>>,
    live_view: Mutex<Option<(String, Arc<ElasticLiveView>)>>,
}

impl CountryContext {
    /// Clients only; the country file is read by the first invocation.
    pub async fn new() -> Self {
        Self { aws: AwsContext::new().await, lake: OnceCell::new(), country: OnceCell::new() }
    }

    /// The clients of AWS.
    pub fn aws(&self) -> &AwsContext {
        &self.aws
    }

    /// The function's country and its lake, without the country file.
    ///
    /// # Errors
    /// `BadConfig` for a wrong environment.
    pub async fn lake(&self) -> Result<&CountryLake, FunctionError> {
        let lake = async {
            let text = variable("STOREWATCH_COUNTRY")?;
            let code = text.parse().map_err(|error: storewatch_domain::InvalidCountry| {
                let place = "STOREWATCH_COUNTRY".to_owned();
                FunctionError::BadConfig { place, problem: error.to_string() }
            })?;
            Ok(CountryLake { code, objects: self.aws.objects()? })
        };
        self.lake.get_or_try_init(|| lake).await
    }

    /// The function's country.
    ///
    /// # Errors
    /// `BadConfig` for a wrong environment or country file, `LakeUnavailable` where it cannot be read.
    pub async fn country(&self) -> Result<&Country, FunctionError> {
        self.country.get_or_try_init(|| self.load()).await
    }

    async fn load(&self) -> Result<Country, FunctionError> {
        let CountryLake { code, objects } = self.lake().await?.clone();
        let key = variable("STOREWATCH_CONFIG")?;
        let place = format!("country file of {code} (s3://{}/{key})", objects.bucket());
        let body = objects.get(&key).await;
        let body = body.map_err(|error| match error {
            LakeError::Missing { .. } => FunctionError::BadConfig {
                place: place.clone(),
                problem: "it does not exist; deploy the country again".to_owned(),
            },
            error => error.into(),
        })?;
        let bad = |problem: String| FunctionError::BadConfig { place: place.clone(), problem };
        let text = std::str::from_utf8(&body).map_err(|error| bad(error.to_string()))?;
        let file = CountryFile::parse(text, &place)?;
        if file.country != code {
            return Err(bad(format!("country = {:?}, but this function serves {code:?}", file.country)));
        }
        let secret = |name: &Option<String>, source| name.as_ref().map(|name| self.aws.secret(name, source));
        let secrets = (
            secret(&file.schedule.secret, SourceName::Schedule),
            secret(&file.live_view.secret, SourceName::LiveView),
        );
        Ok(Country {
            code,
            file,
            objects,
            place,
            secrets,
            schedules: Mutex::new(None),
            live_view: Mutex::new(None),
        })
    }
}

impl Country {
    /// The country's schedules, with the secret as it is now.
    ///
    /// # Errors
    /// The secret cannot be read, or the address is wrong.
    pub async fn schedules(&self) -> Result<Arc<PostgresSchedules>, FunctionError> {
        let (text, value) = match &self.secrets.0 {
            Some(secret) => secret.read().await?,
            None => Default::default(),
        };
        let mut held = self.schedules.lock().await;
        if let Some((_, schedules)) = held.as_ref().filter(|(from, _)| *from == text) {
            return Ok(Arc::clone(schedules));
        }
        let section = &self.file.schedule;
        let schedules = Arc::new(PostgresSchedules::new(PostgresConfig {
            url: section.url.clone(),
            username: value.username,
            password: value.password,
            queries: section.queries(),
            timeout: section.timeout(),
        })?);
        *held = Some((text, Arc::clone(&schedules)));
        Ok(schedules)
    }

    /// The country's live view, with the secret as it is now.
    ///
    /// # Errors
    /// The secret cannot be read, or the address is wrong.
    pub async fn live_view(&self) -> Result<Arc<ElasticLiveView>, FunctionError> {
        let section = &self.file.live_view;
        let (text, credentials) = match (&self.secrets.1, &section.secret) {
            (Some(secret), Some(name)) => {
                let (text, value) = secret.read().await?;
                (text, value.view_credentials(name)?)
            }
            _ => (String::new(), ViewCredentials::None),
        };
        let mut held = self.live_view.lock().await;
        if let Some((_, view)) = held.as_ref().filter(|(from, _)| *from == text) {
            return Ok(Arc::clone(view));
        }
        let view = Arc::new(ElasticLiveView::new(ElasticConfig {
            url: section.url.clone(),
            credentials,
            index: section.index.clone(),
            id_field: section.id_field.clone(),
            id_type: section.id_type,
            online: section.online.clone(),
            filter: section.filter.clone(),
            reason_field: section.reason_field.clone(),
            timeout: section.timeout(),
            page: MAX_PAGE,
        })?);
        *held = Some((text, Arc::clone(&view)));
        Ok(view)
    }

    /// A fault that the country file is to blame for, with the file's name.
    pub fn blame(&self, error: FunctionError) -> FunctionError {
        match error.name() {
            "BadConfig" => {
                let problem = crate::error::describe(&error);
                // One that names the file already needs no second mention, and zone data are another object.
                if ["secret", zones::PLACE, &self.place].iter().any(|place| problem.starts_with(place)) {
                    return error;
                }
                FunctionError::BadConfig { place: self.place.clone(), problem }
            }
            _ => error,
        }
    }
}

/// What is in the cell, made first where nothing is. Of two that make it at once one is used.
fn once<T>(cell: &OnceLock<T>, make: impl FnOnce() -> Result<T, FunctionError>) -> Result<&T, FunctionError> {
    match cell.get() {
        Some(made) => Ok(made),
        None => make().map(|made| cell.get_or_init(|| made)),
    }
}

fn variable(name: &'static str) -> Result<String, FunctionError> {
    env::var(name).map_err(|_| FunctionError::BadConfig {
        place: name.to_owned(),
        problem: "the function's environment does not have it; its template sets it".to_owned(),
    })
}
