//! A lake that records which objects are read, and can fail reads under a prefix. Its entity tags depend on
//! the content, like those of S3.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use storewatch_lake::{Condition, LakeError, ListedObject, Objects, Put, Tag};

use crate::World;

/// Wraps the lake of a world.
pub struct Noting<'a> {
    world: &'a World,
    got: Mutex<Vec<String>>,
    failing: Option<&'static str>,
}

impl<'a> Noting<'a> {
    pub fn new(world: &'a World) -> Self {
        Self { world, got: Mutex::default(), failing: None }
    }

    /// A lake in which S3 fails every read under the prefix.
    pub fn failing(world: &'a World, prefix: &'static str) -> Self {
        Self { failing: Some(prefix), ..Self::new(world) }
    }

    /// How many objects were read under the prefix.
    pub fn gets(&self, prefix: &str) -> usize {
        self.got.lock().unwrap().iter().filter(|key| key.starts_with(prefix)).count()
    }
}

#[async_trait]
impl Objects for Noting<'_> {
    fn bucket(&self) -> &str {
        self.world.objects.bucket()
    }

    async fn get(&self, key: &str) -> Result<Bytes, LakeError> {
        self.got.lock().unwrap().push(key.to_owned());
        if self.failing.is_some_and(|prefix| key.starts_with(prefix)) {
            let (bucket, key) = (self.bucket().to_owned(), key.to_owned());
            return Err(LakeError::Failed { operation: "get", bucket, key, source: "503 SlowDown".into() });
        }
        self.world.objects.get(key).await
    }

    /// For a single writer only: nobody may write between its check and its put.
    async fn put_if(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, LakeError> {
        let Condition::Unchanged(etag) = condition else {
            return self.world.objects.put_if(key, body, condition).await;
        };
        let held = self.list(key).await?.into_iter().find(|object| object.key == key);
        if held.is_none_or(|held| held.etag != etag) {
            return Ok(Put::Conflict);
        }
        self.world.objects.put_if(key, body, Condition::Always).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>, LakeError> {
        let mut listed = self.world.objects.list(prefix).await?;
        for object in &mut listed {
            let mut hasher = DefaultHasher::new();
            self.world.objects.get(&object.key).await?.hash(&mut hasher);
            object.etag = format!("{:x}", hasher.finish());
        }
        Ok(listed)
    }

    async fn delete(&self, key: &str) -> Result<(), LakeError> {
        self.world.objects.delete(key).await
    }

    async fn tag(&self, key: &str, tag: Tag) -> Result<(), LakeError> {
        self.world.objects.tag(key, tag).await
    }
}
