//! Metrics, for alarms and dashboards. They are sent with PutMetricData. A failure to send them is logged and
//! never affects the data of a tick.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use storewatch_domain::CountryCode;

use crate::error::describe;

/// One value of one metric of a country.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    pub name: &'static str,
    pub value: f64,
    /// Whether it is a count; a ratio has no unit.
    pub is_count: bool,
}

impl Metric {
    /// A number of things.
    pub fn count(name: &'static str, value: u64) -> Self {
        Self { name, value: value as f64, is_count: true }
    }

    /// A ratio, 0 to 1.
    pub fn ratio(name: &'static str, value: f64) -> Self {
        Self { name, value, is_count: false }
    }
}

/// Where metrics go.
#[async_trait]
pub trait Metrics: Send + Sync {
    /// Sends the metrics with the dimension `Country`. A failure is logged.
    async fn put(&self, country: CountryCode, metrics: &[Metric]);
}

/// Metrics to CloudWatch, in one namespace.
#[derive(Debug, Clone)]
pub struct CloudWatchMetrics {
    client: Client,
    namespace: String,
}

impl CloudWatchMetrics {
    /// Metrics of that namespace.
    pub fn new(client: Client, namespace: impl Into<String>) -> Self {
        Self { client, namespace: namespace.into() }
    }
}

#[async_trait]
impl Metrics for CloudWatchMetrics {
    async fn put(&self, country: CountryCode, metrics: &[Metric]) {
        let dimension = Dimension::builder().name("Country").value(country.as_str()).build();
        let data = metrics.iter().map(|metric| {
            let unit = if metric.is_count { StandardUnit::Count } else { StandardUnit::None };
            MetricDatum::builder()
                .metric_name(metric.name)
                .dimensions(dimension.clone())
                .value(metric.value)
                .unit(unit)
                .build()
        });
        let request = self.client.put_metric_data().namespace(&self.namespace);
        if let Err(error) = request.set_metric_data(Some(data.collect())).send().await {
            tracing::error!(
                namespace = self.namespace,
                error = describe(&error),
                "metrics could not be sent"
            );
        }
    }
}

/// Metrics in memory, for tests and simulations.
#[derive(Debug, Default)]
pub struct MemoryMetrics {
    sent: Mutex<Vec<(CountryCode, Metric)>>,
}

impl MemoryMetrics {
    /// Everything that was sent, in order.
    pub fn sent(&self) -> Vec<(CountryCode, Metric)> {
        // Nothing panics while it holds the lock, so what is inside is whole.
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Metrics for MemoryMetrics {
    async fn put(&self, country: CountryCode, metrics: &[Metric]) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.extend(metrics.iter().map(|metric| (country, metric.clone())));
    }
}
