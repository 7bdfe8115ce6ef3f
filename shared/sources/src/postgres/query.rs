//! A country's queries. The names and types of their columns are checked before any row is read. Then the
//! rows are read with binary COPY.

use std::collections::HashSet;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::TryStreamExt;
use storewatch_domain::{Labels, LocalDate};
use tokio_postgres::binary_copy::{BinaryCopyOutRow, BinaryCopyOutStream};
use tokio_postgres::error::ErrorPosition;
use tokio_postgres::types::Type;
use tokio_postgres::{Error as PgError, Transaction};

use super::failure::Failure;
use super::sql;
use super::values::{DATE_TYPES, ID_TYPES, NUMBER_TYPES, TEXT_TYPES, TIME_TYPES};
use crate::schedules::ScheduleError;

/// The queries of a country file. The defaults fit the sample schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queries {
    /// Columns id, name, city, timezone; optional: region, chain, segment, owner.
    pub stores: String,
    /// Columns store_id, weekday, opens, closes.
    pub weekly: String,
    /// Columns store_id, date, opens, closes. `$1` and `$2` are the first and last date.
    pub exceptions: String,
    /// Returns one row. While it is unchanged, the last snapshot is reused.
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

/// A column that a query must return, its possible types, and their names for messages.
pub(super) struct Wanted(&'static str, &'static [Type], &'static str);

const ID: (&[Type], &str) = (ID_TYPES, "smallint, integer, bigint, text, varchar, char or uuid");
const TEXT: (&[Type], &str) = (TEXT_TYPES, "text, varchar, char or name");
const TIME: (&[Type], &str) = (TIME_TYPES, "time, text, varchar or char");

/// One of the country's queries: its field in the country file, and its columns.
pub(super) struct Query {
    field: &'static str,
    needed: &'static [Wanted],
    /// Read if the query returns them.
    optional: &'static [Wanted],
}

pub(super) const STORES: Query = Query {
    field: "stores",
    needed: &[
        Wanted("id", ID.0, ID.1),
        Wanted("name", TEXT.0, TEXT.1),
        Wanted("city", TEXT.0, TEXT.1),
        Wanted("timezone", TEXT.0, TEXT.1),
    ],
    optional: &[
        Wanted(Labels::NAMES[0], TEXT.0, TEXT.1),
        Wanted(Labels::NAMES[1], TEXT.0, TEXT.1),
        Wanted(Labels::NAMES[2], TEXT.0, TEXT.1),
        Wanted(Labels::NAMES[3], TEXT.0, TEXT.1),
    ],
};
pub(super) const WEEKLY: Query = Query {
    field: "weekly",
    needed: &[
        Wanted("store_id", ID.0, ID.1),
        Wanted("weekday", NUMBER_TYPES, "smallint, integer or bigint"),
        Wanted("opens", TIME.0, TIME.1),
        Wanted("closes", TIME.0, TIME.1),
    ],
    optional: &[],
};
pub(super) const EXCEPTIONS: Query = Query {
    field: "exceptions",
    needed: &[
        Wanted("store_id", ID.0, ID.1),
        Wanted("date", DATE_TYPES, "date"),
        Wanted("opens", TIME.0, TIME.1),
        Wanted("closes", TIME.0, TIME.1),
    ],
    optional: &[],
};

/// A query whose columns were checked, ready for COPY.
pub(super) struct Checked {
    field: &'static str,
    copy: String,
    names: Vec<&'static str>,
    types: Vec<Type>,
}

/// Why a statement failed: the country's query is wrong, or the server failed.
pub(super) enum Fault {
    Config(ScheduleError),
    Server(PgError),
}

impl From<PgError> for Fault {
    fn from(error: PgError) -> Self {
        Self::Server(error)
    }
}

/// An alias for the country's query that none of its columns has.
const ALIAS: &str = "storewatch_query";

fn config(field: &'static str, problem: String) -> Fault {
    Fault::Config(ScheduleError::Config { field, problem, source: None })
}

impl Query {
    /// Checks that the query returns the needed columns, and that they and the optional ones have types that
    /// can be read. With `dates`, the query must have two parameters, which they replace.
    ///
    /// Asks the server for the names of the types, because the driver would look up unknown types, such as
    /// enums, with prepared statements that outlive the transaction. No row of the query is computed.
    pub(super) async fn check(
        &self,
        transaction: &Transaction<'_>,
        sql: &str,
        dates: Option<(LocalDate, LocalDate)>,
    ) -> Result<Checked, Fault> {
        let field = self.field;
        // COPY takes no parameters. The dates are our own, in ISO 8601, so they are safe to embed.
        let dates = dates.map(|(first, last)| [first, last].map(|date| format!("date '{date}'")).to_vec());
        let sql = sql::single(sql, &dates.unwrap_or_default()).map_err(|problem| config(field, problem))?;
        let mut wanted: Vec<&Wanted> = self.needed.iter().collect();
        if !self.optional.is_empty() {
            let returned = returned(transaction, field, &sql).await?;
            wanted.extend(self.optional.iter().filter(|Wanted(name, ..)| returned.contains(*name)));
        }
        let types =
            wanted.iter().map(|Wanted(name, ..)| format!("pg_catalog.pg_typeof({ALIAS}.\"{name}\")::text"));
        let head = format!(
            "select {} from (select 1) as one left join (select * from (",
            types.collect::<Vec<_>>().join(", ")
        );
        let ask = format!("{head}\n{sql}\n) as q limit 0) as {ALIAS} on true");
        let row = transaction.query_typed_one(&ask, &[]).await;
        let row = row.map_err(|error| column_fault(field, &wanted, &ask, error))?;
        let mut columns = Vec::with_capacity(wanted.len());
        for (n, Wanted(name, allowed, text)) in wanted.into_iter().enumerate() {
            let found: &str = row.try_get(n)?;
            let Some(kind) = type_of(found).filter(|kind| allowed.contains(kind)) else {
                let found = short_name(found);
                return Err(config(
                    field,
                    format!("the query returns {name:?} as {found}; it must be {text}"),
                ));
            };
            columns.push((*name, kind));
        }
        let (names, types): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let list = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        let copy = format!("copy (select {list} from (\n{sql}\n) as q) to stdout (format binary)");
        Ok(Checked { field, copy, names, types })
    }
}

/// The names of the query's columns. COPY names them in its header, without computing a row.
async fn returned(
    transaction: &Transaction<'_>,
    field: &'static str,
    sql: &str,
) -> Result<HashSet<String>, Fault> {
    // No name has this delimiter, so that names need not be parsed as CSV.
    let options = "format csv, header, delimiter E'\\x01'";
    let ask = format!("copy (select * from (\n{sql}\n) as q limit 0) to stdout ({options})");
    let header = transaction.copy_out(&ask).await.map_err(|error| query_fault(field, &ask, error))?;
    let header: Vec<Bytes> = header.try_collect().await.map_err(|error| query_fault(field, &ask, error))?;
    let header = String::from_utf8_lossy(&header.concat()).into_owned();
    Ok(header.trim_end_matches('\n').split('\x01').map(str::to_owned).collect())
}

/// The one row of the version query, as text.
pub(super) async fn version(transaction: &Transaction<'_>, sql: &str) -> Result<Option<String>, Fault> {
    let sql = sql::single(sql, &[]).map_err(|problem| config("version", problem))?;
    let ask = format!("select q::text from (\n{sql}\n) as q");
    let rows =
        transaction.query_typed(&ask, &[]).await.map_err(|error| query_fault("version", &ask, error))?;
    match &rows[..] {
        [row] => Ok(row.try_get(0)?),
        _ => Err(config("version", format!("the query returns {} rows; it must return one", rows.len()))),
    }
}

/// Names the column if one is missing or duplicate.
fn column_fault(field: &'static str, wanted: &[&Wanted], sent: &str, error: PgError) -> Fault {
    let Some(refusal) = error.as_db_error() else { return query_fault(field, sent, error) };
    let is_named = |name: &str| refusal.message().contains(name);
    let column = wanted.iter().map(|Wanted(name, ..)| *name);
    let problem = match refusal.code().code() {
        "42703" => column.into_iter().find(|name| is_named(&format!("{ALIAS}.{name} "))).map(|name| {
            let hint = refusal.hint().map(|hint| format!("; {}", hint.replace(&format!("{ALIAS}."), "")));
            format!("the query returns no column {name:?}{}", hint.unwrap_or_default().trim_end_matches('.'))
        }),
        "42702" => column
            .into_iter()
            .find(|name| is_named(&format!("\"{name}\"")))
            .map(|name| format!("the query returns {name:?} more than once, or names it without its table")),
        _ => None,
    };
    problem.map_or_else(|| query_fault(field, sent, error), |problem| config(field, problem))
}

/// The driver's type for the name of a type in PostgreSQL.
fn type_of(name: &str) -> Option<Type> {
    Some(match name {
        "smallint" => Type::INT2,
        "integer" => Type::INT4,
        "bigint" => Type::INT8,
        "text" => Type::TEXT,
        "character varying" => Type::VARCHAR,
        "character" => Type::BPCHAR,
        "name" => Type::NAME,
        "uuid" => Type::UUID,
        "time without time zone" => Type::TIME,
        "date" => Type::DATE,
        _ => return None,
    })
}

/// The usual short name of a type.
fn short_name(name: &str) -> &str {
    match name {
        "character varying" => "varchar",
        "character" => "char",
        "time without time zone" => "time",
        "time with time zone" => "timetz",
        "timestamp without time zone" => "timestamp",
        "timestamp with time zone" => "timestamptz",
        other => other,
    }
}

impl Checked {
    /// The number of a column in [`Checked::each`]; `None` if the query does not return it.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| *known == name)
    }

    /// Runs the query and calls `take` with each row.
    pub(super) async fn each(
        &self,
        transaction: &Transaction<'_>,
        mut take: impl FnMut(&BinaryCopyOutRow) -> Result<(), PgError>,
    ) -> Result<(), Fault> {
        let stream = transaction
            .copy_out(&self.copy)
            .await
            .map_err(|error| query_fault(self.field, &self.copy, error))?;
        let mut rows = Box::pin(BinaryCopyOutStream::new(stream, &self.types));
        while let Some(row) =
            next(rows.as_mut()).await.map_err(|error| query_fault(self.field, &self.copy, error))?
        {
            take(&row)?;
        }
        Ok(())
    }
}

async fn next(rows: Pin<&mut BinaryCopyOutStream>) -> Result<Option<BinaryCopyOutRow>, PgError> {
    let mut rows = rows;
    rows.try_next().await
}

/// Whether the query is wrong rather than the server, by the SQLSTATE (PostgreSQL's documentation, appendix
/// "PostgreSQL Error Codes"): 42 is syntax, names and privileges, 22 and 21 are bad data, 0A is an unsupported
/// feature, P0 and 38 come from functions, 25006 is a write. All others can pass.
fn is_of_query(code: &str) -> bool {
    matches!(code.get(..2), Some("42" | "22" | "21" | "0A" | "P0" | "38")) || code == "25006"
}

/// `sent` is the statement that was sent. The country's query starts on its second line.
fn query_fault(field: &'static str, sent: &str, error: PgError) -> Fault {
    if !is_of_query(error.code().map_or("", |code| code.code())) {
        return Fault::Server(error);
    }
    let position = error.as_db_error().and_then(|refusal| match refusal.position() {
        Some(ErrorPosition::Original(position)) => Some(*position as usize),
        _ => None,
    });
    let line = position.map_or(0, |position| sent.chars().take(position).filter(|c| *c == '\n').count());
    let line = if line > 1 { format!(" (line {line} of the query)") } else { String::new() };
    let failure = Failure::from(error);
    let problem = format!("PostgreSQL refuses the query: {failure}{line}");
    Fault::Config(ScheduleError::Config { field, problem, source: Some(failure.into()) })
}
