//! Measures compacting a day of many stores and judging it again: memory, time and bytes. The peak must
//! stay below the function's `MemorySize` in `infra/country.yaml`.
//!
//! `make bench-compact STORES=100000`. Each step is a process of its own, so that it has its own peak.
//! First the day is made and compacted without its last tick and before it is over, so without outages. Then
//! its outages are made. The last tick comes late, when the other files are gone. Then the day is judged
//! again, with one store in a hundred in another zone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use storewatch_bench::day::{CHUNK, SLOTS, country, day, make, slot};
use storewatch_bench::disk::DiskObjects;
use storewatch_bench::stores::rules;
use storewatch_days::{CompactRequest, CountryDay, Lake, RestateRequest, compact, restate};
use storewatch_domain::{Day, Store};
use storewatch_lake::memory::MemoryCatalog;
use storewatch_lake::{Objects, Table, keys, snapshot};
use storewatch_sources::memory::MemorySchedules;

const TEMPLATE: &str = include_str!("../../../infra/country.yaml");

fn main() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("day");
    match std::env::args().nth(1).as_deref() {
        Some("make") => {
            let stores = std::env::var("STORES").map_or(100_000, |stores| stores.parse().unwrap());
            make(&folder, stores);
        }
        Some("compact") => run(compacted(&folder, day())),
        Some("outages") => run(compacted(&folder, Day::LAST)),
        Some("restate") => run(restated(&folder)),
        _ => all_steps(&folder),
    }
}

fn all_steps(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
    let step = |name: &str| {
        let done = Command::new(std::env::current_exe().unwrap()).arg(name).status().unwrap();
        assert!(done.success(), "{name}");
    };
    step("make");
    let files = |table: Table| folder.join(keys::partition_prefix(table, country(), day()));
    let late = |table: Table| folder.join(keys::table_file(table, country(), slot(SLOTS - 1)));
    let aside = |table: Table| folder.join(format!("{table}-late"));
    for table in Table::TICKED {
        fs::rename(late(table), aside(table)).unwrap();
    }
    step("compact");
    println!("its outages:");
    step("outages");
    println!("the last tick comes late, after the other files are gone:");
    for table in Table::TICKED {
        fs::remove_dir_all(files(table)).unwrap();
        fs::create_dir_all(files(table)).unwrap();
        fs::rename(aside(table), late(table)).unwrap();
    }
    step("outages");
    println!("judged again:");
    step("restate");
    if std::env::var_os("KEEP").is_none() {
        fs::remove_dir_all(folder).unwrap();
    }
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(work);
}

/// Compacts the day, as an invocation does. It has outages only if it is over.
async fn compacted(folder: &Path, today: Day) {
    let (objects, catalog) = (DiskObjects { root: folder.to_owned() }, MemoryCatalog::default());
    let raw = objects.list(&keys::table_prefix(Table::StoreAvailability, country())).await.unwrap();
    let size = |key: &str| fs::metadata(folder.join(key)).unwrap().len() as f64 / 1e6;
    let raw: f64 = raw.iter().map(|object| size(&object.key)).sum();
    let started = Instant::now();
    let lake = Lake { objects: &objects, catalog: &catalog };
    let id = CountryDay { country: country(), day: day() };
    let request = CompactRequest { missing_hours: Some(rules().missing_hours), today };
    let done = compact(lake, id, request).await.unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let location = done.stores.location.unwrap();
    let file = format!("{}{}.parquet", location.strip_prefix("s3://disk/").unwrap(), day());
    let peak_mib = peak_mib("Compact");
    let outages = done.tables.get(&Table::Outages).filter(|outages| outages.files_before > 1);
    if let Some(outages) = outages {
        let missed = done.tables.get(&Table::MissedLooks).map_or(0, |missed| missed.rows);
        let carried = objects.list(&keys::carried_prefix(country())).await.unwrap();
        let carried = size(&carried.last().unwrap().key);
        println!("  {} outages, {missed} missed looks, {carried:.1} MB carried over", outages.rows);
    }
    let schedules = &done.tables[&Table::StoreSchedules];
    println!("  {} rows of schedules, from {} files", schedules.rows, schedules.files_before);
    println!(
        "  {} rows, {} files of {raw:.1} MB to one of {:.1} MB; {seconds:.1} s, at most {peak_mib} MiB",
        done.stores.rows,
        done.stores.files_before,
        size(&file)
    );
}

/// Judges the day again by its last reading with some changes, as an invocation does.
async fn restated(folder: &Path) {
    let (objects, catalog) = (DiskObjects { root: folder.to_owned() }, MemoryCatalog::default());
    let last = objects.list(&keys::snapshot_prefix(country(), slot(SLOTS - 1))).await.unwrap();
    let chunks = last.iter().map(|chunk| fs::read(folder.join(&chunk.key)).unwrap());
    let mut stores: Vec<Store> = chunks.flat_map(|body| snapshot::read(body.into()).unwrap()).collect();
    for store in stores.iter_mut().step_by(100) {
        store.timezone = Some("Atlantic/Canary".to_owned());
    }
    let schedules = MemorySchedules { stores, version: None };
    let lake = Lake { objects: &objects, catalog: &catalog };
    let request = RestateRequest { rules: rules(), chunk_stores: CHUNK, stores: None };
    let now = || slot(SLOTS).first_instant();
    let started = Instant::now();
    let id = CountryDay { country: country(), day: day() };
    let done = restate(lake, id, &schedules, &now, &request).await.unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let (rows, changed) = (done.compacted.stores.rows, done.restated.changes.0.values().sum::<u64>());
    let peak_mib = peak_mib("Restate");
    println!("  {rows} rows, {changed} with another status; {seconds:.1} s, at most {peak_mib} MiB");
}

/// The peak memory of this process in MiB. Panics if it is more than the function has.
fn peak_mib(function: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_mib = peak.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap() / 1024;
    let limit = memory_size(function);
    assert!(peak_mib < limit, "{peak_mib} MiB is more than the {limit} MB of {function}");
    peak_mib
}

/// The function's `MemorySize` in the template.
fn memory_size(function: &str) -> usize {
    let (_, resource) = TEMPLATE.split_once(&format!("\n  {function}:\n")).unwrap();
    let size = resource.lines().find_map(|line| line.trim().strip_prefix("MemorySize: ")).unwrap();
    size.parse().unwrap()
}
