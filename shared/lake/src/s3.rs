//! The lake's bucket on Amazon S3.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::types::Tagging;
use bytes::Bytes;
use tokio::time::sleep;

use crate::objects::{Condition, LakeError, ListedObject, Objects, Put, Tag};

/// One bucket. The client lives as long as the process.
///
/// Anybody can take a bucket's name once it is free. So every request names the account that must own it:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html>
#[derive(Debug, Clone)]
pub struct S3Objects {
    client: Client,
    bucket: String,
    owner: String,
}

impl S3Objects {
    /// The bucket with that name, which the account `owner` owns.
    pub fn new(client: Client, bucket: impl Into<String>, owner: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into(), owner: owner.into() }
    }

    fn failed(
        &self,
        operation: &'static str,
        key: &str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> LakeError {
        LakeError::Failed {
            operation,
            bucket: self.bucket.clone(),
            key: key.to_owned(),
            source: Box::new(source),
        }
    }
}

#[async_trait]
impl Objects for S3Objects {
    fn bucket(&self) -> &str {
        &self.bucket
    }

    async fn get(&self, key: &str) -> Result<Bytes, LakeError> {
        let answer = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .expected_bucket_owner(&self.owner)
            .key(key)
            .send()
            .await;
        let object = answer.map_err(|error| match error.as_service_error() {
            Some(GetObjectError::NoSuchKey(_)) => {
                LakeError::Missing { bucket: self.bucket.clone(), key: key.to_owned() }
            }
            _ => self.failed("get", key, error),
        })?;
        let body = object.body.collect().await.map_err(|error| self.failed("get", key, error))?;
        Ok(body.into_bytes())
    }

    async fn put_if(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, LakeError> {
        let mut pauses = CROSSED_PAUSES.iter();
        loop {
            let put = self
                .client
                .put_object()
                .bucket(&self.bucket)
                .expected_bucket_owner(&self.owner)
                .key(key)
                .body(body.clone().into());
            let put = match &condition {
                Condition::Always => put,
                Condition::Absent => put.if_none_match("*"),
                Condition::Unchanged(etag) => put.if_match(etag),
            };
            let Err(error) = put.send().await else { return Ok(Put::Done) };
            if does_not_hold(&error) {
                return Ok(Put::Conflict);
            }
            match pauses.next() {
                Some(pause) if is_crossed(&error) => sleep(Duration::from_millis(*pause)).await,
                _ => return Err(self.failed("put", key, error)),
            }
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>, LakeError> {
        let mut pages = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .expected_bucket_owner(&self.owner)
            .prefix(prefix)
            .into_paginator()
            .send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failed("list", prefix, error))?;
            for object in page.contents.unwrap_or_default() {
                let (Some(key), Some(etag)) = (object.key, object.e_tag) else {
                    let what = std::io::Error::other("S3 listed an object without a key or an entity tag");
                    return Err(self.failed("list", prefix, what));
                };
                found.push(ListedObject { key, etag });
            }
        }
        Ok(found)
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>, LakeError> {
        let request = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .expected_bucket_owner(&self.owner)
            .prefix(prefix)
            .delimiter("/");
        let mut pages = request.into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failed("list", prefix, error))?;
            found.extend(
                page.common_prefixes.unwrap_or_default().into_iter().filter_map(|found| found.prefix),
            );
        }
        Ok(found)
    }

    async fn delete(&self, key: &str) -> Result<(), LakeError> {
        let answer = self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .expected_bucket_owner(&self.owner)
            .key(key)
            .send()
            .await;
        answer.map(|_| ()).map_err(|error| self.failed("delete", key, error))
    }

    async fn tag(&self, key: &str, tag: Tag) -> Result<(), LakeError> {
        let set = aws_sdk_s3::types::Tag::builder().key(tag.name).value(tag.value).build();
        let set = set.and_then(|tag| Tagging::builder().tag_set(tag).build());
        let set = set.map_err(|error| self.failed("tag", key, error))?;
        let request = self
            .client
            .put_object_tagging()
            .bucket(&self.bucket)
            .expected_bucket_owner(&self.owner)
            .key(key)
            .tagging(set);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NoSuchKey") => {
                Err(LakeError::Missing { bucket: self.bucket.clone(), key: key.to_owned() })
            }
            Err(error) => Err(self.failed("tag", key, error)),
        }
    }
}

/// The pauses, in milliseconds, before a put that met another write is tried again: 3 s in all.
const CROSSED_PAUSES: [u64; 6] = [50, 100, 200, 400, 800, 1450];

fn code<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// The condition does not hold: 412, or 404 to `If-Match` because the object no longer exists.
fn does_not_hold<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    matches!(code(error), Some("PreconditionFailed" | "NoSuchKey"))
}

/// Another write of the key was in progress (409). That says nothing about the condition. S3 asks clients
/// to try again; the SDK does not.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>
fn is_crossed<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    matches!(code(error), Some("ConditionalRequestConflict" | "OperationAborted"))
}
