//! What a person wants of a network: the options `track` and `languages`, the same for all.

use plugin_api::StageError;
use track::Track;

/// Compiles phrases; none: everything passes.
///
/// # Errors
/// Which of them breaks Twitter's limits.
pub fn track(phrases: &[String]) -> Result<Option<Track>, StageError> {
    if phrases.is_empty() {
        return Ok(None);
    }
    Track::new(phrases).map(Some).map_err(|error| {
        let pointer = error
            .phrase
            .map_or("/track".into(), |at| format!("/track/{at}"));
        StageError::config(&pointer, error.to_string())
    })
}

/// Most languages that are asked for.
const MAX_LANGUAGES: usize = 100;
/// Stands for posts that name no language.
pub const NO_LANGUAGE: &str = "und";

/// Checks language tags (BCP 47): a language of 2 to 8 letters, and behind hyphens what narrows it.
///
/// # Errors
/// Which of them is none.
pub fn check_languages(tags: &[String]) -> Result<(), StageError> {
    if tags.len() > MAX_LANGUAGES {
        let why = format!(
            "{} of them; at most {MAX_LANGUAGES} are possible",
            tags.len()
        );
        return Err(StageError::config("/languages", why));
    }
    match tags.iter().position(|tag| !is_tag(tag)) {
        None => Ok(()),
        Some(at) => Err(StageError::config(
            &format!("/languages/{at}"),
            format!(
                "`{}` is no language: give its code, such as en or pt-BR",
                tags[at]
            ),
        )),
    }
}

fn is_tag(tag: &str) -> bool {
    let mut parts = tag.split('-').map(str::as_bytes);
    let is_language = parts.next().is_some_and(|language| {
        (2..=8).contains(&language.len()) && language.iter().all(u8::is_ascii_alphabetic)
    });
    is_language
        && parts
            .all(|part| (1..=8).contains(&part.len()) && part.iter().all(u8::is_ascii_alphanumeric))
}

/// Whether a tag equals one that is wanted, or begins with it and a hyphen, in any case (RFC 4647,
/// basic filtering).
pub fn is_language(tag: &[u8], wanted: &[String]) -> bool {
    wanted.iter().any(|wanted| {
        tag.split_at_checked(wanted.len())
            .is_some_and(|(head, rest)| {
                head.eq_ignore_ascii_case(wanted.as_bytes())
                    && (rest.is_empty() || rest.starts_with(b"-"))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.into()).collect()
    }

    #[test]
    fn languages_are_tags_and_a_part_of_one_stands_for_all_of_it() {
        assert!(check_languages(&of(&["en", "zh-Hant-TW", NO_LANGUAGE])).is_ok());
        for wrong in ["", "e", "e1", "english language", "en-", "toolongasub", "é"] {
            let error = check_languages(&of(&["en", wrong])).unwrap_err();
            assert_eq!(error.pointer, "/languages/1", "{wrong}");
        }
        let many = vec!["en".to_owned(); MAX_LANGUAGES + 1];
        assert_eq!(check_languages(&many).unwrap_err().pointer, "/languages");
        let wanted = of(&["EN", "pt-BR"]);
        let is_wanted = |tag: &str| is_language(tag.as_bytes(), &wanted);
        assert!(is_wanted("en") && is_wanted("en-GB") && is_wanted("PT-br"));
        assert!(!is_wanted("eng") && !is_wanted("pt") && !is_wanted("e") && !is_wanted(""));
    }

    #[test]
    fn a_wrong_phrase_is_named() {
        assert!(track(&[]).unwrap().is_none());
        assert!(track(&of(&["rust"])).unwrap().is_some());
        assert_eq!(track(&of(&["a", "b,c"])).unwrap_err().pointer, "/track/1");
        assert_eq!(track(&vec!["a".into(); 401]).unwrap_err().pointer, "/track");
    }
}
