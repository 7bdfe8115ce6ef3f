//! What a function runs with: clients that are made once, and its country file, which is read by the first
//! invocation, so that a wrong file ends in an error with a name instead of a crash.

use std::env;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use storewatch_domain::CountryCode;
use storewatch_lake::delivery::Delivery;
use storewatch_lake::glue::GlueCatalog;
use storewatch_lake::s3::S3Objects;
use storewatch_lake::{Catalog, LakeError, Objects};
use storewatch_sources::elastic::MAX_PAGE;
use storewatch_sources::{
    Access, ElasticConfig, ElasticLiveView, LiveView, PostgresConfig, PostgresSchedules, Schedules, Secret,
};
use tokio::sync::OnceCell;

use crate::config::CountryFile;
use crate::error::{FunctionError, describe};
use crate::metrics::CloudWatchMetrics;
use crate::secrets::{AwsSecret, Login};

/// The clients of AWS. Each is built when it is first needed, and lives as long as the process, because its
/// connections are costly to make.
pub struct AwsContext {
    sdk: SdkConfig,
    objects: OnceLock<Arc<dyn Objects>>,
    lake: OnceLock<Arc<dyn Objects>>,
    catalog: OnceLock<GlueCatalog>,
    metrics: OnceLock<CloudWatchMetrics>,
}

impl AwsContext {
    /// Reads Lambda's environment. Sends nothing.
    pub fn new() -> BoxFuture<'static, Self> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_attempt_timeout(Duration::from_secs(20))
            .operation_timeout(Duration::from_secs(45));
        let sdk = aws_config::defaults(BehaviorVersion::latest())
            .timeout_config(timeouts.build())
            .retry_config(RetryConfig::standard().with_max_attempts(4));
        let context = async {
            let (sdk, objects, lake) = (sdk.load().await, OnceLock::new(), OnceLock::new());
            Self { sdk, objects, lake, catalog: OnceLock::new(), metrics: OnceLock::new() }
        };
        // Boxed here, so that it is compiled once and not again for each function.
        context.boxed()
    }

    /// The bucket that the functions work on: the lake's, or that of a country in another account.
    ///
    /// # Errors
    /// `BadConfig` if the environment does not name it and its owner.
    pub fn objects(&self) -> Result<Arc<dyn Objects>, FunctionError> {
        once(&self.objects, || self.home()).cloned()
    }

    fn home(&self) -> Result<Arc<dyn Objects>, FunctionError> {
        Ok(self.bucket(variable("STOREWATCH_BUCKET")?, variable("STOREWATCH_ACCOUNT")?))
    }

    fn bucket(&self, name: String, owner: String) -> Arc<dyn Objects> {
        // Only AWS itself has a host name per bucket.
        let path_style = self.sdk.endpoint_url().is_some();
        let config = aws_sdk_s3::config::Builder::from(&self.sdk).force_path_style(path_style).build();
        Arc::new(S3Objects::new(aws_sdk_s3::Client::from_conf(config), name, owner))
    }

    /// The database in the catalog of the lake's account. If the lake is not the bucket that the functions work on, a
    /// partition's files are delivered there first.
    ///
    /// # Errors
    /// `BadConfig` if the environment does not name them.
    pub fn catalog(&self) -> Result<Box<dyn Catalog + '_>, FunctionError> {
        let account = variable("STOREWATCH_LAKE_ACCOUNT")?;
        let glue = once(&self.catalog, || {
            let client = aws_sdk_glue::Client::new(&self.sdk);
            Ok(GlueCatalog::new(client, &account, variable("STOREWATCH_DATABASE")?))
        })?;
        let lake =
            once(&self.lake, || Ok(self.bucket(variable("STOREWATCH_LAKE_BUCKET")?, account.clone())))?;
        let home = once(&self.objects, || self.home())?;
        Ok(if home.bucket() == lake.bucket() {
            Box::new(glue.clone())
        } else {
            Box::new(Delivery::new(&**home, &**lake, glue))
        })
    }

    /// The namespace for metrics.
    ///
    /// # Errors
    /// `BadConfig` if the environment does not name it.
    pub fn metrics(&self) -> Result<&CloudWatchMetrics, FunctionError> {
        once(&self.metrics, || {
            // A tick waits a few seconds for its metrics, and no longer.
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

    /// Signs requests as this function's role.
    fn signing(&self) -> Result<Access, String> {
        let credentials = self.sdk.credentials_provider();
        let credentials = credentials.ok_or("aws_sigv4 = true, but this process has no AWS credentials")?;
        Ok(Access::AwsSigV4 { credentials, region: self.sdk.region().map(ToString::to_string) })
    }

    fn secret(&self, name: &str, login: Login) -> Arc<dyn Secret> {
        Arc::new(AwsSecret::new(aws_sdk_secretsmanager::Client::new(&self.sdk), name.to_owned(), login))
    }
}

/// A function's own country.
pub struct CountryContext {
    aws: AwsContext,
    lake: OnceCell<CountryLake>,
    country: OnceCell<Country>,
}

/// A country and the lake it writes to, from the function's environment. This is enough to record a failure,
/// which must be possible even if the country file is wrong.
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
    schedule_secret: Option<Arc<dyn Secret>>,
    access: Access,
    schedules: OnceCell<PostgresSchedules>,
    live_view: OnceCell<ElasticLiveView>,
}

impl CountryContext {
    /// Makes the clients. The first invocation reads the country file.
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
                FunctionError::bad_config("STOREWATCH_COUNTRY", error)
            })?;
            Ok(CountryLake { code, objects: self.aws.objects()? })
        };
        self.lake.get_or_try_init(|| lake).await
    }

    /// The function's country.
    ///
    /// # Errors
    /// `BadConfig` for a wrong environment or country file, `LakeUnavailable` if it cannot be read.
    pub async fn country(&self) -> Result<&Country, FunctionError> {
        self.country.get_or_try_init(|| self.load()).await
    }

    async fn load(&self) -> Result<Country, FunctionError> {
        let CountryLake { code, objects } = self.lake().await?.clone();
        let key = variable("STOREWATCH_CONFIG")?;
        let place = format!("country file of {code} (s3://{}/{key})", objects.bucket());
        let body = objects.get(&key).await;
        let body = body.map_err(|error| match error {
            LakeError::Missing { .. } => {
                FunctionError::bad_config(&place, "it does not exist; deploy the country again")
            }
            error => error.into(),
        })?;
        let bad = |problem: String| FunctionError::bad_config(&place, problem);
        let text = std::str::from_utf8(&body).map_err(|error| bad(error.to_string()))?;
        let file = CountryFile::parse(text, &place)?;
        if file.country != code {
            return Err(bad(format!("country = {:?}, but this function serves {code:?}", file.country)));
        }
        Country::new(file, place, objects, &self.aws, |name, login| self.aws.secret(name, login))
    }
}

impl Country {
    /// A country of a checked file. `place` is how messages name the file, and `objects` hold the authorities that
    /// it names. Sends nothing.
    ///
    /// # Errors
    /// `BadConfig` if requests must be signed and this process has no AWS credentials.
    pub fn new(
        file: CountryFile,
        place: String,
        objects: Arc<dyn Objects>,
        aws: &AwsContext,
        secret: impl Fn(&str, Login) -> Arc<dyn Secret>,
    ) -> Result<Self, FunctionError> {
        let access = match &file.live_view.secret {
            Some(name) => Access::Secret(secret(name, Login::Elasticsearch)),
            None if file.live_view.aws_sigv4 => {
                aws.signing().map_err(|problem| FunctionError::bad_config(&place, problem))?
            }
            None => Access::None,
        };
        Ok(Self {
            code: file.country,
            schedule_secret: file.schedule.secret.as_deref().map(|name| secret(name, Login::Postgres)),
            file,
            objects,
            place,
            access,
            schedules: OnceCell::new(),
            live_view: OnceCell::new(),
        })
    }

    /// The country's schedules. Nothing is connected yet, and no secret read.
    ///
    /// # Errors
    /// `BadConfig` for an unusable address or missing authorities, `LakeUnavailable`.
    pub async fn schedules(&self) -> Result<&dyn Schedules, FunctionError> {
        let section = &self.file.schedule;
        let build = || async {
            let bad = |problem: String| FunctionError::bad_config(&self.place, problem);
            let schedules = PostgresSchedules::new(PostgresConfig {
                country: self.code,
                address: section.address().map_err(bad)?,
                secret: self.schedule_secret.clone(),
                ca: self.ca("[schedule].ca", section.ca.as_deref()).await?,
                queries: section.queries(),
                timeout: section.timeout(),
            })?;
            Ok::<_, FunctionError>(schedules)
        };
        let schedules: &dyn Schedules = self.schedules.get_or_try_init(build).await?;
        Ok(schedules)
    }

    /// The country's live view. Nothing is connected yet, and no secret read.
    ///
    /// # Errors
    /// `BadConfig` for an unusable address or `ca`, `LakeUnavailable` if the `ca` cannot be read.
    pub async fn live_view(&self) -> Result<&dyn LiveView, FunctionError> {
        let section = &self.file.live_view;
        let build = || async {
            let view = ElasticLiveView::new(ElasticConfig {
                url: section.url.clone(),
                access: self.access.clone(),
                ca: self.ca("[live_view].ca", section.ca.as_deref()).await?,
                index: section.index.clone(),
                id_field: section.id_field.clone(),
                id_type: section.id_type,
                online: section.online.clone(),
                filter: section.filter.clone(),
                reason_field: section.reason_field.clone(),
                timeout: section.timeout(),
                page: MAX_PAGE,
            })?;
            Ok::<_, FunctionError>(view)
        };
        let view: &dyn LiveView = self.live_view.get_or_try_init(build).await?;
        Ok(view)
    }

    /// Reads the PEM file that a section's `ca` names.
    async fn ca(&self, field: &str, name: Option<&str>) -> Result<Option<Vec<u8>>, FunctionError> {
        let Some(name) = name else { return Ok(None) };
        let key = format!("config/{name}");
        match self.objects.get(&key).await {
            Ok(pem) => Ok(Some(pem.into())),
            Err(LakeError::Missing { .. }) => {
                let bucket = self.objects.bucket();
                let problem = format!(
                    "{field} = {name:?}: s3://{bucket}/{key} does not exist; deploy the country again"
                );
                Err(FunctionError::bad_config(&self.place, problem))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Adds the country file's name to an error that is the file's fault and does not say so.
    pub fn blame(&self, error: FunctionError) -> FunctionError {
        match error.names_its_place() {
            true => error,
            false => FunctionError::bad_config(&self.place, describe(&error)),
        }
    }
}

/// What is in the cell, made first if it is empty. If two make it at once, one is used.
fn once<T>(cell: &OnceLock<T>, make: impl FnOnce() -> Result<T, FunctionError>) -> Result<&T, FunctionError> {
    match cell.get() {
        Some(made) => Ok(made),
        None => make().map(|made| cell.get_or_init(|| made)),
    }
}

/// A whole number that the function's template sets.
///
/// # Errors
/// `BadConfig` if the environment does not have it, or it is not such a number.
pub fn number(name: &'static str) -> Result<u64, FunctionError> {
    let text = variable(name)?;
    text.parse().map_err(|_| {
        let problem = format!("{text:?} is not a whole number; the function's template sets it");
        FunctionError::bad_config(name, problem)
    })
}

fn variable(name: &'static str) -> Result<String, FunctionError> {
    env::var(name).map_err(|_| {
        FunctionError::bad_config(name, "the function's environment does not have it; its template sets it")
    })
}
