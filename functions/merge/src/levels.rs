//! Sudden changes from one tick to the next. A source that answers is believed, but metrics with alarms report
//! schedules that shrink to nothing, or documents that are gone.

use serde::{Deserialize, Serialize};
use storewatch_domain::{CountryCode, Slot};
use storewatch_lake::objects::{damaged, json};
use storewatch_lake::{Objects, keys};
use storewatch_runtime::{FunctionError, Metric, describe};

use crate::measure::change_metric;
use crate::usual::{Seen, Usual};

/// The levels of a country tick, kept to compare the next tick with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Levels {
    /// The tick's slot.
    pub slot: Slot,
    /// The number of stores in PostgreSQL.
    pub stores: u64,
    /// The share of the observed stores that are in the live view, 0 to 1; null if none was observed.
    pub listed_share: Option<f64>,
    /// The live view, as in the country file, that last had a store of the country.
    #[serde(default)]
    pub met_in: Option<String>,
    /// What was seen of availability; null if no store was rated.
    #[serde(skip)]
    pub seen: Option<Seen>,
    /// What is usual after this tick.
    #[serde(default)]
    pub usual: Usual,
}

impl Levels {
    /// Whether some tick has found a store in this live view.
    pub fn has_met_in(&self, view: &str) -> bool {
        match &self.met_in {
            Some(met_in) => met_in == view,
            // Older releases did not record it.
            None => self.listed_share.is_some_and(|share| share > 0.0),
        }
    }

    /// What changed since the levels of the tick before.
    pub fn metrics(&self, before: Option<&Self>) -> Vec<Metric> {
        let Some(before) = before else { return Vec::new() };
        let (fewer, more) = (self.stores.min(before.stores), self.stores.max(before.stores));
        // 0 for no change, 0.5 if their number halved or doubled, 1 from or to nothing.
        let change = if more == 0 { 0.0 } else { 1.0 - fewer as f64 / more as f64 };
        let shares = before.listed_share.zip(self.listed_share);
        let fall = shares.and_then(|(before, now)| change_metric("ListedShareFall", before - now));
        // In standard deviations; a smaller one is chance.
        let unusual =
            self.seen.and_then(|seen| before.usual.fall(self.slot, seen)).filter(|fall| *fall >= 1.0);
        let unusual = unusual.map(|fall| Metric::ratio("AvailabilityFall", fall));
        change_metric("StoresChange", change).into_iter().chain(fall).chain(unusual).collect()
    }
}

/// The levels of the last tick, if there are any.
///
/// # Errors
/// They cannot be read.
pub async fn last(objects: &dyn Objects, country: CountryCode) -> Result<Option<Levels>, FunctionError> {
    let key = keys::levels(country);
    let Some((_, body)) = objects.find(&key).await? else { return Ok(None) };
    Ok(Some(serde_json::from_slice(&body).map_err(|error| damaged(objects, &key, error))?))
}

/// Compares this tick's levels with the last ones, and keeps them for the next tick unless those of a later
/// slot are there: a late tick is compared with nothing. A failure is logged, and only the comparison is lost.
pub async fn compare(
    objects: &dyn Objects,
    country: CountryCode,
    last: Result<Option<Levels>, FunctionError>,
    levels: Levels,
) -> Vec<Metric> {
    match compared(objects, country, last, &levels).await {
        Ok(metrics) => metrics,
        Err(error) => {
            tracing::error!(error = describe(&error), "the tick could not be compared with the one before");
            levels.metrics(None)
        }
    }
}

async fn compared(
    objects: &dyn Objects,
    country: CountryCode,
    last: Result<Option<Levels>, FunctionError>,
    levels: &Levels,
) -> Result<Vec<Metric>, FunctionError> {
    let before = last?;
    // The slot comes again if a better tick replaces a partial one.
    let earlier = before.as_ref().filter(|before| before.slot < levels.slot);
    if before.as_ref().is_none_or(|before| before.slot <= levels.slot) {
        let share = levels.listed_share.or(before.as_ref().and_then(|before| before.listed_share));
        let met_in = levels.met_in.clone().or(before.as_ref().and_then(|before| before.met_in.clone()));
        let mut usual = before.as_ref().map(|before| before.usual.clone()).unwrap_or_default();
        // A slot teaches once.
        if let Some(seen) = levels.seen.filter(|_| before.is_none() || earlier.is_some()) {
            usual.learn(levels.slot, seen);
        }
        let kept = Levels { listed_share: share, met_in, usual, ..*levels };
        let key = keys::levels(country);
        objects.put(&key, json(objects, &key, &kept)?).await?;
    }
    Ok(levels.metrics(earlier))
}

#[cfg(test)]
mod tests {
    use super::*;
    use storewatch_lake::memory::MemoryObjects;

    fn levels(slot: &str, stores: u64, listed_share: Option<f64>) -> Levels {
        let slot = format!("2026-11-23T{slot}:00Z").parse().unwrap();
        Levels { slot, stores, listed_share, met_in: None, seen: None, usual: Usual::default() }
    }

    async fn next(objects: &MemoryObjects, country: CountryCode, levels: Levels) -> Vec<Metric> {
        compare(objects, country, last(objects, country).await, levels).await
    }

    fn of(metrics: &[Metric], name: &str) -> Option<f64> {
        metrics.iter().find(|metric| metric.name == name).map(|metric| metric.value)
    }

    #[test]
    fn a_change_is_the_same_whichever_way_it_goes() {
        let change = |before, now| {
            let metrics = levels("04:15", now, None).metrics(Some(&levels("04:00", before, None)));
            of(&metrics, "StoresChange")
        };
        assert_eq!([change(10, 5), change(5, 10), change(8, 10)], [Some(0.5), Some(0.5), Some(1.0 - 0.8)]);
        assert_eq!([change(10, 0), change(0, 10)], [Some(1.0); 2]);
    }

    #[test]
    fn a_change_of_less_than_one_percent_is_not_sent() {
        let change = |before, now, listed_share| {
            let before = levels("04:00", before, Some(1.0));
            levels("04:15", now, Some(listed_share)).metrics(Some(&before))
        };
        assert_eq!(
            [change(0, 0, 1.0), change(7, 7, 1.0), change(1000, 1009, 0.991)],
            [vec![], vec![], vec![]]
        );
        assert_eq!(change(1000, 1011, 0.989).len(), 2);
    }

    #[test]
    fn a_listed_share_that_rises_is_no_fall() {
        let fall = |before, now| {
            let metrics = levels("04:15", 1, now).metrics(Some(&levels("04:00", 1, before)));
            of(&metrics, "ListedShareFall")
        };
        assert_eq!([fall(Some(1.0), Some(0.25)), fall(Some(0.25), Some(1.0))], [Some(0.75), None]);
        assert_eq!([fall(None, Some(1.0)), fall(Some(1.0), None)], [None, None]);
    }

    #[tokio::test]
    async fn each_tick_is_compared_with_the_last_that_came_before_it() {
        let (objects, es) = (MemoryObjects::default(), "es".parse().unwrap());
        let tick = async |slot, stores, share| next(&objects, es, levels(slot, stores, share)).await;
        let first = tick("04:00", 10, Some(1.0)).await;
        assert_eq!(first, [], "there is nothing to compare with");
        // Nothing was observed: the share of the tick before is kept.
        assert_eq!(of(&tick("04:15", 10, None).await, "ListedShareFall"), None);
        let fallen = tick("04:45", 5, Some(0.5)).await;
        assert_eq!((of(&fallen, "ListedShareFall"), of(&fallen, "StoresChange")), (Some(0.5), Some(0.5)));
        let late = tick("04:30", 10, None).await;
        assert_eq!(of(&late, "StoresChange"), None, "what is late is compared with nothing later");
        assert_eq!(tick("05:00", 5, Some(0.5)).await, [], "it is as the tick before, not as the late one");
    }

    #[tokio::test]
    async fn an_unusual_availability_is_sent_once_its_hour_is_known() {
        let (objects, es) = (MemoryObjects::default(), "es".parse().unwrap());
        let first: Slot = "2026-11-02T20:00:00Z".parse().unwrap();
        let tick = async |week: i64, availability| {
            let slot = Slot::containing(first.start() + week * 7 * 86_400);
            let seen = Some(Seen { availability, rated: 4_000 });
            next(&objects, es, Levels { slot, seen, ..levels("04:00", 10, None) }).await
        };
        for week in 0..8 {
            assert_eq!(tick(week, 0.2 + 0.7 * f64::from(week != 3)).await, [], "week {week}");
        }
        let fall = of(&tick(8, 0.0).await, "AvailabilityFall").unwrap();
        assert!((3.0..5.0).contains(&fall), "{fall}");
        assert_eq!(tick(9, 0.8).await, [], "as usual");
    }

    #[tokio::test]
    async fn levels_that_cannot_be_read_cost_the_comparison_only() {
        let (objects, es) = (MemoryObjects::default(), "es".parse().unwrap());
        objects.put(&keys::levels(es), "no JSON".into()).await.unwrap();
        let metrics = next(&objects, es, levels("04:00", 10, Some(1.0))).await;
        assert_eq!(metrics, []);
    }
}
