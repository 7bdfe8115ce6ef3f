//! What it takes to compact a day of many stores: memory, time and bytes. The limit that `country.yaml`
//! gives the function is held against it.
//!
//! `make bench-compact STORES=100000`. The day is made first, by another process, so that the peak is
//! that of compacting alone; a late tick comes after, with the ticks' own files gone; then the day is
//! judged again, with one store of a hundred in another zone. At each reading `CHANGED` stores have
//! another name than before, 20 if nothing is said. `make bench-queries` has the same day made into a
//! folder of its own: `day make STORES FOLDER`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use compact::{Answer, Event, Ports, handle, restate};
use storewatch_domain::{
    CountryCode, IdType, LiveStore, MissingHours, Observation, Rules, Slot, Store, StoreHours, StoreKey,
    WallTime, WeeklyHours, Zones, judge_chunk,
};
use storewatch_lake::availability::{AvailabilityRows, by_city};
use storewatch_lake::memory::MemoryCatalog;
use storewatch_lake::{
    Condition, LakeError, ListedObject, Objects, Outcome, Put, Table, Tag, TickRecord, keys, snapshot,
};
use storewatch_runtime::CountryFile;
use storewatch_runtime::clock::SystemClock;
use storewatch_sources::memory::MemorySchedules;

const DAY: &str = "2026-11-22";
const SLOTS: usize = 96;
const CHUNK: usize = 10_000;
/// MemorySize of the function in `infra/country.yaml`, and what the runtime and the SDK have of it.
const LIMIT_MB: usize = 2048;
const COUNTRY_FILE: &str = r#"
    country = "es"
    default_timezone = "Europe/Madrid"
    missing_hours = "closed"
    [schedule]
    url = "postgresql://db.es.example/stores"
    [live_view]
    url = "https://search.es.example"
    index = "stores-es"
    id_field = "store_id"
    id_type = "long"
    online = { term = { online = true } }
    [run]
    chunk_stores = 10000
"#;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("day");
    match arguments.next().as_deref() {
        Some("make") => {
            let count = arguments.next().unwrap().parse().unwrap();
            make(&arguments.next().map_or(folder, PathBuf::from), count);
        }
        Some("compact") => run(compacted(&folder)),
        Some("restate") => run(restated(&folder)),
        _ => {
            let stores = std::env::var("STORES").unwrap_or_else(|_| "100000".to_owned());
            let _ = fs::remove_dir_all(&folder);
            let step = |arguments: &[&str]| {
                let done = Command::new(std::env::current_exe().unwrap()).args(arguments).status().unwrap();
                assert!(done.success(), "{arguments:?}");
            };
            step(&["make", &stores]);
            let files = |table: Table| folder.join(keys::partition_prefix(table, es(), DAY));
            let late = |table: Table| folder.join(keys::table_file(table, es(), slot(SLOTS - 1)));
            let aside = |table: Table| folder.join(format!("{table}-late"));
            for table in Table::TICKED {
                fs::rename(late(table), aside(table)).unwrap();
            }
            step(&["compact"]);
            println!("its last tick comes late, after the files of the others are gone:");
            for table in Table::TICKED {
                fs::remove_dir_all(files(table)).unwrap();
                fs::create_dir_all(files(table)).unwrap();
                fs::rename(aside(table), late(table)).unwrap();
            }
            step(&["compact"]);
            println!("judged again:");
            step(&["restate"]);
            if std::env::var_os("KEEP").is_none() {
                fs::remove_dir_all(&folder).unwrap();
            }
        }
    }
}

fn es() -> CountryCode {
    "es".parse().unwrap()
}

fn slot(n: usize) -> Slot {
    let first = Slot::containing_time(&format!("{DAY}T00:00:00Z")).unwrap();
    Slot::containing(first.start() + n as i64 * Slot::SECONDS)
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(work);
}

/// Compacts what is there, as an invocation does, and says what it took.
async fn compacted(folder: &Path) {
    let objects = DiskObjects { root: folder.to_owned() };
    let catalog = MemoryCatalog::default();
    let raw: usize = objects
        .list(&keys::table_prefix(Table::StoreAvailability, es()))
        .await
        .unwrap()
        .iter()
        .map(|object| fs::metadata(folder.join(&object.key)).unwrap().len() as usize)
        .sum();
    let started = Instant::now();
    let ports = Ports { objects: &objects, catalog: &catalog, clock: &SystemClock };
    let event = Event { country: es(), day: Some(DAY.to_owned()) };
    let Answer::Compacted(done) = handle(&ports, &event).await.unwrap() else {
        panic!("a day was asked for")
    };
    let seconds = started.elapsed().as_secs_f64();
    let location = done.stores.location.unwrap();
    let file = location.strip_prefix("s3://disk/").map(|key| folder.join(key).join(format!("{DAY}.parquet")));
    let bytes = fs::metadata(file.unwrap()).unwrap().len();
    let peak_mb = peak_mb();
    let schedules = &done.tables[&Table::StoreSchedules];
    println!("  {} rows of schedules, of {} files", schedules.rows, schedules.files_before);
    println!(
        "  {} rows, {} files of {:.1} MB to one of {:.1} MB; {seconds:.1} s, at most {peak_mb} MiB",
        done.stores.rows,
        done.stores.files_before,
        raw as f64 / 1e6,
        bytes as f64 / 1e6
    );
}

/// Judges the day again by its last reading with some changes, as an invocation does.
async fn restated(folder: &Path) {
    let objects = DiskObjects { root: folder.to_owned() };
    let last = objects.list(&keys::snapshot_prefix(es(), slot(SLOTS - 1))).await.unwrap();
    let chunks = last.iter().map(|chunk| fs::read(folder.join(&chunk.key)).unwrap());
    let mut stores: Vec<Store> = chunks.flat_map(|body| snapshot::read(body.into()).unwrap()).collect();
    for store in stores.iter_mut().step_by(100) {
        store.timezone = Some("Atlantic/Canary".to_owned());
    }
    let schedules = MemorySchedules { stores, version: None };
    let catalog = MemoryCatalog::default();
    let ports = Ports { objects: &objects, catalog: &catalog, clock: &SystemClock };
    let event = restate::Event { country: es(), day: DAY.to_owned(), restate: true, stores: None };
    let file = CountryFile::parse(COUNTRY_FILE, "es.toml").unwrap();
    let started = Instant::now();
    let done = restate::restate(&ports, &file, &schedules, &event).await.unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let (rows, changed) = (done.compacted.stores.rows, done.restated.changes.0.values().sum::<u64>());
    println!(
        "  {rows} rows, of which {changed} have another status; {seconds:.1} s, at most {} MiB",
        peak_mb()
    );
}

/// The most memory that this process has had, in MiB; it ends where that is more than the function has.
fn peak_mb() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_mb = peak.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap() / 1024;
    assert!(peak_mb < LIMIT_MB, "{peak_mb} MiB are more than the function has");
    peak_mb
}

/// Writes the files that a day of ticks leaves: stores of cities of very unlike sizes, of which a few are
/// offline for some hours, or online outside of theirs.
fn make(folder: &Path, count: usize) {
    let mut random = 7_u64;
    let mut draw = move |n: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % n as u64) as usize
    };
    let (mut stores, opening): (Vec<Store>, Vec<usize>) = (0..count)
        .map(|n| {
            // Of 52 cities, the largest has a quarter of the stores, and the smallest some dozens.
            let city = (draw(1000) * draw(1000) * draw(1000) / 1_000_000) / 19;
            let shift = draw(8) as u32 * 1800;
            let hours = |day| {
                let opens = WallTime::from_seconds(8 * 3600 + shift);
                WeeklyHours::new(day, opens, WallTime::from_seconds(18 * 3600 + shift)).unwrap()
            };
            let store = Store {
                id: (1_000_000 + n * 3).to_string(),
                name: Some(format!("{} {}", ["Bar", "Casa", "Farmacia", "Tienda"][draw(4)], draw(count))),
                city: (draw(500) > 0).then(|| format!("Ciudad {city}")),
                timezone: Some("Europe/Madrid".to_owned()),
                hours: StoreHours { weekly: (1..=7).map(hours).collect(), exceptions: Vec::new() },
                problem: None,
            };
            // Madrid is an hour before UTC on that day.
            (store, 7 * 4 + shift as usize / 900)
        })
        .unzip();
    let mut offline = vec![0_usize; count];
    let rules = Rules {
        zones: Zones::embedded(),
        default_timezone: Zones::embedded().get("Europe/Madrid").unwrap(),
        missing_hours: MissingHours::Closed,
        id_type: IdType::Long,
    };
    let changed: usize = std::env::var("CHANGED").map_or(20, |changed| changed.parse().unwrap());
    let mut snapshots: Vec<(PathBuf, Bytes)> = Vec::new();
    for n in 0..SLOTS {
        let slot = slot(n);
        for k in 0..changed {
            stores[(n * changed + k) * 7 % count].name = Some(format!("Bar {n} {k}"));
        }
        let as_of = slot.start_micros() + 1_000_000;
        snapshots = write_snapshot(folder, slot, as_of, &stores, &snapshots);
        let mut parts = Vec::new();
        for (chunk, stores) in stores.chunks(CHUNK).enumerate() {
            let seen = stores.iter().enumerate().filter_map(|(k, store)| {
                let until = &mut offline[chunk * CHUNK + k];
                if *until <= n && draw(300) == 0 {
                    *until = n + draw(20);
                }
                let reason = (*until > n).then(|| ["paused", "no courier", "technical"][draw(3)].to_owned());
                let opens = opening[chunk * CHUNK + k];
                let open = (opens..opens + 10 * 4).contains(&n) || draw(100) == 0;
                let live = LiveStore { online: reason.is_none() && open, reason };
                (draw(200) > 0).then(|| (StoreKey::new(&store.id, IdType::Long).unwrap(), live))
            });
            let at = slot.start_micros() + 3_000_000 + chunk as i64 * 137_911;
            let view = Observation { at, stores: seen.collect() };
            let judged = judge_chunk(slot, &rules, stores, Ok(&view));
            parts.push(AvailabilityRows::new(slot, as_of, &judged).unwrap());
        }
        let mut rows = AvailabilityRows::merge(parts).unwrap();
        let record = TickRecord {
            slot,
            started_at: slot.start_micros() + 500_000,
            finished_at: slot.start_micros() + 9_000_000,
            outcome: Outcome::Complete,
            stores: Some(count as u64),
            chunks: Some(count.div_ceil(CHUNK) as u32),
            chunks_unknown: Some(0),
            coverage: Some(1.0),
            schedule_as_of: Some(as_of),
            error: None,
            tzdb: Some(rules.zones.release().to_owned()),
        };
        let cities = by_city(slot, &rows.summary().unwrap()).unwrap();
        for (table, body) in [
            (Table::StoreAvailability, rows.write().unwrap()),
            (Table::AvailabilityByCity, cities),
            (Table::CountryTicks, record.write().unwrap()),
        ] {
            write(&folder.join(keys::table_file(table, es(), slot)), &body);
        }
    }
}

/// Writes a reading, chunk by chunk. One that is as before is the same file, by which its tag is told.
fn write_snapshot(
    folder: &Path,
    slot: Slot,
    read_at: i64,
    stores: &[Store],
    before: &[(PathBuf, Bytes)],
) -> Vec<(PathBuf, Bytes)> {
    let chunks = stores.chunks(CHUNK).enumerate();
    let written = chunks.map(|(chunk, stores)| {
        let path = folder.join(keys::snapshot_chunk(es(), slot, read_at, chunk as u32));
        let body = snapshot::write(stores).unwrap();
        match before.get(chunk) {
            Some((same, old)) if *old == body => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::hard_link(same, &path).unwrap();
            }
            _ => write(&path, &body),
        }
        (path, body)
    });
    written.collect()
}

fn write(path: &Path, body: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, body).unwrap();
}

/// A bucket on disk, for one process at a time.
struct DiskObjects {
    root: PathBuf,
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
