//! Which days wait to be compacted.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use storewatch_domain::{CountryCode, Day};
use storewatch_lake::{Partition, Table, keys};
use storewatch_runtime::FunctionError;

use crate::handler::Ports;
use crate::record::Record;

/// Days that one run of the daily machine is given, the oldest first. More wait for the next run: a
/// country that comes with a year of files does not hold up its others.
const MOST_DAYS: usize = 40;

/// The days of a country that are to be compacted, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Due {
    pub country: CountryCode,
    pub days: Vec<Day>,
}

/// Finds the days that have files which their compacted ones lack, so that a late tick is seen a day
/// later at most, and those which an earlier run has left half done. The day that is not over yet is
/// left to its ticks.
///
/// The ticks' files of a compacted day are gone after a week, so this looks at few days, however long
/// the country has been there.
///
/// # Errors
/// `LakeUnavailable`, `CatalogUnavailable`.
pub async fn due(ports: &Ports<'_>, country: CountryCode) -> Result<Due, FunctionError> {
    let today = Day::containing(ports.clock.now());
    let mut files: BTreeMap<Day, Vec<(Table, String, String)>> = BTreeMap::new();
    for table in Table::TICKED {
        for object in ports.objects.list(&keys::table_prefix(table, country)).await? {
            match keys::slot_of_file(table, country, &object.key) {
                Some(slot) if slot.day() < today => {
                    files.entry(slot.day()).or_default().push((table, object.key, object.etag));
                }
                Some(_) => {}
                None => tracing::warn!(key = object.key, "not a tick's file; passed over"),
            }
        }
    }
    let (mut days, mut versions) = (BTreeSet::new(), Vec::new());
    for (day, files) in files {
        let record = Record::find(ports.objects, country, day).await?.record;
        if record.settled && files.iter().all(|(table, key, etag)| record.has(*table, key, etag)) {
            versions.extend(record.tables.into_iter().map(|(table, version)| Partition {
                table,
                country,
                day,
                location: version.location,
            }));
        } else {
            days.insert(day);
        }
    }
    for table in Table::ALL {
        let wanted: Vec<Partition> = versions.iter().filter(|one| one.table == table).cloned().collect();
        if wanted.is_empty() {
            continue;
        }
        let held = ports.catalog.get(table, &wanted).await?;
        let moved = wanted.into_iter().zip(held);
        let moved = moved.filter(|(wanted, held)| {
            held.as_ref().is_none_or(|held| held.location != wanted.location || !held.current)
        });
        days.extend(moved.map(|(partition, _)| partition.day));
    }
    let waiting = days.len();
    let days: Vec<Day> = days.into_iter().take(MOST_DAYS).collect();
    tracing::info!(country = country.as_str(), waiting, now = days.len(), "days to compact");
    Ok(Due { country, days })
}
