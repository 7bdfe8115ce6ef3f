//! The record of a compacted day: which version each table has, and what it was made from. The catalog
//! follows the record.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use storewatch_domain::{CountryCode, Day, Instant, Slot};
use storewatch_lake::objects::damaged;
use storewatch_lake::rejudged::Changes;
use storewatch_lake::{Condition, LakeError, ListedObject, Objects, Partition, Put, Table, keys};

use crate::CountryDay;

/// How often a run starts over after another run has changed the day's record.
pub(crate) const TRIES: usize = 5;

/// A compacted day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub country: CountryCode,
    pub day: Day,
    pub tables: BTreeMap<Table, Version>,
    /// The first judgement: the versions from before the day was judged again. They are kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub first: BTreeMap<Table, Version>,
    /// Each time that the day was judged again, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restated: Vec<Restatement>,
    /// How the day's outages were made; `None` in records of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outages: Option<OutagesMade>,
    /// Files of earlier versions that are not marked for removal yet.
    pub superseded: Vec<String>,
    /// Whether the catalog was seen to hold these versions, and everything that they replaced is marked for
    /// removal.
    pub settled: bool,
}

/// What a day's outages were made from, and what they carry over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutagesMade {
    /// The key of what the next day takes over. Its name is that of its content.
    pub carried: String,
    /// The files that they were made from. A key names its content, so no entity tag is needed.
    pub inputs: BTreeSet<String>,
    /// Whether the country file and the zone data could be used. Without them the columns that need hours
    /// are null, and the outages are made again.
    pub hours_known: bool,
}

/// One time that the day was judged again.
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
    /// The location in the catalog, `s3://bucket/…/`.
    pub location: String,
    /// The key of its only file.
    pub file: String,
    pub rows: u64,
    pub slots: Vec<Slot>,
    /// Sixteen hexadecimal digits: a sum over the rows, independent of their order.
    pub checksum: String,
    /// The files that the rows come from, with their entity tags. Files that later expire stay listed.
    pub inputs: BTreeMap<String, String>,
}

impl Version {
    /// Whether the version was made from exactly this object.
    pub fn has(&self, object: &ListedObject) -> bool {
        self.inputs.get(&object.key) == Some(&object.etag)
    }
}

/// A record that was read, and the condition under which it may be replaced.
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
                outages: None,
                superseded: Vec::new(),
                settled: true,
            };
            return Ok(Found { record, condition: Condition::Absent });
        };
        let record = serde_json::from_slice(&body).map_err(|error| damaged(objects, &key, error))?;
        Ok(Found { record, condition: Condition::Unchanged(listed.etag) })
    }

    /// Replaces the record that was read. A conflict means that another run has changed it since.
    ///
    /// # Errors
    /// The record cannot be written.
    pub async fn write(&self, objects: &dyn Objects, condition: Condition) -> Result<Put, LakeError> {
        let key = keys::compaction_record(self.country, self.day);
        let body: Bytes =
            serde_json::to_vec_pretty(self).map_err(|error| damaged(objects, &key, error))?.into();
        objects.put_again_if(&key, body, condition).await
    }

    /// The day of the record.
    pub fn id(&self) -> CountryDay {
        CountryDay { country: self.country, day: self.day }
    }

    /// The partitions that the catalog should hold.
    pub fn partitions(&self) -> impl Iterator<Item = Partition> {
        self.tables.iter().map(|(table, version)| Partition {
            table: *table,
            country: self.country,
            day: self.day,
            location: version.location.clone(),
        })
    }

    /// Sets a table's next version. The file of the version before is superseded.
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
/// Different bytes get a different name, so no put can change what a record describes, even if a slow run
/// makes different bytes from the same files. Equal inputs and bytes get the same name, so a run that
/// repeats the work writes to the same key.
pub(crate) fn version_name(inputs: &BTreeMap<String, String>, body: &Bytes) -> String {
    let mut hash = Sha256::new();
    for (key, etag) in inputs {
        hash.update(format!("{key}\n{etag}\n"));
    }
    hash.update(body);
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
