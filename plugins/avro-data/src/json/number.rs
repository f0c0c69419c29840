//! Numbers: the grammar, and the value of integers.

use super::{JsonError, Kind, fault};

/// The end and kind of the number that begins at a position.
#[inline]
pub(crate) fn number(json: &[u8], start: usize) -> Result<(usize, Kind), JsonError> {
    let digit = |at: usize| json.get(at).is_some_and(u8::is_ascii_digit);
    let digits = |mut at: usize| {
        while digit(at) {
            at += 1;
        }
        at
    };
    let mut at = start;
    if json.get(at) == Some(&b'-') {
        at += 1;
    }
    if !digit(at) {
        return fault(at, "a number without digits");
    }
    if json[at] == b'0' && digit(at + 1) {
        return fault(at, "a number with a leading zero");
    }
    at = digits(at);
    let mut kind = Kind::Int;
    if json.get(at) == Some(&b'.') {
        if !digit(at + 1) {
            return fault(at, "a number that ends with its point");
        }
        at = digits(at + 1);
        kind = Kind::Float;
    }
    if matches!(json.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(json.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        if !digit(at) {
            return fault(at, "a number without digits in its exponent");
        }
        at = digits(at);
        kind = Kind::Float;
    }
    Ok((at, kind))
}

/// The value of an integer's digits; none if it does not fit.
#[inline]
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // 19 digits fit into 64 bits without a sign.
    let value = digits
        .iter()
        .fold(0u64, |value, digit| value * 10 + u64::from(digit - b'0'));
    if negative {
        0i64.checked_sub_unsigned(value)
    } else {
        i64::try_from(value).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_up_to_the_edges() {
        for n in [0, 1, -1, i64::MAX, i64::MIN, 1_345_059_463_120_621_570] {
            assert_eq!(integer(n.to_string().as_bytes()), Some(n));
        }
        for text in [
            "",
            "-",
            "9223372036854775808",
            "-9223372036854775809",
            "1.0",
            "1e3",
            "+1",
        ] {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn numbers_end_where_json_says() {
        for (text, end, kind) in [
            ("0,", 1, Kind::Int),
            ("-12}", 3, Kind::Int),
            ("1.50e+7 ", 7, Kind::Float),
            ("1E9", 3, Kind::Float),
        ] {
            assert_eq!(number(text.as_bytes(), 0), Ok((end, kind)), "{text}");
        }
        for text in ["", "-", "-a", "01", "1.", "1.e", "1e", "1e+", ".5"] {
            assert!(number(text.as_bytes(), 0).is_err(), "{text}");
        }
    }
}
