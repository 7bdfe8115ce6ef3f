//! The way into the lake of another account.
//!
//! The functions of a country in another account work on a bucket of that account, the country's *home*, which is laid out
//! as the lake is. A partition's files are copied to the lake before the catalog is told of them. If the lake cannot be
//! reached, that fails, the files stay at home, and the next run copies what is missing.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use storewatch_domain::CountryCode;

use crate::catalog::{Catalog, CatalogError, Created, Held, Partition};
use crate::keys;
use crate::objects::{Condition, LakeError, ListedObject, Objects, Put, Tag, json};
use crate::tables::Table;

/// Files copied at once.
const PARALLEL: usize = 8;

/// How often a folder's delivery starts over because another one came in between.
const TRIES: usize = 10;

/// The files of a folder that the lake has, with the entity tags that they had at home.
type Delivered = BTreeMap<String, String>;

/// The lake's catalog, with the buckets between which files are copied. Locations are those at home.
pub struct Delivery<'a> {
    home: &'a dyn Objects,
    lake: &'a dyn Objects,
    catalog: &'a dyn Catalog,
}

impl<'a> Delivery<'a> {
    /// Delivers from `home` to `lake`, whose partitions the catalog has.
    pub fn new(home: &'a dyn Objects, lake: &'a dyn Objects, catalog: &'a dyn Catalog) -> Self {
        Self { home, lake, catalog }
    }

    /// Copies what has changed at home, in as many rounds as it takes.
    async fn folder(&self, country: CountryCode, folder: &str) -> Result<(), CatalogError> {
        for _ in 0..TRIES {
            match self.once(country, folder).await {
                Ok(Put::Done) => return Ok(()),
                Ok(Put::Conflict) => {}
                Err(source) => return Err(self.undelivered(folder, source)),
            }
        }
        let (bucket, source) = (self.lake.bucket().to_owned(), "other deliveries came in between".into());
        let crossed = LakeError::Failed { operation: "delivery", bucket, key: folder.to_owned(), source };
        Err(self.undelivered(folder, crossed))
    }

    /// One round. A conflict means that there is more to do.
    ///
    /// No copy ever replaces a newer one: the lake is listed before a file is read at home, and the copy is put only over
    /// what was listed. If another delivery has put one since, it may be newer, and this one starts over. So a file that is
    /// noted as delivered is in the lake as it was at home then, or newer. A file that has changed at home is taken out of
    /// the note before it is copied, so that a run that dies in between leaves no note of what it was before.
    async fn once(&self, country: CountryCode, folder: &str) -> Result<Put, LakeError> {
        let (home, lake) = (self.home, self.lake);
        let there: BTreeMap<String, String> =
            lake.list(folder).await?.into_iter().map(|object| (object.key, object.etag)).collect();
        let key = keys::delivered(country, folder);
        let (mut delivered, condition) = match home.find(&key).await? {
            None => (Delivered::new(), Condition::Absent),
            // Without its note, a file is delivered once more.
            Some((found, body)) => {
                (serde_json::from_slice(&body).unwrap_or_default(), Condition::Unchanged(found.etag))
            }
        };
        let mut here = home.list(folder).await?;
        let is_delivered = |object: &ListedObject| {
            delivered.get(&object.key) == Some(&object.etag) && there.contains_key(&object.key)
        };
        here.retain(|object| !is_delivered(object));
        if here.is_empty() {
            return Ok(Put::Done);
        }
        let changed = here.iter().filter(|object| delivered.remove(&object.key).is_some()).count();
        if changed > 0 {
            home.put_if(&key, json(home, &key, &delivered)?, condition).await?;
            return Ok(Put::Conflict);
        }
        let copies = stream::iter(here).map(|object| {
            let condition = there.get(&object.key).cloned().map_or(Condition::Absent, Condition::Unchanged);
            async move {
                let body = home.get(&object.key).await?;
                let put = lake.put_again_if(&object.key, body, condition).await?;
                Ok::<_, LakeError>((put, object))
            }
        });
        let copied: Vec<(Put, ListedObject)> = copies.buffered(PARALLEL).try_collect().await?;
        if copied.iter().any(|(put, _)| *put == Put::Conflict) {
            return Ok(Put::Conflict);
        }
        tracing::info!(folder, files = copied.len(), to = lake.bucket(), "delivered");
        delivered.extend(copied.into_iter().map(|(_, object)| (object.key, object.etag)));
        home.put_again_if(&key, json(home, &key, &delivered)?, condition).await
    }

    fn undelivered(&self, folder: &str, source: LakeError) -> CatalogError {
        CatalogError::Undelivered { folder: format!("s3://{}/{folder}", self.home.bucket()), source }
    }

    /// The same place in the other bucket. A location in a third one stays.
    fn moved(location: &str, from: &dyn Objects, to: &dyn Objects) -> String {
        let key = location.strip_prefix("s3://").and_then(|rest| rest.strip_prefix(from.bucket()));
        match key.and_then(|key| key.strip_prefix('/')) {
            Some(key) => format!("s3://{}/{key}", to.bucket()),
            None => location.to_owned(),
        }
    }

    fn in_lake(&self, partitions: &[Partition]) -> Vec<Partition> {
        let moved = |location: &str| Self::moved(location, self.home, self.lake);
        let partitions = partitions.iter();
        partitions
            .map(|partition| Partition { location: moved(&partition.location), ..partition.clone() })
            .collect()
    }
}

#[async_trait]
impl Catalog for Delivery<'_> {
    fn database(&self) -> &str {
        self.catalog.database()
    }

    async fn get(&self, table: Table, partitions: &[Partition]) -> Result<Vec<Option<Held>>, CatalogError> {
        let held = self.catalog.get(table, partitions).await?;
        let at_home =
            |held: Held| Held { location: Self::moved(&held.location, self.lake, self.home), ..held };
        Ok(held.into_iter().map(|held| held.map(at_home)).collect())
    }

    async fn create(&self, table: Table, partitions: &[Partition]) -> Result<Vec<Created>, CatalogError> {
        self.deliver(partitions).await?;
        self.catalog.create(table, &self.in_lake(partitions)).await
    }

    async fn update(&self, table: Table, partitions: &[Partition]) -> Result<(), CatalogError> {
        self.deliver(partitions).await?;
        self.catalog.update(table, &self.in_lake(partitions)).await
    }

    async fn delete(&self, table: Table, partitions: &[Partition]) -> Result<(), CatalogError> {
        self.catalog.delete(table, partitions).await
    }

    async fn deliver(&self, partitions: &[Partition]) -> Result<(), CatalogError> {
        let prefix = format!("s3://{}/", self.home.bucket());
        for partition in partitions {
            if let Some(folder) = partition.location.strip_prefix(&prefix) {
                self.folder(partition.country, folder).await?;
            }
        }
        Ok(())
    }

    async fn tag_delivered(&self, key: &str, tag: Tag) -> Result<(), CatalogError> {
        match self.lake.tag(key, tag).await {
            // It was never delivered, or has expired.
            Ok(()) | Err(LakeError::Missing { .. }) => Ok(()),
            Err(source) => Err(self.undelivered(key, source)),
        }
    }
}
