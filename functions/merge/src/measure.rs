//! The metrics of a country tick, which its alarms watch.
//!
//! CloudWatch bills a metric for every hour in which it gets a value. So only what alarms watch is sent, and only when
//! something is wrong. Step Functions counts the ticks that end well, and the tables have the numbers of stores.

use storewatch_domain::Counts;
use storewatch_lake::Outcome;
use storewatch_runtime::Metric;

/// A smaller share is not sent. The templates allow no alarm a lower threshold.
const SLIGHT: f64 = 0.01;

/// That a tick was not complete.
pub(crate) fn outcome_metric(outcome: Outcome) -> Option<Metric> {
    match outcome {
        Outcome::Complete => None,
        Outcome::Partial => Some(Metric::count("TicksPartial", 1)),
        Outcome::Failed => Some(Metric::count("TicksFailed", 1)),
    }
}

/// The coverage, if more than a few stores are unknown.
pub(crate) fn coverage_metric(counts: Counts) -> Option<Metric> {
    let coverage = counts.coverage().filter(|coverage| 1.0 - coverage >= SLIGHT)?;
    Some(Metric::ratio("Coverage", coverage))
}

/// Something that went wrong, if it did.
pub(crate) fn fault_metric(name: &'static str, count: u64) -> Option<Metric> {
    (count > 0).then(|| Metric::count(name, count))
}

/// A change since the tick before, unless it is slight.
pub(crate) fn change_metric(name: &'static str, share: f64) -> Option<Metric> {
    (share >= SLIGHT).then(|| Metric::ratio(name, share))
}
