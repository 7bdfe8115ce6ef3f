//! The objects of the lake's bucket, and the operations on them that Storewatch needs.

use std::error::Error;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;

/// The object store failed. The source holds the service's answer.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    #[error(
        "{operation} of s3://{bucket}/{key} failed; check the bucket's policy, the role's rights and the service's health"
    )]
    Failed { operation: &'static str, bucket: String, key: String, source: Box<dyn Error + Send + Sync> },
    #[error("s3://{bucket}/{key} does not exist")]
    Missing { bucket: String, key: String },
    #[error(
        "s3://{bucket}/{key} cannot be understood; it is damaged, or another version of Storewatch wrote it"
    )]
    Damaged { bucket: String, key: String, source: Box<dyn Error + Send + Sync> },
    #[error("what is to be put at s3://{bucket}/{key} cannot be written as JSON")]
    Unwritable { bucket: String, key: String, source: serde_json::Error },
}

/// The condition under which a put takes place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Put in any case.
    Always,
    /// The key has no object yet.
    Absent,
    /// The object still has this entity tag.
    Unchanged(String),
}

/// A tag by which lifecycle rules select objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    pub name: &'static str,
    pub value: &'static str,
}

/// The result of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    Done,
    /// The condition did not hold; nothing was written.
    Conflict,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    pub key: String,
    /// The entity tag, in the form that conditions take.
    pub etag: String,
}

/// A bucket. Reads see every earlier write, and never a half-written object.
#[async_trait]
pub trait Objects: Send + Sync {
    /// The bucket's name, for messages and locations.
    fn bucket(&self) -> &str;

    /// Reads the whole object.
    ///
    /// # Errors
    /// [`LakeError::Missing`] if it does not exist. Without the right to list, S3 says "access denied"
    /// instead.
    async fn get(&self, key: &str) -> Result<Bytes, LakeError>;

    /// Writes the whole object if the condition holds.
    ///
    /// # Errors
    /// The service refused or did not answer. The object may or may not have been written.
    async fn put_if(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, LakeError>;

    /// Lists every object whose key starts with the prefix, in key order.
    ///
    /// # Errors
    /// The service refused or did not answer.
    async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>, LakeError>;

    /// Lists the folders in a prefix that ends in a slash: the distinct parts of its keys up to the next
    /// slash, in order. Each ends in a slash.
    ///
    /// # Errors
    /// The service refused or did not answer.
    async fn folders(&self, prefix: &str) -> Result<Vec<String>, LakeError> {
        let listed = self.list(prefix).await?;
        let folder = |object: &ListedObject| {
            let end = object.key[prefix.len()..].find('/')?;
            Some(object.key[..=prefix.len() + end].to_owned())
        };
        let mut folders: Vec<String> = listed.iter().filter_map(folder).collect();
        folders.dedup();
        Ok(folders)
    }

    /// Deletes the object. Does nothing if it does not exist.
    ///
    /// # Errors
    /// The service refused or did not answer.
    async fn delete(&self, key: &str) -> Result<(), LakeError>;

    /// Tags the object, replacing any tags that it has. A tag belongs to the object, not to the key: an
    /// object that is put under the key later has none.
    ///
    /// # Errors
    /// [`LakeError::Missing`] if there is none. The service refused or did not answer.
    async fn tag(&self, key: &str, tag: Tag) -> Result<(), LakeError>;

    /// Writes the whole object, replacing any other.
    ///
    /// # Errors
    /// As [`Objects::put_if`].
    async fn put(&self, key: &str, body: Bytes) -> Result<(), LakeError> {
        self.put_if(key, body, Condition::Always).await.map(|_| ())
    }

    /// As [`Objects::put_if`], except that an object with exactly these bytes is not a conflict: an earlier
    /// put succeeded and its answer was lost.
    ///
    /// # Errors
    /// As [`Objects::put_if`] and [`Objects::find`].
    async fn put_again_if(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, LakeError> {
        let put = self.put_if(key, body.clone(), condition).await?;
        if put == Put::Conflict && self.find(key).await?.is_none_or(|(_, found)| found != body) {
            return Ok(Put::Conflict);
        }
        Ok(Put::Done)
    }

    /// Reads the object if it exists.
    ///
    /// Lists first: without the right to list, S3 answers the get of a missing key with "access denied",
    /// which must not be taken for "does not exist".
    ///
    /// # Errors
    /// The service refused or did not answer.
    async fn find(&self, key: &str) -> Result<Option<(ListedObject, Bytes)>, LakeError> {
        let listed = self.list(key).await?;
        let Some(found) = listed.into_iter().find(|object| object.key == key) else { return Ok(None) };
        match self.get(key).await {
            Ok(body) => Ok(Some((found, body))),
            Err(LakeError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The value as JSON, to be put under the key.
///
/// # Errors
/// [`LakeError::Unwritable`].
pub fn json(objects: &dyn Objects, key: &str, value: &impl Serialize) -> Result<Bytes, LakeError> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|source| LakeError::Unwritable {
        bucket: objects.bucket().to_owned(),
        key: key.to_owned(),
        source,
    })
}

/// Makes an error about an object's content.
pub fn damaged(
    objects: &dyn Objects,
    key: &str,
    source: impl Into<Box<dyn Error + Send + Sync>>,
) -> LakeError {
    LakeError::Damaged { bucket: objects.bucket().to_owned(), key: key.to_owned(), source: source.into() }
}
