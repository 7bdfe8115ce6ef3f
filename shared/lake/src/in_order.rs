//! Reads the rows of a sorted file one after another, and decodes a row group at a time: a million stores
//! would be a gigabyte at once.

use std::iter::Peekable;
use std::vec::IntoIter;

use bytes::Bytes;

use crate::parquet::{self, ParquetError, RowGroup};

/// Decodes the rows of a row group.
type Decode<T> = fn(&RowGroup) -> Result<Vec<T>, ParquetError>;

/// The rows of a file, in its order.
pub(crate) struct InOrder<T> {
    groups: IntoIter<RowGroup>,
    decode: Decode<T>,
    decoded: Peekable<IntoIter<T>>,
}

impl<T> InOrder<T> {
    pub(crate) fn new(body: &Bytes, decode: Decode<T>) -> Result<Self, ParquetError> {
        let groups = parquet::row_groups(body)?.into_iter();
        Ok(Self { groups, decode, decoded: Vec::new().into_iter().peekable() })
    }

    /// The next row, if it is one that is wanted.
    pub(crate) fn next_if(&mut self, wanted: impl FnOnce(&T) -> bool) -> Result<Option<T>, ParquetError> {
        while self.decoded.peek().is_none() {
            let Some(group) = self.groups.next() else { return Ok(None) };
            self.decoded = (self.decode)(&group)?.into_iter().peekable();
        }
        Ok(self.decoded.next_if(wanted))
    }
}
