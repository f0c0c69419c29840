//! Conversions at work: the text of a value through each of a chain.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::Offset;
use sha2::{Digest, Sha256};

use super::ExtractError;
use crate::json::number::integer;
use crate::json::{Kind, Slot, text};
use crate::schema::Convert;

/// What an alternative gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    /// The field is written.
    Done,
    /// It holds nothing: the next one is tried.
    Next,
    /// It does not fit.
    Unfit,
}

/// Working memory, kept from one value to the next.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// What the next conversion takes; at the end, what the last one gave.
    pub given: String,
    made: String,
}

/// Milliseconds between 1970 and the beginning of Twitter's ids.
const SNOWFLAKE_EPOCH_MS: i64 = 1_288_834_974_657;
/// The first id that held a time; earlier ones were counted up.
const FIRST_SNOWFLAKE: i64 = 29_700_859_247;
/// The collection of Bluesky's posts.
const POSTS: &str = "app.bsky.feed.post";
/// The digits of a TID, in their order.
const TID_DIGITS: &[u8; 32] = b"234567abcdefghijklmnopqrstuvwxyz";
const TID_LEN: usize = 13;

/// Sends a value through `chain`; `texts.given` is the outcome.
pub(super) fn run(
    chain: &[Convert],
    json: &[u8],
    slot: Slot,
    texts: &mut Texts,
) -> Result<Fill, ExtractError> {
    texts.given.clear();
    match slot.kind {
        // Its value is no matter.
        _ if chain.first() == Some(&Convert::Present) => {}
        Kind::Text => unescape(json, slot, &mut texts.given)?,
        Kind::Int | Kind::Float => texts.given.push_str(&utf8(&json[slot.range()])),
        _ => return Ok(Fill::Unfit),
    }
    for convert in chain {
        texts.made.clear();
        match convert.apply(&texts.given, &mut texts.made) {
            Fill::Done => std::mem::swap(&mut texts.given, &mut texts.made),
            other => return Ok(other),
        }
    }
    Ok(Fill::Done)
}

fn unescape(json: &[u8], slot: Slot, out: &mut String) -> Result<(), ExtractError> {
    let mut bytes = std::mem::take(out).into_bytes();
    text::unescape(json, slot.start as usize, slot.end as usize, &mut bytes)?;
    *out = String::from_utf8(bytes).unwrap_or_else(|e| utf8(e.as_bytes()).into_owned());
    Ok(())
}

/// The document was checked to be UTF-8, and escapes give characters.
fn utf8(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

impl Convert {
    fn apply(self, given: &str, out: &mut String) -> Fill {
        match self {
            Convert::SnowflakeMs => match integer(given.as_bytes()) {
                Some(id) if id >= FIRST_SNOWFLAKE => number((id >> 22) + SNOWFLAKE_EPOCH_MS, out),
                Some(_) => Fill::Next,
                None => Fill::Unfit,
            },
            Convert::IdNumber => number(id_number(given), out),
            Convert::IsoMs => match given.parse::<Timestamp>() {
                Ok(time) => number(time.as_millisecond(), out),
                Err(_) => Fill::Unfit,
            },
            Convert::UsMs => match integer(given.as_bytes()) {
                Some(us) => number(us.div_euclid(1000), out),
                None => Fill::Unfit,
            },
            Convert::MsDate => date(given, out).unwrap_or(Fill::Unfit),
            Convert::CleanText => {
                text::clean(given, out);
                Fill::Done
            }
            Convert::NonEmpty if given.is_empty() => Fill::Next,
            Convert::NonEmpty => {
                out.push_str(given);
                Fill::Done
            }
            Convert::HtmlText => {
                html_text::to_text(given, out);
                Fill::Done
            }
            Convert::PostUri => match at_uri(given) {
                Some((_, path)) if path.split('/').next() == Some(POSTS) => {
                    out.push_str(given);
                    Fill::Done
                }
                _ => Fill::Next,
            },
            Convert::Tid => {
                let key = given.rsplit('/').next().unwrap_or(given);
                tid(key.as_bytes()).map_or(Fill::Next, |tid| number(tid, out))
            }
            Convert::Did => match at_uri(given) {
                Some((authority, _)) if authority.starts_with("did:") => {
                    out.push_str(authority);
                    Fill::Done
                }
                _ => Fill::Next,
            },
            Convert::Present => {
                out.push_str("true");
                Fill::Done
            }
        }
    }
}

fn number(value: i64, out: &mut String) -> Fill {
    write!(out, "{value}").map_or(Fill::Unfit, |()| Fill::Done)
}

/// Ids of other servers than Mastodon's are letters, too.
fn id_number(id: &str) -> i64 {
    integer(id.as_bytes()).unwrap_or_else(|| {
        let digest = Sha256::digest(id.as_bytes());
        let first = digest
            .first_chunk()
            .map_or(0, |first| u64::from_be_bytes(*first));
        (first >> 1) as i64
    })
}

/// Written by hand, as each post has some. Years that four digits do not hold are none.
fn date(ms: &str, out: &mut String) -> Option<Fill> {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let time = Timestamp::from_millisecond(integer(ms.as_bytes())?).ok()?;
    let time = Offset::UTC.to_datetime(time);
    let day = time.weekday().to_monday_zero_offset();
    let year = u16::try_from(time.year()).ok()?;
    out.push_str(DAYS.get(usize::try_from(day).ok()?)?);
    out.push(' ');
    out.push_str(MONTHS.get(usize::try_from(time.month()).ok()? - 1)?);
    let clock = [time.day(), time.hour(), time.minute(), time.second()];
    for (value, before) in clock.into_iter().zip([' ', ' ', ':', ':']) {
        out.push(before);
        two_digits(value.unsigned_abs(), out);
    }
    out.push_str(" +0000 ");
    two_digits((year / 100) as u8, out);
    two_digits((year % 100) as u8, out);
    Some(Fill::Done)
}

fn two_digits(value: u8, out: &mut String) {
    out.push((b'0' + value / 10) as char);
    out.push((b'0' + value % 10) as char);
}

/// The authority and the rest of an `at://` URI.
fn at_uri(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("at://")?;
    Some(rest.split_once('/').unwrap_or((rest, "")))
}

/// The number that a TID writes in base 32. Its first bit is never set, so it is a `long`.
fn tid(key: &[u8]) -> Option<i64> {
    if key.len() != TID_LEN {
        return None;
    }
    let mut value = 0i64;
    for byte in key {
        let digit = TID_DIGITS.binary_search(byte).ok()?;
        value = value.checked_mul(32)?.checked_add(digit as i64)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(convert: Convert, given: &str) -> Result<String, Fill> {
        let mut out = String::new();
        match convert.apply(given, &mut out) {
            Fill::Done => Ok(out),
            other => Err(other),
        }
    }

    fn all(convert_by: Convert, cases: &[(&str, Result<&str, Fill>)]) {
        for (given, expected) in cases {
            let expected = expected.map(str::to_owned);
            assert_eq!(convert(convert_by, given), expected, "{given:?}");
        }
    }

    #[test]
    fn times() {
        all(
            Convert::IsoMs,
            &[
                ("2026-05-25T14:23:28.778Z", Ok("1779719008778")),
                ("2026-05-25T16:23:28.778999+02:00", Ok("1779719008778")),
                ("2026-05-25T14:23:28-00:00", Ok("1779719008000")),
                ("2016-12-31T23:59:60Z", Ok("1483228799000")),
                ("1969-12-31T23:59:59Z", Ok("-1000")),
                // Which moment that is depends on the place.
                ("2026-05-25T14:23:28", Err(Fill::Unfit)),
                ("2026-05-25", Err(Fill::Unfit)),
                ("2026-13-25T14:23:28Z", Err(Fill::Unfit)),
                ("yesterday", Err(Fill::Unfit)),
                ("", Err(Fill::Unfit)),
            ],
        );
        all(
            Convert::UsMs,
            &[
                ("1779719009132431", Ok("1779719009132")),
                ("-1", Ok("-1")),
                ("1.5", Err(Fill::Unfit)),
            ],
        );
        all(
            Convert::MsDate,
            &[
                ("1283311230000", Ok("Wed Sep 01 03:20:30 +0000 2010")),
                ("1779719008778", Ok("Mon May 25 14:23:28 +0000 2026")),
                ("-1", Ok("Wed Dec 31 23:59:59 +0000 1969")),
                ("-62167219200000", Ok("Sat Jan 01 00:00:00 +0000 0000")),
                ("-62167219200001", Err(Fill::Unfit)),
                ("253402207200000", Ok("Thu Dec 30 22:00:00 +0000 9999")),
                ("9223372036854775807", Err(Fill::Unfit)),
                ("x", Err(Fill::Unfit)),
            ],
        );
    }

    #[test]
    fn ids() {
        // The others are what `sha256sum` says, its first 16 digits halved.
        all(
            Convert::IdNumber,
            &[
                ("116158000000000001", Ok("116158000000000001")),
                ("-7", Ok("-7")),
                ("01J5QVB9VQ76NPPRQB556DWGFN", Ok("591314832343813400")),
                ("9223372036854775808", Ok("7125061264901463313")),
            ],
        );
    }

    #[test]
    fn keys_and_uris_of_the_at_protocol() {
        let uri = "at://did:plc:j76trmiofvaxxpvx2vnb2vwf/app.bsky.feed.post/3mmojbrjwbs26";
        all(
            Convert::Tid,
            &[
                ("2222222222222", Ok("0")),
                ("2222222222223", Ok("1")),
                ("bzzzzzzzzzzzz", Ok("9223372036854775807")),
                // Its first bit is set.
                ("c222222222222", Err(Fill::Next)),
                ("zzzzzzzzzzzzz", Err(Fill::Next)),
                ("222222222222", Err(Fill::Next)),
                ("22222222222222", Err(Fill::Next)),
                ("222222222222A", Err(Fill::Next)),
                ("self", Err(Fill::Next)),
                ("", Err(Fill::Next)),
                ("at://did:plc:x/app.bsky.feed.post/2222222222223", Ok("1")),
                ("at://did:plc:x/app.bsky.feed.post/", Err(Fill::Next)),
            ],
        );
        // A TID holds the microsecond in which it was made, above ten bits that tell clocks apart.
        let made = convert(Convert::Tid, uri).unwrap();
        let us = made.parse::<i64>().unwrap() >> 10;
        assert_eq!(
            Timestamp::from_microsecond(us).unwrap().to_string(),
            "2026-05-25T12:49:34.155Z"
        );
        all(
            Convert::Did,
            &[
                (uri, Ok("did:plc:j76trmiofvaxxpvx2vnb2vwf")),
                ("at://did:web:example.com", Ok("did:web:example.com")),
                ("at://ann.example.com/app.bsky.feed.post/x", Err(Fill::Next)),
                ("https://did:plc:x/", Err(Fill::Next)),
            ],
        );
        all(
            Convert::PostUri,
            &[
                (uri, Ok(uri)),
                (
                    "at://did:plc:x/app.bsky.graph.list/3mmojbrjwbs26",
                    Err(Fill::Next),
                ),
                ("at://did:plc:x", Err(Fill::Next)),
                ("app.bsky.feed.post", Err(Fill::Next)),
            ],
        );
    }
}
