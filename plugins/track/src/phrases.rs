//! The syntax and limits of `track`: phrases separated by commas, terms separated by spaces.

use std::fmt;

/// The most phrases one filter may have.
pub const MAX_PHRASES: usize = 400;
/// The longest phrase, in bytes of UTF-8.
pub const MAX_PHRASE_BYTES: usize = 60;

/// Why a list of phrases is not a valid `track` parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PhraseError {
    /// The phrase at fault, counted from 0; `None` if the list as a whole is.
    pub phrase: Option<usize>,
    /// What is wrong with it.
    pub kind: PhraseErrorKind,
}

/// What is wrong with a phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PhraseErrorKind {
    /// More than [`MAX_PHRASES`] phrases; the number given.
    TooMany(usize),
    /// A phrase without a term.
    Empty,
    /// A phrase longer than [`MAX_PHRASE_BYTES`]; its length.
    TooLong(usize),
    /// A phrase with a comma in it, which would be two.
    Comma,
}

impl fmt::Display for PhraseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(phrase) = self.phrase {
            write!(f, "track phrase {}: ", phrase + 1)?;
        }
        match self.kind {
            PhraseErrorKind::TooMany(n) => {
                write!(f, "{n} track phrases; Twitter allows at most {MAX_PHRASES}")
            }
            PhraseErrorKind::Empty => write!(f, "it is empty; a phrase has 1 to 60 bytes"),
            PhraseErrorKind::TooLong(n) => {
                write!(
                    f,
                    "it has {n} bytes; a phrase has at most {MAX_PHRASE_BYTES}"
                )
            }
            PhraseErrorKind::Comma => {
                write!(f, "a comma separates phrases; write two phrases instead")
            }
        }
    }
}

impl std::error::Error for PhraseError {}

/// Checks a list of phrases against Twitter's limits.
pub(crate) fn check<P: AsRef<str>>(phrases: &[P]) -> Result<(), PhraseError> {
    if phrases.len() > MAX_PHRASES {
        return Err(PhraseError {
            phrase: None,
            kind: PhraseErrorKind::TooMany(phrases.len()),
        });
    }
    for (at, phrase) in phrases.iter().enumerate() {
        let phrase = phrase.as_ref();
        let kind = if phrase.contains(',') {
            PhraseErrorKind::Comma
        } else if terms(phrase).next().is_none() {
            PhraseErrorKind::Empty
        } else if phrase.len() > MAX_PHRASE_BYTES {
            PhraseErrorKind::TooLong(phrase.len())
        } else {
            continue;
        };
        return Err(PhraseError {
            phrase: Some(at),
            kind,
        });
    }
    Ok(())
}

/// The terms of a phrase.
pub(crate) fn terms(phrase: &str) -> impl Iterator<Item = &str> {
    phrase.split_whitespace()
}

/// Splits a `track` parameter as sent by a client. Empty phrases (`a,,b`, a trailing comma) are
/// left out, as Twitter did.
pub(crate) fn split(track: &str) -> Vec<&str> {
    track
        .split(',')
        .map(str::trim)
        .filter(|phrase| !phrase.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind<P: AsRef<str>>(phrases: &[P]) -> Option<(Option<usize>, PhraseErrorKind)> {
        check(phrases).err().map(|e| (e.phrase, e.kind))
    }

    #[test]
    fn limits_are_twitters() {
        assert_eq!(kind(&["a", &"é".repeat(30)]), None);
        assert_eq!(
            kind(&["a", &format!("{}x", "é".repeat(30))]),
            Some((Some(1), PhraseErrorKind::TooLong(61)))
        );
        assert_eq!(kind(&["a", " "]), Some((Some(1), PhraseErrorKind::Empty)));
        assert_eq!(kind(&["a,b"]), Some((Some(0), PhraseErrorKind::Comma)));
        assert_eq!(kind(&vec!["a"; 400]), None);
        assert_eq!(
            kind(&vec!["a"; 401]),
            Some((None, PhraseErrorKind::TooMany(401)))
        );
    }

    #[test]
    fn a_parameter_is_split_at_commas() {
        assert_eq!(split("a b, c,,d,"), ["a b", "c", "d"]);
        assert!(split(" , ").is_empty());
    }
}
