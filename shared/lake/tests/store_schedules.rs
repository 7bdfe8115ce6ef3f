//! Compares the rows made of a day's readings with those of a simple model that compares whole snapshots.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use storewatch_domain::{
    ExceptionHours, Instant, Labels, LocalDate, Slot, Store, StoreHours, WallTime, WeeklyHours, Zones,
};
use storewatch_lake::snapshot;
use storewatch_lake::store_schedules::{self, ScheduleIntervals, SchedulesWriter, Told};

/// 2026-11-23, a Monday.
const DAY: LocalDate = LocalDate::from_days(20_780);

/// A row: its texts, starting with store_id, and its times in Unix microseconds.
type Row = (Vec<Option<String>>, i64, Option<i64>);

fn rows(body: &Bytes) -> Vec<Row> {
    let rows = store_schedules::read(body.clone()).unwrap().into_iter();
    rows.map(|row| {
        let told = row.schedule;
        let texts = [
            Some(row.store_id),
            told.name,
            told.city,
            told.timezone,
            told.weekly,
            told.exceptions,
            told.problem,
        ];
        (
            texts.into_iter().chain(told.labels).map(|text| text.map(|text| text.to_string())).collect(),
            row.from.micros(),
            row.until.map(Instant::micros),
        )
    })
    .collect()
}

fn at(hour: u32, minute: u32) -> Option<WallTime> {
    WallTime::from_seconds(hour * 3600 + minute * 60)
}

fn store(id: &str) -> Store {
    Store { id: id.to_owned(), ..Store::default() }
}

/// The instant of a reading, in microseconds after 1970 began.
fn read(micros: i64) -> Instant {
    Instant::from_micros(micros).unwrap()
}

fn whole(stores: Vec<Store>) -> Vec<(u32, Vec<Store>)> {
    vec![(0, stores)]
}

fn written(schedules: ScheduleIntervals) -> Vec<Row> {
    let (body, content) = schedules.write().unwrap();
    assert_eq!(store_schedules::digest(body.clone()).unwrap(), content);
    let found = rows(&body);
    assert_eq!(found.len() as u64, content.rows);
    found
}

/// The texts of the only row of a store that was read once.
fn told(store: Store) -> [Option<String>; 3] {
    let mut schedules = ScheduleIntervals::of(DAY, Zones::embedded());
    schedules.take(read(1), &BTreeSet::new(), &whole(vec![store]));
    let (texts, ..) = written(schedules).remove(0);
    [texts[4].clone(), texts[5].clone(), texts[6].clone()]
}

#[test]
fn the_day_of_these_tests_is_a_monday() {
    assert_eq!(DAY.to_string(), "2026-11-23");
    assert_eq!(DAY.weekday(), 1);
}

#[test]
fn hours_are_sorted_by_weekday_and_time_whatever_the_order_of_rows() {
    let row = |day, opens, closes| WeeklyHours::new(day, opens, closes).unwrap();
    let weekly = vec![
        row(7, at(22, 0), at(2, 30)),
        row(1, at(17, 0), Some(WallTime::END_OF_DAY)),
        row(1, at(9, 0), at(14, 0)),
        row(1, at(9, 0), at(14, 0)),
        row(2, None, None),
        row(3, WallTime::from_seconds(8 * 3600 + 1), at(8, 0)),
        row(4, at(10, 0), at(10, 0)),
    ];
    let hours = StoreHours { weekly, exceptions: Vec::new() };
    let [weekly, exceptions, problem] = told(Store { hours, ..store("1") });
    assert_eq!(
        weekly.as_deref(),
        Some(
            "Mon 09:00-14:00; Mon 17:00-24:00; Tue closed; Wed 08:00:01-08:00; Thu 10:00-10:00; Sun 22:00-02:30"
        )
    );
    assert_eq!((exceptions, problem), (None, None));
}

#[test]
fn only_exceptions_that_can_reach_into_the_day_are_kept() {
    let row = |days, opens, closes| ExceptionHours::new(DAY.plus_days(days), opens, closes).unwrap();
    let exceptions = vec![
        row(2, None, None),
        row(1, at(10, 0), at(14, 0)),
        row(1, at(7, 0), at(8, 0)),
        row(0, None, None),
        row(-2, at(20, 0), at(4, 0)),
        row(-3, None, None),
    ];
    let hours = StoreHours { weekly: Vec::new(), exceptions };
    let [weekly, exceptions, _] = told(Store { hours, ..store("1") });
    assert_eq!(weekly, None);
    assert_eq!(
        exceptions.as_deref(),
        Some("2026-11-21 20:00-04:00; 2026-11-23 closed; 2026-11-24 07:00-08:00; 2026-11-24 10:00-14:00")
    );
}

#[test]
fn an_unknown_zone_is_a_problem_unless_the_rows_have_one_already() {
    let zoned = |zone: &str| Store { timezone: Some(zone.to_owned()), ..store("1") };
    let [.., problem] = told(zoned("Mars/Olympus"));
    assert!(problem.unwrap().contains("unknown time zone \"Mars/Olympus\""));
    assert_eq!(told(zoned("europe/MADRID"))[2], None);
    let mut spoilt = zoned("Mars/Olympus");
    spoilt.spoil("weekday 8");
    assert_eq!(told(spoilt)[2].as_deref(), Some("weekday 8"));
}

#[test]
fn a_store_gets_a_new_row_only_when_it_is_added_changed_or_removed() {
    let named = |id: &str, name: &str| Store { name: Some(name.to_owned()), ..store(id) };
    let mut schedules = ScheduleIntervals::of(DAY, Zones::embedded());
    schedules.take(read(10), &BTreeSet::new(), &whole(vec![named("1", "a"), named("2", "b")]));
    schedules.take(
        read(20),
        &BTreeSet::new(),
        &whole(vec![named("1", "a"), named("2", "c"), named("10", "d")]),
    );
    schedules.take(read(30), &BTreeSet::new(), &whole(vec![named("1", "a"), named("10", "d")]));
    schedules.take(
        read(40),
        &BTreeSet::new(),
        &whole(vec![named("1", "a"), named("2", "b"), named("10", "d")]),
    );
    let found: Vec<(String, String, i64, Option<i64>)> = written(schedules)
        .into_iter()
        .map(|(mut texts, from, until)| (texts[0].take().unwrap(), texts[1].take().unwrap(), from, until))
        .collect();
    let row = |id: &str, name: &str, from, until| (id.to_owned(), name.to_owned(), from, until);
    assert_eq!(
        found,
        [
            row("1", "a", 10, None),
            row("10", "d", 20, None),
            row("2", "b", 10, Some(20)),
            row("2", "c", 20, Some(30)),
            row("2", "b", 40, None),
        ]
    );
}

#[test]
fn a_store_whose_owner_changes_gets_a_new_row() {
    let owned = |owner: &str| {
        let labels =
            Labels { region: Some("ES-M".to_owned()), owner: Some(owner.to_owned()), ..Labels::NONE };
        whole(vec![Store { labels, ..store("1") }])
    };
    let mut schedules = ScheduleIntervals::of(DAY, Zones::embedded());
    schedules.take(read(10), &BTreeSet::new(), &owned("Ana"));
    schedules.take(read(20), &BTreeSet::new(), &owned("Luis"));
    let found: Vec<_> =
        written(schedules).into_iter().map(|(texts, from, _)| (texts[7..].to_vec(), from)).collect();
    let row = |owner: &str| vec![Some("ES-M".to_owned()), None, None, Some(owner.to_owned())];
    assert_eq!(found, [(row("Ana"), 10), (row("Luis"), 20)]);
}

#[test]
fn a_reading_without_stores_ends_all_rows_and_a_day_of_such_readings_has_none() {
    let mut schedules = ScheduleIntervals::of(DAY, Zones::embedded());
    schedules.take(read(10), &BTreeSet::new(), &whole(Vec::new()));
    schedules.take(read(20), &BTreeSet::new(), &whole(vec![store("1")]));
    schedules.take(read(30), &BTreeSet::new(), &[]);
    let found = written(schedules);
    assert_eq!((found.len(), found[0].1, found[0].2), (1, 20, Some(30)));
    assert_eq!(written(ScheduleIntervals::of(DAY, Zones::embedded())), []);
}

/// Random numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn time(&mut self) -> Option<WallTime> {
        WallTime::from_seconds(self.below(24 * 60) as u32 * 60 + self.below(3) as u32 / 2)
    }

    fn store(&mut self, id: u64) -> Store {
        let maybe = |random: &mut Self, text: &str| (random.below(4) > 0).then(|| text.to_owned());
        let mut weekly = Vec::new();
        for _ in 0..self.below(3) {
            let day = self.below(7) as i64 + 1;
            let hours = if self.below(4) == 0 { (None, None) } else { (self.time(), self.time()) };
            weekly.push(WeeklyHours::new(day, hours.0, hours.1).unwrap());
        }
        let mut exceptions = Vec::new();
        for _ in 0..self.below(3) {
            let date = DAY.plus_days(self.below(9) as i32 - 4);
            let hours = if self.below(2) == 0 { (None, None) } else { (self.time(), self.time()) };
            exceptions.push(ExceptionHours::new(date, hours.0, hours.1).unwrap());
        }
        let (city, zone) = (self.below(2) as usize, self.below(2) as usize);
        let labels = [maybe(self, "ES-LU"), None, maybe(self, "Lugo"), maybe(self, "Ana")];
        Store {
            id: id.to_string(),
            name: maybe(self, "Bar"),
            city: maybe(self, ["Lugo", ""][city]),
            timezone: maybe(self, ["Europe/Madrid", "Nowhere"][zone]),
            labels: Labels::from_values(labels),
            hours: StoreHours { weekly, exceptions },
            problem: (self.below(9) == 0).then(|| "weekday 8".to_owned()),
        }
    }
}

/// Builds rows from whole snapshots: a store's row continues while its texts stay the same.
fn naive(readings: &[(i64, Vec<Store>)]) -> Vec<Row> {
    let texts = |stores: &[Store]| -> BTreeMap<String, Vec<Option<String>>> {
        let mut schedules = ScheduleIntervals::of(DAY, Zones::embedded());
        schedules.take(read(0), &BTreeSet::new(), &whole(stores.to_vec()));
        let rows = written(schedules).into_iter();
        rows.map(|(texts, ..)| (texts[0].clone().unwrap(), texts)).collect()
    };
    let (mut found, mut before): (Vec<Row>, BTreeMap<String, Vec<Option<String>>>) = Default::default();
    for (read_at, stores) in readings {
        let now = texts(stores);
        for (id, had) in &before {
            if now.get(id) != Some(had) {
                let open = found.iter_mut().find(|row| row.0[0].as_ref() == Some(id) && row.2.is_none());
                open.unwrap().2 = Some(*read_at);
            }
        }
        let new = now.iter().filter(|(id, has)| before.get(*id) != Some(has));
        found.extend(new.map(|(_, has)| (has.clone(), *read_at, None)));
        before = now;
    }
    found.sort_by(|a, b| (&a.0[0], a.1).cmp(&(&b.0[0], b.1)));
    found
}

#[test]
fn rows_equal_those_of_whole_snapshots_for_any_changes_chunks_and_resumes() {
    for seed in 1..=150 {
        let mut random = Random(seed);
        let mut stores: BTreeMap<u64, Store> = BTreeMap::new();
        let mut readings: Vec<(i64, Vec<Vec<Store>>)> = Vec::new();
        for n in 0..random.below(12) + 1 {
            for _ in 0..random.below(4) {
                let id = random.below(25);
                match random.below(3) {
                    0 => drop(stores.remove(&id)),
                    _ => drop(stores.insert(id, random.store(id))),
                }
            }
            let all: Vec<Store> = stores.values().cloned().collect();
            // Nearly always chunks of one size, as in practice.
            let size = if random.below(5) == 0 { 3 } else { 5 };
            let chunks = all.chunks(size).map(<[Store]>::to_vec).collect();
            readings.push((Slot::SECONDS * 1_000_000 * n as i64, chunks));
        }
        let wholes: Vec<(i64, Vec<Store>)> =
            readings.iter().map(|(read_at, chunks)| (*read_at, chunks.concat())).collect();
        let wanted = naive(&wholes);

        let file = |stores: &Vec<Store>| snapshot::write(stores).unwrap();
        let (mut body, mut steps) = (None::<Bytes>, Vec::<Step>::new());
        let mut before: Vec<Bytes> = Vec::new();
        for (read_at, chunks) in &readings {
            if random.below(6) == 0 && !steps.is_empty() {
                // Resume from the file, as on another day; the next reading comes whole.
                body = Some(in_parts(&mut random, body, &std::mem::take(&mut steps)));
                let last = store_schedules::last_reading(body.clone().unwrap()).unwrap();
                assert!(last.is_none_or(|last| last < read(*read_at)));
                before.clear();
            }
            let bodies: Vec<Bytes> = chunks.iter().map(file).collect();
            let same: BTreeSet<u32> =
                (0..bodies.len()).filter(|n| before.get(*n) == Some(&bodies[*n])).map(|n| n as u32).collect();
            let others: Vec<(u32, Vec<Store>)> = (0..bodies.len())
                .filter(|n| !same.contains(&(*n as u32)))
                .map(|n| (n as u32, snapshot::read(bodies[n].clone()).unwrap()))
                .collect();
            steps.push((*read_at, same, others));
            before = bodies;
        }
        assert_eq!(rows(&in_parts(&mut random, body, &steps)), wanted, "seed {seed}");
    }
}

/// A reading, its chunks that are as before, and the others.
type Step = (i64, BTreeSet<u32>, Vec<(u32, Vec<Store>)>);

/// The file of some readings, continued from another file, made in up to three parts.
fn in_parts(random: &mut Random, before: Option<Bytes>, steps: &[Step]) -> Bytes {
    let cuts: BTreeSet<String> = (0..random.below(3)).map(|_| random.below(25).to_string()).collect();
    let mut told = before.map(|body| Told::new(body).unwrap());
    let (mut file, mut from) = (SchedulesWriter::new().unwrap(), None);
    for to in cuts.iter().map(|cut| Some(cut.as_str())).chain([None]) {
        let is_in = |store: &&Store| {
            from.is_none_or(|from| from <= &*store.id) && to.is_none_or(|to| &*store.id < to)
        };
        let mut schedules = ScheduleIntervals::of(DAY, Zones::embedded());
        told.iter_mut().for_each(|told| schedules.resume(told, to).unwrap());
        for (read_at, same, others) in steps {
            let of_part = |stores: &Vec<Store>| stores.iter().filter(is_in).cloned().collect();
            let others: Vec<_> = others.iter().map(|(n, stores)| (*n, of_part(stores))).collect();
            schedules.take(read(*read_at), same, &others);
        }
        file.write(schedules).unwrap();
        from = to;
    }
    let (body, content) = file.finish().unwrap();
    assert_eq!(store_schedules::digest(body.clone()).unwrap(), content);
    body
}

#[test]
fn the_first_of_two_equal_ids_in_a_reading_counts() {
    let named = |name: &str| Store { name: Some(name.to_owned()), ..store("7") };
    let mut schedules = ScheduleIntervals::of(DAY, Zones::embedded());
    schedules.take(read(10), &BTreeSet::new(), &whole(vec![named("a"), named("b")]));
    schedules.take(read(20), &BTreeSet::new(), &whole(vec![named("a"), named("b")]));
    let found = written(schedules);
    assert_eq!((found.len(), found[0].0[1].as_deref(), found[0].2), (1, Some("a"), None));
}

#[test]
fn equal_rows_give_equal_bytes_and_the_digest_detects_any_change() {
    let made = |name: &str, until: i64| {
        let mut schedules = ScheduleIntervals::of(DAY, Zones::embedded());
        let named = Store { name: Some(name.to_owned()), ..store("77") };
        let stores = (0..50).map(|id| store(&id.to_string())).chain([named]).collect();
        schedules.take(read(10), &BTreeSet::new(), &whole(stores));
        schedules.take(read(until), &BTreeSet::new(), &whole(vec![store("1")]));
        schedules.write().unwrap()
    };
    let (body, content) = made("a", 20);
    assert_eq!(made("a", 20), (body, content));
    assert_ne!(made("b", 20).1, content);
    assert_ne!(made("a", 21).1, content);
}

#[test]
fn files_that_are_not_of_the_table_are_refused() {
    let other = snapshot::write(&[store("1")]).unwrap();
    for body in [other, Bytes::from_static(b"PAR1")] {
        assert!(store_schedules::digest(body.clone()).is_err());
        let told = |mut told| ScheduleIntervals::of(DAY, Zones::embedded()).resume(&mut told, None);
        assert!(Told::new(body).and_then(told).is_err());
    }
}
