//! The hours of a store as the texts of `store_schedules`, and read back from them.

use storewatch_domain::{Day, ExceptionHours, LocalDate, StoreHours, WallTime, WeeklyHours};

use crate::parquet::ParquetError;

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// The weekly hours as in the column, sorted by weekday and time, without duplicates. `None` if there are
/// none.
pub(crate) fn weekly(hours: &StoreHours) -> Option<String> {
    let mut rows = hours.weekly.clone();
    rows.sort_unstable();
    rows.dedup();
    let mut text = String::new();
    for row in rows {
        // A weekday is 1 to 7.
        let weekday = WEEKDAYS[usize::from(row.weekday()) - 1];
        start(&mut text, weekday);
        range(&mut text, row.hours());
    }
    Some(text).filter(|text| !text.is_empty())
}

/// The exceptions of these dates, both included, as in the column, sorted by date and time, without
/// duplicates. `None` if there are none.
pub(crate) fn exceptions(hours: &StoreHours, dates: (LocalDate, LocalDate)) -> Option<String> {
    let mut rows = hours.exceptions.clone();
    rows.retain(|row| (dates.0..=dates.1).contains(&row.date()));
    rows.sort_unstable();
    rows.dedup();
    let mut text = String::new();
    for row in rows {
        start(&mut text, &row.date().to_string());
        range(&mut text, row.hours());
    }
    Some(text).filter(|text| !text.is_empty())
}

fn start(text: &mut String, day: &str) {
    if !text.is_empty() {
        text.push_str("; ");
    }
    text.push_str(day);
}

/// Appends ` 09:00-14:00`: with a leading space, and with seconds only if they are not 0. ` closed` for a
/// row without hours.
fn range(text: &mut String, hours: Option<(WallTime, WallTime)>) {
    let Some((opens, closes)) = hours else {
        text.push_str(" closed");
        return;
    };
    for (mark, time) in [(' ', opens), ('-', closes)] {
        let whole = time.to_string();
        text.push(mark);
        text.push_str(whole.strip_suffix(":00").unwrap_or(&whole));
    }
}

/// The hours that the texts of both columns tell.
///
/// # Errors
/// A text is not one that a schedule is written as.
pub(crate) fn hours(weekly: Option<&str>, exceptions: Option<&str>) -> Result<StoreHours, ParquetError> {
    let bad = |part: &str| ParquetError::Content(format!("{part:?} is not a text of hours"));
    let weekly = parts(weekly).map(|part| weekly_row(part).ok_or_else(|| bad(part)));
    let exceptions = parts(exceptions).map(|part| exception_row(part).ok_or_else(|| bad(part)));
    Ok(StoreHours {
        weekly: weekly.collect::<Result<_, _>>()?,
        exceptions: exceptions.collect::<Result<_, _>>()?,
    })
}

fn parts(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.into_iter().flat_map(|text| text.split("; "))
}

fn weekly_row(part: &str) -> Option<WeeklyHours> {
    let (day, hours) = part.split_once(' ')?;
    let weekday = WEEKDAYS.iter().position(|known| *known == day)? as i64 + 1;
    let (opens, closes) = times(hours)?;
    WeeklyHours::new(weekday, opens, closes).ok()
}

fn exception_row(part: &str) -> Option<ExceptionHours> {
    let (date, hours) = part.split_once(' ')?;
    let (opens, closes) = times(hours)?;
    ExceptionHours::new(date.parse::<Day>().ok()?.date(), opens, closes).ok()
}

/// When it opens and closes; both `None` for `closed`.
fn times(text: &str) -> Option<(Option<WallTime>, Option<WallTime>)> {
    if text == "closed" {
        return Some((None, None));
    }
    let (opens, closes) = text.split_once('-')?;
    Some((Some(wall_time(opens)?), Some(wall_time(closes)?)))
}

fn wall_time(text: &str) -> Option<WallTime> {
    let mut seconds = 0;
    let (mut unit, mut parts) = (3600, 0);
    for part in text.split(':') {
        if part.len() != 2 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        seconds += part.parse::<u32>().ok()? * unit;
        (unit, parts) = (unit / 60, parts + 1);
    }
    if (2..=3).contains(&parts) { WallTime::from_seconds(seconds) } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(most: u32) -> impl Strategy<Value = Option<WallTime>> {
        // Mostly whole minutes, as in real schedules.
        (0..=most, any::<bool>()).prop_map(|(seconds, whole)| {
            WallTime::from_seconds(if whole { seconds / 60 * 60 } else { seconds })
        })
    }

    fn store_hours() -> impl Strategy<Value = StoreHours> {
        let times = || prop_oneof![1 => Just((None, None)), 4 => (time(86_399), time(86_400))];
        let weekly = (1..=7_i64, times()).prop_map(|(day, (o, c))| WeeklyHours::new(day, o, c).unwrap());
        let date = (0..30_000_i32).prop_map(LocalDate::from_days);
        let exception = (date, times()).prop_map(|(date, (o, c))| ExceptionHours::new(date, o, c).unwrap());
        (prop::collection::vec(weekly, 0..9), prop::collection::vec(exception, 0..5))
            .prop_map(|(weekly, exceptions)| StoreHours { weekly, exceptions })
    }

    proptest! {
        #[test]
        fn hours_are_read_back_from_their_texts(written in store_hours()) {
            let dates = (LocalDate::from_days(0), LocalDate::from_days(30_000));
            let read = hours(weekly(&written).as_deref(), exceptions(&written, dates).as_deref()).unwrap();
            let mut sorted = written.clone();
            sorted.weekly.sort_unstable();
            sorted.weekly.dedup();
            sorted.exceptions.sort_unstable();
            sorted.exceptions.dedup();
            prop_assert_eq!(read, sorted);
        }
    }

    #[test]
    fn what_no_schedule_is_written_as_is_refused() {
        let weekly = [
            "",
            "Mon",
            "Mon ",
            "Mo 09:00-14:00",
            "Mon 9:00-14:00",
            "Mon 09:00",
            "Mon 09:00-14:00;Tue closed",
            "Mon 09:00-24:01",
            "Mon 24:00-24:00",
            "Mon 09:00:00:00-14:00",
            "Mon 09-14",
            "Mon +9:00-14:00",
        ];
        for text in weekly {
            assert!(hours(Some(text), None).is_err(), "{text:?}");
        }
        for text in ["2026-11-3 closed", "2026-02-30 closed", "2026-11-23", "2026-11-23 Closed"] {
            assert!(hours(None, Some(text)).is_err(), "{text:?}");
        }
        assert_eq!(hours(None, None).unwrap(), StoreHours::default());
    }
}
