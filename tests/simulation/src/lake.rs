//! The world's lake and catalog as one invocation reaches them, with faults before and after each
//! operation.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;
use storewatch_lake::catalog::{Created, Held};
use storewatch_lake::memory::MemoryObjects;
use storewatch_lake::{
    Catalog, CatalogError, Condition, LakeError, ListedObject, Objects, Partition, Put, Table, Tag,
};

use crate::chance::Fate;
use crate::ports::Run;
use crate::world::Service;

/// A bucket as one invocation reaches it.
pub struct SimulatedObjects {
    run: Arc<Run>,
    /// The lake of a country in another account, instead of the bucket that its functions work on.
    is_lake: bool,
}

/// An entity tag like those of S3: equal content has equal tags.
fn tag(body: &Bytes) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("\"{:x}\"", hasher.finish())
}

impl SimulatedObjects {
    /// The bucket that the functions work on.
    pub fn home(run: Arc<Run>) -> Self {
        Self { run, is_lake: false }
    }

    /// The lake of a country in another account.
    pub fn lake(run: Arc<Run>) -> Self {
        Self { run, is_lake: true }
    }

    fn objects(&self) -> &MemoryObjects {
        if self.is_lake { &self.run.world.lake } else { &self.run.world.objects }
    }

    /// What happens to an operation. `None` if it fails.
    async fn before(&self, operation: &str, what: &str) -> Option<Fate> {
        let fate = self.run.before(operation, &format!("{}{what}", self.place())).await;
        fate.filter(|_| !(self.is_lake && self.run.world.is_away(Service::Lake)))
    }

    /// How traces tell the two buckets apart.
    fn place(&self) -> &'static str {
        if self.is_lake { "lake:" } else { "" }
    }

    fn touch(&self, key: &str) {
        self.run.world.touch(&format!("{}{key}", self.place()));
    }

    fn failed(&self, operation: &'static str, key: &str) -> LakeError {
        let (bucket, key) = (self.bucket().to_owned(), key.to_owned());
        LakeError::Failed { operation, bucket, key, source: "simulated".into() }
    }

    async fn put_now(&self, key: &str, body: Bytes, condition: &Condition) -> Result<Put, LakeError> {
        let objects = self.objects();
        let condition = match condition {
            Condition::Unchanged(wanted) => match objects.find(key).await? {
                Some((found, body)) if tag(&body) == *wanted => Condition::Unchanged(found.etag),
                _ => return Ok(Put::Conflict),
            },
            other => other.clone(),
        };
        let done = objects.put_if(key, body, condition).await?;
        if done == Put::Done {
            self.touch(key);
            let is_table = Table::TICKED.iter().any(|table| key.starts_with(table.name()));
            self.run.wrote.fetch_or(is_table && !self.is_lake, Ordering::Relaxed);
        }
        Ok(done)
    }
}

#[async_trait]
impl Objects for SimulatedObjects {
    fn bucket(&self) -> &str {
        self.objects().bucket()
    }

    async fn get(&self, key: &str) -> Result<Bytes, LakeError> {
        let fate = self.before("get", key).await.ok_or_else(|| self.failed("get", key))?;
        let found = self.objects().get(key).await;
        self.run.after(fate, || format!("get {key}")).await.ok_or_else(|| self.failed("get", key))?;
        found
    }

    async fn put_if(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, LakeError> {
        let fate = self.before("put", key).await.ok_or_else(|| self.failed("put", key))?;
        let mut done = self.put_now(key, body.clone(), &condition).await?;
        if fate == Fate::Repeated {
            done = self.put_now(key, body, &condition).await?;
        }
        let said = || format!("put {key} if {condition:?}: {done:?}");
        self.run.after(fate, said).await.ok_or_else(|| self.failed("put", key))?;
        Ok(done)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>, LakeError> {
        let fate = self.before("list", prefix).await.ok_or_else(|| self.failed("list", prefix))?;
        let mut found = self.objects().list(prefix).await?;
        for object in &mut found {
            object.etag = tag(&self.objects().get(&object.key).await?);
        }
        let said = || format!("list {prefix}: {}", found.len());
        self.run.after(fate, said).await.ok_or_else(|| self.failed("list", prefix))?;
        Ok(found)
    }

    async fn delete(&self, key: &str) -> Result<(), LakeError> {
        let fate = self.before("delete", key).await.ok_or_else(|| self.failed("delete", key))?;
        self.objects().delete(key).await?;
        self.touch(key);
        self.run.after(fate, || format!("delete {key}")).await.ok_or_else(|| self.failed("delete", key))
    }

    async fn tag(&self, key: &str, tag: Tag) -> Result<(), LakeError> {
        let fate = self.before("tag", key).await.ok_or_else(|| self.failed("tag", key))?;
        self.objects().tag(key, tag).await?;
        self.run.after(fate, || format!("tag {key}")).await.ok_or_else(|| self.failed("tag", key))
    }
}

/// The catalog as one invocation reaches it.
pub struct SimulatedCatalog(pub Arc<Run>);

impl SimulatedCatalog {
    fn failed(&self, operation: &'static str, table: Table) -> CatalogError {
        let database = self.database().to_owned();
        CatalogError::Failed { operation, database, table, source: "simulated".into() }
    }

    async fn enter(&self, operation: &'static str, table: Table) -> Result<Fate, CatalogError> {
        let fate = self.0.before(operation, table.name()).await;
        let away = self.0.world.is_away(Service::Catalog);
        fate.filter(|_| !away).ok_or_else(|| self.failed(operation, table))
    }

    async fn leave(&self, fate: Fate, operation: &'static str, table: Table) -> Result<(), CatalogError> {
        let said = || format!("{operation} partitions of {table}");
        self.0.after(fate, said).await.ok_or_else(|| self.failed(operation, table))
    }

    /// Another writer, such as a crawler, creates a partition, possibly with a wrong location.
    async fn intrude(&self, table: Table, partitions: &[Partition]) -> Result<(), CatalogError> {
        if !self.0.world.draw(|chance| chance.one_in(chance.weather.intruders)) {
            return Ok(());
        }
        let mut partition = partitions[self.0.world.below(partitions.len())].clone();
        if self.0.world.below(2) == 0 {
            partition.location = crate::invariants::ELSEWHERE.to_owned();
        }
        self.0.world.note(|| format!("another writer creates {partition:?}"));
        self.0.world.catalog.create(table, &[partition]).await.map(|_| ())
    }
}

#[async_trait]
impl Catalog for SimulatedCatalog {
    fn database(&self) -> &str {
        self.0.world.catalog.database()
    }

    async fn get(&self, table: Table, partitions: &[Partition]) -> Result<Vec<Option<Held>>, CatalogError> {
        let fate = self.enter("get", table).await?;
        let held = self.0.world.catalog.get(table, partitions).await?;
        self.leave(fate, "get", table).await?;
        Ok(held)
    }

    async fn create(&self, table: Table, partitions: &[Partition]) -> Result<Vec<Created>, CatalogError> {
        let fate = self.enter("create", table).await?;
        self.intrude(table, partitions).await?;
        let catalog = &self.0.world.catalog;
        self.0.world.touch_catalog();
        // If a batch fails, part of it may have been created.
        let part = match fate {
            Fate::FailsAfter | Fate::DiesAfter => 1 + self.0.world.below(partitions.len()),
            _ => partitions.len(),
        };
        let mut created = catalog.create(table, &partitions[..part]).await?;
        if fate == Fate::Repeated {
            created = catalog.create(table, partitions).await?;
        }
        self.leave(fate, "create", table).await?;
        Ok(created)
    }

    async fn update(&self, table: Table, partitions: &[Partition]) -> Result<(), CatalogError> {
        let fate = self.enter("update", table).await?;
        self.0.world.touch_catalog();
        self.0.world.catalog.update(table, partitions).await?;
        self.leave(fate, "update", table).await
    }

    /// No function of a tick deletes partitions.
    async fn delete(&self, table: Table, partitions: &[Partition]) -> Result<(), CatalogError> {
        self.0.world.catalog.delete(table, partitions).await
    }
}
