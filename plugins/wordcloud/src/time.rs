//! When a record is of, as it says itself.

use jiff::{Timestamp, civil, tz::TimeZone};
use track::{created_at_ms, snowflake_ms};

/// Names of what holds the number of a tweet, which tells its time.
const IDS: [&str; 4] = ["id", "id_str", "t_id", "t.id"];

/// Whether the value of this name is the number of a tweet.
pub fn is_id(name: &str) -> bool {
    IDS.contains(&name)
}

/// A time as it is written, in microseconds since 1970: a number of seconds, or of milli-, micro- or
/// nanoseconds where it is too large for the former; a text by RFC 3339, without an offset in UTC,
/// or as Twitter writes it.
pub fn written(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return whole(number);
    }
    if let Ok(number) = text.parse() {
        return real(number);
    }
    if let Some(ms) = created_at_ms(text) {
        return ms.checked_mul(1000);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_microsecond());
    }
    let time = text.parse::<civil::DateTime>().ok()?;
    let time = TimeZone::UTC.to_timestamp(time).ok()?;
    Some(time.as_microsecond())
}

/// The time of a tweet by its number.
pub fn of_id(id: u64) -> Option<i64> {
    snowflake_ms(id)?.checked_mul(1000)
}

/// Below these a number is of seconds (up to the year 5138), of milliseconds (from 1973 on), of
/// microseconds; the others are of nanoseconds.
const SECONDS: u64 = 100_000_000_000;
const MILLIS: u64 = 1000 * SECONDS;
const MICROS: u64 = 1000 * MILLIS;

/// Since 1970, in a unit by the size of the number.
pub fn whole(number: i64) -> Option<i64> {
    match number.unsigned_abs() {
        0..SECONDS => number.checked_mul(1_000_000),
        SECONDS..MILLIS => number.checked_mul(1000),
        MILLIS..MICROS => Some(number),
        _ => Some(number / 1000),
    }
}

/// The same of a number with a fraction.
pub fn real(number: f64) -> Option<i64> {
    let unit = match number.abs() {
        size if size < SECONDS as f64 => 1e6,
        size if size < MILLIS as f64 => 1e3,
        size if size < MICROS as f64 => 1.0,
        _ => 1e-3,
    };
    let us = (number * unit).round();
    (us.abs() < i64::MAX as f64).then_some(us as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_however_they_are_written() {
        let us = 1_609_522_140_664_000;
        for text in [
            "1609522140.664",
            "1609522140664",
            "1609522140664.2",
            " 1609522140664000 ",
            "1609522140664000000",
            "1.609522140664e18",
            "2021-01-01T17:29:00.664Z",
            "2021-01-01T18:29:00.664+01:00",
            "2021-01-01 17:29:00.664",
        ] {
            let apart = written(text).map(|time| time.abs_diff(us));
            assert!(apart.is_some_and(|apart| apart <= 200), "{text}: {apart:?}");
        }
        let second = us / 1_000_000 * 1_000_000;
        for text in ["1609522140", "Fri Jan 01 17:29:00 +0000 2021"] {
            assert_eq!(written(text), Some(second), "{text}");
        }
        assert_eq!(written("946684800000.5"), Some(946_684_800_000_500));
        assert_eq!(written("2021-01-01"), Some(1_609_459_200_000_000));
        assert_eq!(written("-1"), Some(-1_000_000));
        assert_eq!(
            of_id(1_345_059_463_120_621_570).map(|us| us / 1_000_000),
            Some(1_609_522_140)
        );
        for wrong in [
            "",
            "yesterday",
            "NaN",
            "inf",
            "1e300",
            "2021-13-01",
            "12:30",
        ] {
            assert_eq!(written(wrong), None, "{wrong}");
        }
        assert_eq!(of_id(12_345), None);
    }
}
