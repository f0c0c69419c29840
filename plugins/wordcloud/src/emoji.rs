//! What is an emoji, for the words that are counted and the fonts that are asked for them.

use icu_properties::CodePointSetData;
use icu_properties::props::{ExtendedPictographic, RegionalIndicator};

/// The first character that is an emoji without being marked as one: what stands before it, as
/// "©", "™" and arrows, is written as text mostly.
const UNMARKED: char = '\u{231a}';

/// Whether a cluster of characters that belong together is an emoji.
pub(crate) fn is_emoji(cluster: &str) -> bool {
    let mut letters = cluster.chars();
    let Some(first) = letters.next() else {
        return false;
    };
    if first.is_ascii() {
        let key = matches!(first, '0'..='9' | '#' | '*');
        let cap = letters.as_str().trim_start_matches('\u{fe0f}');
        return key && cap.starts_with('\u{20e3}');
    }
    let pictures = CodePointSetData::new::<ExtendedPictographic>();
    if pictures.contains(first) {
        return first >= UNMARKED || cluster.contains('\u{fe0f}');
    }
    CodePointSetData::new::<RegionalIndicator>().contains(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emoji_are_those_of_unicode() {
        for emoji in [
            "😀",
            "👍🏽",
            "🇩🇪",
            "⭐",
            "🟠",
            "⏰",
            "🅰",
            "☀",
            "❤️",
            "1️⃣",
            "©️",
            "👩‍🚀",
            "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
        ] {
            assert!(is_emoji(emoji), "{emoji}");
        }
        for other in [
            "",
            "a",
            "1",
            "#\u{fe0f}",
            "stra\u{20e3}",
            "©",
            "™",
            "→",
            "東",
            "é",
            "✓",
            "♪",
        ] {
            assert!(!is_emoji(other), "{other}");
        }
    }
}
