//! Schedule snapshots: a chunk's stores and their hours in one Parquet file.
//!
//! A store's hours are a list of 64-bit numbers, so that a million stores need no million small objects:
//! `day << 34 | opens << 17 | closes`. Times are seconds since midnight. `day` is the weekday, or days
//! since 1970-01-01 for exceptions. A row without hours has 131071 for both times.

use bytes::Bytes;
use polars_core::prelude::*;
use storewatch_domain::{ExceptionHours, Labels, LocalDate, Store, StoreHours, WallTime, WeeklyHours};

use crate::parquet::{self, ParquetError};

const TIME_BITS: u32 = 17;
const NO_TIME: u32 = (1 << TIME_BITS) - 1;

/// Writes a chunk's stores as a file.
///
/// # Errors
/// Polars cannot make or write the file.
pub fn write(stores: &[Store]) -> Result<Bytes, ParquetError> {
    let mut columns = vec![
        text("store_id", stores, |store| Some(&store.id)),
        text("name", stores, |store| store.name.as_deref()),
        text("city", stores, |store| store.city.as_deref()),
        text("timezone", stores, |store| store.timezone.as_deref()),
        text("problem", stores, |store| store.problem.as_deref()),
        list("weekly", stores, |hours, out| {
            let rows = hours.weekly.iter();
            out.extend(rows.map(|row| pack(i64::from(row.weekday()), row.hours())));
        }),
        list("exceptions", stores, |hours, out| {
            let rows = hours.exceptions.iter();
            out.extend(rows.map(|row| pack(i64::from(row.date().days()), row.hours())));
        }),
    ];
    columns.extend(parquet::labels(stores.iter().map(|store| &store.labels)));
    let mut frame = DataFrame::new(stores.len(), columns)?;
    parquet::write_staged(&mut frame)
}

/// Reads a chunk's stores. A snapshot of an earlier release has no labels.
///
/// # Errors
/// The file is not Parquet, lacks a column, or holds numbers that are not hours.
pub fn read(body: Bytes) -> Result<Vec<Store>, ParquetError> {
    let frame = parquet::read(body)?;
    let text = |name: &str| -> Result<StringChunked, ParquetError> { Ok(frame.column(name)?.str()?.clone()) };
    let (ids, names, cities) = (text("store_id")?, text("name")?, text("city")?);
    let (zones, problems) = (text("timezone")?, text("problem")?);
    let labels = Labels::NAMES.map(|name| text(name).ok());
    let mut stores = Vec::with_capacity(frame.height());
    for n in 0..frame.height() {
        let own = |column: &StringChunked| column.get(n).map(str::to_owned);
        stores.push(Store {
            id: own(&ids).ok_or_else(|| ParquetError::Content("store_id is null".to_owned()))?,
            name: own(&names),
            city: own(&cities),
            timezone: own(&zones),
            labels: Labels::from_values(labels.each_ref().map(|label| own(label.as_ref()?))),
            hours: StoreHours::default(),
            problem: own(&problems),
        });
    }
    each_list(&frame, "weekly", |n, packed| {
        let (weekday, opens, closes) = unpack(packed)?;
        let row = WeeklyHours::new(weekday, opens, closes).ok()?;
        stores[n].hours.weekly.push(row);
        Some(())
    })?;
    each_list(&frame, "exceptions", |n, packed| {
        let (date, opens, closes) = unpack(packed)?;
        let date = LocalDate::from_days(i32::try_from(date).ok()?);
        stores[n].hours.exceptions.push(ExceptionHours::new(date, opens, closes).ok()?);
        Some(())
    })?;
    Ok(stores)
}

fn pack(day: i64, hours: Option<(WallTime, WallTime)>) -> i64 {
    let (opens, closes) = hours.map_or((NO_TIME, NO_TIME), |(o, c)| (o.seconds(), c.seconds()));
    day << (2 * TIME_BITS) | i64::from(opens) << TIME_BITS | i64::from(closes)
}

/// The day, opening and closing time. `None` if a number is not a wall time.
fn unpack(packed: i64) -> Option<(i64, Option<WallTime>, Option<WallTime>)> {
    let time = |bits: i64| match bits as u32 & NO_TIME {
        NO_TIME => Some(None),
        seconds => WallTime::from_seconds(seconds).map(Some),
    };
    Some((packed >> (2 * TIME_BITS), time(packed >> TIME_BITS)?, time(packed)?))
}

fn text<'a>(name: &str, stores: &'a [Store], value: impl Fn(&'a Store) -> Option<&'a str>) -> Column {
    parquet::texts(name, &stores.iter().map(value).collect::<Vec<_>>())
}

fn list(name: &str, stores: &[Store], fill: impl Fn(&StoreHours, &mut Vec<i64>)) -> Column {
    let mut builder = ListPrimitiveChunkedBuilder::<Int64Type>::new(
        name.into(),
        stores.len(),
        stores.len() * 8,
        DataType::Int64,
    );
    let mut packed = Vec::new();
    for store in stores {
        packed.clear();
        fill(&store.hours, &mut packed);
        builder.append_slice(&packed);
    }
    builder.finish().into_column()
}

/// Calls `take` with the row number and the value, for each value of each list.
fn each_list(
    frame: &DataFrame,
    name: &str,
    mut take: impl FnMut(usize, i64) -> Option<()>,
) -> Result<(), ParquetError> {
    for (n, values) in frame.column(name)?.list()?.series_iter().enumerate() {
        let Some(values) = values else { continue };
        for value in values.i64()?.iter().flatten() {
            take(n, value)
                .ok_or_else(|| ParquetError::Content(format!("{value} in {name} of row {n} is invalid")))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_of_an_earlier_release_has_no_labels() {
        let labels = Labels { region: Some("ES-MD".to_owned()), ..Labels::NONE };
        let store = Store { id: "7".to_owned(), labels, ..Store::default() };
        let body = write(std::slice::from_ref(&store)).unwrap();
        assert_eq!(read(body.clone()).unwrap(), std::slice::from_ref(&store));
        let mut old = parquet::read(body).unwrap().drop_many(Labels::NAMES);
        let old = parquet::write(&mut old).unwrap();
        assert_eq!(read(old).unwrap(), [Store { labels: Labels::NONE, ..store }]);
    }
}
