//! Partitions of the catalog, and how it is made to hold them.

use std::collections::BTreeMap;
use std::error::Error;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use storewatch_domain::{CountryCode, Day};

use crate::keys;
use crate::tables::Table;

/// A partition of a table and where its files lie.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    pub table: Table,
    pub country: CountryCode,
    pub day: Day,
    /// `s3://bucket/…/`, with a slash at its end.
    pub location: String,
}

impl Partition {
    /// Whether a location is one of this partition's compacted versions, in the bucket of its files.
    pub fn is_compacted_at(&self, location: &str) -> bool {
        let raw = keys::partition_prefix(self.table, self.country, self.day);
        let compacted = keys::compacted_prefix(self.table, self.country, self.day);
        let bucket = self.location.strip_suffix(&raw);
        let version = bucket.and_then(|bucket| location.strip_prefix(bucket)?.strip_prefix(&compacted));
        version.is_some_and(|version| !version.is_empty())
    }
}

/// A failure of the catalog. The source says what the service answered.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error(
        "{operation} on {database}.{table} failed; the role and the service's health decide whether it can work"
    )]
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
        "{database}.{table} kept changing under country={country}/day={day}: it was created and gone again"
    )]
    Unsettled { database: String, table: Table, country: CountryCode, day: Day },
}

/// A partition as the catalog holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub location: String,
    /// Whether the descriptor has the columns and formats that [`Table::columns`] says. Engines
    /// read a partition by its own descriptor.
    pub current: bool,
}

/// What became of one partition of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    Done,
    AlreadyExists,
}

/// The partitions of one database. All of a call's partitions belong to one table.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// The database's name, for messages.
    fn database(&self) -> &str;

    /// What the catalog holds for each of the partitions' values, in their order.
    ///
    /// # Errors
    /// The service refused or did not answer.
    async fn get(&self, table: Table, partitions: &[Partition]) -> Result<Vec<Option<Held>>, CatalogError>;

    /// Creates the partitions, and says of each, in their order, whether it was there before.
    ///
    /// # Errors
    /// The service refused one, or did not answer; others may have been created.
    async fn create(&self, table: Table, partitions: &[Partition]) -> Result<Vec<Created>, CatalogError>;

    /// Gives partitions that exist their location and descriptor.
    ///
    /// # Errors
    /// The service refused one, or did not answer; others may have been updated.
    async fn update(&self, table: Table, partitions: &[Partition]) -> Result<(), CatalogError>;

    /// Removes the partitions from the catalog; one that is not there is removed already. Their files stay.
    ///
    /// # Errors
    /// The service refused one, or did not answer; others may have been removed.
    async fn delete(&self, table: Table, partitions: &[Partition]) -> Result<(), CatalogError>;
}

/// What [`register`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    pub created: usize,
    pub updated: usize,
    pub unchanged: usize,
}

/// Makes the catalog hold exactly these partitions: creates what is missing, updates what differs,
/// leaves the rest alone. One that somebody else creates meanwhile is compared, not assumed right.
///
/// A partition that lies compacted stays there: what a tick adds to such a day is compacted too, and
/// a way back to the ticks' own files would end where those have been removed.
///
/// # Errors
/// The catalog refused or did not answer; what was done before stays done, and running it again
/// finishes the rest.
pub async fn register(catalog: &dyn Catalog, partitions: &[Partition]) -> Result<Registered, CatalogError> {
    let mut tables: BTreeMap<Table, BTreeMap<(CountryCode, Day), &Partition>> = BTreeMap::new();
    for partition in partitions {
        let key = (partition.country, partition.day);
        tables.entry(partition.table).or_default().insert(key, partition);
    }
    let (mut done, mut failure) = (Registered::default(), None);
    for (table, wanted) in tables {
        let open = wanted.into_values().cloned().collect();
        // A table that is refused holds up no other.
        if let Err(error) = register_table(catalog, table, open, &mut done).await {
            failure.get_or_insert(error);
        }
    }
    failure.map_or(Ok(done), Err)
}

async fn register_table(
    catalog: &dyn Catalog,
    table: Table,
    mut open: Vec<Partition>,
    done: &mut Registered,
) -> Result<(), CatalogError> {
    // The second round is for partitions that were created between our get and our create.
    for round in 0..2 {
        let held = catalog.get(table, &open).await?;
        let (mut missing, mut different) = (Vec::new(), Vec::new());
        for (mut partition, held) in open.into_iter().zip(held) {
            match held {
                None => missing.push(partition),
                Some(held) => {
                    if partition.is_compacted_at(&held.location) {
                        partition.location.clone_from(&held.location);
                    }
                    if held.current && held.location == partition.location {
                        done.unchanged += 1;
                    } else {
                        different.push(partition);
                    }
                }
            }
        }
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
    Ok(())
}
