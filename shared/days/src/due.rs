//! Which days are due to be compacted.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use storewatch_domain::{CountryCode, Day};
use storewatch_lake::{ListedObject, Objects, Partition, Table, keys};

use crate::record::Record;
use crate::{CountryDay, DaysError, Lake};

/// The most days in one run of the daily machine, oldest first. The rest wait for the next run, so that a
/// country with a year of files does not hold up the others.
const MOST_DAYS: usize = 40;

/// The days of a country that are due, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Due {
    pub country: CountryCode,
    pub days: Vec<Day>,
}

/// Finds the days before `today` that have files which their compacted version lacks, and days that an
/// earlier run did not finish. So a late tick is compacted within a day.
///
/// The ticks' files of a compacted day expire after a week. So this looks at few days, however old the
/// country is.
///
/// # Errors
/// S3 or the catalog failed, or a record is damaged.
pub async fn due(lake: Lake<'_>, country: CountryCode, today: Day) -> Result<Due, DaysError> {
    let (mut days, mut settled) = (BTreeSet::new(), Vec::new());
    for (day, files) in ticked_days(lake.objects, country, today).await? {
        let record = Record::find(lake.objects, CountryDay { country, day }).await?.record;
        let has = |(table, object): &(Table, ListedObject)| {
            record.tables.get(table).is_some_and(|version| version.has(object))
        };
        if record.settled && files.iter().all(has) {
            settled.extend(record.partitions());
        } else {
            days.insert(day);
        }
    }
    days.extend(moved(lake, settled).await?);
    let waiting = days.len();
    let days: Vec<Day> = days.into_iter().take(MOST_DAYS).collect();
    tracing::info!(country = country.as_str(), waiting, now = days.len(), "days to compact");
    Ok(Due { country, days })
}

/// The ticks' files of every day before `today`.
async fn ticked_days(
    objects: &dyn Objects,
    country: CountryCode,
    today: Day,
) -> Result<BTreeMap<Day, Vec<(Table, ListedObject)>>, DaysError> {
    let mut files: BTreeMap<Day, Vec<(Table, ListedObject)>> = BTreeMap::new();
    for table in Table::TICKED {
        for object in objects.list(&keys::table_prefix(table, country)).await? {
            match keys::slot_of_file(table, country, &object.key) {
                Some(slot) if slot.day() < today => {
                    files.entry(slot.day()).or_default().push((table, object));
                }
                Some(_) => {}
                None => tracing::warn!(key = object.key, "not a tick's file; ignoring it"),
            }
        }
    }
    Ok(files)
}

/// The days of partitions whose location in the catalog differs from their record.
async fn moved(lake: Lake<'_>, partitions: Vec<Partition>) -> Result<Vec<Day>, DaysError> {
    let mut days = Vec::new();
    for table in Table::ALL {
        let wanted: Vec<Partition> = partitions.iter().filter(|one| one.table == table).cloned().collect();
        if wanted.is_empty() {
            continue;
        }
        let held = lake.catalog.get(table, &wanted).await?;
        let moved = wanted.into_iter().zip(held).filter(|(wanted, held)| {
            held.as_ref().is_none_or(|held| held.location != wanted.location || !held.current)
        });
        days.extend(moved.map(|(partition, _)| partition.day));
    }
    Ok(days)
}
