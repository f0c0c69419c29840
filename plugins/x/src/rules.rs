//! The rules that an account shall have, and what is to be done so that it has them.

use plugin_api::StageError;
use serde::{Deserialize, Serialize};

use crate::config::Rule;
use crate::phrases;

/// What X takes of a project that pays by use.
const MAX_RULES: usize = 1_000;

/// Which option a rule comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// What it brings is matched by `track` once more.
    Track,
    /// The rule of this number in `rules`.
    Own(usize),
}

/// A rule that shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub value: String,
    pub tag: String,
    pub origin: Origin,
}

/// A rule that is, or one to be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Existing {
    #[serde(default, skip_serializing)]
    pub id: String,
    pub value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// The rules for these options. The tags begin with `tag` and a colon.
pub(crate) fn wanted(
    track: &[String],
    own: &[Rule],
    tag: &str,
    max_length: u64,
) -> Result<Vec<Wanted>, StageError> {
    if !(64..=4_096).contains(&max_length) {
        let why = "max_rule_length must be between 64 and 4096";
        return Err(StageError::config("/max_rule_length", why));
    }
    if track.is_empty() && own.is_empty() {
        let why = "there is nothing to look for; give `track`, `rules` or both";
        return Err(StageError::config("/track", why));
    }
    let max = usize::try_from(max_length).unwrap_or(usize::MAX);
    let mut all: Vec<Wanted> = Vec::new();
    for (at, rule) in own.iter().enumerate() {
        let value = rule.value.trim();
        let wrong = |why: String| Err(StageError::config(&format!("/rules/{at}/value"), why));
        let length = value.chars().count();
        if value.is_empty() {
            return wrong("a rule is not empty".into());
        }
        if length > max {
            return wrong(format!(
                "it has {length} characters, more than max_rule_length = {max}"
            ));
        }
        if let Some(Origin::Own(first)) = all.iter().find(|r| r.value == value).map(|r| r.origin) {
            return wrong(format!("rule {} is the same", first + 1));
        }
        all.push(Wanted {
            value: value.into(),
            tag: match &rule.tag {
                Some(own) => format!("{tag}:rule:{own}"),
                None => format!("{tag}:rule"),
            },
            origin: Origin::Own(at),
        });
    }
    let values = phrases::rules(track, max)
        .map_err(|e| StageError::config(&format!("/track/{}", e.phrase), e.why))?;
    for value in values {
        // X takes a rule once; without a second match it brings at least as much.
        if all.iter().all(|rule| rule.value != value) {
            all.push(Wanted {
                value,
                tag: format!("{tag}:track"),
                origin: Origin::Track,
            });
        }
    }
    if all.len() > MAX_RULES {
        let why = format!("these are {} rules; X takes {MAX_RULES}", all.len());
        return Err(StageError::config("/rules", why));
    }
    Ok(all)
}

/// What to do with an account.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Rules that are as they shall be: their ids.
    pub keep: Vec<(String, Origin)>,
    pub add: Vec<Wanted>,
    /// Ids.
    pub delete: Vec<String>,
}

/// Compares what shall be with what is. X takes each value only once, so a rule that somebody
/// else made is used as it is.
pub(crate) fn changes(wanted: &[Wanted], existing: &[Existing], tag: &str) -> Changes {
    let begin = format!("{tag}:");
    let is_ours = |rule: &Existing| rule.tag.as_ref().is_some_and(|t| t.starts_with(&begin));
    let mut changes = Changes::default();
    for rule in wanted {
        let same = existing.iter().find(|e| e.value == rule.value);
        match same {
            Some(e) if !is_ours(e) || e.tag.as_ref() == Some(&rule.tag) => {
                changes.keep.push((e.id.clone(), rule.origin));
            }
            _ => changes.add.push(rule.clone()),
        }
    }
    let kept = |id: &String| changes.keep.iter().any(|(kept, _)| kept == id);
    let gone = existing.iter().filter(|e| is_ours(e) && !kept(&e.id));
    changes.delete = gone.map(|e| e.id.clone()).collect();
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(rules: &[(&str, Option<&str>)]) -> Vec<Rule> {
        let rule = |(value, tag): &(&str, Option<&str>)| Rule {
            value: (*value).into(),
            tag: tag.map(Into::into),
        };
        rules.iter().map(rule).collect()
    }

    fn existing(rules: &[(&str, &str, &str)]) -> Vec<Existing> {
        let rule = |(id, value, tag): &(&str, &str, &str)| Existing {
            id: (*id).into(),
            value: (*value).into(),
            tag: (!tag.is_empty()).then(|| (*tag).into()),
        };
        rules.iter().map(rule).collect()
    }

    #[test]
    fn own_rules_come_first_and_tags_tell_them_apart() {
        let rules = own(&[(" cat has:images ", Some("cats")), ("#rust", None)]);
        let all = wanted(&["#rust".into(), "#go".into()], &rules, "x", 1024).unwrap();
        let seen: Vec<_> = all.iter().map(|r| (&*r.value, &*r.tag)).collect();
        assert_eq!(
            seen,
            [
                ("cat has:images", "x:rule:cats"),
                ("#rust", "x:rule"),
                ("#rust OR #go", "x:track")
            ]
        );
        let all = wanted(&["#rust".into()], &rules, "x", 1024).unwrap();
        assert_eq!(all.len(), 2, "the same rule is not made twice");
    }

    #[test]
    fn only_what_differs_is_changed_and_only_of_ours() {
        let shall = wanted(
            &["#a".into()],
            &own(&[("b", Some("t")), ("c", None)]),
            "x",
            1024,
        );
        let shall = shall.unwrap();
        let is = existing(&[
            ("1", "#a", "x:track"),
            ("2", "b", "x:rule:old"),
            ("3", "c", "someone else's"),
            ("4", "gone", "x:track"),
            ("5", "other", "xy:track"),
            ("6", "other still", ""),
        ]);
        let changes = changes(&shall, &is, "x");
        assert_eq!(
            changes.keep,
            [("3".into(), Origin::Own(1)), ("1".into(), Origin::Track)]
        );
        assert_eq!(changes.add.len(), 1);
        assert_eq!(changes.add[0].tag, "x:rule:t");
        assert_eq!(changes.delete, ["2", "4"]);
    }
}
