//! Short names for long things, the same on every machine and in every version.

/// FNV-1a of 64 bits: for a few names or schemas, not against anybody who wants two to meet.
#[must_use]
pub fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
