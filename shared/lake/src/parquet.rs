//! Converts data frames to Parquet and back: zstd, statistics, timestamps in microseconds. Checks that a
//! file's columns are those of the catalog.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use polars_core::prelude::*;
use polars_io::parquet::metadata::FileMetadataRef;
use polars_io::prelude::*;
use storewatch_domain::{Instant, Labels};

use crate::tables::{self, Table};

/// A data frame could not be made, written or read.
#[derive(Debug, thiserror::Error)]
pub enum ParquetError {
    #[error("polars failed")]
    Polars(#[from] PolarsError),
    #[error("column {column:?} is {found}, expected {expected}")]
    Column { column: String, found: String, expected: String },
    #[error("the catalog's column type {0:?} has no Parquet equivalent")]
    Type(String),
    #[error("{0}")]
    Content(String),
}

/// Rows in a row group of a tick's file. Who reads a day in ranges of ids holds up to one row group of each of
/// its 96 files: an estimated 300 MB of these.
const ROW_GROUP: usize = 16_384;

/// The data frame as a file.
///
/// # Errors
/// Polars cannot write it.
pub fn write(frame: &mut DataFrame) -> Result<Bytes, ParquetError> {
    let mut body = Vec::new();
    writer(&mut body).with_row_group_size(Some(ROW_GROUP)).finish(frame)?;
    Ok(body.into())
}

/// The data frame as a file that functions read whole: without statistics, which would help only who skips rows.
///
/// # Errors
/// As [`write`].
pub(crate) fn write_staged(frame: &mut DataFrame) -> Result<Bytes, ParquetError> {
    let mut body = Vec::new();
    writer(&mut body).with_statistics(StatisticsOptions::empty()).set_parallel(false).finish(frame)?;
    Ok(body.into())
}

/// The writer of every file.
pub(crate) fn writer<W: Write>(body: W) -> ParquetWriter<W> {
    ParquetWriter::new(body)
        // `None` is zstd's default level, 3.
        .with_compression(ParquetCompression::Zstd(None))
        .with_statistics(StatisticsOptions::full())
}

/// The bytes written so far, which stay readable when the writer is done.
#[derive(Clone, Default)]
pub(crate) struct Body(Arc<Mutex<Vec<u8>>>);

impl Body {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was written.
    pub(crate) fn take(&self) -> Bytes {
        std::mem::take(&mut *self.bytes()).into()
    }
}

impl Write for Body {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn read(body: Bytes) -> Result<DataFrame, ParquetError> {
    Ok(ParquetReader::new(io::Cursor::new(body)).finish()?)
}

/// A row group of a file, which is read alone.
#[derive(Debug, Clone)]
pub(crate) struct RowGroup {
    body: Bytes,
    /// The file's, with only this row group in it: polars begins to decode each row group that it is told of,
    /// even if none of its rows is wanted.
    metadata: FileMetadataRef,
}

/// The row groups of a file, in its order.
pub(crate) fn row_groups(body: &Bytes) -> Result<Vec<RowGroup>, ParquetError> {
    let mut reader = ParquetReader::new(io::Cursor::new(body.clone()));
    let mut file = reader.get_metadata()?.as_ref().clone();
    let groups = std::mem::take(&mut file.row_groups);
    let alone = groups.into_iter().map(|group| {
        let mut alone = file.clone();
        alone.num_rows = group.num_rows();
        alone.row_groups = vec![group];
        RowGroup { body: body.clone(), metadata: alone.into() }
    });
    Ok(alone.collect())
}

impl RowGroup {
    /// Its rows.
    pub(crate) fn rows(&self) -> Result<DataFrame, ParquetError> {
        Ok(self.reader().finish()?)
    }

    /// Its rows, if it is of a table's file, with these columns or all. Columns that were added to the table
    /// after the file was written are null, or left out of those that are named.
    pub(crate) fn rows_of(&self, table: Table, columns: Option<&[&str]>) -> Result<DataFrame, ParquetError> {
        rows_of(table, self.reader(), columns)
    }

    fn reader(&self) -> ParquetReader<io::Cursor<Bytes>> {
        let mut reader = ParquetReader::new(io::Cursor::new(self.body.clone()));
        reader.set_metadata(self.metadata.clone());
        // Other strategies decode one row group on one core.
        reader.read_parallel(ParallelStrategy::Columns)
    }
}

/// Reads a table's file, with these columns or all. Columns that were added to the table after the file was
/// written are null, or left out of those that are named.
pub(crate) fn read_table(
    table: Table,
    body: Bytes,
    columns: Option<&[&str]>,
) -> Result<DataFrame, ParquetError> {
    rows_of(table, ParquetReader::new(io::Cursor::new(body)), columns)
}

fn rows_of(
    table: Table,
    mut reader: ParquetReader<io::Cursor<Bytes>>,
    columns: Option<&[&str]>,
) -> Result<DataFrame, ParquetError> {
    let own = reader.schema()?;
    let names = columns
        .map(|names| names.iter().filter(|name| own.contains(name)).map(|name| (*name).to_owned()).collect());
    let mut frame = reader.with_columns(names).finish()?;
    if columns.is_none() {
        for (name, glue) in table.columns().iter().skip(frame.width()) {
            frame.with_column(nulls(name, glue, frame.height())?)?;
        }
        check(table, &frame)?;
    }
    Ok(frame)
}

/// The data frame type of a column with this type in the catalog.
pub(crate) fn dtype(glue: &str) -> Result<DataType, ParquetError> {
    Ok(match glue {
        "timestamp" => DataType::Datetime(TimeUnit::Microseconds, None),
        "date" => DataType::Date,
        "boolean" => DataType::Boolean,
        "tinyint" => DataType::Int8,
        "smallint" => DataType::Int16,
        "bigint" => DataType::Int64,
        "double" => DataType::Float64,
        "string" => DataType::String,
        other => return Err(ParquetError::Type(other.to_owned())),
    })
}

/// The columns of a table's data frames and files.
pub(crate) fn schema(table: Table) -> Result<Schema, ParquetError> {
    schema_of(table.columns())
}

/// The same of a file that is no table of the catalog.
pub(crate) fn schema_of(columns: &[tables::Column]) -> Result<Schema, ParquetError> {
    columns.iter().map(|(name, glue)| Ok(Field::new((*name).into(), dtype(glue)?))).collect()
}

/// Checks that the data frame has the table's columns, with their types and in their order.
///
/// # Errors
/// It has other columns.
pub fn check(table: Table, frame: &DataFrame) -> Result<(), ParquetError> {
    check_columns(table.name(), table.columns(), frame)
}

/// The same for a file that is no table of the catalog.
pub(crate) fn check_columns(
    what: &str,
    wanted: &[tables::Column],
    frame: &DataFrame,
) -> Result<(), ParquetError> {
    for (n, (name, glue)) in wanted.iter().enumerate() {
        let (found, dtype) = (frame.columns().get(n), dtype(glue)?);
        let matches = found.is_some_and(|column| column.name() == name && *column.dtype() == dtype);
        if !matches {
            let describe = |column: &Column| format!("{:?} of {}", column.name(), column.dtype());
            return Err(ParquetError::Column {
                column: (*name).to_owned(),
                found: found.map_or_else(|| "missing".to_owned(), describe),
                expected: format!("{name:?} of {dtype}"),
            });
        }
    }
    if frame.width() != wanted.len() {
        return Err(ParquetError::Content(format!(
            "{} columns, but {what} has {}",
            frame.width(),
            wanted.len()
        )));
    }
    Ok(())
}

/// A column of nulls, with this type in the catalog.
pub(crate) fn nulls(name: &str, glue: &str, height: usize) -> Result<Column, ParquetError> {
    Ok(Series::full_null(name.into(), height, &dtype(glue)?).into_column())
}

/// A column of instants.
///
/// # Errors
/// Polars cannot make it.
pub fn timestamps(name: &str, values: Vec<Option<Instant>>) -> Result<Column, ParquetError> {
    let values: Vec<Option<i64>> = values.into_iter().map(|value| value.map(Instant::micros)).collect();
    typed(Series::new(name.into(), values), "timestamp")
}

/// The instant that a timestamp column holds.
pub(crate) fn instant(micros: i64) -> Result<Instant, ParquetError> {
    let outside = || ParquetError::Content(format!("time {micros} is outside the years 1970 to 9999"));
    Instant::from_micros(micros).ok_or_else(outside)
}

/// A column of days since 1970-01-01.
pub(crate) fn dates(name: &str, values: Vec<Option<i32>>) -> Result<Column, ParquetError> {
    typed(Series::new(name.into(), values), "date")
}

/// A column of text.
pub fn texts(name: &str, values: &[Option<&str>]) -> Column {
    Series::new(name.into(), values).into_column()
}

/// The columns that say whose each store is.
pub(crate) fn labels<'a>(stores: impl Iterator<Item = &'a Labels>) -> impl Iterator<Item = Column> {
    let mut columns = [const { Vec::new() }; Labels::NAMES.len()];
    for labels in stores {
        for (column, value) in columns.iter_mut().zip(labels.values()) {
            column.push(value);
        }
    }
    Labels::NAMES.into_iter().zip(columns).map(|(name, column)| texts(name, &column))
}

fn typed(series: Series, glue: &str) -> Result<Column, ParquetError> {
    Ok(series.cast(&dtype(glue)?)?.into_column())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_a_type_in_files_and_an_unknown_type_is_an_error() {
        for table in Table::ALL {
            assert_eq!(schema(table).unwrap().len(), table.columns().len());
        }
        let error = dtype("varchar").unwrap_err();
        assert!(error.to_string().contains("\"varchar\""), "{error}");
    }
}
