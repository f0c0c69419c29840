//! The typeface of clouds: Noto Sans Bold and its sisters, under the SIL Open Font License 1.1.
//!
//! It stands here once, so that a word is drawn by the page with the very widths that it was laid
//! out with. What was left of each face, and how, is in the README.
#![forbid(unsafe_code)]

/// Latin, Greek, Cyrillic, and what stands between words. The other faces are for their scripts only.
pub const NOTO_SANS: &[u8] = include_bytes!("../fonts/NotoSans-Bold.ttf");
/// Hebrew, U+0590 to U+05FF.
pub const HEBREW: &[u8] = include_bytes!("../fonts/NotoSansHebrew-Bold.ttf");
/// Arabic, U+0600 to U+077F.
pub const ARABIC: &[u8] = include_bytes!("../fonts/NotoSansArabic-Bold.ttf");
/// Devanagari, U+0900 to U+097F.
pub const DEVANAGARI: &[u8] = include_bytes!("../fonts/NotoSansDevanagari-Bold.ttf");
/// Thai, U+0E00 to U+0E7F.
pub const THAI: &[u8] = include_bytes!("../fonts/NotoSansThai-Bold.ttf");
