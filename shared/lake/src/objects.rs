//! Objects of the lake's bucket, as far as Storewatch needs them.

use std::error::Error;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;

/// A failure of the object store. The source says what the service answered.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    #[error(
        "{operation} of s3://{bucket}/{key} failed; the bucket's policy, the role and the service's health decide whether it can work"
    )]
    Failed { operation: &'static str, bucket: String, key: String, source: Box<dyn Error + Send + Sync> },
    #[error("s3://{bucket}/{key} does not exist")]
    Missing { bucket: String, key: String },
    #[error(
        "s3://{bucket}/{key} cannot be understood; it was not written by this version of Storewatch, or is damaged"
    )]
    Damaged { bucket: String, key: String, source: Box<dyn Error + Send + Sync> },
    #[error("what is to be put at s3://{bucket}/{key} cannot be written as JSON")]
    Unwritable { bucket: String, key: String, source: serde_json::Error },
}

/// What must hold of the object that is there for a put to take place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing: put in any case.
    Always,
    /// There is none yet.
    Absent,
    /// It is still the one with this entity tag.
    Unchanged(String),
}

/// What lifecycle rules know an object by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    pub name: &'static str,
    pub value: &'static str,
}

/// What became of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    Done,
    /// The condition did not hold; nothing was written.
    Conflict,
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    pub key: String,
    /// The entity tag, as conditions want it.
    pub etag: String,
}

/// A bucket. Reads see every write that came before them, and no object is ever seen half-written.
#[async_trait]
pub trait Objects: Send + Sync {
    /// The bucket's name, for messages and locations.
    fn bucket(&self) -> &str;

    /// The whole object.
    ///
    /// # Errors
    /// [`LakeError::Missing`] where there is none, as far as the role may know.
    async fn get(&self, key: &str) -> Result<Bytes, LakeError>;

    /// Writes the whole object, if the condition holds.
    ///
    /// # Errors
    /// The service refused or did not answer; then the object may be written or not.
    async fn put_if(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, LakeError>;

    /// Every object whose key starts with the prefix, in the order of keys.
    ///
    /// # Errors
    /// The service refused or did not answer.
    async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>, LakeError>;

    /// The folders in a prefix that ends in a slash: what the keys of its objects have in common up to
    /// their next slash, in order. Each ends in a slash.
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

    /// Deletes the object; one that is not there is deleted already.
    ///
    /// # Errors
    /// The service refused or did not answer.
    async fn delete(&self, key: &str) -> Result<(), LakeError>;

    /// Puts a tag on the object, in the place of any that it has. A tag is the object's, not the key's:
    /// whatever is put under the key later has none.
    ///
    /// # Errors
    /// [`LakeError::Missing`] where there is none; the service refused or did not answer.
    async fn tag(&self, key: &str, tag: Tag) -> Result<(), LakeError>;

    /// Writes the whole object, whatever is there.
    ///
    /// # Errors
    /// As [`Objects::put_if`].
    async fn put(&self, key: &str, body: Bytes) -> Result<(), LakeError> {
        self.put_if(key, body, Condition::Always).await.map(|_| ())
    }

    /// As [`Objects::put_if`], but what is there already, byte for byte, is no conflict: the put was done
    /// before, and the answer to it was lost.
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

    /// The object if there is one.
    ///
    /// Asks the listing first: where a role may not list, S3 answers the get of a missing key with
    /// "access denied", which must not be taken for "not there".
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

/// An error about the content of an object.
pub fn damaged(
    objects: &dyn Objects,
    key: &str,
    source: impl Into<Box<dyn Error + Send + Sync>>,
) -> LakeError {
    LakeError::Damaged { bucket: objects.bucket().to_owned(), key: key.to_owned(), source: source.into() }
}
