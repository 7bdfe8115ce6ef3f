//! Reads both sources once, each whole, and judges every store of the country.

use storewatch_domain::{
    Chunk, IdRange, Instant, LiveStore, Observation, Rules, Slot, StoreKey, Zones, cut, judge_chunk,
};
use storewatch_runtime::config::exception_dates;
use storewatch_runtime::context::Country;
use storewatch_runtime::{Clock, FunctionError, SystemClock, describe, observe_in_turn};
use storewatch_sources::{Read, ReadRequest, ScheduleError};

use crate::report::Report;

/// What a source said, or why it could not be read.
type Said<T> = Result<T, String>;

/// Checks the country. A source that fails does not keep the other from being read.
pub(crate) async fn check(country: &Country, clock: &dyn Clock) -> Report {
    let rules = match country.file.rules(&Zones::embedded()) {
        Ok(rules) => rules,
        Err(error) => return Report::failed(describe(&country.blame(error))),
    };
    let told = |error| describe(&country.blame(error));
    let chunks = schedules(country, Slot::of(clock.now())).await.map_err(told);
    let everything = [Chunk { stores: Vec::new(), range: IdRange::default() }];
    let at = clock.now();
    let seen = live_view(country, chunks.as_deref().unwrap_or(&everything)).await.map_err(told);
    report(country, &rules, at, &chunks, &seen)
}

async fn schedules(country: &Country, slot: Slot) -> Result<Vec<Chunk>, FunctionError> {
    let request = ReadRequest { exceptions: exception_dates(slot), known_version: None };
    let stores = match country.schedules().await?.read(&request).await? {
        Read::Schedules { stores, .. } => stores,
        Read::Unchanged => {
            let problem = "the version is called unchanged, but none was known".to_owned();
            return Err(ScheduleError::Config { field: "version", problem, source: None }.into());
        }
    };
    let cut = cut(stores, country.file.live_view.id_type, country.file.run.chunk_stores);
    cut.map_err(|error| FunctionError::bad_part("[live_view].id_type", error))
}

/// The live view of each chunk.
async fn live_view(
    country: &Country,
    chunks: &[Chunk],
) -> Result<Vec<Vec<(StoreKey, LiveStore)>>, FunctionError> {
    let view = country.live_view().await?;
    let mut seen = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        seen.push(observe_in_turn(&SystemClock, view, &chunk.range).await?.stores);
    }
    Ok(seen)
}

fn report(
    country: &Country,
    rules: &Rules,
    at: Instant,
    chunks: &Said<Vec<Chunk>>,
    seen: &Said<Vec<Vec<(StoreKey, LiveStore)>>>,
) -> Report {
    let mut report = Report::new(country.code.as_str());
    match chunks {
        Ok(chunks) => report.schedules(&country.file, chunks, &rules.zones),
        Err(problem) => report.wrong(problem.clone()),
    }
    match seen {
        Ok(seen) => report.live_view(&country.file.live_view.index, seen),
        Err(problem) => report.wrong(problem.clone()),
    }
    let (Ok(chunks), Ok(seen)) = (chunks, seen) else { return report };
    let seen: Vec<Observation> =
        seen.iter().map(|stores| Observation { at, stores: stores.clone() }).collect();
    let judged = chunks
        .iter()
        .zip(&seen)
        .flat_map(|(chunk, seen)| judge_chunk(Slot::of(at), rules, &chunk.stores, Ok(seen)));
    report.judged(at, &judged.collect::<Vec<_>>());
    report
}
