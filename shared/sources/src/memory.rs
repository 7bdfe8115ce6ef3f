//! Sources in memory, with the same contract as the real ones, for tests and simulations.

use std::collections::BTreeMap;

use async_trait::async_trait;
use storewatch_domain::{IdRange, LiveStore, Store, StoreKey};

use crate::live_view::{LiveView, LiveViewError};
use crate::schedules::{Read, ReadRequest, ScheduleError, Schedules};

/// Schedules in memory.
#[derive(Debug, Clone, Default)]
pub struct MemorySchedules {
    pub stores: Vec<Store>,
    pub version: Option<String>,
}

#[async_trait]
impl Schedules for MemorySchedules {
    async fn read(&self, request: &ReadRequest) -> Result<Read, ScheduleError> {
        if self.version.is_some() && self.version == request.known_version {
            return Ok(Read::Unchanged);
        }
        let (first, last) = request.exceptions;
        let mut stores = self.stores.clone();
        for store in &mut stores {
            store.hours.exceptions.retain(|row| (first..=last).contains(&row.date()));
        }
        Ok(Read::Schedules { stores, version: self.version.clone() })
    }
}

/// A document in a [`MemoryLiveView`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub id: StoreKey,
    pub online: bool,
    pub reason: Option<String>,
}

/// A live view in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryLiveView {
    pub documents: Vec<Document>,
}

#[async_trait]
impl LiveView for MemoryLiveView {
    async fn observe(&self, range: &IdRange) -> Result<Vec<(StoreKey, LiveStore)>, LiveViewError> {
        let mut stores: BTreeMap<StoreKey, LiveStore> = BTreeMap::new();
        for document in self.documents.iter().filter(|document| range.contains(&document.id)) {
            stores.entry(document.id.clone()).or_default().add(document.online, document.reason.clone());
        }
        Ok(stores.into_iter().collect())
    }
}
