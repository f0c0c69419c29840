//! Civil time in UTC, for names, logs and texts.

use std::fmt;

/// A moment in UTC, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// Year, such as 2026.
    pub year: i64,
    /// Month, from 1.
    pub month: u32,
    /// Day of the month, from 1.
    pub day: u32,
    /// Hour, 0 to 23.
    pub hour: u32,
    /// Minute.
    pub minute: u32,
    /// Second.
    pub second: u32,
    /// Microsecond.
    pub micros: u32,
    /// Day of the week, 0 for Sunday.
    pub weekday: u32,
}

impl Civil {
    /// Takes microseconds since 1970 apart (days by Howard Hinnant's algorithm).
    #[must_use]
    pub fn from_us(us: i64) -> Self {
        const DAY_US: i64 = 86_400_000_000;
        let (days, rest) = (us.div_euclid(DAY_US), us.rem_euclid(DAY_US));
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        let second = rest / 1_000_000;
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: month as u32,
            day: (day_of_year - (153 * march_month + 2) / 5 + 1) as u32,
            hour: (second / 3_600) as u32,
            minute: (second / 60 % 60) as u32,
            second: (second % 60) as u32,
            micros: (rest % 1_000_000) as u32,
            weekday: (days + 4).rem_euclid(7) as u32,
        }
    }
}

/// As RFC 3339 has it, in milliseconds: `2026-11-24T13:45:01.250Z`.
impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            self.year,
            self.month,
            self.day,
            self.hour,
            self.minute,
            self.second,
            self.micros / 1_000
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_taken_apart() {
        let text = |us| Civil::from_us(us).to_string();
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(text(1_709_251_198_250_000), "2024-02-29T23:59:58.250Z");
        assert_eq!(text(951_782_400_000_000), "2000-02-29T00:00:00.000Z");
        // A Thursday, and the Friday of the archive's first tweet.
        assert_eq!(Civil::from_us(0).weekday, 4);
        assert_eq!(Civil::from_us(1_609_522_140_664_000).weekday, 5);
        assert_eq!(Civil::from_us(-86_400_000_000).weekday, 3);
    }
}
