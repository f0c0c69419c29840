//! Numbers and texts in a stage's state, little endian.

/// Appends a text behind its length.
pub(crate) fn put(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

/// The next bytes, as are all that follow: `None` where there are not as many.
pub(crate) fn array<'a, const N: usize>(from: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    from.split_off(..N)?.try_into().ok()
}

pub(crate) fn u32_of(from: &mut &[u8]) -> Option<u32> {
    array(from).map(|bytes| u32::from_le_bytes(*bytes))
}

pub(crate) fn u64_of(from: &mut &[u8]) -> Option<u64> {
    array(from).map(|bytes| u64::from_le_bytes(*bytes))
}

/// What [`put`] appended.
pub(crate) fn text_of<'a>(from: &mut &'a [u8]) -> Option<&'a str> {
    let len = u32_of(from)? as usize;
    std::str::from_utf8(from.split_off(..len)?).ok()
}
