//! Sums over judged stores, for a country and for each city: counts per status, availability and
//! coverage.

use std::collections::BTreeMap;

use crate::hours::LocalDate;
use crate::judgement::Status;

/// The number of stores per status.
///
/// ```
/// use storewatch_domain::{Counts, Status};
/// let mut counts = Counts::default();
/// [Status::Available, Status::Unlisted, Status::Unknown, Status::Orphan].map(|status| counts.add(status));
/// assert_eq!(counts.availability(), Some(0.5)); // unknown stores are not rated
/// assert_eq!(counts.coverage(), Some(1.0 - 1.0 / 3.0)); // orphans are not in PostgreSQL
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([u64; Status::ALL.len()]);

impl Counts {
    /// Counts one store.
    pub fn add(&mut self, status: Status) {
        self.0[status as usize] += 1;
    }

    /// The number of stores with the status.
    pub fn get(&self, status: Status) -> u64 {
        self.0[status as usize]
    }

    /// Each status with its count, in the order of [`Status::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Status, u64)> + '_ {
        Status::ALL.into_iter().map(|status| (status, self.get(status)))
    }

    /// The number of stores in PostgreSQL: all but the orphans.
    pub fn stores(&self) -> u64 {
        self.0.iter().sum::<u64>() - self.get(Status::Orphan)
    }

    /// available / (available + unavailable + unlisted), 0 to 1; `None` if no store is rated.
    pub fn availability(&self) -> Option<f64> {
        let rated: u64 = self.iter().filter(|(status, _)| status.is_rated()).map(|(_, n)| n).sum();
        (rated > 0).then(|| self.get(Status::Available) as f64 / rated as f64)
    }

    /// 1 − unknown / stores in PostgreSQL, 0 to 1; `None` if there are no stores.
    pub fn coverage(&self) -> Option<f64> {
        let stores = self.stores();
        (stores > 0).then(|| 1.0 - self.get(Status::Unknown) as f64 / stores as f64)
    }
}

/// The sums of one city, or of all stores without a city.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CitySummary {
    /// The local date of the slot, in the zone of the city's first store.
    pub local_date: Option<LocalDate>,
    /// The local hour of the slot, 0 to 23, in the zone of the city's first store.
    pub local_hour: Option<u8>,
    /// The number of stores per status.
    pub counts: Counts,
    /// Scheduled seconds of the rated stores (available, unavailable, unlisted).
    pub scheduled_seconds: u64,
    /// Scheduled seconds of the available stores.
    pub available_seconds: u64,
    /// Unknown stores that may have been scheduled in the slot: all but those whose hours say that they were
    /// closed.
    pub unseen: u64,
}

impl CitySummary {
    /// Adds the sums of more stores of the city, which come after those that are already in it.
    pub fn merge(&mut self, more: &Self) {
        if self.local_date.is_none() {
            (self.local_date, self.local_hour) = (more.local_date, more.local_hour);
        }
        for (own, more) in self.counts.0.iter_mut().zip(more.counts.0) {
            *own += more;
        }
        self.scheduled_seconds += more.scheduled_seconds;
        self.available_seconds += more.available_seconds;
        self.unseen += more.unseen;
    }
}

/// The sums of a country's stores in one slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary<'a> {
    /// The number of stores per status.
    pub counts: Counts,
    /// By name. Stores without a city are under `None`, which comes first.
    pub cities: BTreeMap<Option<&'a str>, CitySummary>,
}

impl<'a> Summary<'a> {
    /// Adds one store. The first store of a city that has a local time sets the city's local time.
    pub fn add(
        &mut self,
        city: Option<&'a str>,
        local: Option<(LocalDate, u8)>,
        status: Status,
        scheduled_seconds: Option<u16>,
    ) {
        self.counts.add(status);
        let city = self.cities.entry(city).or_insert_with(|| CitySummary {
            local_date: None,
            local_hour: None,
            counts: Counts::default(),
            scheduled_seconds: 0,
            available_seconds: 0,
            unseen: 0,
        });
        if let (None, Some((date, hour))) = (city.local_date, local) {
            (city.local_date, city.local_hour) = (Some(date), Some(hour));
        }
        city.counts.add(status);
        let seconds = u64::from(scheduled_seconds.unwrap_or(0));
        if status.is_rated() {
            city.scheduled_seconds += seconds;
        }
        if status == Status::Available {
            city.available_seconds += seconds;
        }
        city.unseen += u64::from(status == Status::Unknown && scheduled_seconds != Some(0));
    }
}
