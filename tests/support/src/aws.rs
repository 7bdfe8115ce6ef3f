//! The local AWS for Rust tests: a configured SDK, and a catalog for each test.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_glue::Client;
use aws_sdk_glue::config::Credentials;
use aws_sdk_glue::types::{Column, DatabaseInput, TableInput};

use crate::{Stack, unique_name};

/// The account of root's key.
pub const ACCOUNT: &str = "000000000000";

/// The client configuration for the local AWS.
pub async fn sdk() -> SdkConfig {
    let aws = &Stack::running().aws;
    let credentials = Credentials::new(&aws.access_key_id, &aws.secret_access_key, None, None, "stack");
    aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(&aws.endpoint)
        .region(Region::new(&*aws.region))
        .credentials_provider(credentials)
        .load()
        .await
}

/// Creates a database of the Glue catalog with these tables, partitioned by `country` and `day`.
pub async fn glue_database(tables: &[&str]) -> (Client, String) {
    let client = Client::new(&sdk().await);
    let database = unique_name("catalog");
    let input = DatabaseInput::builder().name(&database).build().unwrap();
    client.create_database().database_input(input).send().await.unwrap();
    for table in tables {
        let key = |name: &str| Column::builder().name(name).r#type("string").build().unwrap();
        let keys = [key("country"), key("day")];
        let input = TableInput::builder().name(*table).set_partition_keys(Some(keys.into())).build().unwrap();
        client.create_table().database_name(&database).table_input(input).send().await.unwrap();
    }
    (client, database)
}
