//! What was found, in short lines for a person, and what looks wrong.

use std::fmt;

use storewatch_domain::{Chunk, Counts, Instant, JudgedStore, LiveStore, Status, Store, StoreKey, Zones};
use storewatch_runtime::CountryFile;

/// How many stores are shown: bad ones, and judged ones.
const SHOWN: usize = 5;

/// The lines to print, and the problems, of which one is enough to fail.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<String>,
    problems: Vec<String>,
}

impl Report {
    pub(crate) fn new(country: &str) -> Self {
        Self { lines: vec![format!("country    {country}")], problems: Vec::new() }
    }

    /// Nothing could be checked.
    pub(crate) fn failed(problem: String) -> Self {
        Self { lines: Vec::new(), problems: vec![problem] }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    pub(crate) fn wrong(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    fn line(&mut self, what: &str, text: impl fmt::Display) {
        self.lines.push(format!("{what:<10} {text}"));
    }

    /// What PostgreSQL says.
    pub(crate) fn schedules(&mut self, file: &CountryFile, chunks: &[Chunk], zones: &Zones) {
        let stores: Vec<&Store> = chunks.iter().flat_map(|chunk| &chunk.stores).collect();
        let bad: Vec<(&Store, String)> =
            stores.iter().filter_map(|&store| Some((store, problem(store, zones)?))).collect();
        let with_hours = stores.iter().filter(|store| !store.hours.weekly.is_empty()).count();
        let count = stores.len();
        self.line(
            "PostgreSQL",
            format_args!("{count} stores, {with_hours} with weekly hours, {} bad", bad.len()),
        );
        for (store, problem) in bad.iter().take(SHOWN) {
            self.line("", format_args!("bad: store {:?}: {problem}", store.id));
        }
        if stores.is_empty() {
            self.wrong("[schedule].stores returns no store");
        } else if bad.len() == count {
            self.wrong("[schedule]: no store has a schedule that can be used; the bad ones above say why");
        } else if with_hours == 0 {
            let missing = format!("{:?}", file.missing_hours);
            self.wrong(format!(
                "[schedule].weekly returns no hours of any of these stores, so that missing_hours ({missing}) decides \
                 for all; check that its store_id is the id of [schedule].stores"
            ));
        }
    }

    /// What Elasticsearch shows.
    pub(crate) fn live_view(&mut self, index: &str, seen: &[Vec<(StoreKey, LiveStore)>]) {
        let listed = seen.iter().map(Vec::len).sum::<usize>();
        let online = seen.iter().flatten().filter(|(_, store)| store.online).count();
        self.line("live view", format_args!("{listed} stores listed, {online} of them online"));
        if listed == 0 {
            self.wrong(format!(
                "[live_view]: no document of index {index:?} has an id_field and matches filter; check index, filter and id_field"
            ));
        }
    }

    /// Every store, judged.
    pub(crate) fn judged(&mut self, at: Instant, rows: &[JudgedStore<'_>]) {
        let mut counts = Counts::default();
        rows.iter().for_each(|row| counts.add(row.judged.status));
        let each: Vec<String> = counts
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(status, count)| format!("{count} {status}"))
            .collect();
        self.line("judged", format_args!("{} at {at}", each.join(", ")));
        for row in examples(rows) {
            self.line("", shown(row));
        }
        self.judgement(rows, &counts);
    }

    /// What the rows together say is wrong.
    fn judgement(&mut self, rows: &[JudgedStore<'_>], counts: &Counts) {
        let orphans = counts.get(Status::Orphan);
        let (stores, met) = (counts.stores(), rows.len() as u64 - orphans);
        let is_listed = |row: &&JudgedStore<'_>| row.judged.listed == Some(true);
        let listed = rows.iter().filter(is_listed).count() as u64;
        if stores > 0 && orphans > 0 && orphans == listed {
            let of = |wanted: bool| rows.iter().find(|row| (row.judged.status == Status::Orphan) == wanted);
            let id =
                |row: Option<&JudgedStore<'_>>| row.map_or_else(String::new, |row| format!("{:?}", row.id));
            self.wrong(format!(
                "the ids never meet: none of the {listed} stores in the live view is in PostgreSQL (such as {} there and {} \
                 here); check id_field, id_type and the id of [schedule].stores",
                id(of(true)),
                id(of(false)),
            ));
            return;
        }
        let scheduled =
            rows.iter().filter(|row| row.judged.scheduled == Some(true)).filter(is_listed).count();
        if met > 0 && scheduled > 0 && !rows.iter().any(|row| row.judged.online == Some(true)) {
            self.wrong(format!(
                "[live_view].online matches no document, although {scheduled} listed stores should be open now; check the query"
            ));
        }
    }
}

/// Why the store cannot be judged.
fn problem(store: &Store, zones: &Zones) -> Option<String> {
    let zone = |zone: &str| zones.get(zone).err().map(|error| error.to_string());
    store.problem.clone().or_else(|| zone(store.timezone.as_deref()?))
}

/// A few stores, of as many statuses as possible.
fn examples<'a, 'b>(rows: &'a [JudgedStore<'b>]) -> Vec<&'a JudgedStore<'b>> {
    let first = |status: Status| rows.iter().find(|row| row.judged.status == status);
    let mut chosen: Vec<&JudgedStore<'_>> = Status::ALL.into_iter().filter_map(first).take(SHOWN).collect();
    for row in rows {
        if chosen.len() < SHOWN && !chosen.iter().any(|other| std::ptr::eq(*other, row)) {
            chosen.push(row);
        }
    }
    chosen
}

/// A judged store in one line. Texts of the sources are quoted, so that they cannot steer a terminal.
fn shown(row: &JudgedStore<'_>) -> String {
    let judged = &row.judged;
    let yes = |value: Option<bool>, yes: &str, no: &str, unknown: &str| {
        value.map_or(unknown, |value| if value { yes } else { no }).to_owned()
    };
    let mut text = format!("{:<12} store {:?}", judged.status.as_str(), row.id);
    for part in [row.name, row.city].into_iter().flatten() {
        text.push_str(&format!(", {part:?}"));
    }
    let parts = [
        format!("{:?}", row.timezone),
        yes(judged.scheduled, "should be open", "should be closed", "no hours"),
        yes(judged.listed, "listed", "not listed", "not observed"),
        yes(judged.online, "online", "not online", "not observed"),
    ];
    text.push_str(&format!(": {}", parts.join(", ")));
    if let Some(reason) = judged.reason {
        text.push_str(&format!(", reason {reason:?}"));
    }
    text
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        for problem in &self.problems {
            writeln!(f, "wrong      {problem}")?;
        }
        if self.is_good() { writeln!(f, "result     nothing looks wrong") } else { Ok(()) }
    }
}
