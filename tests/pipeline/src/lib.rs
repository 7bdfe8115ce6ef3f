//! A country in memory: its sources, lake and clock, and the functions of a tick that run on them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

pub mod disturbed;
pub mod noting;

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::json;
use storewatch_days::CompactRequest;
use storewatch_domain::{
    CountryCode, Day, IdRange, Instant, LiveStore, Slot, Store, StoreHours, StoreKey, WallTime, WeeklyHours,
};
use storewatch_lake::availability::AvailabilityRows;
use storewatch_lake::memory::{MemoryCatalog, MemoryObjects};
use storewatch_lake::{Objects, Table, TickRecord, keys};
use storewatch_runtime::events::ChunkItem;
use storewatch_runtime::metrics::MemoryMetrics;
use storewatch_runtime::{Clock, CountryFile, FunctionError};
use storewatch_sources::memory::{Document, MemoryLiveView, MemorySchedules};
use storewatch_sources::{LiveView, LiveViewError, Read, ReadRequest, ScheduleError, Schedules};

pub const FILE: &str = r#"
    country = "es"
    default_timezone = "UTC"
    missing_hours = "closed"
    [schedule]
    url = "postgresql://db.es.example/stores"
    [live_view]
    url = "https://search.es.example"
    index = "stores-es"
    id_field = "store_id"
    id_type = "long"
    online = { term = { online = true } }
    [run]
    chunk_stores = 3
"#;

pub struct World {
    pub file: CountryFile,
    pub country: CountryCode,
    pub slot: Slot,
    pub now: AtomicI64,
    pub objects: MemoryObjects,
    pub catalog: MemoryCatalog,
    pub metrics: MemoryMetrics,
    pub schedules: MemorySchedules,
    pub view: MemoryLiveView,
    /// The setting of `merge`; with 0, it never asks for another look.
    pub look_again_seconds: u64,
}

#[async_trait::async_trait]
impl Clock for World {
    fn now(&self) -> Instant {
        Instant::from_micros(self.now.fetch_add(1, Ordering::Relaxed)).unwrap()
    }

    async fn wait(&self, time: Duration) {
        self.now.fetch_add(time.as_micros() as i64, Ordering::Relaxed);
    }
}

/// A source that is down, or answers only in part.
pub struct Away;

#[async_trait::async_trait]
impl Schedules for Away {
    async fn read(&self, _: &ReadRequest) -> Result<Read, ScheduleError> {
        Err(ScheduleError::TimedOut { host: "db.es.example:5432".to_owned(), seconds: 20 })
    }
}

#[async_trait::async_trait]
impl LiveView for Away {
    async fn observe(&self, _: &IdRange) -> Result<Vec<(StoreKey, LiveStore)>, LiveViewError> {
        let (host, index) = ("search.es.example:443".to_owned(), "stores-es".to_owned());
        Err(LiveViewError::Incomplete { host, index, what: "1 of 2 shards failed".to_owned(), source: None })
    }
}

impl Default for World {
    /// Eight stores that are always open, every third of them offline, and an orphan.
    fn default() -> Self {
        let all_day =
            |day| WeeklyHours::new(day, Some(WallTime::MIDNIGHT), Some(WallTime::END_OF_DAY)).unwrap();
        let hours = StoreHours { weekly: (1..=7).map(all_day).collect(), exceptions: Vec::new() };
        let store = |id: i64| Store { id: id.to_string(), hours: hours.clone(), ..Store::default() };
        let document = |id: i64| Document { id: StoreKey::Long(id), online: id % 3 != 0, reason: None };
        let slot: Slot = "2026-11-23T04:15:00Z".parse().unwrap();
        Self {
            file: CountryFile::parse(FILE, "es.toml").unwrap(),
            country: "es".parse().unwrap(),
            slot,
            now: AtomicI64::new(slot.start_micros() + 1_000_000),
            objects: MemoryObjects::default(),
            catalog: MemoryCatalog::default(),
            metrics: MemoryMetrics::default(),
            schedules: MemorySchedules { stores: (1..=8).map(store).collect(), version: None },
            view: MemoryLiveView { documents: (1..=9).map(document).collect() },
            look_again_seconds: 0,
        }
    }
}

impl World {
    pub async fn plan(&self, schedules: &dyn Schedules) -> Result<plan::Planned, FunctionError> {
        let ports = plan::Ports { objects: &self.objects, clock: self };
        let event = plan::Event { country: self.country, slot: self.slot };
        plan::plan(&ports, &self.file, schedules, &event).await
    }

    pub async fn items(&self) -> Vec<ChunkItem> {
        let manifest = self.objects.get(&keys::manifest(self.country, self.slot)).await.unwrap();
        serde_json::from_slice(&manifest).unwrap()
    }

    pub async fn observe(
        &self,
        item: &ChunkItem,
        view: &dyn LiveView,
    ) -> Result<observe::Observed, FunctionError> {
        let ports = observe::Ports { objects: &self.objects, clock: self };
        observe::observe(&ports, &self.file, view, item).await
    }

    pub async fn merge(&self, event: serde_json::Value) -> merge::Merged {
        let mut event = event;
        event["country"] = json!("es");
        event["slot"] = json!(self.slot);
        let (objects, metrics, look_again_seconds) = (&self.objects, &self.metrics, self.look_again_seconds);
        let ports = merge::Ports { objects, metrics, clock: self, look_again_seconds };
        let event: merge::Event = serde_json::from_value(event).unwrap();
        merge::merge(&ports, Ok(&self.file), &event).await.unwrap()
    }

    pub async fn merge_chunks(&self) -> merge::Merged {
        self.merge(json!({ "manifest": keys::manifest(self.country, self.slot) })).await
    }

    pub async fn register(&self, merged: &merge::Merged) -> storewatch_lake::Registered {
        let ports =
            register::Ports { objects: &self.objects, catalog: &self.catalog, metrics: &self.metrics };
        register::register(&ports, self.country, merged.partitions.clone()).await.unwrap()
    }

    /// A whole tick. The view is down for the chunks in `failing`.
    pub async fn tick(&self, failing: &[u32]) -> merge::Merged {
        self.plan(&self.schedules).await.unwrap();
        for item in self.items().await {
            let view: &dyn LiveView = if failing.contains(&item.chunk) { &Away } else { &self.view };
            assert_eq!(self.observe(&item, view).await.is_ok(), !failing.contains(&item.chunk));
        }
        let merged = self.merge_chunks().await;
        self.register(&merged).await;
        merged
    }

    /// What compacting a day is told of the country, now.
    pub fn compacting(&self) -> CompactRequest {
        let today = Day::containing(self.now());
        CompactRequest { missing_hours: Some(self.file.missing_hours), today }
    }

    pub async fn record(&self) -> TickRecord {
        let key = keys::table_file(Table::CountryTicks, self.country, self.slot);
        TickRecord::read(self.objects.get(&key).await.unwrap()).unwrap()
    }

    /// The tables' files and their entity tags.
    pub async fn files(&self) -> Vec<(String, String)> {
        let mut files = Vec::new();
        for table in Table::TICKED {
            let listed = self.objects.list(&format!("{}/", table.name())).await.unwrap();
            files.extend(listed.into_iter().map(|object| (object.key, object.etag)));
        }
        files
    }

    pub async fn statuses(&self) -> Vec<(String, String)> {
        let key = keys::table_file(Table::StoreAvailability, self.country, self.slot);
        let rows = AvailabilityRows::read(self.objects.get(&key).await.unwrap()).unwrap();
        let statuses = rows.statuses().unwrap().into_iter().map(|status| status.to_string());
        rows.store_ids().unwrap().into_iter().zip(statuses).collect()
    }

    pub fn sent(&self, name: &str) -> Vec<f64> {
        self.metrics
            .sent()
            .into_iter()
            .filter(|(_, metric)| metric.name == name)
            .map(|(_, m)| m.value)
            .collect()
    }
}
