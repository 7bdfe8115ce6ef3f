//! Which days are due to be compacted.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use storewatch_domain::{CountryCode, Day};
use storewatch_lake::outages::CARRIED_DAYS;
use storewatch_lake::{ListedObject, Objects, Partition, Table, keys};

use crate::day_outages::{self, Recorded};
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
/// country is. Days whose outages are not current are found by two listings, and come after those days.
///
/// # Errors
/// S3 or the catalog failed, or a record is damaged.
pub async fn due(lake: Lake<'_>, country: CountryCode, today: Day) -> Result<Due, DaysError> {
    let (mut fresh, mut settled) = (BTreeSet::new(), Vec::new());
    for (day, files) in ticked_days(lake.objects, country, today).await? {
        let record = Record::find(lake.objects, CountryDay { country, day }).await?.record;
        let has = |(table, object): &(Table, ListedObject)| {
            record.tables.get(table).is_some_and(|version| version.has(object))
        };
        let hours_known = record.outages.as_ref().is_none_or(|outages| outages.hours_known);
        if record.settled && hours_known && files.iter().all(has) {
            settled.extend(record.partitions());
        } else {
            fresh.insert(day);
        }
    }
    fresh.extend(moved(lake, settled).await?);
    let without = without_outages(lake.objects, country, today, &fresh).await?;
    let waiting = fresh.union(&without).count();
    let first = fresh.iter().chain(without.difference(&fresh)).copied().take(MOST_DAYS);
    let days: Vec<Day> = first.collect::<BTreeSet<Day>>().into_iter().collect();
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

/// The days before `today` whose outages were never made, or from something else than the day before carries
/// over now; and days without any tick, whose missed looks were not told.
///
/// The keys of what days carry over nearly always tell it all. A record is read only where a day has several
/// such keys, or its key does not fit to that of the day before. `fresh` are days that are due anyway.
async fn without_outages(
    objects: &dyn Objects,
    country: CountryCode,
    today: Day,
    fresh: &BTreeSet<Day>,
) -> Result<BTreeSet<Day>, DaysError> {
    let known: BTreeSet<Day> = &Recorded::list(objects, country).await?.0 | fresh;
    let listed = objects.list(&keys::carried_prefix(country)).await?;
    let mut carried: BTreeMap<Day, Vec<(Option<&str>, &str)>> = BTreeMap::new();
    for (day, before, version) in listed.iter().filter_map(|object| keys::carried_by(&object.key)) {
        carried.entry(day).or_default().push((before, version));
    }
    let of = |day: Day| carried.get(&day).map_or(&[][..], Vec::as_slice);
    let (mut days, mut last) = (BTreeSet::new(), None);
    for day in known.range(..today).copied() {
        days.extend(last.into_iter().flat_map(|last| missed_days(last, day)));
        let before = last.map(of);
        let fits = match (before, of(day)) {
            (_, []) => false,
            (None, [(None, _)]) => true,
            (Some([(_, version)]), [(before, _)]) => *before == Some(*version),
            _ => false,
        };
        let id = CountryDay { country, day };
        if !fits && (of(day).is_empty() || !is_made(objects, id).await?) {
            days.insert(day);
        }
        last = Some(day);
    }
    days.extend(last.into_iter().flat_map(|last| missed_days(last, today)));
    Ok(days)
}

/// The days between two days, as far as stores are carried into them.
fn missed_days(last: Day, next: Day) -> impl Iterator<Item = Day> {
    (1..=CARRIED_DAYS).map_while(move |n| last.plus_days(n).filter(|day| *day < next))
}

/// Whether the day's outages are made and shown, and from what the day before carries over now. A run that
/// died before it showed them has left the key of what they carried over before beside the new one.
async fn is_made(objects: &dyn Objects, id: CountryDay) -> Result<bool, DaysError> {
    let record = Record::find(objects, id).await?.record;
    Ok(record.settled && record.outages.is_some() && day_outages::are_current(objects, &record).await?)
}
