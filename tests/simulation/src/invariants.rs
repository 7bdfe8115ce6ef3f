//! What must hold after every write, whatever has failed so far, and what must hold at the end, when
//! everything works again.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::FutureExt;
use storewatch_domain::current::Ongoing;
use storewatch_domain::{CountryCode, Day, Slot, Status};
use storewatch_lake::availability::{AvailabilityRows, by_city};
use storewatch_lake::current::CurrentRows;
use storewatch_lake::{Objects, Outcome, Partition, Table, TickRecord, keys};
use storewatch_runtime::events::{ChunkItem, Partitions};

use crate::current::{Ticks, expected, looks};
use crate::world::{Country, Touched, World};

/// The location of another writer's wrong partition. It may stay in the catalog until the next
/// registration: nobody can stop the other writer.
pub const ELSEWHERE: &str = "s3://elsewhere/";

type Held = (CountryCode, Slot);

/// What has been seen of the lake so far.
#[derive(Default)]
pub struct Invariants {
    slots: Vec<Slot>,
    /// The last bodies of the tables' files and of the manifests.
    bodies: BTreeMap<String, Bytes>,
    records: BTreeMap<Held, (Outcome, f64)>,
    /// How many rows of a slot are not unknown.
    judged: BTreeMap<Held, usize>,
    /// Partitions that have files.
    filled: BTreeSet<Partition>,
    noted: BTreeMap<String, Vec<Partition>>,
    /// Every body that a table's file had at home, in order, and the last one that the lake has.
    versions: BTreeMap<String, (Vec<Bytes>, Option<usize>)>,
    registered: BTreeSet<Partition>,
}

impl Invariants {
    pub fn new(slots: &[Slot]) -> Self {
        Self { slots: slots.to_vec(), ..Self::default() }
    }

    /// Checks what has changed since the last check.
    pub fn check(&mut self, world: &World, touched: Touched) -> Result<(), String> {
        for key in touched.keys {
            if let Some(key) = key.strip_prefix("lake:") {
                let body = world.lake.get(key).now_or_never().unwrap().ok();
                self.delivered(key, body).map_err(|problem| format!("{key} in the lake: {problem}"))?;
                continue;
            }
            let body = world.objects.get(&key).now_or_never().unwrap().ok();
            self.object(world, &key, body).map_err(|problem| format!("{key}: {problem}"))?;
        }
        if touched.catalog {
            self.registered = world.catalog.partitions().into_iter().collect();
            for partition in &self.registered {
                if *partition != shown(world, partition) && partition.location != ELSEWHERE {
                    return Err(format!("the catalog holds {partition:?}"));
                }
            }
        }
        let same =
            |a: &Partition, b: &Partition| (a.table, a.country, &a.day) == (b.table, b.country, &b.day);
        for partition in &self.filled {
            let registered = self.registered.iter().any(|held| same(held, partition));
            if !registered && !self.noted.values().flatten().any(|noted| noted == partition) {
                return Err(format!("{partition:?} has files, but is neither registered nor noted"));
            }
        }
        Ok(())
    }

    fn object(&mut self, world: &World, key: &str, body: Option<Bytes>) -> Result<(), String> {
        let (kind, _) = key.split_once('/').ok_or("this is not a key of the lake")?;
        let (country, slot) = self.owner(world, key)?;
        match (kind, body) {
            ("pending", body) => {
                let noted = match body {
                    Some(body) => read_json::<Partitions>(&body)?.partitions,
                    None => Vec::new(),
                };
                for partition in &noted {
                    let wanted = location(world, partition.table, country.code, partition.day);
                    if partition.location != wanted || partition.country != country.code {
                        return Err(format!("it notes {partition:?}"));
                    }
                }
                self.noted.insert(key.to_owned(), noted);
                Ok(())
            }
            (_, None) => Err("it was deleted".to_owned()),
            ("staging", Some(body)) => {
                let Some(slot) = slot.filter(|slot| key == keys::manifest(country.code, *slot)) else {
                    return Ok(());
                };
                for item in read_json::<Vec<ChunkItem>>(&body)? {
                    if (item.country, item.slot) != (country.code, slot) {
                        return Err(format!("it holds {item:?}"));
                    }
                }
                self.keep(key, body, true)
            }
            ("schedules" | "levels" | "delivered", Some(_)) => Ok(()),
            (table, Some(body)) => {
                let table: Table = table.parse().map_err(|_| "this is not a key of the lake")?;
                let versions = &mut self.versions.entry(key.to_owned()).or_default().0;
                if versions.last() != Some(&body) {
                    versions.push(body.clone());
                }
                let slot = slot.ok_or("it has no slot")?;
                self.table_file(world, country, slot, table, key, body)
            }
        }
    }

    /// A file has come to the lake: as it is or was at home, and never as it was before what the lake already had.
    fn delivered(&mut self, key: &str, body: Option<Bytes>) -> Result<(), String> {
        let (versions, last) = self.versions.get_mut(key).ok_or("home never had it")?;
        let body = body.ok_or("it was deleted")?;
        // The newest, if home had the same bytes twice.
        let version =
            versions.iter().rposition(|known| *known == body).ok_or("home never had these bytes")?;
        match last.replace(version) {
            Some(before) if before > version => Err(format!("version {before} was replaced by {version}")),
            _ => Ok(()),
        }
    }

    /// The country and the slot of a key. Every key has a country, and all but a few have a slot.
    fn owner<'a>(&self, world: &'a World, key: &str) -> Result<(&'a Country, Option<Slot>), String> {
        let (_, rest) = key.split_once("/country=").ok_or("it has no country")?;
        let country = world.countries.iter().find(|country| country.code.as_str() == &rest[..2]);
        let country = country.ok_or("it has an unknown country")?;
        let slot = self.slots.iter().find(|slot| rest.contains(&slot.key())).copied();
        let table = Table::TICKED.into_iter().find(|table| key.starts_with(table.name()));
        let expected = match (table, slot) {
            (Some(table), Some(slot)) => key == keys::table_file(table, country.code, slot),
            (Some(_), None) => false,
            (None, Some(_)) => true,
            (None, None) => {
                key == keys::last_good_snapshot(country.code)
                    || key == keys::levels(country.code)
                    || (country.is_away && key.starts_with("delivered/"))
            }
        };
        if expected { Ok((country, slot)) } else { Err("this is not a key of the lake".to_owned()) }
    }

    /// Remembers a body. A final one must not differ from the one before.
    fn keep(&mut self, key: &str, body: Bytes, is_final: bool) -> Result<(), String> {
        match self.bodies.insert(key.to_owned(), body.clone()) {
            Some(before) if is_final && before != body => Err("it is final, but changed".to_owned()),
            _ => Ok(()),
        }
    }

    fn table_file(
        &mut self,
        world: &World,
        country: &Country,
        slot: Slot,
        table: Table,
        key: &str,
        body: Bytes,
    ) -> Result<(), String> {
        let code = country.code;
        let day = slot.day();
        let location = location(world, table, code, day);
        self.filled.insert(Partition { table, country: code, day, location });
        let was = self.records.get(&(code, slot)).copied();
        let is_final = was.is_some_and(|(outcome, _)| outcome == Outcome::Complete);
        let changed = self.bodies.get(key) != Some(&body);
        // The outages before a slot can become known later.
        self.keep(key, body.clone(), is_final && table != Table::CurrentOutages)?;
        match table {
            _ if !changed => Ok(()),
            Table::StoreAvailability => {
                let (rows, _) = self.rows(country, slot, world)?;
                let statuses = rows.statuses().map_err(|error| format!("{error:?}"))?;
                let judged = statuses.into_iter().filter(|status| *status != Status::Unknown).count();
                match self.judged.insert((code, slot), judged) {
                    Some(before) if before > judged => {
                        Err(format!("{before} rows were judged, now {judged}"))
                    }
                    _ => Ok(()),
                }
            }
            // It is compared with the rows once a record says that both are final.
            Table::AvailabilityByCity => Ok(()),
            Table::StoreSchedules | Table::Outages | Table::MissedLooks | Table::Etl(_) => {
                Err("no tick writes it".to_owned())
            }
            Table::CurrentOutages => outages(&body).map(drop),
            Table::CountryTicks => {
                let record = TickRecord::read(body).map_err(|error| format!("{error:?}"))?;
                let now = (record.outcome, record.coverage.unwrap_or(0.0));
                if record.slot != slot || was.is_some_and(|was| now < was) {
                    return Err(format!("after {was:?} it says {record:?}"));
                }
                self.records.insert((code, slot), now);
                if record.outcome == Outcome::Complete {
                    self.agreement(world, country, slot)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// The rows of a slot, which must match its manifest's schedules, and how many of its chunks cannot
    /// have been observed.
    fn rows(&self, country: &Country, slot: Slot, world: &World) -> Result<(AvailabilityRows, u32), String> {
        let body = self.body(Table::StoreAvailability, country.code, slot)?;
        let rows = AvailabilityRows::read(body).map_err(|error| format!("{error:?}"))?;
        let (ids, statuses) = rows
            .store_ids()
            .and_then(|ids| Ok((ids, rows.statuses()?)))
            .map_err(|error| format!("{error:?}"))?;
        let statuses = statuses.into_iter().map(|status| status.to_string());
        let listed: Vec<(String, String)> = ids.into_iter().zip(statuses).collect();
        if !listed.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(format!("ids are not sorted or not unique: {listed:?}"));
        }
        let edition = self.planned(country, slot, world)?;
        let unknown = country.truth.check_rows(slot, edition, &listed)?;
        Ok((rows, unknown))
    }

    /// The edition of the schedules by which the slot was planned.
    fn planned(&self, country: &Country, slot: Slot, world: &World) -> Result<usize, String> {
        let manifest = self.bodies.get(&keys::manifest(country.code, slot)).ok_or("there is no manifest")?;
        let items: Vec<ChunkItem> = read_json(manifest)?;
        let as_of = items[0].schedule_as_of;
        let edition =
            world.reading(country.code, as_of.micros()).ok_or("no reading has its schedule_as_of")?;
        Ok(edition)
    }

    fn body(&self, table: Table, country: CountryCode, slot: Slot) -> Result<Bytes, String> {
        let key = keys::table_file(table, country, slot);
        self.bodies.get(&key).cloned().ok_or_else(|| format!("{key} is missing"))
    }

    /// Checks that `current_outages` says at each slot what all rows up to it say. It holds whenever no
    /// merge of the country is running, and none has failed on its way and was not repeated. If a tick was
    /// given up after it had written rows, its hours are lost, and with them the openings.
    pub fn current_outages(&self, world: &World) -> Result<(), String> {
        for country in world.countries.iter().filter(|country| !world.is_unfinished(country.code)) {
            let mut ticks = Ticks::new();
            let has_rows = |slot: &&Slot| self.body(Table::StoreAvailability, country.code, **slot).is_ok();
            let is_given_up = |slot: &Slot| self.outcome(country.code, *slot) == Some(Outcome::Failed);
            let has_openings = !self.slots.iter().filter(has_rows).any(is_given_up);
            for slot in self.slots.iter().filter(has_rows) {
                let edition = self.planned(country, *slot, world)?;
                let (rows, _) = self.rows(country, *slot, world)?;
                let opened_at = |id: &str| country.truth.opened_at(*slot, edition, id);
                let seen = looks(*slot, &rows, opened_at).map_err(|error| format!("{error:?}"))?;
                ticks.insert(*slot, seen);
                let mut found = outages(&self.body(Table::CurrentOutages, country.code, *slot)?)?;
                let mut wanted = expected(&ticks, *slot);
                if !has_openings {
                    for (_, outage) in found.iter_mut().chain(&mut wanted) {
                        (outage.opened_at, outage.since_after) = (None, None);
                    }
                }
                if found != wanted {
                    let code = country.code;
                    return Err(format!(
                        "{code} {slot}: current_outages says\n  {found:?}\nbut all rows say\n  {wanted:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Checks that the files of a slot agree.
    fn agreement(&self, world: &World, country: &Country, slot: Slot) -> Result<(), String> {
        let (rows, unknown) = self.rows(country, slot, world)?;
        let summary = rows.summary().map_err(|error| format!("{error:?}"))?;
        let cities = by_city(slot, &summary).map_err(|error| format!("{error:?}"))?;
        if self.body(Table::AvailabilityByCity, country.code, slot)? != cities {
            return Err("availability_by_city does not match the rows".to_owned());
        }
        let mut down = outages(&self.body(Table::CurrentOutages, country.code, slot)?)?;
        down.retain(|(_, outage)| matches!(outage.status, Some(Status::Unavailable | Status::Unlisted)));
        let looks = rows.looks().map_err(|error| format!("{error:?}"))?;
        let seen_down =
            looks.iter().filter(|row| matches!(row.status, Status::Unavailable | Status::Unlisted));
        if !down.iter().map(|(id, _)| id.as_str()).eq(seen_down.map(|row| row.id)) {
            return Err(format!("{down:?} are not the stores that were found down"));
        }
        let record = TickRecord::read(self.body(Table::CountryTicks, country.code, slot)?);
        let record = record.map_err(|error| format!("{error:?}"))?;
        let (stores, coverage) = (summary.counts.stores(), summary.counts.coverage());
        let least = if record.outcome == Outcome::Complete { unknown } else { unknown.max(1) };
        if (record.stores, record.coverage) != (Some(stores), coverage)
            || record.chunks_unknown.is_none_or(|n| n < least)
            || (record.outcome == Outcome::Complete && unknown > 0)
        {
            return Err(format!(
                "{stores} stores, {unknown} unknown chunks, coverage {coverage:?}, but the record says {record:?}"
            ));
        }
        Ok(())
    }

    /// Checks that the lake has the table files of the countries in other accounts, and nothing else.
    fn lake_has_all(&self, world: &World) -> Result<(), String> {
        let of = |key: &str| {
            world.countries.iter().any(|c| c.is_away && key.contains(&format!("/country={}/", c.code)))
        };
        let wanted: BTreeMap<&String, &Bytes> = self
            .versions
            .iter()
            .filter(|(key, _)| of(key))
            .filter_map(|(key, (all, _))| Some((key, all.last()?)))
            .collect();
        let listed = world.lake.list("").now_or_never().unwrap().unwrap();
        let found: BTreeMap<String, Bytes> = listed
            .into_iter()
            .map(|object| (object.key.clone(), world.lake.get(&object.key).now_or_never().unwrap().unwrap()))
            .collect();
        match found.iter().eq(wanted) {
            true => Ok(()),
            false => Err(format!("the lake has {:?}, or other bytes than home", found.keys())),
        }
    }

    /// The outcome in the slot's record.
    pub fn outcome(&self, country: CountryCode, slot: Slot) -> Option<Outcome> {
        self.records.get(&(country, slot)).map(|(outcome, _)| *outcome)
    }

    /// Checks the final state, when everything works again and each slot was ticked again.
    pub fn settled(&self, world: &World) -> Result<(), String> {
        let all = world.objects.list("").now_or_never().unwrap().unwrap();
        for object in &all {
            self.owner(world, &object.key).map_err(|problem| format!("{}: {problem}", object.key))?;
        }
        let mut wanted = BTreeSet::new();
        for (country, slot) in
            world.countries.iter().flat_map(|c| self.slots.iter().map(move |slot| (c, *slot)))
        {
            let code = country.code;
            let said = |problem| format!("{code} {slot}: {problem}");
            self.agreement(world, country, slot).map_err(said)?;
            wanted.extend(Table::TICKED.map(|table| {
                let (day, table) = (slot.day(), table);
                let location = location(world, table, code, day);
                shown(world, &Partition { location, table, country: code, day })
            }));
        }
        if world.countries.iter().any(|country| world.is_unfinished(country.code)) {
            return Err("a merge is unfinished".to_owned());
        }
        self.current_outages(world)?;
        let files = all
            .iter()
            .filter(|object| Table::TICKED.iter().any(|t| object.key.starts_with(t.name())))
            .count();
        if files != Table::TICKED.len() * self.slots.len() * world.countries.len() {
            return Err(format!("there are {files} files of tables"));
        }
        if let Some(note) = all.iter().find(|object| object.key.starts_with("pending/")) {
            return Err(format!("{} is left over", note.key));
        }
        let held: BTreeSet<Partition> = world.catalog.partitions().into_iter().collect();
        if held != wanted {
            return Err(format!("the catalog holds {held:?}, but {wanted:?} have files"));
        }
        self.lake_has_all(world)?;
        Ok(())
    }
}

/// The rows of a file of `current_outages`.
fn outages(body: &Bytes) -> Result<Vec<(String, Ongoing)>, String> {
    let rows = CurrentRows::read(body.clone()).map_err(|error| format!("{error:?}"))?;
    let outages = rows.outages().map_err(|error| format!("{error:?}"))?;
    if !outages.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(format!("ids are not sorted or not unique: {outages:?}"));
    }
    Ok(outages.into_iter().map(|(id, outage)| (id.to_owned(), outage)).collect())
}

fn location(world: &World, table: Table, country: CountryCode, day: Day) -> String {
    keys::partition_location(world.objects.bucket(), table, country, day)
}

/// The partition as the catalog should have it: in the lake, if the country is in another account.
fn shown(world: &World, partition: &Partition) -> Partition {
    let Partition { table, country, day, .. } = *partition;
    let is_away = world.countries.iter().any(|known| known.code == country && known.is_away);
    let bucket = if is_away { world.lake.bucket() } else { world.objects.bucket() };
    Partition { location: keys::partition_location(bucket, table, country, day), ..partition.clone() }
}

fn read_json<T: serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}
