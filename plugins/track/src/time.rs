//! When a tweet was written: from `timestamp_ms`, else from its id, else from `created_at`.

/// Ids below this were numbered one by one and tell no time (Twitter changed over on 2010-11-04).
pub const FIRST_SNOWFLAKE: u64 = 29_700_859_247;

const SNOWFLAKE_EPOCH_MS: i64 = 1_288_834_974_657;

/// The time a snowflake id was made, in milliseconds since 1970; `None` for older ids.
pub fn snowflake_ms(id: u64) -> Option<i64> {
    if id < FIRST_SNOWFLAKE {
        return None;
    }
    i64::try_from(id >> 22)
        .ok()?
        .checked_add(SNOWFLAKE_EPOCH_MS)
}

/// `Wed Sep 01 03:20:30 +0000 2010` in milliseconds since 1970. Twitter always wrote UTC; other
/// offsets are honoured too.
pub fn created_at_ms(text: &str) -> Option<i64> {
    let mut parts = text.split_ascii_whitespace();
    let _weekday = parts.next()?;
    let month = match parts.next()? {
        "Jan" => 1,
        "Feb" => 2,
        "Mar" => 3,
        "Apr" => 4,
        "May" => 5,
        "Jun" => 6,
        "Jul" => 7,
        "Aug" => 8,
        "Sep" => 9,
        "Oct" => 10,
        "Nov" => 11,
        "Dec" => 12,
        _ => return None,
    };
    let day = number(parts.next()?, 31)?;
    let mut clock = parts.next()?.split(':');
    let (hour, minute, second) = (
        number(clock.next()?, 23)?,
        number(clock.next()?, 59)?,
        number(clock.next()?, 60)?,
    );
    let zone = parts.next()?;
    let (sign, zone) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, number(rest, 2359)?),
        ("-", rest) => (-1, number(rest, 2359)?),
        _ => return None,
    };
    let year = number(parts.next()?, 9999)?;
    let offset = sign * (zone / 100 * 3600 + zone % 100 * 60);
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(seconds * 1000)
}

fn number(text: &str, max: i64) -> Option<i64> {
    if text.is_empty() || text.len() > 4 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|n| *n <= max)
}

/// Days from 1970-01-01 in the Gregorian calendar, with years that begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snowflakes_tell_the_time_and_older_ids_do_not() {
        assert_eq!(
            snowflake_ms(1_345_059_463_120_621_570),
            Some(1_609_522_140_661)
        );
        assert_eq!(snowflake_ms(6_832_063_504), None);
        assert!(snowflake_ms(u64::MAX).is_some());
    }

    #[test]
    fn created_at_is_read_as_twitter_wrote_it() {
        assert_eq!(
            created_at_ms("Fri Jan 01 17:29:00 +0000 2021"),
            Some(1_609_522_140_000)
        );
        assert_eq!(
            created_at_ms("Sat Dec 19 17:01:35 +0100 2009"),
            Some(1_261_238_495_000)
        );
        assert_eq!(
            created_at_ms("Mon Feb 29 00:00:00 +0000 2016"),
            Some(1_456_704_000_000)
        );
        for wrong in [
            "",
            "Fri Jan 01 2021",
            "Fri Foo 01 17:29:00 +0000 2021",
            "x y é z +é 1",
        ] {
            assert_eq!(created_at_ms(wrong), None, "{wrong}");
        }
    }
}
