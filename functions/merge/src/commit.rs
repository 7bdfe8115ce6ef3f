//! Commits a country tick. Each file is written only over the version that was read, and the row of
//! `country_ticks` last, so that two merges at once end as one alone would.

use bytes::Bytes;
use futures_util::future::try_join_all;
use storewatch_domain::{CountryCode, Slot};
use storewatch_lake::objects::{damaged, json};
use storewatch_lake::{Condition, LakeError, Objects, Outcome, Partition, Put, Table, TickRecord, keys};
use storewatch_runtime::FunctionError;
use storewatch_runtime::events::Partitions;

/// What the tables hold of a slot before anything is written.
pub struct Standing {
    conditions: Vec<(Table, Condition)>,
    pub record: Option<TickRecord>,
}

impl Standing {
    /// What a slot's first merge finds as a rule. Expecting it without a look saves four listings; if it is wrong, the
    /// commit conflicts.
    pub const NOTHING: Self = Self { conditions: Vec::new(), record: None };

    /// Looks at the slot's files. Call it before the staged chunks are read: a file that has changed later
    /// then means that chunks may have changed too.
    pub async fn look(
        objects: &dyn Objects,
        country: CountryCode,
        slot: Slot,
    ) -> Result<Self, FunctionError> {
        let condition = |table: Table| async move {
            let key = keys::table_file(table, country, slot);
            let listed = objects.list(&key).await?.into_iter().find(|object| object.key == key);
            let condition = listed.map_or(Condition::Absent, |object| Condition::Unchanged(object.etag));
            Ok::<_, LakeError>((table, condition))
        };
        // The row last: what it says of the other files is then true of what was found.
        let others = Table::TICKED.into_iter().filter(|table| *table != Table::CountryTicks).map(condition);
        let mut conditions = try_join_all(others).await?;
        let row = condition(Table::CountryTicks).await?;
        let mut record = None;
        if row.1 != Condition::Absent {
            let key = keys::table_file(Table::CountryTicks, country, slot);
            let body = objects.get(&key).await?;
            record = Some(TickRecord::read(body).map_err(|error| damaged(objects, &key, error))?);
        }
        conditions.push(row);
        Ok(Self { conditions, record })
    }

    /// Whether the slot already holds something at least as good as this outcome and coverage.
    pub fn is_as_good_as(&self, outcome: Outcome, coverage: Option<f64>) -> bool {
        self.record.as_ref().is_some_and(|record| {
            let (held, new) = (record.coverage.unwrap_or(0.0), coverage.unwrap_or(0.0));
            (record.outcome, held) >= (outcome, new)
        })
    }

    /// Whether a merge of the slot has written the rows of stores, though it may have ended before the rest.
    pub fn has_rows(&self) -> bool {
        self.condition(Table::StoreAvailability) != Condition::Absent
    }

    fn condition(&self, table: Table) -> Condition {
        let found = self.conditions.iter().find(|(known, _)| *known == table);
        found.map_or(Condition::Absent, |(_, condition)| condition.clone())
    }
}

/// Writes the rows of stores first, which decide between two merges of the slot, and the row of
/// `country_ticks` last. A conflict means that another merge is under way: look again.
pub async fn commit(
    objects: &dyn Objects,
    standing: &Standing,
    country: CountryCode,
    slot: Slot,
    files: Vec<(Table, Bytes)>,
) -> Result<Put, FunctionError> {
    let put = |(table, body): &(Table, Bytes)| {
        let (key, condition) = (keys::table_file(*table, country, slot), standing.condition(*table));
        let body = body.clone();
        async move { objects.put_again_if(&key, body, condition).await }
    };
    let step = |table: Table| match table {
        Table::StoreAvailability => 0,
        Table::CountryTicks => 2,
        _ => 1,
    };
    for number in 0..=2 {
        let together = files.iter().filter(|(table, _)| step(*table) == number).map(put);
        if try_join_all(together).await?.contains(&Put::Conflict) {
            return Ok(Put::Conflict);
        }
    }
    Ok(Put::Done)
}

/// Notes the partitions before their first file is written, so that a later tick registers them if this one
/// ends too early. The key decides which partitions those are.
pub async fn note_pending(
    objects: &dyn Objects,
    key: &str,
    partitions: &[Partition],
) -> Result<(), FunctionError> {
    let body = json(objects, key, &Partitions { partitions: partitions.to_vec() })?;
    Ok(objects.put(key, body).await?)
}

/// The partitions of the slot's files.
pub fn partitions(
    objects: &dyn Objects,
    country: CountryCode,
    slot: Slot,
    tables: &[Table],
) -> Vec<Partition> {
    let day = slot.day();
    let partition = |table: &Table| Partition {
        table: *table,
        country,
        location: keys::partition_location(objects.bucket(), *table, country, day),
        day,
    };
    tables.iter().map(partition).collect()
}
