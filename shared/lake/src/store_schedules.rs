//! The day's schedules as a table. The day's readings become the rows of `store_schedules`, so that
//! analysts see the hours by which a store was judged.
//!
//! A day has 96 readings, nearly always of the same schedules. So a store keeps one row until a reading
//! differs, and only chunks whose bytes differ from the reading before are read.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use polars_core::prelude::*;
use polars_io::parquet::write::BatchedWriter;
use storewatch_domain::{Instant, Labels, LocalDate, Store, Zones};

use crate::hash;
use crate::in_order::InOrder;
use crate::parquet::{self, Body, ParquetError, RowGroup};
use crate::schedule_texts::{exceptions, weekly};
use crate::tables::Table;

/// Rows in a row group, as in the other compacted files.
const ROW_GROUP: usize = 65_536;

/// The local dates whose hours can reach into a UTC day, counted from that day. Other exceptions are left
/// out: a reading has those of a few weeks, and which weeks changes from day to day.
const DATES: (i32, i32) = (-2, 1);

/// A column's text, or null.
pub type Text = Option<Arc<str>>;

/// The table's texts: those before its two times, and the labels after them.
const TEXTS: [&str; 6] = ["name", "city", "timezone", "weekly", "exceptions", "problem"];
const ALL_TEXTS: usize = TEXTS.len() + Labels::NAMES.len();

/// A store's schedule, as in the columns with these names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule {
    pub name: Text,
    pub city: Text,
    pub timezone: Text,
    pub weekly: Text,
    pub exceptions: Text,
    pub problem: Text,
    /// The columns of [`Labels::NAMES`].
    pub labels: [Text; Labels::NAMES.len()],
}

impl Schedule {
    /// The schedule with these texts, by their number in [`text_names`].
    fn of(mut text: impl FnMut(usize) -> Text) -> Self {
        Self {
            name: text(0),
            city: text(1),
            timezone: text(2),
            weekly: text(3),
            exceptions: text(4),
            problem: text(5),
            labels: std::array::from_fn(|n| text(TEXTS.len() + n)),
        }
    }

    fn texts(&self) -> [Option<&str>; ALL_TEXTS] {
        let [region, chain, segment, owner] = &self.labels;
        let Self { name, city, timezone, weekly, exceptions, problem, .. } = self;
        [name, city, timezone, weekly, exceptions, problem, region, chain, segment, owner]
            .map(Option::as_deref)
    }
}

/// The columns of [`Schedule::texts`].
fn text_names() -> impl Iterator<Item = &'static str> {
    TEXTS.into_iter().chain(Labels::NAMES)
}

/// A row of the table. Times are instants of readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub store_id: Arc<str>,
    pub schedule: Schedule,
    pub from: Instant,
    /// `None` if the last reading still has it.
    pub until: Option<Instant>,
}

/// A store in the last reading.
#[derive(Debug)]
struct Open {
    schedule: Schedule,
    from: Instant,
    /// Its chunk; `None` if it comes from a file.
    chunk: Option<u32>,
    /// The last reading in which it was looked at.
    seen: Instant,
}

/// Identifies the rows of a file of the table: equal digests mean the same rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SchedulesDigest {
    pub rows: u64,
    /// The sum of a hash of each whole row.
    pub checksum: u64,
}

/// The schedules of a day's readings, added in time order.
#[derive(Debug)]
pub struct ScheduleIntervals {
    dates: (LocalDate, LocalDate),
    zones: Zones,
    open: HashMap<Arc<str>, Open>,
    closed: Vec<Row>,
    /// Each text is kept once: thousands of stores share their hours, and a changed store keeps most of its
    /// texts.
    texts: HashSet<Arc<str>>,
    /// What is wrong with a zone's name, by name.
    zone_problems: HashMap<String, Option<String>>,
}

impl ScheduleIntervals {
    /// The schedules of a UTC day before its first reading. `zones` says which zone names exist.
    pub fn of(day: LocalDate, zones: Zones) -> Self {
        Self {
            zones,
            dates: (day.plus_days(DATES.0), day.plus_days(DATES.1)),
            open: HashMap::new(),
            closed: Vec::new(),
            texts: HashSet::new(),
            zone_problems: HashMap::new(),
        }
    }

    /// Continues from a file of the table: takes its next rows up to an id that is not included, or all.
    ///
    /// # Errors
    /// It is not a file of the table.
    pub fn resume(&mut self, file: &mut Told, to: Option<&str>) -> Result<(), ParquetError> {
        while let Some(row) = file.0.next_if(|row| to.is_none_or(|to| &*row.store_id < to))? {
            let Row { store_id, schedule: told, from, until } = row;
            let texts = told.texts();
            let schedule = Schedule::of(|n| self.text(texts[n]));
            if until.is_some() {
                self.closed.push(Row { store_id, schedule, from, until });
            } else {
                self.open.insert(store_id, Open { schedule, from, chunk: None, seen: from });
            }
        }
        Ok(())
    }

    /// Adds a reading made at `at`, which must be later than those before. `same` are the numbers of the
    /// chunks that have not changed since the reading before; `others` are all other chunks with their
    /// stores.
    ///
    /// The first reading after a file must bring all of its chunks in `others`.
    pub fn take(&mut self, at: Instant, same: &BTreeSet<u32>, others: &[(u32, Vec<Store>)]) {
        for (chunk, stores) in others {
            self.take_chunk(at, *chunk, stores);
        }
        self.end_reading(at, same);
    }

    /// Adds one of the other chunks of a reading.
    pub fn take_chunk(&mut self, at: Instant, chunk: u32, stores: &[Store]) {
        for store in stores {
            self.take_store(at, chunk, store);
        }
    }

    /// Ends a reading whose other chunks were all added.
    pub fn end_reading(&mut self, at: Instant, same: &BTreeSet<u32>) {
        let gone = |open: &Open| open.seen != at && open.chunk.is_none_or(|chunk| !same.contains(&chunk));
        let closed = self.open.extract_if(|_, open| gone(open));
        self.closed.extend(closed.map(|(store_id, open)| Row {
            store_id,
            schedule: open.schedule,
            from: open.from,
            until: Some(at),
        }));
    }

    fn take_store(&mut self, at: Instant, chunk: u32, store: &Store) {
        let schedule = self.schedule(store);
        let Some(open) = self.open.get_mut(store.id.as_str()) else {
            let open = Open { schedule, from: at, chunk: Some(chunk), seen: at };
            self.open.insert(store.id.as_str().into(), open);
            return;
        };
        if open.seen == at {
            // A reading has each id once. If an id is there twice, the first one counts.
            return;
        }
        (open.chunk, open.seen) = (Some(chunk), at);
        if open.schedule == schedule {
            return;
        }
        let (schedule, from) = (std::mem::replace(&mut open.schedule, schedule), open.from);
        open.from = at;
        if let Some((store_id, _)) = self.open.get_key_value(store.id.as_str()) {
            let store_id = Arc::clone(store_id);
            self.closed.push(Row { store_id, schedule, from, until: Some(at) });
        }
    }

    fn schedule(&mut self, store: &Store) -> Schedule {
        let problem = store.problem.clone().or_else(|| self.zone_problem(store.timezone.as_deref()));
        Schedule {
            name: self.text(store.name.as_deref()),
            city: self.text(store.city.as_deref()),
            timezone: self.text(store.timezone.as_deref()),
            weekly: self.text(weekly(&store.hours).as_deref()),
            exceptions: self.text(exceptions(&store.hours, self.dates).as_deref()),
            problem: self.text(problem.as_deref()),
            labels: store.labels.values().map(|label| self.text(label)),
        }
    }

    /// The source accepts rows with a zone that does not exist, but the store cannot be judged by them.
    fn zone_problem(&mut self, zone: Option<&str>) -> Option<String> {
        let zone = zone?;
        if let Some(known) = self.zone_problems.get(zone) {
            return known.clone();
        }
        let problem = self.zones.get(zone).err().map(|error| error.to_string());
        self.zone_problems.insert(zone.to_owned(), problem.clone());
        problem
    }

    fn text(&mut self, text: Option<&str>) -> Text {
        let text = text?;
        if let Some(known) = self.texts.get(text) {
            return Some(Arc::clone(known));
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        Some(text)
    }

    /// Writes the file of the table, sorted by store and time. Returns its digest too.
    ///
    /// # Errors
    /// Polars cannot make or write the file.
    pub fn write(self) -> Result<(Bytes, SchedulesDigest), ParquetError> {
        let mut file = SchedulesWriter::new()?;
        file.write(self)?;
        file.finish()
    }
}

/// Writes a file of the table, part by part in the order of ids.
pub struct SchedulesWriter {
    writer: BatchedWriter<Body>,
    body: Body,
    content: SchedulesDigest,
}

impl SchedulesWriter {
    /// A file without rows.
    ///
    /// # Errors
    /// Polars cannot write it.
    pub fn new() -> Result<Self, ParquetError> {
        let body = Body::default();
        let writer = parquet::writer(body.clone()).batched(&parquet::schema(Table::StoreSchedules)?)?;
        Ok(Self { writer, body, content: SchedulesDigest::default() })
    }

    /// Writes the schedules of the next stores, sorted by store and time.
    ///
    /// # Errors
    /// Polars cannot make or write the rows.
    pub fn write(&mut self, schedules: ScheduleIntervals) -> Result<(), ParquetError> {
        let ScheduleIntervals { open, closed: mut rows, .. } = schedules;
        rows.extend(open.into_iter().map(|(store_id, open)| Row {
            store_id,
            schedule: open.schedule,
            from: open.from,
            until: None,
        }));
        rows.sort_unstable_by(|a, b| (&a.store_id, a.from).cmp(&(&b.store_id, b.from)));
        for group in rows.chunks(ROW_GROUP) {
            let frame = frame(group)?;
            self.content.add(&frame)?;
            self.writer.write_batch(&frame)?;
        }
        Ok(())
    }

    /// The file and its digest.
    ///
    /// # Errors
    /// Polars cannot write it.
    pub fn finish(self) -> Result<(Bytes, SchedulesDigest), ParquetError> {
        self.writer.finish()?;
        Ok((self.body.take(), self.content))
    }
}

/// The rows of a file of the table, in the order of ids.
pub struct Told(InOrder<Row>);

impl Told {
    /// The rows of this file.
    ///
    /// # Errors
    /// It is not a file of the table.
    pub fn new(body: Bytes) -> Result<Self, ParquetError> {
        Ok(Self(InOrder::new(&body, rows_of)?))
    }
}

/// The last reading that changed something in a file of the table. `None` if there was none.
///
/// # Errors
/// It is not a file of the table.
pub fn last_reading(body: Bytes) -> Result<Option<Instant>, ParquetError> {
    let mut last = None;
    each_row(body, |row| last = last.max(Some(row.until.unwrap_or(row.from))))?;
    Ok(last)
}

/// The digest of a file of the table, computed from its bytes.
///
/// # Errors
/// It is not a file of the table.
pub fn digest(body: Bytes) -> Result<SchedulesDigest, ParquetError> {
    let mut content = SchedulesDigest::default();
    each_block(body, |block| content.add(&block))?;
    Ok(content)
}

/// Reads the rows of a file of the table, in order.
///
/// # Errors
/// It is not a file of the table.
pub fn read(body: Bytes) -> Result<Vec<Row>, ParquetError> {
    let mut rows = Vec::new();
    each_row(body, |row| rows.push(row))?;
    Ok(rows)
}

fn each_row(body: Bytes, mut take: impl FnMut(Row)) -> Result<(), ParquetError> {
    for group in parquet::row_groups(&body)? {
        rows_of(&group)?.into_iter().for_each(&mut take);
    }
    Ok(())
}

/// Reads the rows of a row group of the table.
pub(crate) fn rows_of(group: &RowGroup) -> Result<Vec<Row>, ParquetError> {
    let missing = |name: &str| ParquetError::Content(format!("{name} is null"));
    let block = group.rows_of(Table::StoreSchedules, None)?;
    let (ids, texts, (from, until)) =
        (block.column("store_id")?.str()?, text_columns(&block)?, times(&block)?);
    let row = |n: usize| {
        Ok(Row {
            store_id: ids.get(n).ok_or_else(|| missing("store_id"))?.into(),
            schedule: Schedule::of(|column| texts[column].get(n).map(Into::into)),
            from: parquet::instant(from.get(n).ok_or_else(|| missing("valid_from"))?)?,
            until: until.get(n).map(parquet::instant).transpose()?,
        })
    };
    (0..block.height()).map(row).collect()
}

fn each_block(
    body: Bytes,
    mut take: impl FnMut(DataFrame) -> Result<(), ParquetError>,
) -> Result<(), ParquetError> {
    for group in parquet::row_groups(&body)? {
        take(group.rows_of(Table::StoreSchedules, None)?)?;
    }
    Ok(())
}

fn frame(rows: &[Row]) -> Result<DataFrame, ParquetError> {
    let ids: Vec<Option<&str>> = rows.iter().map(|row| Some(&*row.store_id)).collect();
    let mut columns = vec![parquet::texts("store_id", &ids)];
    columns.extend(text_names().enumerate().map(|(n, name)| {
        let values: Vec<Option<&str>> = rows.iter().map(|row| row.schedule.texts()[n]).collect();
        parquet::texts(name, &values)
    }));
    let times = [
        parquet::timestamps("valid_from", rows.iter().map(|row| Some(row.from)).collect())?,
        parquet::timestamps("valid_until", rows.iter().map(|row| row.until).collect())?,
    ];
    // After the id and the texts that the table always had.
    columns.splice(1 + TEXTS.len()..1 + TEXTS.len(), times);
    let frame = DataFrame::new(rows.len(), columns)?;
    parquet::check(Table::StoreSchedules, &frame)?;
    Ok(frame)
}

fn text_columns(block: &DataFrame) -> Result<Vec<&StringChunked>, ParquetError> {
    Ok(text_names().map(|name| block.column(name)?.str()).collect::<PolarsResult<_>>()?)
}

fn times(block: &DataFrame) -> Result<(Int64Chunked, Int64Chunked), ParquetError> {
    let time = |name: &str| -> PolarsResult<_> { Ok(block.column(name)?.datetime()?.physical().clone()) };
    Ok((time("valid_from")?, time("valid_until")?))
}

impl SchedulesDigest {
    fn add(&mut self, block: &DataFrame) -> Result<(), ParquetError> {
        let ids = block.column("store_id")?.str()?;
        let texts = text_columns(block)?;
        let (from, until) = times(block)?;
        for n in 0..block.height() {
            let mut hash = hash::text(hash::START, ids.get(n));
            for text in &texts {
                hash = hash::text(hash, text.get(n));
            }
            for time in [from.get(n), until.get(n)] {
                hash = hash::bytes(hash, &time.unwrap_or(i64::MIN).to_le_bytes());
            }
            self.checksum = self.checksum.wrapping_add(hash::mixed(hash));
        }
        self.rows += block.height() as u64;
        Ok(())
    }
}
