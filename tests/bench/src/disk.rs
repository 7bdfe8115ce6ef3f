//! A bucket in a folder, for one process at a time.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use storewatch_lake::{Condition, LakeError, ListedObject, Objects, Put, Tag};

use crate::day::write;

/// A bucket in a folder.
pub struct DiskObjects {
    pub root: PathBuf,
}

#[async_trait]
impl Objects for DiskObjects {
    fn bucket(&self) -> &str {
        "disk"
    }

    async fn get(&self, key: &str) -> Result<Bytes, LakeError> {
        let missing = |_| LakeError::Missing { bucket: "disk".to_owned(), key: key.to_owned() };
        fs::read(self.root.join(key)).map(Bytes::from).map_err(missing)
    }

    async fn put_if(&self, key: &str, body: Bytes, _: Condition) -> Result<Put, LakeError> {
        write(&self.root.join(key), &body);
        Ok(Put::Done)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>, LakeError> {
        let (mut found, mut open) = (Vec::new(), vec![self.root.clone()]);
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let key = path.strip_prefix(&self.root).unwrap().to_string_lossy().into_owned();
                if path.is_dir() {
                    open.push(path);
                } else if key.starts_with(prefix) {
                    let etag = fs::metadata(&path).unwrap().ino().to_string();
                    found.push(ListedObject { key, etag });
                }
            }
        }
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    async fn delete(&self, key: &str) -> Result<(), LakeError> {
        let _ = fs::remove_file(self.root.join(key));
        Ok(())
    }

    async fn tag(&self, _: &str, _: Tag) -> Result<(), LakeError> {
        Ok(())
    }
}
