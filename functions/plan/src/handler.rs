//! Plans a country tick.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use storewatch_domain::{CountryCode, Day, Instant, Slot, Zones, cut};
use storewatch_lake::objects::{damaged, json};
use storewatch_lake::zones::{self, ZoneData};
use storewatch_lake::{Condition, Objects, Put, keys};
use storewatch_runtime::config::exception_dates;
use storewatch_runtime::events::ChunkItem;
use storewatch_runtime::{Clock, CountryFile, FunctionError};
use storewatch_sources::{Read, ReadRequest, ScheduleError, Schedules};

use crate::basis::Basis;
use crate::last_good;
use crate::snapshots::{self, Snapshot};

/// What planning needs from outside.
pub struct Ports<'a> {
    pub objects: &'a dyn Objects,
    pub clock: &'a dyn Clock,
}

/// The event.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    pub country: CountryCode,
    pub slot: Slot,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    pub country: CountryCode,
    pub slot: Slot,
    /// When the schedules were read.
    pub schedule_as_of: Instant,
    /// Whether the schedules could not be read, and an older snapshot is used.
    pub stale: bool,
    pub stores: usize,
    pub chunks: usize,
    /// The key of the manifest.
    pub manifest: String,
    /// How many chunks the country wants observed at once.
    pub concurrency: usize,
    /// When the country wants its live view looked at, within the slot.
    pub look_at: Instant,
}

/// How long a snapshot is reused while its version is unchanged. Well within [`exception_dates`] and the 30 days that
/// snapshots are kept.
const REUSE_MICROS: i64 = 24 * 3600 * 1_000_000;
/// The dates on which it is reused, in days after the reading: those whose exceptions it certainly holds.
const REUSED_ON: RangeInclusive<i32> = 0..=1;
/// A snapshot becomes the last good one if its slot is within these days from today, so that it also holds
/// today's exceptions. A tick for an old slot must not leave today's ticks without them.
const LAST_GOOD_OF: RangeInclusive<i32> = -7..=1;

/// Plans a country tick: reads the schedules, writes the snapshot in chunks and the manifest.
///
/// A slot is planned once. If it has a manifest, that plan is the answer: a second run must not move the
/// borders of chunks that are being observed. If the schedules cannot be read, for whatever reason, the
/// last good snapshot is used.
///
/// # Errors
/// `ScheduleUnavailable` or `BadConfig` if the schedules cannot be read and there is no snapshot of the
/// same source yet; `LakeUnavailable`.
pub async fn plan(
    ports: &Ports<'_>,
    country: &CountryFile,
    schedules: &dyn Schedules,
    event: &Event,
) -> Result<Planned, FunctionError> {
    let (objects, manifest) = (ports.objects, keys::manifest(event.country, event.slot));
    let (before, zones, known) = tokio::join!(
        planned_before(objects, &manifest),
        zones::current(objects, event.country),
        known(objects, country, event)
    );
    if let Some(items) = before? {
        tracing::info!("the slot was planned before; using its manifest");
        let stale = last_good::is_noted(objects, event, &items).await?;
        return answer(objects, country, event, manifest, &items, stale);
    }
    let zones = zones?;
    country.rules(&zones.zones)?;
    let read = async { read(ports, country, schedules, &zones.zones, event, known?).await };
    let (snapshot, is_new) = match read.await {
        Ok(read) => read,
        Err(error) => (last_good::instead_of(error, ports, country, event).await?, false),
    };
    let mut items = items(event, &snapshot, &zones);
    let body = json(objects, &manifest, &items)?;
    let last_good = async {
        match is_new && LAST_GOOD_OF.contains(&days_since(event, snapshot.schedule_as_of)) {
            true => snapshots::set_last_good(objects, event.country, &snapshot).await,
            false => Ok(()),
        }
    };
    let (put, last_good) = tokio::join!(objects.put_if(&manifest, body, Condition::Absent), last_good);
    last_good?;
    let put = put?;
    if put == Put::Conflict {
        // Another run has planned the slot meanwhile, and its chunks may be under way.
        items = planned_before(objects, &manifest).await?.unwrap_or(items);
    }
    // A reading of now cannot have been noted.
    let is_fresh = is_new && put == Put::Done;
    let stale = !is_fresh && last_good::is_noted(objects, event, &items).await?;
    answer(objects, country, event, manifest, &items, stale)
}

/// Days from a reading to the slot.
fn days_since(event: &Event, read: Instant) -> i32 {
    event.slot.day().date().days() - Day::containing(read).date().days()
}

/// The last good snapshot, if the country has a query for a version to compare it by.
async fn known(
    objects: &dyn Objects,
    country: &CountryFile,
    event: &Event,
) -> Result<Option<Snapshot>, FunctionError> {
    match country.schedule.version {
        Some(_) => snapshots::last_good(objects, event.country).await,
        None => Ok(None),
    }
}

async fn planned_before(
    objects: &dyn Objects,
    manifest: &str,
) -> Result<Option<Vec<ChunkItem>>, FunctionError> {
    let Some((_, body)) = objects.find(manifest).await? else { return Ok(None) };
    Ok(Some(serde_json::from_slice(&body).map_err(|error| damaged(objects, manifest, error))?))
}

/// Reads the schedules, or returns the last snapshot if they have not changed since; and whether it is new.
async fn read(
    ports: &Ports<'_>,
    country: &CountryFile,
    schedules: &dyn Schedules,
    zones: &Zones,
    event: &Event,
    known: Option<Snapshot>,
) -> Result<(Snapshot, bool), FunctionError> {
    let as_of = ports.clock.now();
    let basis = Basis::of(country);
    let known = known.filter(|known| known.basis == basis).filter(|known| {
        let read = known.schedule_as_of;
        (0..REUSE_MICROS).contains(&as_of.micros_since(read)) && REUSED_ON.contains(&days_since(event, read))
    });
    let request = ReadRequest {
        exceptions: exception_dates(event.slot),
        known_version: known.as_ref().and_then(|known| known.version.clone()),
    };
    let (stores, version) = match (schedules.read(&request).await?, known) {
        (Read::Unchanged, Some(known)) => return Ok((known, false)),
        (Read::Unchanged, None) => {
            let problem = "the version is called unchanged, but none was known".to_owned();
            return Err(ScheduleError::Config { field: "version", problem, source: None }.into());
        }
        (Read::Schedules { stores, version }, _) => (stores, version),
    };
    let section = &country.live_view;
    let chunks = cut(stores, section.id_type, country.run.chunk_stores)
        .map_err(|error| FunctionError::bad_part("[live_view].id_type", error))?;
    report_problems(&chunks, zones);
    let chunks = snapshots::write(ports.objects, event.country, event.slot, as_of, &chunks).await?;
    Ok((Snapshot { schedule_as_of: as_of, version, basis, chunks }, true))
}

/// Logs how many stores cannot be judged, and the first few with the reason.
fn report_problems(chunks: &[storewatch_domain::Chunk], zones: &Zones) {
    let zone = |zone: &str| zones.get(zone).err().map(|error| error.to_string());
    let bad = chunks.iter().flat_map(|chunk| &chunk.stores).filter_map(|store| {
        let problem = store.problem.clone().or_else(|| zone(store.timezone.as_deref()?));
        Some((store, problem?))
    });
    let (mut bad, mut stores) = (bad.peekable(), 0);
    if bad.peek().is_none() {
        return;
    }
    for (store, problem) in bad {
        if stores < 10 {
            tracing::warn!(store_id = store.id, problem, "bad schedule");
        }
        stores += 1;
    }
    tracing::warn!(stores, "stores whose schedule is bad are unknown until it is mended");
}

fn items(event: &Event, snapshot: &Snapshot, zones: &ZoneData) -> Vec<ChunkItem> {
    let numbered = snapshot.chunks.iter().zip(0..);
    let item = |(chunk, number): (&snapshots::SnapshotChunk, u32)| ChunkItem {
        country: event.country,
        slot: event.slot,
        schedule_as_of: snapshot.schedule_as_of,
        chunk: number,
        key: chunk.key.clone(),
        first: chunk.first.clone(),
        last: chunk.last.clone(),
        stores: chunk.stores,
        zones: zones.key.clone(),
        started_at: None,
    };
    numbered.map(item).collect()
}

fn answer(
    objects: &dyn Objects,
    country: &CountryFile,
    event: &Event,
    manifest: String,
    items: &[ChunkItem],
    stale: bool,
) -> Result<Planned, FunctionError> {
    let first = items.first().ok_or_else(|| damaged(objects, &manifest, "it holds no chunk"))?;
    Ok(Planned {
        country: event.country,
        slot: event.slot,
        schedule_as_of: first.schedule_as_of,
        stale,
        stores: items.iter().map(|item| item.stores).sum(),
        chunks: items.len(),
        manifest,
        concurrency: country.run.concurrency,
        look_at: country.run.look_at(event.slot),
    })
}
