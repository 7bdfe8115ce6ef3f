//! The record of a compacted day: what its files were made of. It decides what the day's version is;
//! the catalog follows it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use storewatch_domain::{CountryCode, Slot};
use storewatch_lake::objects::damaged;
use storewatch_lake::restate::Changes;
use storewatch_lake::{Condition, LakeError, Objects, Put, Table, keys};

/// What is known of a compacted day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub country: CountryCode,
    pub day: String,
    pub tables: BTreeMap<Table, Version>,
    /// What the tables were before the day was judged again for the first time: the first judgement,
    /// which is kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub first: BTreeMap<Table, Version>,
    /// Each time that the day was judged again, the earliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restated: Vec<Restatement>,
    /// Files that are no table's version any more, and are not marked for removal yet.
    pub superseded: Vec<String>,
    /// Whether the catalog has been seen to hold these versions, and all that they took the place of
    /// is marked for removal.
    pub settled: bool,
}

/// That a day was judged again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restatement {
    /// When the schedules were read by which it was judged, RFC 3339.
    pub schedule_as_of: String,
    /// The release of the time zone database by which it was judged; null in records older than this.
    #[serde(default)]
    pub tzdb: Option<String>,
    /// The stores that were judged; null for all.
    pub stores: Option<Vec<String>>,
    /// How many rows have another status since.
    pub changes: Changes,
}

/// A table's compacted day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// As the catalog has it.
    pub location: String,
    /// The key of the one file there.
    pub file: String,
    pub rows: u64,
    pub slots: Vec<Slot>,
    /// Sixteen hexadecimal digits: the sum that the rows' keys have in any order.
    pub checksum: String,
    /// Every tick's file that the rows come from, with the entity tag it had. One that is gone has
    /// left its rows in the versions since.
    pub inputs: BTreeMap<String, String>,
}

/// The record as it was found, and the condition to write the next one under.
pub struct Found {
    pub record: Record,
    pub condition: Condition,
}

impl Record {
    /// The day's record, or an empty one.
    ///
    /// # Errors
    /// The record cannot be read.
    pub async fn find(objects: &dyn Objects, country: CountryCode, day: &str) -> Result<Found, LakeError> {
        let key = keys::compaction_record(country, day);
        let Some((listed, body)) = objects.find(&key).await? else {
            let record = Self {
                country,
                day: day.to_owned(),
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

    /// Writes the record in the place of the one that was found. A conflict means that another
    /// compaction of the day has come in between.
    ///
    /// # Errors
    /// The record cannot be written.
    pub async fn write(&self, objects: &dyn Objects, condition: Condition) -> Result<Put, LakeError> {
        let key = keys::compaction_record(self.country, &self.day);
        let body: Bytes =
            serde_json::to_vec_pretty(self).map_err(|error| damaged(objects, &key, error))?.into();
        objects.put_again_if(&key, body, condition).await
    }

    /// Whether the table's version was made of this file as it is.
    pub fn has(&self, table: Table, key: &str, etag: &str) -> bool {
        self.tables.get(&table).is_some_and(|version| version.inputs.get(key).is_some_and(|own| own == etag))
    }
}

/// The name of a version: another one for other bytes, so that no put can change what a record tells of.
/// A run that has been overtaken makes something else of the same files. The same bytes of the same files
/// have the same name, so that whoever makes them again writes the same place.
pub fn version_of(inputs: &BTreeMap<String, String>, body: &Bytes) -> String {
    let mut hash = Sha256::new();
    for (key, etag) in inputs {
        hash.update(format!("{key}\n{etag}\n"));
    }
    hash.update(body);
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
