//! The local AWS for the tests of this crate.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::Credentials;
use storewatch_stack_client::Stack;

pub(crate) async fn sdk() -> SdkConfig {
    let aws = &Stack::running().aws;
    let credentials = Credentials::new(&aws.access_key_id, &aws.secret_access_key, None, None, "stack");
    aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(&aws.endpoint)
        .region(Region::new(&*aws.region))
        .credentials_provider(credentials)
        .load()
        .await
}
