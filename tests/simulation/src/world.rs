//! What all executions of one simulation share: lake, catalog, sources, time, chance and trace.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use storewatch_domain::{CountryCode, IdType, Slot};
use storewatch_lake::memory::{MemoryCatalog, MemoryObjects};
use storewatch_runtime::CountryFile;
use storewatch_runtime::metrics::MemoryMetrics;

use crate::chance::Chance;
use crate::executor::give_way;
use crate::script::Script;
use crate::truth::Truth;

/// A country and its sources.
pub struct Country {
    pub code: CountryCode,
    pub file: CountryFile,
    pub truth: Truth,
    /// Whether it is in another account, and delivers to the lake.
    pub is_away: bool,
}

/// A service that can be down for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    Schedules(CountryCode),
    LiveView(CountryCode),
    Catalog,
    /// The lake as a country in another account reaches it.
    Lake,
}

/// What executions have changed since the last check.
#[derive(Debug, Default)]
pub struct Touched {
    pub keys: Vec<String>,
    pub catalog: bool,
}

/// The number of trace lines kept for a report.
const TRACE: usize = 120;

/// One simulated world.
pub struct World {
    pub countries: Vec<Country>,
    /// The bucket that the functions work on.
    pub objects: MemoryObjects,
    /// The lake of the countries in other accounts.
    pub lake: MemoryObjects,
    pub catalog: MemoryCatalog,
    pub metrics: MemoryMetrics,
    pub script: Script,
    now: AtomicI64,
    chance: Mutex<Chance>,
    away: Mutex<BTreeMap<Service, i64>>,
    touched: Mutex<Touched>,
    /// When each reading of the schedules started, and the edition that it found.
    readings: Mutex<BTreeMap<(CountryCode, i64), usize>>,
    /// The slots of which a merge has failed after it wrote, by the number of its failure among merges.
    unfinished: Mutex<BTreeMap<(CountryCode, Slot), usize>>,
    merges: AtomicUsize,
    trace: Option<Mutex<VecDeque<String>>>,
}

impl World {
    /// The world of a seed. A trace costs more than everything else, so it is kept only on request.
    pub fn new(seed: u64, slots: &[Slot], traced: bool) -> Self {
        let mut chance = Chance::new(seed);
        let all = [("es", IdType::Long), ("mx", IdType::Keyword), ("pt", IdType::Long)];
        let countries = all.into_iter().take(chance.rng.usize(2..=3)).zip(0_i64..);
        let countries = countries.map(|((code, id_type), n)| {
            let truth = Truth::new(chance.rng.u64(..), id_type, n * 5_000, slots);
            let file = country_file(code, &truth);
            Country { code: code.parse().unwrap(), file, truth, is_away: code == "mx" }
        });
        let countries = countries.collect();
        Self {
            countries,
            objects: MemoryObjects::default(),
            lake: MemoryObjects::named("lake"),
            catalog: MemoryCatalog::default(),
            metrics: MemoryMetrics::default(),
            script: Script::default(),
            now: AtomicI64::new(0),
            chance: Mutex::new(chance),
            away: Mutex::default(),
            touched: Mutex::default(),
            readings: Mutex::default(),
            unfinished: Mutex::default(),
            merges: AtomicUsize::default(),
            trace: traced.then(Mutex::default),
        }
    }

    pub fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    /// Advances time. It never goes back.
    pub fn pass(&self, micros: i64) -> i64 {
        self.now.fetch_add(micros, Ordering::Relaxed) + micros
    }

    pub fn pass_until(&self, micros: i64) {
        self.now.fetch_max(micros, Ordering::Relaxed);
    }

    /// Makes a random choice.
    pub fn draw<T>(&self, choose: impl FnOnce(&mut Chance) -> T) -> T {
        choose(&mut self.chance.lock().unwrap())
    }

    /// A number below `n`.
    pub fn below(&self, n: usize) -> usize {
        self.draw(|chance| chance.rng.usize(..n))
    }

    /// A random time of up to this many seconds, in microseconds.
    pub fn micros_of(&self, seconds: i64) -> i64 {
        self.draw(|chance| chance.rng.i64(0..=seconds * 1_000_000))
    }

    /// Waits for a random part of these seconds. Time passes for all others too, which is one way in which
    /// it advances.
    pub async fn wait(&self, seconds: f64) {
        let micros = (seconds * 1_000_000.0) as i64;
        let micros = self.draw(|chance| chance.rng.i64(0..=micros));
        self.pass(micros);
        give_way().await;
    }

    /// Waits until this time, in microseconds; not at all if it has passed. Those who wait at the same time share
    /// it.
    pub async fn wait_until(&self, until: i64) {
        while self.now() < until {
            let micros = self.micros_of(5);
            self.pass(micros);
            give_way().await;
        }
    }

    pub fn set_away(&self, service: Service, until: i64) {
        self.away.lock().unwrap().insert(service, until);
    }

    pub fn is_away(&self, service: Service) -> bool {
        self.away.lock().unwrap().get(&service).is_some_and(|until| self.now() < *until)
    }

    /// Ends all outages and faults, or lets faults happen again as drawn.
    pub fn calm(&self, calm: bool) {
        self.note(|| if calm { "-- calm".to_owned() } else { "-- rough".to_owned() });
        self.draw(|chance| chance.calm(calm));
        if calm {
            self.away.lock().unwrap().clear();
        }
    }

    pub fn touch(&self, key: &str) {
        self.touched.lock().unwrap().keys.push(key.to_owned());
    }

    pub fn touch_catalog(&self) {
        self.touched.lock().unwrap().catalog = true;
    }

    pub fn take_touched(&self) -> Option<Touched> {
        let mut touched = self.touched.lock().unwrap();
        (touched.catalog || !touched.keys.is_empty()).then(|| std::mem::take(&mut *touched))
    }

    pub fn set_reading(&self, country: CountryCode, as_of: i64, edition: usize) {
        self.readings.lock().unwrap().insert((country, as_of), edition);
    }

    pub fn reading(&self, country: CountryCode, as_of: i64) -> Option<usize> {
        self.readings.lock().unwrap().get(&(country, as_of)).copied()
    }

    /// A merge starts, or has failed. Returns its number.
    pub fn next_merge(&self) -> usize {
        self.merges.fetch_add(1, Ordering::Relaxed)
    }

    /// A merge has failed after it wrote. Only one that starts later completes its work.
    pub fn leave_unfinished(&self, country: CountryCode, slot: Slot) {
        self.unfinished.lock().unwrap().insert((country, slot), self.next_merge());
    }

    /// A merge that started with this number has succeeded.
    pub fn finish(&self, country: CountryCode, slot: Slot, start: usize) {
        self.unfinished.lock().unwrap().retain(|left, failed| *left != (country, slot) || *failed > start);
    }

    /// Whether a merge of the country has failed after it wrote, and none has completed its work.
    pub fn is_unfinished(&self, country: CountryCode) -> bool {
        self.unfinished.lock().unwrap().keys().any(|(of, _)| *of == country)
    }

    /// Adds a line to the trace.
    pub fn note(&self, line: impl FnOnce() -> String) {
        let Some(trace) = &self.trace else { return };
        let mut trace = trace.lock().unwrap();
        if trace.len() == TRACE {
            trace.pop_front();
        }
        trace.push_back(format!(
            "{}  {}",
            storewatch_domain::Instant::from_micros(self.now()).unwrap(),
            line()
        ));
    }

    /// The last lines of the trace.
    pub fn trace(&self) -> String {
        let lines = self.trace.as_ref().map(|trace| trace.lock().unwrap());
        lines.map(|lines| lines.iter().cloned().collect::<Vec<_>>().join("\n")).unwrap_or_default()
    }
}

fn country_file(code: &str, truth: &Truth) -> CountryFile {
    let version = if truth.versioned { "version = \"select 1\"" } else { "" };
    let id_type = if truth.id_type == IdType::Long { "long" } else { "keyword" };
    let text = format!(
        r#"
        country = "{code}"
        default_timezone = "UTC"
        missing_hours = "closed"
        [schedule]
        url = "postgresql://db.{code}.example/stores"
        {version}
        [live_view]
        url = "https://search.{code}.example"
        index = "stores-{code}"
        id_field = "store_id"
        id_type = "{id_type}"
        online = {{ term = {{ online = true }} }}
        [run]
        chunk_stores = {}
        concurrency = 2
        look_after_seconds = {}
        "#,
        truth.chunk_stores,
        // The stories are about es, and count on looks at the start of the slot.
        if code == "es" { 0 } else { truth.look_after_seconds }
    );
    CountryFile::parse(&text, code).unwrap()
}
