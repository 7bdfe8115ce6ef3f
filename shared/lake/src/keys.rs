//! The keys of objects. Each is a pure function of country, slot and chunk, so that running a function
//! twice leaves one file.

use storewatch_domain::{CountryCode, Day, Instant, Slot};

use crate::tables::Table;

/// The file that a country tick writes for a table.
pub fn table_file(table: Table, country: CountryCode, slot: Slot) -> String {
    format!("{}{}.parquet", partition_prefix(table, country, slot.day()), slot.key())
}

/// The folder of a partition's files until it is compacted; ends in a slash.
pub fn partition_prefix(table: Table, country: CountryCode, day: Day) -> String {
    format!("{}day={day}/", table_prefix(table, country))
}

/// The day of a partition's folder directly under `prefix`. `None` if the folder is not a day's.
pub fn day_of_folder(folder: &str, prefix: &str) -> Option<Day> {
    folder.strip_prefix(prefix)?.strip_prefix("day=")?.strip_suffix('/')?.parse().ok()
}

/// The folder in which a country's ticks write their files of a table; ends in a slash.
pub fn table_prefix(table: Table, country: CountryCode) -> String {
    format!("{}/country={country}/", table.name())
}

/// The location of a partition in the catalog; ends in a slash.
pub fn partition_location(bucket: &str, table: Table, country: CountryCode, day: Day) -> String {
    format!("s3://{bucket}/{}", partition_prefix(table, country, day))
}

/// The slot of a tick's file, by its key. `None` if no tick writes such a key.
pub fn slot_of_file(table: Table, country: CountryCode, key: &str) -> Option<Slot> {
    let (_, name) = key.rsplit_once('/')?;
    let time = name.strip_suffix(".parquet").filter(|name| name.is_ascii() && name.len() == 14)?;
    let (date, clock) = (&time[..8], &time[8..]);
    let text = format!(
        "{}-{}-{}T{}:{}:00Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        clock.get(1..3)?,
        clock.get(3..5)?
    );
    let slot = text.parse().ok()?;
    (table_file(table, country, slot) == key).then_some(slot)
}

/// The folder of a compacted partition's versions; ends in a slash.
pub fn compacted_prefix(table: Table, country: CountryCode, day: Day) -> String {
    format!("compacted/{}", partition_prefix(table, country, day))
}

/// The folder of the compacted partitions of a country's table; ends in a slash.
pub fn compacted_table_prefix(table: Table, country: CountryCode) -> String {
    format!("compacted/{}", table_prefix(table, country))
}

/// The location of a version of a compacted partition in the catalog; ends in a slash.
pub fn compacted_location(
    bucket: &str,
    table: Table,
    country: CountryCode,
    day: Day,
    version: &str,
) -> String {
    format!("s3://{bucket}/{}{version}/", compacted_prefix(table, country, day))
}

/// The only file of a version of a compacted partition.
pub fn compacted_file(table: Table, country: CountryCode, day: Day, version: &str) -> String {
    format!("{}{version}/{day}.parquet", compacted_prefix(table, country, day))
}

/// The record of a compacted day: the files that it was made from, and where its versions are.
pub fn compaction_record(country: CountryCode, day: Day) -> String {
    format!("{}day={day}.json", compaction_records(country))
}

/// The folder of a country's records of compacted days; ends in a slash.
pub fn compaction_records(country: CountryCode) -> String {
    format!("compacted/country={country}/")
}

/// What a day's outages carry over to the next day.
///
/// `before` is the version that the day before carried over, `None` if there was none, and `version` a hash
/// of the content. So a listing shows which days were made from something else than the day before carries
/// now. Without a `day=` in its key, it is nothing that analysts may read.
pub fn carried(country: CountryCode, day: Day, before: Option<&str>, version: &str) -> String {
    format!("{}{day}/{}-{version}.parquet", carried_prefix(country), before.unwrap_or(NOTHING))
}

/// Stands for the version before the first day.
const NOTHING: &str = "first";

/// The folder of what a country's days carry over; ends in a slash.
pub fn carried_prefix(country: CountryCode) -> String {
    format!("carried/country={country}/")
}

/// The day, the version before and the own version, by the key of what a day carries over. `None` if the key
/// is not such a key.
pub fn carried_by(key: &str) -> Option<(Day, Option<&str>, &str)> {
    let (folder, name) = key.rsplit_once('/')?;
    let day = folder.rsplit_once('/')?.1.parse().ok()?;
    let (before, version) = name.strip_suffix(".parquet")?.split_once('-')?;
    Some((day, Some(before).filter(|before| *before != NOTHING), version))
}

/// The day of a record of a compacted day. `None` if the key is not a record's.
pub fn day_of_record(key: &str) -> Option<Day> {
    key.rsplit_once("/day=")?.1.strip_suffix(".json")?.parse().ok()
}

/// The rows that observing a chunk has staged.
pub fn staged_chunk(country: CountryCode, slot: Slot, chunk: u32) -> String {
    format!("{}chunk-{chunk:05}.parquet", staging_prefix(country, slot))
}

/// Why a chunk could not be observed, if its function lived to say so.
pub fn staged_failure(country: CountryCode, slot: Slot, chunk: u32) -> String {
    format!("{}chunk-{chunk:05}.error.json", staging_prefix(country, slot))
}

/// The chunks of a country tick, a JSON array: the items of the map over chunks.
pub fn manifest(country: CountryCode, slot: Slot) -> String {
    format!("{}manifest.json", staging_prefix(country, slot))
}

/// The chunks that are still missing before the look of that number, in the manifest's form. Look 1, the
/// first, uses the manifest.
pub fn missing_chunks(country: CountryCode, slot: Slot, look: u32) -> String {
    format!("{}missing-{look}.json", staging_prefix(country, slot))
}

/// Why the slot was planned on an older snapshot, if it was. `read_at`, when that snapshot was read in Unix
/// microseconds, is part of the key: only one of two plans of a slot gets its manifest written, and must
/// not take the other's note for its own.
pub fn stale_schedules(country: CountryCode, slot: Slot, read_at: Instant) -> String {
    format!("{}stale-{}.json", staging_prefix(country, slot), read_at.micros())
}

/// The folder in which a country tick's chunks wait to be merged.
pub fn staging_prefix(country: CountryCode, slot: Slot) -> String {
    format!("staging/country={country}/{}/", slot.key())
}

/// How the key of a chunk of schedules ends. It names the form, which the file does not.
const SNAPSHOT: &str = ".postcard.zst";

/// The schedules of one chunk of stores, as read for the slot.
///
/// `read_at`, when they were read in Unix microseconds, is part of the key. Another reading for the slot
/// may find other stores and other chunks, and must not replace what the manifest names.
pub fn snapshot_chunk(country: CountryCode, slot: Slot, read_at: Instant, chunk: u32) -> String {
    format!("{}{}/chunk-{chunk:05}{SNAPSHOT}", snapshot_prefix(country, slot), read_at.micros())
}

/// The folder of the schedules that were read for the slot.
pub fn snapshot_prefix(country: CountryCode, slot: Slot) -> String {
    format!("schedules/country={country}/{}/", slot.key())
}

/// The common prefix of all schedules that were read for slots of a UTC day. It ends in the middle of a
/// name.
pub fn snapshots_of_day(country: CountryCode, day: Day) -> String {
    format!("schedules/country={country}/{}T", day.to_string().replace('-', ""))
}

/// The schedules of one chunk of stores, as read to judge a whole day again.
///
/// The first chunk is written last: a reading that has it is whole.
pub fn restated_snapshot_chunk(country: CountryCode, day: Day, read_at: Instant, chunk: u32) -> String {
    format!("{}chunk-{chunk:05}{SNAPSHOT}", restated_snapshot(country, day, read_at))
}

/// The folder of one reading that was made to judge a whole day again; ends in a slash.
pub fn restated_snapshot(country: CountryCode, day: Day, read_at: Instant) -> String {
    format!("{}{}/", restated_snapshot_prefix(country, day), read_at.micros())
}

/// The folder of all readings that were made to judge a whole day again; ends in a slash.
pub fn restated_snapshot_prefix(country: CountryCode, day: Day) -> String {
    format!("schedules/country={country}/restated/day={day}/")
}

/// When a snapshot's schedules were read, in Unix microseconds, and the chunk's number, by the chunk's key.
/// `None` if the key is not that of a chunk.
pub fn reading_of_chunk(key: &str) -> Option<(Instant, u32)> {
    let (folder, name) = key.strip_suffix(SNAPSHOT)?.rsplit_once("/chunk-")?;
    let (_, read_at) = folder.rsplit_once('/')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(read_at) || !digits(name) || name.len() < 5 {
        return None;
    }
    Some((Instant::from_micros(read_at.parse().ok()?)?, name.parse().ok()?))
}

/// Points to the last good snapshot.
pub fn last_good_snapshot(country: CountryCode) -> String {
    format!("schedules/country={country}/last-good.json")
}

/// Partitions of a tick that may not be in the catalog yet.
///
/// A note's content follows from its key. So whoever has registered a note may delete it, even if it was
/// written again meanwhile. A failed tick has fewer partitions, and so a key of its own.
pub fn pending(country: CountryCode, slot: Slot) -> String {
    format!("{}{}.json", pending_prefix(country), slot.key())
}

/// The partition of a failed tick's row, if it may not be in the catalog yet.
pub fn pending_failure(country: CountryCode, slot: Slot) -> String {
    format!("{}{}.failed.json", pending_prefix(country), slot.key())
}

/// The folder of a country's pending partitions.
pub fn pending_prefix(country: CountryCode) -> String {
    format!("pending/country={country}/")
}

/// The files of a folder that the lake of another account has, with the entity tags that they had at home.
pub fn delivered(country: CountryCode, folder: &str) -> String {
    format!("delivered/country={country}/{folder}files.json")
}

/// The levels of a country's last tick. The next tick is compared with them.
pub fn levels(country: CountryCode) -> String {
    format!("levels/country={country}/last.json")
}

/// The name of the bundle of zone data that a country's functions use instead of the built-in data.
pub fn zones_choice(country: CountryCode) -> String {
    format!("config/country={country}/tzdb.json")
}

/// The folder of a country's bundles of zone data; ends in a slash. A bundle's name is the release, a
/// hyphen and the first 16 hex digits of the bundle's SHA-256.
pub fn zone_bundles(country: CountryCode) -> String {
    format!("config/country={country}/tzdb/")
}

/// The registry of countries: one object per country, written when it is deployed.
pub const REGISTRY_PREFIX: &str = "registry/";

/// A country's entry in the registry.
pub fn registry_entry(country: CountryCode) -> String {
    format!("{REGISTRY_PREFIX}{country}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_match_the_contract() {
        let (es, slot) = ("es".parse().unwrap(), "2026-11-23T04:15:00Z".parse::<Slot>().unwrap());
        let day = slot.day();
        assert_eq!(
            table_file(Table::StoreAvailability, es, slot),
            "store_availability/country=es/day=2026-11-23/20261123T0415Z.parquet"
        );
        assert_eq!(staged_chunk(es, slot, 7), "staging/country=es/20261123T0415Z/chunk-00007.parquet");
        assert_eq!(
            snapshot_chunk(es, slot, slot.first_instant().plus_micros(1_000_000), 7),
            "schedules/country=es/20261123T0415Z/1795407301000000/chunk-00007.postcard.zst"
        );
        assert_eq!(
            restated_snapshot_chunk(es, day, slot.first_instant().plus_micros(1_000_000), 7),
            "schedules/country=es/restated/day=2026-11-23/1795407301000000/chunk-00007.postcard.zst"
        );
        assert_eq!(pending(es, slot), "pending/country=es/20261123T0415Z.json");
        assert_eq!(pending_failure(es, slot), "pending/country=es/20261123T0415Z.failed.json");
        assert_eq!(
            partition_location("lake", Table::CountryTicks, es, day),
            "s3://lake/country_ticks/country=es/day=2026-11-23/"
        );
        assert_eq!(
            compacted_file(Table::StoreAvailability, es, day, "00ff"),
            "compacted/store_availability/country=es/day=2026-11-23/00ff/2026-11-23.parquet"
        );
        assert_eq!(compaction_record(es, day), "compacted/country=es/day=2026-11-23.json");
        assert_eq!(carried(es, day, Some("00ff"), "aa00"), "carried/country=es/2026-11-23/00ff-aa00.parquet");
        assert_eq!(carried(es, day, None, "aa00"), "carried/country=es/2026-11-23/first-aa00.parquet");
    }

    #[test]
    fn what_a_day_carries_over_and_its_record_are_known_by_their_keys() {
        let (es, day) = ("es".parse().unwrap(), "2026-11-23".parse().unwrap());
        for before in [Some("00ff"), None] {
            let key = carried(es, day, before, "aa00");
            assert_eq!(carried_by(&key), Some((day, before, "aa00")));
        }
        assert_eq!(day_of_record(&compaction_record(es, day)), Some(day));
        for key in ["carried/country=es/x/a-b.parquet", "carried/country=es/a-b.parquet", "a"] {
            assert_eq!((carried_by(key), day_of_record(key)), (None, None), "{key}");
        }
    }

    #[test]
    fn reading_and_number_come_only_from_the_exact_key_of_a_chunk() {
        let (es, slot) = ("es".parse().unwrap(), "2026-11-23T04:15:00Z".parse::<Slot>().unwrap());
        let day = slot.day();
        let (read_at, chunk) = (slot.first_instant().plus_micros(1_000_000), 7);
        let key = snapshot_chunk(es, slot, read_at, chunk);
        assert!(key.starts_with(&snapshots_of_day(es, day)));
        assert_eq!(reading_of_chunk(&key), Some((read_at, chunk)));
        let restated = restated_snapshot_chunk(es, day, read_at, 123_456);
        assert!(restated.starts_with(&restated_snapshot_prefix(es, day)));
        assert_eq!(reading_of_chunk(&restated), Some((read_at, 123_456)));
        assert_eq!(reading_of_chunk(&last_good_snapshot(es)), None);
        for (part, other) in
            [("chunk-00007", "chunk-7"), ("00007", "0000x"), (".postcard.zst", ".parquet"), ("/179", "/x79")]
        {
            let wrong = key.replace(part, other);
            assert_eq!(reading_of_chunk(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_slot_comes_only_from_the_exact_key_of_a_file() {
        let (es, slot) = ("es".parse().unwrap(), "2026-11-23T04:15:00Z".parse().unwrap());
        let key = table_file(Table::CountryTicks, es, slot);
        assert_eq!(slot_of_file(Table::CountryTicks, es, &key), Some(slot));
        assert_eq!(slot_of_file(Table::StoreAvailability, es, &key), None);
        for (part, other) in [
            ("day=2026-11-23", "day=2026-11-24"),
            ("T0415Z", "T0416Z"),
            ("T0415Z", "T04é5"),
            (".parquet", ".parquet.tmp"),
            ("country=es", "country=pt"),
        ] {
            let wrong = key.replace(part, other);
            assert_eq!(slot_of_file(Table::CountryTicks, es, &wrong), None, "{wrong}");
        }
    }
}
