//! The record of a compacted day: which version each table has, and what it was made from. The record
//! decides; the catalog follows it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use storewatch_domain::{CountryCode, Day, Instant, Slot};
use storewatch_lake::objects::damaged;
use storewatch_lake::rejudged::Changes;
use storewatch_lake::{Condition, LakeError, ListedObject, Objects, Partition, Put, Table, keys};

use crate::CountryDay;

/// How often work on a day starts again after another run has changed its record.
pub(crate) const TRIES: usize = 5;

/// A compacted day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub country: CountryCode,
    pub day: Day,
    pub tables: BTreeMap<Table, Version>,
    /// The first judgement: the versions before the day was first judged again. They are kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub first: BTreeMap<Table, Version>,
    /// Each time that the day was judged again, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restated: Vec<Restatement>,
    /// Files of earlier versions that are not marked for removal yet.
    pub superseded: Vec<String>,
    /// Whether the catalog was seen to hold these versions, and all that they replaced is marked for
    /// removal.
    pub settled: bool,
}

/// One time that a day was judged again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restatement {
    /// When the schedules were read.
    pub schedule_as_of: Instant,
    /// The release of the time zone database by which it was judged; null in records of earlier releases.
    #[serde(default)]
    pub tzdb: Option<String>,
    /// The stores that were judged; null for all.
    pub stores: Option<Vec<String>>,
    /// How many rows changed their status.
    pub changes: Changes,
}

/// A version of a table's day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Where the catalog points to, `s3://bucket/…/`.
    pub location: String,
    /// The key of the one file there.
    pub file: String,
    pub rows: u64,
    pub slots: Vec<Slot>,
    /// Sixteen hexadecimal digits: a sum over the rows, in any order.
    pub checksum: String,
    /// The files that the rows come from, with their entity tags. The rows of files that are gone are in
    /// the versions since.
    pub inputs: BTreeMap<String, String>,
}

impl Version {
    /// Whether the version was made from this object as it is.
    pub fn has(&self, object: &ListedObject) -> bool {
        self.inputs.get(&object.key) == Some(&object.etag)
    }
}

/// A record as it was found, and the condition for writing the next one.
pub struct Found {
    pub record: Record,
    pub condition: Condition,
}

impl Record {
    /// The day's record, or an empty one.
    ///
    /// # Errors
    /// The record cannot be read or is damaged.
    pub async fn find(objects: &dyn Objects, id: CountryDay) -> Result<Found, LakeError> {
        let CountryDay { country, day } = id;
        let key = keys::compaction_record(country, day);
        let Some((listed, body)) = objects.find(&key).await? else {
            let record = Self {
                country,
                day,
                tables: BTreeMap::new(),
                first: BTreeMap::new(),
                restated: Vec::new(),
                superseded: Vec::new(),
                settled: true,
            };
            return Ok(Found { record, condition: Condition::Absent });
        };
        let record = serde_json::from_slice(&body).map_err(|error| damaged(objects, &key, error))?;
        Ok(Found { record, condition: Condition::Unchanged(listed.etag) })
    }

    /// Replaces the record that was found. A conflict means that another run has changed it since.
    ///
    /// # Errors
    /// The record cannot be written.
    pub async fn write(&self, objects: &dyn Objects, condition: Condition) -> Result<Put, LakeError> {
        let key = keys::compaction_record(self.country, self.day);
        let body: Bytes =
            serde_json::to_vec_pretty(self).map_err(|error| damaged(objects, &key, error))?.into();
        objects.put_again_if(&key, body, condition).await
    }

    /// The day that the record is of.
    pub fn id(&self) -> CountryDay {
        CountryDay { country: self.country, day: self.day }
    }

    /// The partitions as the catalog should hold them.
    pub fn partitions(&self) -> impl Iterator<Item = Partition> {
        self.tables.iter().map(|(table, version)| Partition {
            table: *table,
            country: self.country,
            day: self.day,
            location: version.location.clone(),
        })
    }

    /// Gives a table its next version. The file of the one before is superseded.
    pub(crate) fn replace(&mut self, table: Table, version: Version) {
        let file = version.file.clone();
        self.superseded.extend(self.tables.insert(table, version).map(|old| old.file));
        self.superseded.retain(|old| *old != file);
        self.settled = false;
    }
}

/// The error after other runs have changed the record [`TRIES`] times.
pub(crate) fn crossed(objects: &dyn Objects, id: CountryDay) -> LakeError {
    LakeError::Failed {
        operation: "conditional put",
        bucket: objects.bucket().to_owned(),
        key: keys::compaction_record(id.country, id.day),
        source: format!("other compactions of the day came in between {TRIES} times").into(),
    }
}

/// The name of a version: sixteen hexadecimal digits of a hash of its inputs and bytes.
///
/// Other bytes get another name, so no put can change what a record describes: a run that was overtaken
/// makes other bytes of the same files. The same bytes of the same files get the same name, so a run that
/// makes them again writes to the same key.
pub(crate) fn version_name(inputs: &BTreeMap<String, String>, body: &Bytes) -> String {
    let mut hash = Sha256::new();
    for (key, etag) in inputs {
        hash.update(format!("{key}\n{etag}\n"));
    }
    hash.update(body);
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
