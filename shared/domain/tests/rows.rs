//! Edge cases of the values in a schedule's rows: wall times, dates, weekdays and zone names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use chrono::NaiveDate;
use storewatch_domain::{ExceptionHours, HoursError, LocalDate, WallTime, WeeklyHours, Zones};

fn time(text: &str) -> WallTime {
    let parts: Vec<u32> = text.split(':').map(|part| part.parse().unwrap()).collect();
    WallTime::from_seconds(parts[0] * 3600 + parts[1] * 60 + parts.get(2).unwrap_or(&0)).unwrap()
}

#[test]
fn invalid_rows_are_refused_and_the_error_says_why() {
    let (nine, end) = (Some(time("09:00")), Some(WallTime::END_OF_DAY));
    let said = |result: Result<WeeklyHours, HoursError>| result.unwrap_err().to_string();
    for weekday in [i64::MIN, -1, 0, 8, 256 + 1, i64::MAX] {
        let wanted = format!("weekday {weekday} is not 1 (Monday) to 7 (Sunday)");
        assert_eq!(said(WeeklyHours::new(weekday, nine, end)), wanted);
    }
    assert_eq!(said(WeeklyHours::new(1, None, nine)), "opens is null");
    assert_eq!(said(WeeklyHours::new(1, nine, None)), "closes is null");
    assert_eq!(said(WeeklyHours::new(1, end, nine)), "opens is 24:00, which only closes may be");
    let date = LocalDate::from("2026-12-24".parse::<NaiveDate>().unwrap());
    assert_eq!(ExceptionHours::new(date, nine, None), Err(HoursError::ClosesMissing));
    assert_eq!(ExceptionHours::new(date, None, nine), Err(HoursError::OpensMissing));
    assert_eq!(ExceptionHours::new(date, end, nine), Err(HoursError::OpensAtEndOfDay));
    for days in [i32::MIN, -719_529, 2_932_897, i32::MAX] {
        let date = LocalDate::from_days(days);
        assert_eq!(ExceptionHours::new(date, None, None), Err(HoursError::Date(date)));
    }
    for days in [-719_528, 2_932_896] {
        assert!(ExceptionHours::new(LocalDate::from_days(days), None, None).is_ok());
    }
}

#[test]
fn wall_times_go_from_midnight_to_24_00() {
    assert_eq!(WallTime::from_seconds(86_400), Some(WallTime::END_OF_DAY));
    assert_eq!(WallTime::from_seconds(86_401), None);
    assert_eq!(WallTime::from_micros(86_400_000_000), Some(WallTime::END_OF_DAY));
    assert_eq!(WallTime::from_micros(0), Some(WallTime::MIDNIGHT));
    assert_eq!(WallTime::from_micros(999_999), Some(WallTime::MIDNIGHT));
    for micros in [i64::MIN, -1, 86_400_000_001, i64::MAX] {
        assert_eq!(WallTime::from_micros(micros), None);
    }
    assert_eq!(time("17:30:15").to_string(), "17:30:15");
    assert_eq!(format!("{:?}", WallTime::END_OF_DAY), "24:00:00");
}

#[test]
fn dates_print_as_iso_8601_and_know_their_weekday() {
    let date = |text: &str| LocalDate::from(text.parse::<NaiveDate>().unwrap());
    for (text, days, weekday) in
        [("1970-01-01", 0, 4), ("1969-12-28", -4, 7), ("2026-11-23", 20_780, 1), ("0000-01-01", -719_528, 6)]
    {
        assert_eq!((date(text).days(), date(text).weekday()), (days, weekday), "{text}");
        assert_eq!((date(text).to_string(), date(text).to_naive()), (text.to_owned(), text.parse().ok()));
        assert_eq!(format!("{:?}", date(text)), text);
    }
    assert_eq!(LocalDate::from_days(i32::MAX).plus_days(1).days(), i32::MAX);
    assert_eq!(LocalDate::from_days(2_932_897).to_string(), "the date 2932897 days from 1970-01-01");
    assert_eq!(LocalDate::from_days(i32::MIN).to_naive(), None);
}

#[test]
fn rows_return_the_values_they_were_made_from() {
    let (opens, closes) = (time("20:30:15"), time("02:00"));
    let row = WeeklyHours::new(7, Some(opens), Some(closes)).unwrap();
    assert_eq!((row.weekday(), row.hours()), (7, Some((opens, closes))));
    assert_eq!(WeeklyHours::new(7, None, None).unwrap().hours(), None);
    let date = LocalDate::from_days(20_780);
    let exception = ExceptionHours::new(date, Some(opens), Some(closes)).unwrap();
    assert_eq!((exception.date(), exception.hours()), (date, Some((opens, closes))));
    assert_eq!(ExceptionHours::new(date, None, None).unwrap().hours(), None);
}

#[test]
fn legacy_zone_names_are_accepted() {
    for name in ["US/Pacific", "Asia/Calcutta", "utc", " Europe/Lisbon "] {
        assert!(Zones::embedded().get(name).is_ok(), "{name}");
    }
    for name in ["", "Mars/Olympus", "+02:00", "CEST?"] {
        assert!(Zones::embedded().get(name).is_err(), "{name}");
    }
}
