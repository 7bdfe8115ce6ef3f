//! The partitions in the catalog, and how to register them.

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::AddAssign;

use async_trait::async_trait;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use storewatch_domain::{CountryCode, Day};

use crate::keys;
use crate::objects::{LakeError, Tag};
use crate::tables::Table;

/// A partition of a table, and the location of its files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition {
    pub table: Table,
    pub country: CountryCode,
    pub day: Day,
    /// `s3://bucket/…/`, ending in a slash.
    pub location: String,
}

impl Partition {
    /// Whether the location is a compacted version of this partition, in the same bucket.
    pub fn is_compacted_at(&self, location: &str) -> bool {
        let raw = keys::partition_prefix(self.table, self.country, self.day);
        let compacted = keys::compacted_prefix(self.table, self.country, self.day);
        let bucket = self.location.strip_suffix(&raw);
        let version = bucket.and_then(|bucket| location.strip_prefix(bucket)?.strip_prefix(&compacted));
        version.is_some_and(|version| !version.is_empty())
    }
}

/// The catalog failed. The source holds the service's answer.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("{operation} on {database}.{table} failed; check the role's rights and the service's health")]
    Failed { operation: &'static str, database: String, table: Table, source: Box<dyn Error + Send + Sync> },
    #[error(
        "{operation} on {database}.{table} refused the partition country={country}/day={day}: {code}: {message}"
    )]
    Refused {
        operation: &'static str,
        database: String,
        table: Table,
        country: CountryCode,
        day: Day,
        code: String,
        message: String,
    },
    #[error(
        "{database}.{table}: the partition country={country}/day={day} was created and deleted while it was being registered; run it again"
    )]
    Unsettled { database: String, table: Table, country: CountryCode, day: Day },
    #[error(
        "the files under {folder} could not be delivered to the lake; they stay in the country's own account, and a later run delivers them"
    )]
    Undelivered { folder: String, source: LakeError },
}

/// A partition in the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub location: String,
    /// Whether its descriptor has the columns and formats of [`Table::columns`]. Engines read a partition
    /// by its own descriptor.
    pub current: bool,
}

/// What happened to one partition of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    Done,
    AlreadyExists,
}

/// The partitions of one database. All partitions of a call belong to one table.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// The database's name, for messages.
    fn database(&self) -> &str;

    /// What the catalog holds for each partition's values, in the same order.
    ///
    /// # Errors
    /// The service refused or did not answer.
    async fn get(&self, table: Table, partitions: &[Partition]) -> Result<Vec<Option<Held>>, CatalogError>;

    /// Creates the partitions. Says for each, in the same order, whether it existed already.
    ///
    /// # Errors
    /// The service refused one or did not answer. Others may have been created.
    async fn create(&self, table: Table, partitions: &[Partition]) -> Result<Vec<Created>, CatalogError>;

    /// Updates the location and descriptor of existing partitions.
    ///
    /// # Errors
    /// The service refused one or did not answer. Others may have been updated.
    async fn update(&self, table: Table, partitions: &[Partition]) -> Result<(), CatalogError>;

    /// Removes the partitions from the catalog. Ignores any that do not exist. Their files stay.
    ///
    /// # Errors
    /// The service refused one or did not answer. Others may have been removed.
    async fn delete(&self, table: Table, partitions: &[Partition]) -> Result<(), CatalogError>;

    /// Brings the files of the partitions to the catalog's lake, as far as they have changed there. Only a lake in
    /// another account needs that: see [`crate::delivery`].
    ///
    /// # Errors
    /// [`CatalogError::Undelivered`]. What was delivered stays; running it again does the rest.
    async fn deliver(&self, _partitions: &[Partition]) -> Result<(), CatalogError> {
        Ok(())
    }

    /// Tags the copy of a file that was delivered, if there is one.
    ///
    /// # Errors
    /// [`CatalogError::Undelivered`].
    async fn tag_delivered(&self, _key: &str, _tag: Tag) -> Result<(), CatalogError> {
        Ok(())
    }
}

/// What [`register`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    pub created: usize,
    pub updated: usize,
    pub unchanged: usize,
}

impl AddAssign for Registered {
    fn add_assign(&mut self, other: Self) {
        self.created += other.created;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
    }
}

/// Makes the catalog hold exactly these partitions: creates what is missing, updates what differs, and
/// leaves the rest alone. If someone else creates a partition meanwhile, it is compared too.
///
/// A compacted partition keeps its location. Files that ticks add to such a day are compacted too, and the
/// ticks' own files may already be gone.
///
/// # Errors
/// The catalog refused or did not answer. What was done stays done; running it again finishes the rest.
pub async fn register(catalog: &dyn Catalog, partitions: &[Partition]) -> Result<Registered, CatalogError> {
    let mut tables: BTreeMap<Table, BTreeMap<(CountryCode, Day), &Partition>> = BTreeMap::new();
    for partition in partitions {
        let key = (partition.country, partition.day);
        tables.entry(partition.table).or_default().insert(key, partition);
    }
    let tables = tables
        .into_iter()
        .map(|(table, wanted)| register_table(catalog, table, wanted.into_values().cloned().collect()));
    // If one table fails, still register the others.
    let (mut done, mut failure) = (Registered::default(), None);
    for result in join_all(tables).await {
        match result {
            Ok(of_table) => done += of_table,
            Err(error) => {
                failure.get_or_insert(error);
            }
        }
    }
    failure.map_or(Ok(done), Err)
}

async fn register_table(
    catalog: &dyn Catalog,
    table: Table,
    mut open: Vec<Partition>,
) -> Result<Registered, CatalogError> {
    let mut done = Registered::default();
    // The second round handles partitions that were created between our get and our create.
    for round in 0..2 {
        let held = catalog.get(table, &open).await?;
        let (mut missing, mut different, mut unchanged) = (Vec::new(), Vec::new(), Vec::new());
        for (mut partition, held) in open.into_iter().zip(held) {
            match held {
                None => missing.push(partition),
                Some(held) => {
                    if partition.is_compacted_at(&held.location) {
                        partition.location.clone_from(&held.location);
                    }
                    if held.current && held.location == partition.location {
                        unchanged.push(partition);
                    } else {
                        different.push(partition);
                    }
                }
            }
        }
        // The partitions are right, but may have new files.
        catalog.deliver(&unchanged).await?;
        done.unchanged += unchanged.len();
        if !different.is_empty() {
            catalog.update(table, &different).await?;
            done.updated += different.len();
        }
        open = Vec::new();
        if !missing.is_empty() {
            let created = catalog.create(table, &missing).await?;
            for (partition, created) in missing.into_iter().zip(created) {
                match created {
                    Created::Done => done.created += 1,
                    Created::AlreadyExists => open.push(partition),
                }
            }
        }
        match open.first() {
            None => break,
            Some(Partition { table, country, day, .. }) if round == 1 => {
                return Err(CatalogError::Unsettled {
                    database: catalog.database().to_owned(),
                    table: *table,
                    country: *country,
                    day: *day,
                });
            }
            Some(_) => {}
        }
    }
    Ok(done)
}
