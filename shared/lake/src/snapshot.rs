//! Schedule snapshots: a chunk's stores and their hours, in postcard's form, compressed by zstd.
//!
//! Only functions read these files, and whole. So they are not Parquet, which takes longer to write, and for which
//! `plan` would need polars. A file does not say what its fields are: if [`Store`] changes, so must the ending of the keys.

use std::io;

use bytes::Bytes;
use storewatch_domain::Store;
use zstd::zstd_safe::CParameter;

/// A snapshot could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("zstd failed")]
    Compression(#[from] io::Error),
    #[error("it is not a list of stores")]
    Form(#[from] postcard::Error),
}

/// Writes a chunk's stores as a file. The same stores are the same bytes.
///
/// # Errors
/// zstd cannot compress them.
pub fn write(stores: &[Store]) -> Result<Bytes, SnapshotError> {
    let plain = postcard::to_allocvec(stores)?;
    // The quickest level.
    let mut zstd = zstd::bulk::Compressor::new(1)?;
    zstd.set_parameter(CParameter::ChecksumFlag(true))?;
    Ok(zstd.compress(&plain)?.into())
}

/// Reads a chunk's stores.
///
/// # Errors
/// The file is not a snapshot, is damaged, or holds a schedule row that is invalid.
pub fn read(body: Bytes) -> Result<Vec<Store>, SnapshotError> {
    Ok(postcard::from_bytes(&zstd::decode_all(body.as_ref())?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_bit_never_makes_other_stores() {
        let stores = [Store { id: "7".to_owned(), name: Some("Bar".to_owned()), ..Store::default() }];
        let body = write(&stores).unwrap();
        for bit in 0..8 * body.len() {
            let mut changed = body.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            // Some bits of the header say nothing of the content.
            assert!(read(changed.into()).map_or(true, |read| read == stores), "bit {bit}");
        }
        assert!(read(body.slice(..body.len() - 1)).is_err());
        assert!(read("PAR1".into()).is_err());
    }

    #[test]
    fn a_number_that_is_no_weekday_is_an_error() {
        let with = |weekday: u8| {
            // Empty texts, no labels, one weekly row without hours, no exceptions, no problem.
            let plain = [1, 0, 0, 0, 0, 0, 0, 0, 0, 1, weekday, 0, 0, 0];
            read(zstd::encode_all(plain.as_slice(), 1).unwrap().into())
        };
        assert_eq!(with(7).unwrap()[0].hours.weekly[0].weekday(), 7);
        assert!(with(8).is_err());
    }
}
