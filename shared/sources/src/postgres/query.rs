//! A country's queries: their columns are checked by name and type before a row is read, then their
//! rows stream in by binary COPY.

use std::pin::Pin;

use futures_util::TryStreamExt;
use storewatch_domain::LocalDate;
use tokio_postgres::binary_copy::{BinaryCopyOutRow, BinaryCopyOutStream};
use tokio_postgres::types::Type;
use tokio_postgres::{Error as PgError, Transaction};

use super::values::{DATE_TYPES, ID_TYPES, NUMBER_TYPES, TEXT_TYPES, TIME_TYPES};
use crate::schedules::ScheduleError;

/// The three queries of a country file, which have defaults for the schema that ships with the
/// project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queries {
    /// Columns id, name, city, timezone.
    pub stores: String,
    /// Columns store_id, weekday, opens, closes.
    pub weekly: String,
    /// Columns store_id, date, opens, closes; `$1` and `$2` are the first and last date.
    pub exceptions: String,
    /// While its row is unchanged, a snapshot is reused.
    pub version: Option<String>,
}

impl Default for Queries {
    fn default() -> Self {
        Self {
            stores: "select id, name, city, timezone from stores where active".to_owned(),
            weekly: "select store_id, weekday, opens, closes from store_hours".to_owned(),
            exceptions:
                "select store_id, date, opens, closes from store_exceptions where date between $1 and $2"
                    .to_owned(),
            version: None,
        }
    }
}

/// A column that a query must return, and the types it may have.
pub(super) struct Wanted(&'static str, &'static [Type]);

pub(super) const STORES: [Wanted; 4] = [
    Wanted("id", ID_TYPES),
    Wanted("name", TEXT_TYPES),
    Wanted("city", TEXT_TYPES),
    Wanted("timezone", TEXT_TYPES),
];
pub(super) const WEEKLY: [Wanted; 4] = [
    Wanted("store_id", ID_TYPES),
    Wanted("weekday", NUMBER_TYPES),
    Wanted("opens", TIME_TYPES),
    Wanted("closes", TIME_TYPES),
];
pub(super) const EXCEPTIONS: [Wanted; 4] = [
    Wanted("store_id", ID_TYPES),
    Wanted("date", DATE_TYPES),
    Wanted("opens", TIME_TYPES),
    Wanted("closes", TIME_TYPES),
];

/// A query whose columns were found right, ready to be copied out.
pub(super) struct Checked {
    field: &'static str,
    copy: String,
    types: Vec<Type>,
}

/// What a statement of the country's failed of.
pub(super) enum Fault {
    Config(ScheduleError),
    Server(PgError),
}

impl From<PgError> for Fault {
    fn from(error: PgError) -> Self {
        Self::Server(error)
    }
}

/// Prepares the query and checks its columns. `dates` are what `$1` and `$2` stand for.
pub(super) async fn check(
    transaction: &Transaction<'_>,
    field: &'static str,
    sql: &str,
    wanted: &[Wanted],
    dates: Option<(LocalDate, LocalDate)>,
) -> Result<Checked, Fault> {
    let sql = sql.trim().trim_end_matches(';').trim_end();
    let statement = transaction.prepare(sql).await.map_err(|error| query_fault(field, error))?;
    let config = |problem: String| Fault::Config(ScheduleError::Config { field, problem, source: None });
    let expected = if dates.is_some() { 2 } else { 0 };
    let parameters = statement.params().len();
    if parameters != expected {
        return Err(config(format!("the query has {parameters} parameters, and {expected} are given")));
    }
    let columns = statement.columns();
    let mut types = Vec::with_capacity(wanted.len());
    for Wanted(name, allowed) in wanted {
        let names = || columns.iter().map(|column| column.name()).collect::<Vec<_>>().join(", ");
        let mut found = columns.iter().filter(|column| column.name() == *name);
        let column = match (found.next(), found.next()) {
            (Some(column), None) => column,
            (None, _) => {
                return Err(config(format!("the query returns no column {name:?}, only: {}", names())));
            }
            _ => return Err(config(format!("the query returns {name:?} more than once: {}", names()))),
        };
        if !allowed.contains(column.type_()) {
            let allowed = allowed.iter().map(Type::name).collect::<Vec<_>>().join(", ");
            return Err(config(format!(
                "the query returns {name:?} as {}, and one of {allowed} is wanted",
                column.type_().name()
            )));
        }
        types.push(column.type_().clone());
    }
    // COPY takes no parameters. The dates are ours, written as ISO 8601, so nothing can be smuggled
    // in; the line break ends a comment that the query may end with.
    let sql = match dates {
        Some((first, last)) => substitute(sql, first, last),
        None => sql.to_owned(),
    };
    let names = wanted.iter().map(|Wanted(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let copy = format!("copy (select {names} from (\n{sql}\n) as q) to stdout (format binary)");
    Ok(Checked { field, copy, types })
}

impl Checked {
    /// Runs the query and hands each row to `take`.
    pub(super) async fn each(
        &self,
        transaction: &Transaction<'_>,
        mut take: impl FnMut(&BinaryCopyOutRow) -> Result<(), PgError>,
    ) -> Result<(), Fault> {
        let stream =
            transaction.copy_out(&self.copy).await.map_err(|error| query_fault(self.field, error))?;
        let mut rows = Box::pin(BinaryCopyOutStream::new(stream, &self.types));
        while let Some(row) = next(rows.as_mut()).await.map_err(|error| query_fault(self.field, error))? {
            take(&row)?;
        }
        Ok(())
    }
}

async fn next(rows: Pin<&mut BinaryCopyOutStream>) -> Result<Option<BinaryCopyOutRow>, PgError> {
    let mut rows = rows;
    rows.try_next().await
}

/// Faults of class 42, "syntax error or access rule violation", and 22, "data exception", are the
/// query's; all others are the server's or the way's to it.
pub(super) fn query_fault(field: &'static str, error: PgError) -> Fault {
    let class = error.code().map(|code| code.code()[..2].to_owned());
    match class.as_deref() {
        Some("42" | "22" | "0A" | "25") => {
            let problem = error.as_db_error().map_or_else(
                || "PostgreSQL refuses the query".to_owned(),
                |refusal| format!("PostgreSQL refuses the query: {}", refusal.message()),
            );
            Fault::Config(ScheduleError::Config { field, problem, source: Some(error.into()) })
        }
        _ => Fault::Server(error),
    }
}

/// Puts the dates where `$1` and `$2` stand.
fn substitute(sql: &str, first: LocalDate, last: LocalDate) -> String {
    let mut out = String::with_capacity(sql.len() + 40);
    let mut rest = sql;
    while let Some(at) = rest.find('$') {
        let digits = rest[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
        let end = at + 1 + digits;
        out.push_str(&rest[..at]);
        match &rest[at + 1..end] {
            "1" => out.push_str(&format!("date '{first}'")),
            "2" => out.push_str(&format!("date '{last}'")),
            _ => out.push_str(&rest[at..end]),
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_stand_where_the_parameters_stood() {
        let (first, last) = (LocalDate::from_days(20_000), LocalDate::from_days(20_009));
        let sql = "select '$10' where date between $1 and $2 and $$x$$ = ''";
        let wanted = "select '$10' where date between date '2024-10-04' and date '2024-10-13' and $$x$$ = ''";
        assert_eq!(substitute(sql, first, last), wanted);
    }
}
