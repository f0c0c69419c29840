//! What must not be seen of a line of hosts.toml.
//!
//! Options that the schema marks as secret are masked by their span. But a diagnostic can come
//! before any schema is known (broken TOML, no such plugin), so a quoted string after a key that
//! sounds like a secret is masked as well, unless it is a reference.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

static SECRET_KEY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)(secret|passw|passphrase|token|credential|api_?key|consumer_?key|private)[\w.\-"']*\s*=\s*"#)
        .expect("the pattern is constant")
});

/// Ranges of `line` (bytes from its start) to be shown as `***`.
pub(super) fn guessed(line: &str) -> Vec<Range<usize>> {
    let Some(found) = SECRET_KEY.find(line) else {
        return Vec::new();
    };
    // From the first such key to the end of the line: a table of credentials has several.
    quoted(line, found.end())
        .into_iter()
        .filter(|r| !is_reference(&line[r.clone()]))
        .collect()
}

/// Whether a text names a secret instead of being one. A default after `?` is one.
fn is_reference(text: &str) -> bool {
    (text.starts_with("env:") && !text.contains('?')) || text.starts_with("file:")
}

/// Insides of the quoted strings of a line from byte `from` on; one that does not end on the
/// line counts to its end.
fn quoted(line: &str, from: usize) -> Vec<Range<usize>> {
    let bytes = line.as_bytes();
    let mut ranges = Vec::new();
    let mut i = from;
    while i < bytes.len() {
        let quote = bytes[i];
        i += 1;
        if quote == b'#' {
            break;
        }
        if quote != b'"' && quote != b'\'' {
            continue;
        }
        let start = i;
        while i < bytes.len() && bytes[i] != quote {
            i += if bytes[i] == b'\\' && quote == b'"' { 2 } else { 1 };
        }
        let end = i.min(bytes.len());
        i = end + 1;
        // A quoted key is no value.
        if !line[i.min(line.len())..].trim_start().starts_with('=') && end > start {
            ranges.push(start..end);
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(line: &str) -> Vec<&str> {
        guessed(line).into_iter().map(|r| &line[r]).collect()
    }

    #[test]
    fn strings_after_a_key_that_sounds_secret_are_masked() {
        assert_eq!(masked(r#"password = "hunter2""#), ["hunter2"]);
        assert_eq!(masked(r#"with = { topic = "t", token = "a\"b", user = "u" }"#), [r#"a\"b"#, "u"]);
        assert_eq!(masked("with.consumer_secret = 'open"), ["open"]);
    }

    #[test]
    fn references_and_other_keys_are_shown() {
        assert_eq!(masked(r#"token = "env:TOKEN""#), [""; 0]);
        assert_eq!(masked(r#"token = "file:run/token""#), [""; 0]);
        assert_eq!(masked(r#"topic = "tweets""#), [""; 0]);
        assert_eq!(masked(r#"token = "env:TOKEN?fallback""#), ["env:TOKEN?fallback"]);
    }
}
