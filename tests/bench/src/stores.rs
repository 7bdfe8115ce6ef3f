//! Stores with many hours in many zones, and what a live view says of them: for measuring how fast they are judged.

use storewatch_domain::{
    ExceptionHours, IdType, Instant, Labels, LiveStore, LocalDate, MissingHours, Observation, Rules, Store,
    StoreHours, StoreKey, WallTime, WeeklyHours, Zones,
};

const ZONES: [&str; 12] = [
    "Europe/Madrid",
    "Atlantic/Canary",
    "America/Mexico_City",
    "America/Tijuana",
    "America/Cancun",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Europe/Dublin",
    "Europe/Lisbon",
    "America/Sao_Paulo",
    "Asia/Calcutta",
];

fn time(minutes: usize) -> Option<WallTime> {
    WallTime::from_seconds(minutes as u32 * 60)
}

/// A store that opens twice a day: 14 intervals. One store in 20 has an exception today.
pub fn store(n: usize, today: LocalDate) -> Store {
    let rows = (1..=7).flat_map(|day| {
        let shift = (n * 7 + day) % 90;
        let lunch = WeeklyHours::new(day as i64, time(9 * 60 + shift), time(14 * 60 + shift)).unwrap();
        // In the evening, past midnight for some.
        let dinner = WeeklyHours::new(day as i64, time(17 * 60 + shift), time((23 * 60 + 2 * shift) % 1440));
        [lunch, dinner.unwrap()]
    });
    let exception = || ExceptionHours::new(today, time(600), time(900)).unwrap();
    Store {
        id: (1_000_000 + n).to_string(),
        name: Some(format!("Store {n}")),
        city: Some(format!("City {}", n % 200)),
        timezone: Some(ZONES[n * 31 % ZONES.len()].to_owned()),
        labels: Labels::NONE,
        hours: StoreHours {
            weekly: rows.collect(),
            exceptions: n.is_multiple_of(20).then(exception).into_iter().collect(),
        },
        problem: None,
    }
}

/// What the live view says of them: one in 50 is not listed, one in ten is offline.
pub fn observation(stores: &[Store], at: Instant) -> Observation {
    let listed = stores.iter().enumerate().filter(|(n, _)| !n.is_multiple_of(50));
    let listed = listed.map(|(n, store)| {
        let offline = n.is_multiple_of(10);
        let reason = offline.then(|| "paused".to_owned());
        (StoreKey::new(&store.id, IdType::Long).unwrap(), LiveStore { online: !offline, reason })
    });
    Observation { at, stores: listed.collect() }
}

/// The rules that judge them.
pub fn rules() -> Rules {
    let zones = Zones::embedded();
    Rules {
        default_timezone: zones.get("Europe/Madrid").unwrap(),
        zones,
        missing_hours: MissingHours::Closed,
        id_type: IdType::Long,
    }
}
