//! A lake in memory that keeps the promises of the real one, for tests and simulations of the pipeline.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use storewatch_domain::{CountryCode, Day};

use crate::catalog::{Catalog, CatalogError, Created, Held, Partition};
use crate::objects::{Condition, LakeError, ListedObject, Objects, Put, Tag};
use crate::tables::Table;

/// A bucket in memory.
#[derive(Debug)]
pub struct MemoryObjects {
    bucket: &'static str,
    objects: Mutex<Stored>,
}

#[derive(Debug, Default, Clone)]
struct Stored {
    by_key: BTreeMap<String, (u64, Bytes)>,
    tags: BTreeMap<String, Tag>,
    puts: u64,
}

impl Clone for MemoryObjects {
    fn clone(&self) -> Self {
        Self { bucket: self.bucket, objects: Mutex::new(lock(&self.objects).clone()) }
    }
}

impl Default for MemoryObjects {
    fn default() -> Self {
        Self::named("memory")
    }
}

impl MemoryObjects {
    /// An empty bucket with that name.
    pub fn named(bucket: &'static str) -> Self {
        Self { bucket, objects: Mutex::default() }
    }

    /// The keys of the objects with this tag.
    pub fn tagged(&self, tag: Tag) -> Vec<String> {
        let stored = lock(&self.objects);
        stored.tags.iter().filter(|(_, own)| **own == tag).map(|(key, _)| key.clone()).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds the lock, so the data is consistent.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn etag(number: u64) -> String {
    format!("\"{number:x}\"")
}

#[async_trait]
impl Objects for MemoryObjects {
    fn bucket(&self) -> &str {
        self.bucket
    }

    async fn get(&self, key: &str) -> Result<Bytes, LakeError> {
        let found = lock(&self.objects).by_key.get(key).map(|(_, body)| body.clone());
        found.ok_or_else(|| LakeError::Missing { bucket: self.bucket().to_owned(), key: key.to_owned() })
    }

    async fn put_if(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, LakeError> {
        let mut stored = lock(&self.objects);
        let held = stored.by_key.get(key).map(|(number, _)| etag(*number));
        let holds = match condition {
            Condition::Always => true,
            Condition::Absent => held.is_none(),
            Condition::Unchanged(etag) => held == Some(etag),
        };
        if !holds {
            return Ok(Put::Conflict);
        }
        stored.puts += 1;
        let number = stored.puts;
        stored.by_key.insert(key.to_owned(), (number, body));
        stored.tags.remove(key);
        Ok(Put::Done)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>, LakeError> {
        let stored = lock(&self.objects);
        let range = stored.by_key.range(prefix.to_owned()..);
        Ok(range
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, (number, _))| ListedObject { key: key.clone(), etag: etag(*number) })
            .collect())
    }

    async fn delete(&self, key: &str) -> Result<(), LakeError> {
        let mut stored = lock(&self.objects);
        stored.by_key.remove(key);
        stored.tags.remove(key);
        Ok(())
    }

    async fn tag(&self, key: &str, tag: Tag) -> Result<(), LakeError> {
        let mut stored = lock(&self.objects);
        if !stored.by_key.contains_key(key) {
            return Err(LakeError::Missing { bucket: self.bucket().to_owned(), key: key.to_owned() });
        }
        stored.tags.insert(key.to_owned(), tag);
        Ok(())
    }
}

/// A catalog database in memory.
#[derive(Debug, Default)]
pub struct MemoryCatalog {
    held: Mutex<BTreeMap<(Table, CountryCode, Day), String>>,
}

impl Clone for MemoryCatalog {
    fn clone(&self) -> Self {
        Self { held: Mutex::new(lock(&self.held).clone()) }
    }
}

impl MemoryCatalog {
    /// All partitions, ordered by table, country and day.
    pub fn partitions(&self) -> Vec<Partition> {
        let held = lock(&self.held);
        held.iter()
            .map(|((table, country, day), location)| Partition {
                table: *table,
                country: *country,
                day: *day,
                location: location.clone(),
            })
            .collect()
    }
}

fn key(partition: &Partition) -> (Table, CountryCode, Day) {
    (partition.table, partition.country, partition.day)
}

#[async_trait]
impl Catalog for MemoryCatalog {
    fn database(&self) -> &str {
        "memory"
    }

    async fn get(&self, _table: Table, partitions: &[Partition]) -> Result<Vec<Option<Held>>, CatalogError> {
        let held = lock(&self.held);
        Ok(partitions
            .iter()
            .map(|partition| {
                held.get(&key(partition)).map(|location| Held { location: location.clone(), current: true })
            })
            .collect())
    }

    async fn create(&self, _table: Table, partitions: &[Partition]) -> Result<Vec<Created>, CatalogError> {
        let mut held = lock(&self.held);
        Ok(partitions
            .iter()
            .map(|partition| match held.entry(key(partition)) {
                std::collections::btree_map::Entry::Occupied(_) => Created::AlreadyExists,
                std::collections::btree_map::Entry::Vacant(place) => {
                    place.insert(partition.location.clone());
                    Created::Done
                }
            })
            .collect())
    }

    async fn update(&self, table: Table, partitions: &[Partition]) -> Result<(), CatalogError> {
        let mut held = lock(&self.held);
        for partition in partitions {
            let Some(location) = held.get_mut(&key(partition)) else {
                return Err(CatalogError::Refused {
                    operation: "update",
                    database: self.database().to_owned(),
                    table,
                    country: partition.country,
                    day: partition.day,
                    code: "EntityNotFoundException".to_owned(),
                    message: "there is no such partition".to_owned(),
                });
            };
            *location = partition.location.clone();
        }
        Ok(())
    }

    async fn delete(&self, _table: Table, partitions: &[Partition]) -> Result<(), CatalogError> {
        let mut held = lock(&self.held);
        partitions.iter().for_each(|partition| {
            held.remove(&key(partition));
        });
        Ok(())
    }
}
