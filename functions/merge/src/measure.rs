//! The metrics of a country tick, which its alarms watch.

use storewatch_domain::{Counts, Status};
use storewatch_lake::Outcome;
use storewatch_runtime::Metric;

/// One of the three is 1.
pub(crate) fn outcome_metrics(outcome: Outcome) -> Vec<Metric> {
    let each = [
        ("TicksComplete", Outcome::Complete),
        ("TicksPartial", Outcome::Partial),
        ("TicksFailed", Outcome::Failed),
    ];
    each.map(|(name, of)| Metric::count(name, u64::from(of == outcome))).into()
}

/// The number of stores by status, and the shares that follow from it.
pub(crate) fn count_metrics(counts: Counts) -> Vec<Metric> {
    let mut metrics = vec![Metric::count("Stores", counts.stores())];
    metrics.extend(counts.iter().map(|(status, n)| Metric::count(metric_name(status), n)));
    metrics.extend(counts.coverage().map(|value| Metric::ratio("Coverage", value)));
    metrics.extend(counts.availability().map(|value| Metric::ratio("Availability", value)));
    metrics
}

fn metric_name(status: Status) -> &'static str {
    match status {
        Status::Available => "Available",
        Status::Unavailable => "Unavailable",
        Status::Unlisted => "Unlisted",
        Status::Unexpected => "Unexpected",
        Status::Closed => "Closed",
        Status::Orphan => "Orphan",
        Status::Unknown => "Unknown",
    }
}
