//! The Glue catalog, which query engines use as their Hive metastore.

use std::collections::HashMap;
use std::error::Error;

use async_trait::async_trait;
use aws_sdk_glue::Client;
use aws_sdk_glue::operation::delete_partition::DeletePartitionError;
use aws_sdk_glue::types::{
    BatchUpdatePartitionRequestEntry, Column, ErrorDetail, PartitionInput, PartitionValueList, SerDeInfo,
    StorageDescriptor,
};

use crate::catalog::{Catalog, CatalogError, Created, Held, Partition};
use crate::tables::Table;

const INPUT_FORMAT: &str = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat";
const OUTPUT_FORMAT: &str = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat";
const SERDE: &str = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe";

/// The most partitions that Glue takes in BatchCreatePartition and BatchUpdatePartition. BatchGetPartition
/// takes 1,000.
const BATCH: usize = 100;

/// One database of the Glue catalog. The client lives as long as the process.
#[derive(Debug, Clone)]
pub struct GlueCatalog {
    client: Client,
    account: String,
    database: String,
}

impl GlueCatalog {
    /// The database with that name in an account's catalog. A catalog's id is its account:
    /// <https://docs.aws.amazon.com/glue/latest/dg/cross-account-access.html>
    pub fn new(client: Client, account: impl Into<String>, database: impl Into<String>) -> Self {
        Self { client, account: account.into(), database: database.into() }
    }

    fn failed(
        &self,
        operation: &'static str,
        table: Table,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> CatalogError {
        CatalogError::Failed { operation, database: self.database.clone(), table, source: source.into() }
    }

    fn refused(
        &self,
        operation: &'static str,
        partition: &Partition,
        detail: Option<&ErrorDetail>,
    ) -> CatalogError {
        let text = |value: Option<&str>| value.unwrap_or("no details given").to_owned();
        CatalogError::Refused {
            operation,
            database: self.database.clone(),
            table: partition.table,
            country: partition.country,
            day: partition.day,
            code: text(detail.and_then(ErrorDetail::error_code)),
            message: text(detail.and_then(ErrorDetail::error_message)),
        }
    }

    fn input(&self, partition: &Partition) -> PartitionInput {
        PartitionInput::builder()
            .set_values(Some(values(partition)))
            .storage_descriptor(descriptor(partition.table, &partition.location))
            .build()
    }
}

#[async_trait]
impl Catalog for GlueCatalog {
    fn database(&self) -> &str {
        &self.database
    }

    async fn get(&self, table: Table, partitions: &[Partition]) -> Result<Vec<Option<Held>>, CatalogError> {
        let mut held: HashMap<Vec<String>, Held> = HashMap::new();
        for batch in partitions.chunks(BATCH) {
            let mut wanted: Vec<Vec<String>> = batch.iter().map(values).collect();
            while !wanted.is_empty() {
                let asked = wanted.len();
                let lists =
                    wanted.drain(..).map(|v| PartitionValueList::builder().set_values(Some(v)).build());
                let request =
                    self.client.batch_get_partition().catalog_id(&self.account).database_name(&self.database);
                let request = request.table_name(table.name()).set_partitions_to_get(Some(
                    lists
                        .collect::<Result<_, _>>()
                        .map_err(|error| self.failed("BatchGetPartition", table, error))?,
                ));
                let answer =
                    request.send().await.map_err(|error| self.failed("BatchGetPartition", table, error))?;
                for partition in answer.partitions.unwrap_or_default() {
                    let descriptor =
                        partition.storage_descriptor.unwrap_or_else(|| StorageDescriptor::builder().build());
                    let location = descriptor.location.clone().unwrap_or_default();
                    let current = is_current(table, &descriptor);
                    held.insert(partition.values.unwrap_or_default(), Held { location, current });
                }
                wanted =
                    answer.unprocessed_keys.unwrap_or_default().into_iter().map(|key| key.values).collect();
                // Glue had no time for these keys, or they do not exist. If asking again answers none of
                // them, they count as missing. If one exists after all, creating it says so, and it is
                // compared then.
                if wanted.len() == asked {
                    break;
                }
            }
        }
        Ok(partitions.iter().map(|partition| held.get(&values(partition)).cloned()).collect())
    }

    async fn create(&self, table: Table, partitions: &[Partition]) -> Result<Vec<Created>, CatalogError> {
        let mut outcomes = Vec::with_capacity(partitions.len());
        for batch in partitions.chunks(BATCH) {
            let request =
                self.client.batch_create_partition().catalog_id(&self.account).database_name(&self.database);
            let inputs = batch.iter().map(|partition| self.input(partition)).collect();
            let request = request.table_name(table.name()).set_partition_input_list(Some(inputs));
            let answer =
                request.send().await.map_err(|error| self.failed("BatchCreatePartition", table, error))?;
            for partition in batch {
                let values = values(partition);
                let error = answer.errors().iter().find(|error| error.partition_values() == values);
                outcomes.push(match error.map(|error| error.error_detail()) {
                    None => Created::Done,
                    Some(Some(detail)) if detail.error_code() == Some("AlreadyExistsException") => {
                        Created::AlreadyExists
                    }
                    Some(detail) => return Err(self.refused("BatchCreatePartition", partition, detail)),
                });
            }
        }
        Ok(outcomes)
    }

    async fn update(&self, table: Table, partitions: &[Partition]) -> Result<(), CatalogError> {
        for batch in partitions.chunks(BATCH) {
            let entries = batch.iter().map(|partition| {
                BatchUpdatePartitionRequestEntry::builder()
                    .set_partition_value_list(Some(values(partition)))
                    .partition_input(self.input(partition))
                    .build()
            });
            let entries = entries
                .collect::<Result<_, _>>()
                .map_err(|error| self.failed("BatchUpdatePartition", table, error))?;
            let request =
                self.client.batch_update_partition().catalog_id(&self.account).database_name(&self.database);
            let request = request.table_name(table.name()).set_entries(Some(entries));
            let answer =
                request.send().await.map_err(|error| self.failed("BatchUpdatePartition", table, error))?;
            let errors = answer.errors.unwrap_or_default();
            if let Some(error) = errors.first() {
                let values_of = error.partition_value_list.clone().unwrap_or_default();
                let partition = batch.iter().find(|p| values(p) == values_of).unwrap_or(&batch[0]);
                return Err(self.refused("BatchUpdatePartition", partition, error.error_detail.as_ref()));
            }
        }
        Ok(())
    }

    async fn delete(&self, table: Table, partitions: &[Partition]) -> Result<(), CatalogError> {
        // One by one: few partitions have no files, and the local Glue has no BatchDeletePartition.
        for partition in partitions {
            let request = self
                .client
                .delete_partition()
                .catalog_id(&self.account)
                .database_name(&self.database)
                .table_name(table.name());
            match request.set_partition_values(Some(values(partition))).send().await {
                Ok(_) => {}
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(DeletePartitionError::is_entity_not_found_exception) => {}
                Err(error) => return Err(self.failed("DeletePartition", table, error)),
            }
        }
        Ok(())
    }
}

fn values(partition: &Partition) -> Vec<String> {
    vec![partition.country.to_string(), partition.day.to_string()]
}

/// Engines read a partition by its own descriptor: without SerdeInfo and columns they cannot.
fn descriptor(table: Table, location: &str) -> StorageDescriptor {
    let columns = table.columns().iter().map(|(name, kind)| {
        // The builder checks only that `name` is set, and it is.
        Column::builder().name(*name).r#type(*kind).build().ok()
    });
    StorageDescriptor::builder()
        .location(location)
        .set_columns(columns.collect())
        .input_format(INPUT_FORMAT)
        .output_format(OUTPUT_FORMAT)
        .serde_info(SerDeInfo::builder().serialization_library(SERDE).build())
        .build()
}

fn is_current(table: Table, held: &StorageDescriptor) -> bool {
    let serde = held.serde_info().and_then(SerDeInfo::serialization_library);
    let columns = held.columns().iter().map(|column| (column.name(), column.r#type().unwrap_or_default()));
    held.input_format() == Some(INPUT_FORMAT)
        && held.output_format() == Some(OUTPUT_FORMAT)
        && serde == Some(SERDE)
        && columns.eq(table.columns().iter().copied())
}
