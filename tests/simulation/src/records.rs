//! Records: their source and a number, which says what becomes of them.

/// A record of a source: `a7`; a part of it: `a7/1`.
pub fn id(source: &str, number: u64) -> String {
    format!("{source}{number}")
}

/// The number in an id.
pub fn number(id: &str) -> u64 {
    let digits = id.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let digits = digits.split_once('/').map_or(digits, |(n, _)| n);
    digits.parse().unwrap_or(0)
}

/// Whether it is plain: neither joined of others nor the mark of an end.
fn is_plain(id: &str) -> bool {
    !id.contains(',') && !id.starts_with("end")
}

/// A live source cannot read it.
pub fn is_garbled(n: u64) -> bool {
    n % 9 == 4
}

/// A map passes over it.
pub fn is_filtered(id: &str) -> bool {
    is_plain(id) && number(id) % 5 == 2
}

/// A map cannot use it.
pub fn is_unfit(id: &str) -> bool {
    is_plain(id) && number(id) % 7 == 3
}

/// A sink cannot use it.
pub fn is_refused(id: &str) -> bool {
    is_plain(id) && number(id) % 11 == 6
}

/// Its key; every other has one.
pub fn key(n: u64) -> Option<[u8; 1]> {
    n.is_multiple_of(2).then_some([(n / 2 % 3) as u8])
}
