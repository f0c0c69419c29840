//! What is an emoji, for the words that are counted and the fonts that are asked for them.

use icu_properties::CodePointSetData;
use icu_properties::props::{ExtendedPictographic, RegionalIndicator};

/// The first character that is an emoji without being marked as one: what stands before it, as
/// "©", "™" and arrows, is written as text mostly.
const UNMARKED: char = '\u{231a}';

/// Whether a cluster of characters that belong together is an emoji.
pub(crate) fn is_emoji(cluster: &str) -> bool {
    let Some(first) = cluster.chars().next() else {
        return false;
    };
    let keycap = || cluster.contains('\u{20e3}');
    if first.is_ascii() {
        return keycap();
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
        for other in ["", "a", "1", "©", "™", "→", "東", "é", "✓", "♪"] {
            assert!(!is_emoji(other), "{other}");
        }
    }
}
