//! What must not be seen of a line of hosts.toml.
//!
//! Options that the schema marks as secret are masked by their span. But a diagnostic can come
//! before any schema is known (broken TOML, no such plugin), so a quoted string after a key that
//! sounds like a secret is masked as well, unless it is a reference.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

static SECRET_KEY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("(?i)secret|passw|passphrase|token|credential|api_?key|consumer_?key|private")
        .expect("the pattern is constant")
});

/// Ranges of `line` (bytes from its start) to be shown as `***`.
pub(super) fn guessed(line: &str) -> Vec<Range<usize>> {
    let bytes = line.as_bytes();
    let mut ranges = Vec::new();
    // Whether the last key sounds secret, and the depth of brackets at which one opened a table
    // or an array: everything in there is secret too.
    let (mut secret_key, mut secret_depth) = (false, None);
    let (mut depth, mut key_start, mut i) = (0usize, 0, 0);
    while i < bytes.len() {
        match bytes[i] {
            b'#' => break,
            b'=' => secret_key = SECRET_KEY.is_match(&line[key_start..i]),
            b'{' | b'[' => {
                depth += 1;
                if secret_key && secret_depth.is_none() {
                    secret_depth = Some(depth);
                }
                key_start = i + 1;
            }
            b'}' | b']' => {
                if secret_depth == Some(depth) {
                    secret_depth = None;
                    secret_key = false;
                }
                depth = depth.saturating_sub(1);
            }
            b',' => key_start = i + 1,
            b'"' | b'\'' => {
                let inside = string_at(line, i);
                i = inside.end;
                let is_key = line[(i + 1).min(line.len())..]
                    .trim_start()
                    .starts_with(['=', '.']);
                if !is_key
                    && (secret_key || secret_depth.is_some())
                    && !inside.is_empty()
                    && !is_reference(&line[inside.clone()])
                {
                    ranges.push(inside);
                }
            }
            _ => {}
        }
        i += 1;
    }
    ranges
}

/// Whether a text names a secret instead of being one. A default after `?` is one.
fn is_reference(text: &str) -> bool {
    (text.starts_with("env:") && !text.contains('?')) || text.starts_with("file:")
}

/// The inside of the string that begins with the quote at `start`; one that does not end on the
/// line goes on to its end.
fn string_at(line: &str, start: usize) -> Range<usize> {
    let bytes = line.as_bytes();
    let quote = bytes[start];
    let mut i = start + 1;
    while i < bytes.len() && bytes[i] != quote {
        i += if bytes[i] == b'\\' && quote == b'"' {
            2
        } else {
            1
        };
    }
    // An escape at the very end may step over it.
    start + 1..i.min(bytes.len())
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
        assert_eq!(
            masked(r#"with = { token = "a\"b", user = "u" }"#),
            [r#"a\"b"#]
        );
        assert_eq!(
            masked(r#"credentials = { key = "k", "x" = 'v' }, user = "u""#),
            ["k", "v"]
        );
        assert_eq!(masked(r#"tokens = ["a", "b"]"#), ["a", "b"]);
        assert_eq!(masked("with.consumer_secret = 'open"), ["open"]);
    }

    #[test]
    fn references_and_other_keys_are_shown() {
        assert_eq!(masked(r#"token = "env:TOKEN""#), [""; 0]);
        assert_eq!(masked(r#"token = "file:run/token""#), [""; 0]);
        assert_eq!(masked(r#"topic = "tweets""#), [""; 0]);
        assert_eq!(
            masked(r#"token = "env:TOKEN?fallback""#),
            ["env:TOKEN?fallback"]
        );
    }
}
