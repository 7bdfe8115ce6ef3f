//! Hashes of rows. Records keep sums of them, so they must be the same in every build.

pub(crate) const START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a.
pub(crate) fn bytes(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Null differs from empty, and the end of a text is marked.
pub(crate) fn text(start: u64, text: Option<&str>) -> u64 {
    match text {
        Some(text) => bytes(bytes(start, text.as_bytes()), &[0xff]),
        None => bytes(start, &[0xfe]),
    }
}

/// The final mix of SplitMix64: sums of plain FNV hashes would collide more often.
pub(crate) fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
