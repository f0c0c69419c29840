//! Turns `track` phrases into rules of X that bring everything these phrases may match, and more:
//! what comes is matched once more, by the rules that hold on every network.
//!
//! `track` looks at words of the text, hashtags, mentions and links alike; X has an operator for
//! each of these. So a word becomes `(rust OR #rust OR @rust OR url:rust)`, the words of a phrase
//! stand side by side, which means AND, and phrases are joined by OR.

/// A phrase that no rule can be made of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unusable {
    /// Which phrase, counted from 0.
    pub phrase: usize,
    pub why: String,
}

/// The longest name that a mention can have.
const HANDLE_CHARS: usize = 15;

/// As few rules as hold all phrases, each at most `max` bytes long.
pub(crate) fn rules<P: AsRef<str>>(phrases: &[P], max: usize) -> Result<Vec<String>, Unusable> {
    let mut rules: Vec<String> = Vec::new();
    for (at, phrase) in phrases.iter().enumerate() {
        let unusable = |why| Unusable { phrase: at, why };
        let clause = clause(phrase.as_ref()).map_err(unusable)?;
        if clause.len() > max {
            let why = format!(
                "as a rule of X it has {} bytes, more than max_rule_length = {max}: {clause}",
                clause.len()
            );
            return Err(unusable(why));
        }
        match rules.last_mut() {
            Some(rule) if rule.len() + " OR ".len() + clause.len() <= max => {
                rule.push_str(" OR ");
                rule.push_str(&clause);
            }
            _ => rules.push(clause),
        }
    }
    Ok(rules)
}

fn clause(phrase: &str) -> Result<String, String> {
    let mut words: Vec<String> = Vec::new();
    for word in phrase.split_whitespace() {
        let word = alternatives(word)?;
        if !words.contains(&word) {
            words.push(word);
        }
    }
    match &words[..] {
        [only] => Ok(only.clone()),
        _ => Ok(format!("({})", words.join(" "))),
    }
}

/// Everything of X that may hold a word.
fn alternatives(word: &str) -> Result<String, String> {
    let alternatives = match word.split_at_checked(1) {
        Some(("#", name)) if is_hashtag(name) => vec![word.to_owned()],
        Some(("@", name)) if is_handle(name) => vec![word.to_owned()],
        _ => {
            let keyword = keyword(word).ok_or_else(|| {
                format!("`{word}` is punctuation alone, which X does not match; add a word to it")
            })?;
            let mut all = vec![keyword.clone()];
            if is_hashtag(word) {
                all.push(format!("#{word}"));
            }
            if is_handle(word) {
                all.push(format!("@{word}"));
            }
            if word.chars().any(char::is_alphanumeric) {
                all.push(format!("url:{keyword}"));
            }
            all
        }
    };
    Ok(match &alternatives[..] {
        [only] => only.clone(),
        all => format!("({})", all.join(" OR ")),
    })
}

/// A word as X's keyword operator takes it: in quotes where it has more than letters and digits,
/// or would be an operator. X splits text at punctuation, so quotes within are left out.
fn keyword(word: &str) -> Option<String> {
    let inner: String = word.chars().filter(|c| !matches!(c, '"' | '\\')).collect();
    if inner.chars().all(|c| c.is_ascii_punctuation()) {
        return None;
    }
    let plain = inner.chars().all(|c| c.is_alphanumeric() || c == '_');
    let reserved = ["or", "and", "not"]
        .iter()
        .any(|operator| inner.eq_ignore_ascii_case(operator));
    Some(if plain && !reserved {
        inner
    } else {
        format!("\"{inner}\"")
    })
}

fn is_hashtag(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || c == '_') && name.chars().any(|c| c.is_alphabetic())
}

fn is_handle(name: &str) -> bool {
    (1..=HANDLE_CHARS).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(phrase: &str) -> String {
        rules(&[phrase], 1024).unwrap().remove(0)
    }

    #[test]
    fn a_word_is_looked_for_wherever_track_looks() {
        for (phrase, expected) in [
            ("rust", "(rust OR #rust OR @rust OR url:rust)"),
            ("café", "(café OR #café OR url:café)"),
            ("#rust", "#rust"),
            ("@rustlang", "@rustlang"),
            ("2026", "(2026 OR @2026 OR url:2026)"),
            ("example.com", "(\"example.com\" OR url:\"example.com\")"),
            ("coca-cola", "(\"coca-cola\" OR url:\"coca-cola\")"),
            ("\"hello\"", "(hello OR url:hello)"),
            ("or", "(\"or\" OR #or OR @or OR url:\"or\")"),
            ("#1", "(\"#1\" OR url:\"#1\")"),
            ("😃", "\"😃\""),
            (
                "こんにちは",
                "(こんにちは OR #こんにちは OR url:こんにちは)",
            ),
            (
                "a_name_that_is_too_long",
                "(a_name_that_is_too_long OR #a_name_that_is_too_long OR url:a_name_that_is_too_long)",
            ),
        ] {
            assert_eq!(rule(phrase), expected, "{phrase}");
        }
    }

    #[test]
    fn words_of_a_phrase_are_joined_by_and_phrases_by_or() {
        assert_eq!(
            rule("#apache  kafka"),
            "(#apache (kafka OR #kafka OR @kafka OR url:kafka))"
        );
        assert_eq!(rules(&["#a", "#b c", "#d"], 1024).unwrap().len(), 1);
        assert_eq!(
            rules(&["#a", "@b", "#d"], 1024).unwrap(),
            ["#a OR @b OR #d"]
        );
        assert_eq!(rules(&["#a", "@b", "#d"], 8).unwrap(), ["#a OR @b", "#d"]);
        assert_eq!(rule("rust rust"), rule("rust"));
    }

    #[test]
    fn a_phrase_of_punctuation_is_named() {
        let error = rules(&["rust", "?! a"], 1024).unwrap_err();
        assert_eq!(error.phrase, 1);
        assert!(
            error.why.starts_with("`?!` is punctuation alone"),
            "{error:?}"
        );
        assert_eq!(rules(&["rust"], 10).unwrap_err().phrase, 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever `track` takes fits into rules of the length that everybody may use.
        #[test]
        fn every_phrase_of_track_fits(phrases in prop::collection::vec("[a-z0-9_#@.é😃\"\\\\ -]{1,60}", 1..40)) {
            let phrases: Vec<String> = phrases
                .into_iter()
                .filter(|p| track::Track::new(&[p]).is_ok())
                .collect();
            match rules(&phrases, 1024) {
                Ok(rules) => {
                    for rule in rules {
                        prop_assert!(rule.len() <= 1024);
                        prop_assert_eq!(rule.matches('"').count() % 2, 0);
                        prop_assert_eq!(rule.matches('(').count(), rule.matches(')').count());
                    }
                }
                Err(e) => prop_assert!(e.why.contains("punctuation alone"), "{}", e.why),
            }
        }
    }
}
