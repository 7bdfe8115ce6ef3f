//! A lake and a catalog that disturb one operation, chosen by its number: the process dies there, or
//! someone else comes in between.

use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use storewatch_lake::catalog::{Created, Held};
use storewatch_lake::memory::MemoryObjects;
use storewatch_lake::{
    Catalog, CatalogError, Condition, LakeError, ListedObject, Objects, Partition, Put, Table, Tag,
};

use crate::World;

/// How the operation is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The process dies before it.
    Before,
    /// The process dies after it; its answer is lost.
    After,
    /// Someone else's work comes before it; then it continues.
    Crossed,
}

/// Runs beside the operations: a check after each one, or the work of someone else.
pub type Aside<'a> = dyn Fn() -> BoxFuture<'a, ()> + Send + Sync + 'a;

/// The lake and the catalog of a world.
pub struct Disturbed<'a> {
    world: &'a World,
    left: AtomicI64,
    end: End,
    aside: &'a Aside<'a>,
}

impl<'a> Disturbed<'a> {
    /// Disturbs the operation after the first `operations`. `aside` runs after every operation that takes
    /// effect; with `Crossed`, it runs only once, before the disturbed operation.
    pub fn new(world: &'a World, operations: i64, end: End, aside: &'a Aside<'a>) -> Self {
        Self { world, left: AtomicI64::new(operations), end, aside }
    }

    /// Whether the disturbed operation was reached.
    pub fn came(&self) -> bool {
        self.left.load(Ordering::Relaxed) < 0
    }

    /// Does an operation. `None` if its answer is lost.
    async fn does<T>(&self, operation: impl Future<Output = T> + Send) -> Option<T> {
        let left = self.left.fetch_sub(1, Ordering::Relaxed);
        if self.end == End::Crossed {
            if left == 0 {
                (self.aside)().await;
            }
            return Some(operation.await);
        }
        if left < 0 || (left == 0 && self.end == End::Before) {
            return None;
        }
        let done = operation.await;
        (self.aside)().await;
        (left > 0).then_some(done)
    }

    async fn lake<T>(
        &self,
        key: &str,
        operation: impl Future<Output = Result<T, LakeError>> + Send,
    ) -> Result<T, LakeError> {
        let (bucket, key) = (self.bucket().to_owned(), key.to_owned());
        let died = LakeError::Failed { operation: "any", bucket, key, source: "died".into() };
        self.does(operation).await.unwrap_or(Err(died))
    }

    async fn catalog<T>(
        &self,
        table: Table,
        operation: impl Future<Output = Result<T, CatalogError>> + Send,
    ) -> Result<T, CatalogError> {
        let database = self.database().to_owned();
        let died = CatalogError::Failed { operation: "any", database, table, source: "died".into() };
        self.does(operation).await.unwrap_or(Err(died))
    }
}

/// The bucket of another lake, whose operations count with those of the world.
pub struct Beside<'a>(pub &'a Disturbed<'a>, pub &'a MemoryObjects);

#[async_trait]
impl Objects for Beside<'_> {
    fn bucket(&self) -> &str {
        self.1.bucket()
    }

    async fn get(&self, key: &str) -> Result<Bytes, LakeError> {
        self.0.lake(key, self.1.get(key)).await
    }

    async fn put_if(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, LakeError> {
        self.0.lake(key, self.1.put_if(key, body, condition)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>, LakeError> {
        self.0.lake(prefix, self.1.list(prefix)).await
    }

    async fn delete(&self, key: &str) -> Result<(), LakeError> {
        self.0.lake(key, self.1.delete(key)).await
    }

    async fn tag(&self, key: &str, tag: Tag) -> Result<(), LakeError> {
        self.0.lake(key, self.1.tag(key, tag)).await
    }
}

#[async_trait]
impl Objects for Disturbed<'_> {
    fn bucket(&self) -> &str {
        self.world.objects.bucket()
    }

    async fn get(&self, key: &str) -> Result<Bytes, LakeError> {
        self.lake(key, self.world.objects.get(key)).await
    }

    async fn put_if(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, LakeError> {
        self.lake(key, self.world.objects.put_if(key, body, condition)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>, LakeError> {
        self.lake(prefix, self.world.objects.list(prefix)).await
    }

    async fn delete(&self, key: &str) -> Result<(), LakeError> {
        self.lake(key, self.world.objects.delete(key)).await
    }

    async fn tag(&self, key: &str, tag: Tag) -> Result<(), LakeError> {
        self.lake(key, self.world.objects.tag(key, tag)).await
    }
}

#[async_trait]
impl Catalog for Disturbed<'_> {
    fn database(&self) -> &str {
        self.world.catalog.database()
    }

    async fn get(&self, table: Table, partitions: &[Partition]) -> Result<Vec<Option<Held>>, CatalogError> {
        self.catalog(table, self.world.catalog.get(table, partitions)).await
    }

    async fn create(&self, table: Table, partitions: &[Partition]) -> Result<Vec<Created>, CatalogError> {
        self.catalog(table, self.world.catalog.create(table, partitions)).await
    }

    async fn update(&self, table: Table, partitions: &[Partition]) -> Result<(), CatalogError> {
        self.catalog(table, self.world.catalog.update(table, partitions)).await
    }

    async fn delete(&self, table: Table, partitions: &[Partition]) -> Result<(), CatalogError> {
        self.catalog(table, self.world.catalog.delete(table, partitions)).await
    }
}
