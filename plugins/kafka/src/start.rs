//! Where a source begins: `earliest`, `latest`, `offset:N`, `timestamp:…`.

/// Where to begin in a partition for which the group has no offset yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Earliest,
    Latest,
    Offset(i64),
    /// Milliseconds since 1970.
    Timestamp(i64),
}

impl Start {
    /// Reads the option.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => return Ok(Self::Earliest),
            "latest" => return Ok(Self::Latest),
            _ => {}
        }
        if let Some(n) = text.strip_prefix("offset:") {
            return match n.parse::<i64>() {
                Ok(n) if n >= 0 => Ok(Self::Offset(n)),
                _ => Err(format!(
                    "`{n}` is no offset: expected a number from 0 on, such as `offset:1500`"
                )),
            };
        }
        if let Some(t) = text.strip_prefix("timestamp:") {
            return t
                .parse::<i64>()
                .ok()
                .or_else(|| rfc3339_ms(t))
                .filter(|ms| *ms >= 0)
                .map(Self::Timestamp)
                .ok_or_else(|| {
                    format!(
                        "`{t}` is no time: expected milliseconds since 1970 or RFC 3339, \
                         such as `timestamp:2026-11-24T08:00:00Z`"
                    )
                });
        }
        Err(format!(
            "`{text}` is no start: expected `earliest`, `latest`, `offset:N` or `timestamp:TIME`"
        ))
    }
}

/// An RFC 3339 time as milliseconds since 1970; what is finer than a millisecond is cut off.
fn rfc3339_ms(text: &str) -> Option<i64> {
    let b = text.as_bytes();
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = b.get(range)?;
        digits.iter().try_fold(0i64, |n, c| {
            c.is_ascii_digit().then(|| n * 10 + i64::from(c - b'0'))
        })
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let separators = b[4] == b'-' && b[7] == b'-' && b[13] == b':' && b[16] == b':';
    if !separators || !matches!(b[10], b'T' | b't' | b' ') {
        return None;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = [
        31,
        if leap { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let month_days = *days.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    if day < 1 || day > month_days || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut at = 19;
    let mut ms = 0;
    if b.get(at) == Some(&b'.') {
        at += 1;
        let mut scale = 100;
        let first = at;
        while let Some(c) = b.get(at).filter(|c| c.is_ascii_digit()) {
            ms += i64::from(c - b'0') * scale;
            scale /= 10;
            at += 1;
        }
        if at == first {
            return None;
        }
    }
    let offset_minutes = match b.get(at)? {
        b'Z' | b'z' if b.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if b.len() == at + 6 && b[at + 3] == b':' => {
            let (h, m) = (number(at + 1..at + 3)?, number(at + 4..at + 6)?);
            if h > 23 || m > 59 {
                return None;
            }
            (h * 60 + m) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    // Days since 1970, counting from March so that the leap day comes last.
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some((((days * 24 + hour) * 60 + minute - offset_minutes) * 60 + second) * 1000 + ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_read_as_documented() {
        assert_eq!(Start::parse("earliest"), Ok(Start::Earliest));
        assert_eq!(Start::parse("latest"), Ok(Start::Latest));
        assert_eq!(Start::parse("offset:17"), Ok(Start::Offset(17)));
        assert_eq!(
            Start::parse("timestamp:1700000000000"),
            Ok(Start::Timestamp(1_700_000_000_000))
        );
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59.5Z", 951_868_799_500),
            ("2026-11-24T08:00:00+01:00", 1_795_503_600_000),
            ("2026-11-24 08:00:00.123456-02:30", 1_795_516_200_123),
        ] {
            assert_eq!(
                Start::parse(&format!("timestamp:{text}")),
                Ok(Start::Timestamp(ms)),
                "{text}"
            );
        }
        for wrong in [
            "",
            "begin",
            "offset:",
            "offset:-1",
            "offset:x",
            "timestamp:",
            "timestamp:-5",
            "timestamp:yesterday",
            "timestamp:2026-02-29T00:00:00Z",
            "timestamp:2026-13-01T00:00:00Z",
            "timestamp:2026-11-24T08:00:00",
            "timestamp:2026-11-24T24:00:00Z",
            "timestamp:2026-11-24T08:00:00.Z",
            "timestamp:2026-11-24T08:00:00+1:00",
            "timestamp:ü026-11-24T08:00:00Z",
            "timestamp:2026-00-10T08:00:00Z",
            "timestamp:1969-12-31T23:59:59Z",
        ] {
            assert!(Start::parse(wrong).is_err(), "{wrong}");
        }
    }
}
