//! The tables that analysts see. Their columns have the catalog's type names. Partitions are registered
//! with them, and tests compare files and templates with them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A table of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// One row per store and tick, sorted by store.
    StoreAvailability,
    /// One row per city and tick.
    AvailabilityByCity,
    /// One row per country tick, failed ones too.
    CountryTicks,
    /// One row per store and schedule that it had in the day, sorted by store.
    StoreSchedules,
    /// One row per outage that had a bad look or ended in the day, told from its beginning on.
    Outages,
    /// One row per store that is in an outage at the tick, sorted by store.
    CurrentOutages,
    /// One row per store and slot of the day in which it was scheduled and no tick looked at it.
    MissedLooks,
    /// A table of an ETL of its own. Only that ETL writes and registers it, and no event names it.
    #[serde(skip)]
    Etl(&'static EtlTable),
}

/// The definition of a [`Table::Etl`].
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtlTable {
    /// As [`Table::name`].
    pub name: &'static str,
    /// As [`Table::columns`].
    pub columns: &'static [Column],
}

/// A column's name, and its type in the Glue catalog's spelling.
pub type Column = (&'static str, &'static str);

/// The columns after `store_id` that say what the store is called, where it is, and whose: all texts.
pub(crate) const OF_STORE: [&str; 7] = ["name", "city", "timezone", "region", "chain", "segment", "owner"];

const STORE_AVAILABILITY: &[Column] = &[
    ("slot", "timestamp"),
    ("observed_at", "timestamp"),
    ("store_id", "string"),
    ("name", "string"),
    ("city", "string"),
    ("timezone", "string"),
    ("local_date", "date"),
    ("local_hour", "tinyint"),
    ("scheduled", "boolean"),
    ("scheduled_seconds", "smallint"),
    ("listed", "boolean"),
    ("online", "boolean"),
    ("status", "string"),
    ("reason", "string"),
    ("schedule_as_of", "timestamp"),
    ("region", "string"),
    ("chain", "string"),
    ("segment", "string"),
    ("owner", "string"),
];

const AVAILABILITY_BY_CITY: &[Column] = &[
    ("slot", "timestamp"),
    ("city", "string"),
    ("local_date", "date"),
    ("local_hour", "tinyint"),
    ("stores", "bigint"),
    ("available", "bigint"),
    ("unavailable", "bigint"),
    ("unlisted", "bigint"),
    ("unexpected", "bigint"),
    ("closed", "bigint"),
    ("orphan", "bigint"),
    ("unknown", "bigint"),
    ("scheduled_seconds", "bigint"),
    ("available_seconds", "bigint"),
    ("unseen", "bigint"),
];

const COUNTRY_TICKS: &[Column] = &[
    ("slot", "timestamp"),
    ("started_at", "timestamp"),
    ("finished_at", "timestamp"),
    ("outcome", "string"),
    ("stores", "bigint"),
    ("chunks", "bigint"),
    ("chunks_unknown", "bigint"),
    ("coverage", "double"),
    ("schedule_as_of", "timestamp"),
    ("error", "string"),
    ("tzdb", "string"),
];

const STORE_SCHEDULES: &[Column] = &[
    ("store_id", "string"),
    ("name", "string"),
    ("city", "string"),
    ("timezone", "string"),
    ("weekly", "string"),
    ("exceptions", "string"),
    ("problem", "string"),
    ("valid_from", "timestamp"),
    ("valid_until", "timestamp"),
    ("region", "string"),
    ("chain", "string"),
    ("segment", "string"),
    ("owner", "string"),
];

const OUTAGES: &[Column] = &[
    ("outage_id", "string"),
    ("store_id", "string"),
    ("name", "string"),
    ("city", "string"),
    ("timezone", "string"),
    ("region", "string"),
    ("chain", "string"),
    ("segment", "string"),
    ("owner", "string"),
    ("began_after", "timestamp"),
    ("began_by", "timestamp"),
    ("ended_after", "timestamp"),
    ("ended_by", "timestamp"),
    ("is_open", "boolean"),
    ("bad_looks", "bigint"),
    ("unlisted_looks", "bigint"),
    ("unseen_looks", "bigint"),
    ("lost_seconds", "bigint"),
    ("seconds_at_least", "bigint"),
    ("seconds_at_most", "bigint"),
    ("kind", "string"),
    ("first_reason", "string"),
    ("reasons", "string"),
    ("flaps", "bigint"),
];

const CURRENT_OUTAGES: &[Column] = &[
    ("slot", "timestamp"),
    ("store_id", "string"),
    ("name", "string"),
    ("city", "string"),
    ("timezone", "string"),
    ("region", "string"),
    ("chain", "string"),
    ("segment", "string"),
    ("owner", "string"),
    ("since_after", "timestamp"),
    ("since_by", "timestamp"),
    ("status", "string"),
    ("reason", "string"),
    ("bad_looks", "bigint"),
    ("unseen_looks", "bigint"),
    ("lost_seconds", "bigint"),
    ("is_new", "boolean"),
    ("opened_at", "timestamp"),
    ("unseen_since", "bigint"),
];

const MISSED_LOOKS: &[Column] = &[
    ("slot", "timestamp"),
    ("store_id", "string"),
    ("name", "string"),
    ("city", "string"),
    ("timezone", "string"),
    ("region", "string"),
    ("chain", "string"),
    ("segment", "string"),
    ("owner", "string"),
    ("local_date", "date"),
    ("local_hour", "tinyint"),
    ("scheduled_seconds", "smallint"),
];

impl Table {
    /// The tables that ticks and the daily work fill and keep: all but those of other ETLs.
    pub const ALL: [Self; 7] = [
        Self::StoreAvailability,
        Self::AvailabilityByCity,
        Self::CountryTicks,
        Self::StoreSchedules,
        Self::Outages,
        Self::CurrentOutages,
        Self::MissedLooks,
    ];
    /// The tables of which a tick writes a file, in that order. The others exist only for compacted days.
    pub const TICKED: [Self; 4] =
        [Self::StoreAvailability, Self::AvailabilityByCity, Self::CurrentOutages, Self::CountryTicks];

    /// The tables that are made when a day is compacted, and that no tick writes.
    pub const MADE: [Self; 3] = [Self::StoreSchedules, Self::Outages, Self::MissedLooks];

    /// The name in the catalog and at the start of keys.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StoreAvailability => "store_availability",
            Self::AvailabilityByCity => "availability_by_city",
            Self::CountryTicks => "country_ticks",
            Self::StoreSchedules => "store_schedules",
            Self::Outages => "outages",
            Self::CurrentOutages => "current_outages",
            Self::MissedLooks => "missed_looks",
            Self::Etl(table) => table.name,
        }
    }

    /// The columns in order, without the partition keys `country` and `day`.
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::StoreAvailability => STORE_AVAILABILITY,
            Self::AvailabilityByCity => AVAILABILITY_BY_CITY,
            Self::CountryTicks => COUNTRY_TICKS,
            Self::StoreSchedules => STORE_SCHEDULES,
            Self::Outages => OUTAGES,
            Self::CurrentOutages => CURRENT_OUTAGES,
            Self::MissedLooks => MISSED_LOOKS,
            Self::Etl(table) => table.columns,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No table has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no table {0:?}")]
pub struct UnknownTable(pub String);

impl FromStr for Table {
    type Err = UnknownTable;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|table| table.name() == name).ok_or_else(|| UnknownTable(name.to_owned()))
    }
}
