//! Combines the rows of the three queries into stores.

use std::collections::HashMap;

use storewatch_domain::{CountryCode, ExceptionHours, Labels, Store, WallTime, WeeklyHours};
use tokio_postgres::binary_copy::BinaryCopyOutRow;
use tokio_postgres::{Error as PgError, Transaction};

use super::query::{Checked, Fault};
use super::values::{Date, Id, Number, Text, Time};

/// The stores, as read so far.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) stores: Vec<Store>,
    by_id: HashMap<String, usize>,
    /// The store of the previous row. Rows of one store mostly follow each other.
    last: Option<usize>,
}

impl Gathered {
    pub(super) async fn stores(
        &mut self,
        transaction: &Transaction<'_>,
        query: &Checked,
        country: CountryCode,
    ) -> Result<(), Fault> {
        let labels = Labels::NAMES.map(|name| query.column(name));
        let mut nameless = 0_u64;
        query
            .each(transaction, |row| {
                let Some(id) = row.try_get::<Option<Id<'_>>>(0)? else {
                    nameless += 1;
                    return Ok(());
                };
                let mut texts = [None; Labels::NAMES.len()];
                for (text, column) in texts.iter_mut().zip(labels) {
                    let Some(column) = column else { continue };
                    *text = row.try_get::<Option<Text<'_>>>(column)?.map(|Text(text)| text);
                }
                let (labels, bad) = Labels::read(texts, country);
                let mut store = Store {
                    id: id.with_text(str::to_owned),
                    name: text(row, 1)?,
                    city: text(row, 2)?,
                    timezone: text(row, 3)?,
                    labels,
                    ..Store::default()
                };
                if let Err(problem) = bad {
                    store.spoil(format!("[schedule].stores: {problem}"));
                }
                match self.by_id.get(&store.id) {
                    // The id must be unique: which of the rows is right is not known.
                    Some(&first) => self.stores[first].spoil("[schedule].stores: several rows have this id"),
                    None => {
                        self.by_id.insert(store.id.clone(), self.stores.len());
                        self.stores.push(store);
                    }
                }
                Ok(())
            })
            .await?;
        if nameless > 0 {
            tracing::warn!(
                rows = nameless,
                "[schedule].stores returned rows whose id is null; they were ignored"
            );
        }
        Ok(())
    }

    pub(super) async fn weekly(
        &mut self,
        transaction: &Transaction<'_>,
        query: &Checked,
    ) -> Result<(), Fault> {
        query
            .each(transaction, |row| {
                let Some(store) = self.store_of(row)? else { return Ok(()) };
                let weekday: Option<Number> = row.try_get(1)?;
                let hours = hours(row)?;
                let Some(Number(day)) = weekday else {
                    store.spoil("[schedule].weekly: weekday is null");
                    return Ok(());
                };
                let added = add(&mut store.hours.weekly, hours, |(opens, closes)| {
                    WeeklyHours::new(day, opens, closes)
                });
                if let Err(problem) = added {
                    store.spoil(format!("[schedule].weekly of weekday {day}: {problem}"));
                }
                Ok(())
            })
            .await
    }

    pub(super) async fn exceptions(
        &mut self,
        transaction: &Transaction<'_>,
        query: &Checked,
    ) -> Result<(), Fault> {
        query
            .each(transaction, |row| {
                let Some(store) = self.store_of(row)? else { return Ok(()) };
                let date: Option<Date> = row.try_get(1)?;
                let hours = hours(row)?;
                let Some(Date(date)) = date else {
                    store.spoil("[schedule].exceptions: date is null");
                    return Ok(());
                };
                let added = add(&mut store.hours.exceptions, hours, |(opens, closes)| {
                    ExceptionHours::new(date, opens, closes)
                });
                if let Err(problem) = added {
                    store.spoil(format!("[schedule].exceptions of {date}: {problem}"));
                }
                Ok(())
            })
            .await
    }

    /// The store of the row; `None` if it was not read.
    fn store_of(&mut self, row: &BinaryCopyOutRow) -> Result<Option<&mut Store>, PgError> {
        let Some(id) = row.try_get::<Option<Id<'_>>>(0)? else { return Ok(None) };
        self.last = id.with_text(|text| {
            let again = self.last.filter(|&n| self.stores[n].id == text);
            again.or_else(|| self.by_id.get(text).copied())
        });
        Ok(self.last.map(|n| &mut self.stores[n]))
    }
}

fn text(row: &BinaryCopyOutRow, column: usize) -> Result<Option<String>, PgError> {
    Ok(row.try_get::<Option<Text<'_>>>(column)?.map(|Text(text)| text.to_owned()))
}

/// `opens` and `closes`.
type Times = (Option<WallTime>, Option<WallTime>);

/// The row's times, or which of them is not a time.
fn hours(row: &BinaryCopyOutRow) -> Result<Result<Times, String>, PgError> {
    let (opens, closes): (Option<Time<'_>>, Option<Time<'_>>) = (row.try_get(2)?, row.try_get(3)?);
    let one = |name: &str, time: Option<Time<'_>>| match time {
        Some(Time::Bad(text)) => {
            let shown: String = text.chars().take(40).collect();
            Err(format!("{name} is {shown:?}, which is not a time such as \"09:00\""))
        }
        Some(Time::Of(time)) => Ok(Some(time)),
        None => Ok(None),
    };
    Ok(one("opens", opens).and_then(|opens| Ok((opens, one("closes", closes)?))))
}

/// Adds the hours of a row, or says what is wrong with them.
fn add<T, E: ToString>(
    rows: &mut Vec<T>,
    times: Result<Times, String>,
    hours: impl FnOnce(Times) -> Result<T, E>,
) -> Result<(), String> {
    rows.push(hours(times?).map_err(|error| error.to_string())?);
    Ok(())
}
