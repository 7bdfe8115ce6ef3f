//! The ports of one invocation: where it yields, fails or dies, and its sources, clock and metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use storewatch_domain::{CountryCode, IdRange, Instant, LiveStore, StoreKey};
use storewatch_runtime::{Clock, Metric, Metrics};
use storewatch_sources::memory::{MemoryLiveView, MemorySchedules};
use storewatch_sources::{LiveView, LiveViewError, Read, ReadRequest, ScheduleError, Schedules};

use crate::chance::Fate;
use crate::executor::give_way;
use crate::script::Said;
use crate::world::{Country, Service, World};

/// One invocation of a function.
pub struct Run {
    pub world: Arc<World>,
    pub country: usize,
    pub name: String,
    /// Set when its process dies; it never continues then.
    pub dead: AtomicBool,
    /// Whether it has written a file of a table.
    pub wrote: AtomicBool,
    /// What the clock said when it was first asked.
    began: AtomicI64,
}

impl Run {
    pub fn new(world: Arc<World>, country: usize, name: String) -> Arc<Self> {
        let (dead, wrote) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { world, country, name, dead, wrote, began: AtomicI64::new(0) })
    }

    pub fn country(&self) -> &Country {
        &self.world.countries[self.country]
    }

    /// Yields to others, then decides what happens to the operation. `None` if it fails.
    pub async fn before(&self, operation: &str, what: &str) -> Option<Fate> {
        give_way().await;
        let (passed, fate) = self.world.draw(|chance| {
            let passed = chance.rng.i64(1..=chance.weather.pace);
            (passed, chance.fate())
        });
        self.world.pass(passed);
        let fate = match self.world.script.says(&self.name, operation, what) {
            None => fate,
            Some(Said::Fate(fate)) => fate,
            Some(Said::Hold(hold)) => {
                self.world.note(|| format!("{}: held at {operation} {what}", self.name));
                while self.world.script.holds(hold) {
                    give_way().await;
                }
                fate
            }
        };
        if fate != Fate::Fine {
            self.world.note(|| format!("{}: {fate:?} at {operation} {what}", self.name));
        }
        match fate {
            Fate::FailsBefore => return None,
            Fate::DiesBefore => self.die().await,
            _ => {}
        }
        Some(fate)
    }

    /// What happens after the operation took effect. `None` if its answer is lost.
    pub async fn after(&self, fate: Fate, said: impl FnOnce() -> String) -> Option<()> {
        self.world.note(|| format!("{}: {}", self.name, said()));
        match fate {
            Fate::FailsAfter => return None,
            Fate::DiesAfter => self.die().await,
            _ => {}
        }
        // The answer takes time too, and others run meanwhile.
        if self.world.below(2) == 0 {
            give_way().await;
        }
        Some(())
    }

    async fn die(&self) {
        self.dead.store(true, Ordering::Relaxed);
        std::future::pending::<()>().await;
    }
}

#[async_trait]
impl Clock for Run {
    fn now(&self) -> Instant {
        let now = self.world.pass(1);
        let _ = self.began.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        Instant::from_micros(now).unwrap()
    }

    async fn wait(&self, time: Duration) {
        self.world.pass(time.as_micros() as i64);
        give_way().await;
    }
}

#[async_trait]
impl Metrics for Run {
    async fn put(&self, country: CountryCode, metrics: &[Metric]) {
        // If metrics cannot be sent, the function continues.
        let Some(fate) = self.before("put", "metrics").await else { return };
        self.world.metrics.put(country, metrics).await;
        let _ = self.after(fate, || "put metrics".to_owned()).await;
    }
}

#[async_trait]
impl Schedules for Run {
    async fn read(&self, request: &ReadRequest) -> Result<Read, ScheduleError> {
        let away = || ScheduleError::TimedOut { host: "db.example".to_owned(), seconds: 20 };
        let Some(fate) = self.before("read", "schedules").await else {
            let problem = "it has no column store_id".to_owned();
            // Some failures are never retried.
            return Err(match self.world.below(3) {
                0 => ScheduleError::Config { field: "weekly", problem, source: None },
                _ => away(),
            });
        };
        let country = self.country();
        if self.world.is_away(Service::Schedules(country.code)) {
            return Err(away());
        }
        let edition = country.truth.edition_at(self.world.now());
        let stores = country.truth.stores(edition);
        let version = country.truth.versioned.then(|| edition.to_string());
        let read = MemorySchedules { stores, version }.read(request).await?;
        self.world.set_reading(country.code, self.began.load(Ordering::Relaxed), edition);
        self.after(fate, || format!("read schedules {edition}")).await.ok_or_else(away)?;
        Ok(read)
    }
}

#[async_trait]
impl LiveView for Run {
    async fn observe(&self, range: &IdRange) -> Result<Vec<(StoreKey, LiveStore)>, LiveViewError> {
        let (host, index) = ("search.example".to_owned(), "stores".to_owned());
        let Some(fate) = self.before("read", "live view").await else {
            return Err(LiveViewError::Incomplete {
                host,
                index,
                what: "a shard failed".to_owned(),
                source: None,
            });
        };
        let away = LiveViewError::Unavailable { host, index, during: "searching".to_owned(), source: None };
        let country = self.country();
        if self.world.is_away(Service::LiveView(country.code)) {
            return Err(away);
        }
        let documents = country.truth.documents_at(self.world.now());
        let seen = MemoryLiveView { documents }.observe(range).await?;
        self.after(fate, || "read live view".to_owned()).await.ok_or(away)?;
        Ok(seen)
    }
}
