//! When a record is of, as it says itself.

use jiff::{Timestamp, civil, tz::TimeZone};
use track::{created_at_ms, snowflake_ms};

/// Names of places that hold the number of a tweet, which tells its time.
const IDS: [&str; 4] = ["id", "id_str", "t_id", "t.id"];

/// Whether the value at a place is the number of a tweet.
pub fn is_id(place: &str) -> bool {
    IDS.contains(&place)
}

/// A time as it is written, in microseconds since 1970: a number of seconds, or of milli-, micro- or
/// nanoseconds where it is too large for the former; a text by RFC 3339, without an offset in UTC,
/// or as Twitter writes it. With `id` the number of a tweet.
pub fn time_us(text: &str, id: bool) -> Option<i64> {
    let text = text.trim();
    if id {
        return snowflake_ms(text.parse().ok()?)?.checked_mul(1000);
    }
    if let Ok(number) = text.parse() {
        return whole(number);
    }
    if let Ok(seconds) = text.parse::<f64>() {
        let us = seconds * 1e6;
        return (us.abs() < 1e18).then_some(us as i64);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_microsecond());
    }
    if let Ok(time) = text.parse::<civil::DateTime>() {
        let time = TimeZone::UTC.to_timestamp(time).ok()?;
        return Some(time.as_microsecond());
    }
    created_at_ms(text)?.checked_mul(1000)
}

/// Since 1970, by the size of the number: in seconds up to the year 5138, in milliseconds from 1973
/// on, and so forth.
pub fn whole(number: i64) -> Option<i64> {
    match number.unsigned_abs() {
        0..100_000_000_000 => number.checked_mul(1_000_000),
        100_000_000_000..100_000_000_000_000 => number.checked_mul(1000),
        100_000_000_000_000..100_000_000_000_000_000 => Some(number),
        _ => Some(number / 1000),
    }
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
            " 1609522140664000 ",
            "1609522140664000000",
            "2021-01-01T17:29:00.664Z",
            "2021-01-01T18:29:00.664+01:00",
            "2021-01-01 17:29:00.664",
        ] {
            assert_eq!(time_us(text, false), Some(us), "{text}");
        }
        let second = us / 1_000_000 * 1_000_000;
        for text in ["1609522140", "Fri Jan 01 17:29:00 +0000 2021"] {
            assert_eq!(time_us(text, false), Some(second), "{text}");
        }
        assert_eq!(time_us("2021-01-01", false), Some(1_609_459_200_000_000));
        assert_eq!(
            time_us("1345059463120621570", true).map(|us| us / 1_000_000),
            Some(1_609_522_140)
        );
        for wrong in ["", "yesterday", "NaN", "1e300", "2021-13-01", "12:30"] {
            assert_eq!(time_us(wrong, false), None, "{wrong}");
        }
        assert_eq!(time_us("12345", true), None);
    }
}
