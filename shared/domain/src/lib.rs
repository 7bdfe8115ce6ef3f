#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod again;
pub mod chunk;
pub mod country;
pub mod current;
pub mod day;
pub mod hours;
pub mod instant;
pub mod judgement;
pub mod labels;
pub mod outages;
pub mod slot;
pub mod store;
pub mod summary;
pub mod tzdb;
pub mod zone;

pub use again::{Look, Looks, judge_again};
pub use chunk::{Chunk, JudgedStore, NoUsableIds, Observation, Rules, cut, judge_chunk};
pub use country::{CountryCode, InvalidCountry};
pub use day::{Day, InvalidDay};
pub use hours::{
    ExceptionHours, HoursError, LocalDate, MissingHours, Opening, StoreHours, WallTime, WeeklyHours,
};
pub use instant::{Instant, InvalidInstant};
pub use judgement::{
    InvalidReason, InvalidStatus, Judged, LiveStore, Reason, Seen, Status, ViewFailure, judge, orphan,
};
pub use labels::Labels;
pub use slot::{InvalidSlot, Slot};
pub use store::{IdRange, IdType, Store, StoreKey};
pub use summary::{CitySummary, Counts, Summary};
pub use tzdb::{BadBundle, UnknownZone, Zone, Zones};
pub use zone::{SlotClock, ZoneClocks};
