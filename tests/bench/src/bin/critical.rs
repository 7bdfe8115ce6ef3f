//! Does one critical part of a tick so many times, for `make bench-check`, which counts its instructions.
//!
//! `critical PART TIMES SOURCES`. The parts are judging 10,000 stores, writing their file, writing and reading their
//! snapshot, and reading schedules and live view from the servers in SOURCES, which is JSON.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use storewatch_bench::stores::{observation, rules, store};
use storewatch_domain::{IdRange, IdType, Instant, Slot, Store, judge_chunk};
use storewatch_lake::availability::AvailabilityRows;
use storewatch_lake::snapshot;
use storewatch_sources::elastic::MAX_PAGE;
use storewatch_sources::{
    Access, Credentials, ElasticConfig, ElasticLiveView, FixedSecret, LiveView, PostgresAddress,
    PostgresConfig, PostgresSchedules, Queries, Read, ReadRequest, Schedules,
};

const STORES: usize = 10_000;

#[derive(Deserialize)]
struct Sources {
    postgres: String,
    username: String,
    password: String,
    stores: String,
    elasticsearch: url::Url,
    index: String,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, part, times, sources] = &arguments[..] else { panic!("usage: critical PART TIMES SOURCES") };
    let times: usize = times.parse().unwrap();
    let sources: Sources = serde_json::from_str(sources).unwrap();
    let slot: Slot = "2026-11-23T12:15:00Z".parse().unwrap();
    match part.as_str() {
        "judge" => judge(slot, times),
        "write" => write(slot, times),
        "snapshot" => snapshot(slot, times),
        "schedules" => run(schedules(slot, &sources, times)),
        "live_view" => run(live_view(&sources, times)),
        other => panic!("there is no part {other}"),
    }
}

/// On one thread, so that a count is the same in every run.
fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

fn stores(slot: Slot) -> Vec<Store> {
    (0..STORES).map(|n| store(n, slot.day().date())).collect()
}

fn observed_at(slot: Slot) -> Instant {
    slot.first_instant().plus_micros(61_000_000)
}

fn judge(slot: Slot, times: usize) {
    let (stores, rules) = (stores(slot), rules());
    let view = observation(&stores, observed_at(slot));
    for _ in 0..times {
        black_box(judge_chunk(slot, &rules, &stores, Ok(&view)));
    }
}

fn write(slot: Slot, times: usize) {
    let (stores, rules) = (stores(slot), rules());
    let view = observation(&stores, observed_at(slot));
    let judged = judge_chunk(slot, &rules, &stores, Ok(&view));
    for _ in 0..times {
        black_box(AvailabilityRows::new(slot, observed_at(slot), &judged).unwrap().write().unwrap());
    }
}

fn snapshot(slot: Slot, times: usize) {
    let stores = stores(slot);
    for _ in 0..times {
        let read = snapshot::read(snapshot::write(&stores).unwrap()).unwrap();
        assert_eq!(read.len(), STORES);
    }
}

async fn schedules(slot: Slot, sources: &Sources, times: usize) {
    let value = Credentials {
        username: Some(sources.username.clone()),
        password: Some(sources.password.clone()),
        api_key: None,
    };
    let queries = Queries { stores: sources.stores.clone(), ..Queries::default() };
    let source = PostgresSchedules::new(PostgresConfig {
        country: "es".parse().unwrap(),
        address: PostgresAddress::parse(&sources.postgres).unwrap(),
        secret: Some(Arc::new(FixedSecret { name: "sample".to_owned(), value })),
        ca: None,
        queries,
        timeout: Duration::from_secs(60),
    });
    let source = source.unwrap();
    let exceptions = (slot.day().date().plus_days(-3), slot.day().date().plus_days(14));
    for _ in 0..times {
        let read = source.read(&ReadRequest { exceptions, known_version: None }).await.unwrap();
        let Read::Schedules { stores, .. } = read else { panic!("no version was asked for") };
        assert!(stores.len() > STORES * 9 / 10, "{} stores", stores.len());
    }
}

async fn live_view(sources: &Sources, times: usize) {
    let source = ElasticLiveView::new(ElasticConfig {
        url: sources.elasticsearch.clone(),
        access: Access::None,
        ca: None,
        index: sources.index.clone(),
        id_field: "store_id".to_owned(),
        id_type: IdType::Long,
        online: serde_json::json!({ "term": { "online": true } }),
        filter: None,
        reason_field: Some("offline_reason".to_owned()),
        timeout: Duration::from_secs(60),
        page: MAX_PAGE,
    });
    let source = source.unwrap();
    for _ in 0..times {
        let seen = source.observe(&IdRange { first: None, last: None }).await.unwrap();
        assert!(seen.len() > STORES * 9 / 10, "{} stores", seen.len());
    }
}
