//! Sums over the stores of a country and of each city.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use storewatch_domain::{LocalDate, Status, Summary};

const MONDAY: LocalDate = LocalDate::from_days(20_780);

#[test]
fn a_city_counts_its_stores_and_sums_the_scheduled_seconds_of_the_rated_ones() {
    let mut summary = Summary::default();
    for (city, status, seconds) in [
        (Some("Madrid"), Status::Available, Some(900)),
        (Some("Madrid"), Status::Available, Some(300)),
        (Some("Madrid"), Status::Unavailable, Some(60)),
        (Some("Madrid"), Status::Unlisted, Some(7)),
        (Some("Madrid"), Status::Unexpected, Some(100)),
        (Some("Madrid"), Status::Unknown, Some(900)),
        (Some("Madrid"), Status::Unknown, Some(0)),
        (Some("Madrid"), Status::Closed, Some(0)),
        (None, Status::Orphan, None),
        (None, Status::Unknown, None),
        (Some("Ávila"), Status::Unavailable, Some(900)),
    ] {
        summary.add(city, Some((MONDAY, 9)), status, seconds);
    }
    let found: Vec<_> = summary
        .cities
        .iter()
        .map(|(name, city)| {
            (*name, (city.counts.stores(), city.unseen), city.scheduled_seconds, city.available_seconds)
        })
        .collect();
    let wanted = [
        (None, (1, 1), 0, 0),
        (Some("Madrid"), (8, 1), 900 + 300 + 60 + 7, 1200),
        (Some("Ávila"), (1, 0), 900, 0),
    ];
    let why = "stores without a city come first; an orphan is no store; who was closed is not unseen";
    assert_eq!(found, wanted, "{why}");
    let counts: Vec<u64> = summary.counts.iter().map(|(_, n)| n).collect();
    assert_eq!((counts, summary.counts.stores()), (vec![2, 2, 1, 1, 1, 1, 3], 10));
    assert_eq!(summary.cities[&Some("Madrid")].counts.get(Status::Available), 2);
}

#[test]
fn a_city_has_the_local_time_of_its_first_store_that_has_one() {
    let mut summary = Summary::default();
    for local in [None, Some((MONDAY, 9)), Some((MONDAY.plus_days(1), 0))] {
        summary.add(Some("Irún"), local, Status::Available, Some(900));
    }
    let city = &summary.cities[&Some("Irún")];
    assert_eq!((city.local_date, city.local_hour), (Some(MONDAY), Some(9)));
}
