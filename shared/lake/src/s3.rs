//! The lake's bucket on Amazon S3.

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::types::Tagging;
use bytes::Bytes;

use crate::objects::{Condition, LakeError, ListedObject, Objects, Put, Tag};

/// One bucket, reached by a client that lives as long as the process.
#[derive(Debug, Clone)]
pub struct S3Objects {
    client: Client,
    bucket: String,
}

impl S3Objects {
    /// The bucket of that name.
    pub fn new(client: Client, bucket: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into() }
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
        let answer = self.client.get_object().bucket(&self.bucket).key(key).send().await;
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
        let request = self.client.put_object().bucket(&self.bucket).key(key).body(body.into());
        let request = match condition {
            Condition::Always => request,
            Condition::Absent => request.if_none_match("*"),
            Condition::Unchanged(etag) => request.if_match(etag),
        };
        match request.send().await {
            Ok(_) => Ok(Put::Done),
            Err(error) if is_conflict(&error) => Ok(Put::Conflict),
            Err(error) => Err(self.failed("put", key, error)),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>, LakeError> {
        let mut pages =
            self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failed("list", prefix, error))?;
            found.extend(page.contents.unwrap_or_default().into_iter().filter_map(|object| {
                Some(ListedObject { key: object.key?, etag: object.e_tag.unwrap_or_default() })
            }));
        }
        Ok(found)
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>, LakeError> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).delimiter("/");
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
        let answer = self.client.delete_object().bucket(&self.bucket).key(key).send().await;
        answer.map(|_| ()).map_err(|error| self.failed("delete", key, error))
    }

    async fn tag(&self, key: &str, tag: Tag) -> Result<(), LakeError> {
        let set = aws_sdk_s3::types::Tag::builder().key(tag.name).value(tag.value).build();
        let set = set.and_then(|tag| Tagging::builder().tag_set(tag).build());
        let set = set.map_err(|error| self.failed("tag", key, error))?;
        let request = self.client.put_object_tagging().bucket(&self.bucket).key(key).tagging(set);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NoSuchKey") => {
                Err(LakeError::Missing { bucket: self.bucket.clone(), key: key.to_owned() })
            }
            Err(error) => Err(self.failed("tag", key, error)),
        }
    }
}

/// S3 answers 412 where the condition does not hold, 409 where another conditional put is under
/// way, and 404 to `If-Match` where the object is gone.
fn is_conflict<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    matches!(code, Some("PreconditionFailed" | "ConditionalRequestConflict" | "NoSuchKey"))
}
